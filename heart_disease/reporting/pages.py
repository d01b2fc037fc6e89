"""HTML from the Jinja2 templates in a package's folder `templates`, with every value escaped."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def fill(room: str, template: str, **values: object) -> str:
    """The template of this name, filled with these values.

    room: the package whose folder `templates` holds it, such as ``heart_disease.reporting``.
    """
    loader = PackageLoader(room)
    pages = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return pages.get_template(template).render(values)
