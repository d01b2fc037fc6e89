"""All lessons on one HTML page that loads nothing, or as a notebook that runs them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heart_disease.lessons.lesson import NAMES, Lesson, find

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class _Section:
    """A lesson on the page. text: HTML made from its Markdown. picture: a data URL."""

    name: str
    title: str
    text: Markup
    picture: str


def render(lessons: Mapping[str, Lesson]) -> str:
    """One page that needs nothing else: the texts and the pictures, by the names of the lessons."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    from heart_disease.reporting import pages

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    sections = [
        _Section(
            name=name,
            title=lesson.title,
            text=Markup(markdown.render(lesson.text)),  # noqa: S704 - HTML in a text is escaped by the line above
            picture=f"data:image/png;base64,{base64.b64encode(lesson.png).decode()}",
        )
        for name, lesson in lessons.items()
    ]
    return pages.fill("heart_disease.lessons", "lessons.html", lessons=sections)


def write_notebook(output: Path, names: Sequence[str] = NAMES) -> None:
    """A notebook that runs every lesson, with its settings to change."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells = [new_markdown_cell("# How the heart-disease network learns\n\nChange the settings, and run a cell again.")]
    for name in names:
        module = find(name)
        given = ", ".join(f"{key}={value!r}" for key, value in asdict(module.Settings()).items())
        cells.append(new_markdown_cell(f"## {module.TITLE}\n\n{(module.__doc__ or '').strip()}"))
        cells.append(new_code_cell(f"from heart_disease.lessons import {name}\n\n{name}.run({name}.Settings({given}))"))
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, output)
