"""What a lesson is made of, where to find each, and all of them as one HTML page or as a notebook."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from heart_disease.lessons import formulas
from heart_disease.model.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict
    from markupsafe import Markup
    from matplotlib.figure import Figure

# The lessons, in the order of the lecture.
NAMES = ("descent", "gradient", "loss", "regression", "backprop", "optimizers", "overfitting", "columns", "landscape")


@dataclass(frozen=True)
class Lesson:
    """What one run of a lesson found.

    text: the explanation in Markdown, with the numbers of this very run; paragraphs, lists and tables.
    figure: the picture that the text talks about.
    metrics: single numbers by name. curves: lists by name, one value per step from 0.
    """

    title: str
    text: str
    figure: Figure
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def png(self) -> bytes:
        """The figure, drawn."""
        out = io.BytesIO()
        self.figure.savefig(out, format="png", dpi=110)
        return out.getvalue()

    def _repr_markdown_(self) -> str:
        """What a notebook shows: the text, then the figure."""
        picture = base64.b64encode(self.png).decode()
        return f"{formulas.as_latex(self.text)}\n\n![{self.title}](data:image/png;base64,{picture})"


def find(name: str) -> ModuleType:
    """The module of the lesson `name`.

    Raises:
        UsageError: there is no such lesson.
    """
    if name not in NAMES:
        raise UsageError(f"no lesson '{name}'; expected one of {', '.join(NAMES)}, or all")
    return import_module(f"heart_disease.lessons.{name}")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *[[str(cell) for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def check_patient(row: int, patients: pd.DataFrame) -> None:
    """Refuse a row that is none of the bundled patients'.

    Raises:
        UsageError: there is no patient in that row.
    """
    if row not in patients.index:
        first, last = patients.index.min(), patients.index.max()
        raise UsageError(f"--patient {row}: expected the row of a bundled patient, {first} to {last}")


@dataclass(frozen=True)
class _Section:
    """One lesson of the page. text: HTML made from its Markdown. picture: a data URL."""

    name: str
    title: str
    text: Markup
    picture: str


def page(lessons: Mapping[str, Lesson]) -> str:
    """One HTML page that loads nothing: the texts and pictures of these lessons, which are given by name."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    from heart_disease.reporting import pages

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("code_inline", _code)
    markdown.add_render_rule("table_open", _open_table)
    markdown.add_render_rule("table_close", _close_table)
    sections = [
        _Section(
            name=name,
            title=lesson.title,
            # HTML in a text is escaped by `markdown`.
            text=Markup(markdown.render(lesson.text, {"title": lesson.title})),  # noqa: S704
            picture=f"data:image/png;base64,{base64.b64encode(lesson.png).decode()}",
        )
        for name, lesson in lessons.items()
    ]
    return pages.fill("heart_disease.lessons", "lessons.html", lessons=sections, course=formulas.COURSE)


def _code(renderer: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
    """Inline code as HTML: a formula as mathematics, everything else as Markdown has it."""
    if tokens[i].content in formulas.FORMULAS:
        return formulas.as_mathml(tokens[i].content)
    return renderer.code_inline(tokens, i, options, env)


def _open_table(renderer: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
    """A table scrolls by itself, also by keyboard, if the screen is narrower; its name is unique on the page."""
    from markupsafe import Markup

    number = sum(token.type == "table_open" for token in tokens[: i + 1])
    opening = Markup('<div class="wide" tabindex="0" role="region" aria-label="{}: table {}"><table>\n')
    return opening.format(env["title"], number)


def _close_table(renderer: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
    return "</table></div>\n"


def write_notebook(output: Path, names: Sequence[str] = NAMES) -> None:
    """Run every lesson, and write a notebook with what each shows and with its settings to change.

    Raises:
        UnavailableError: the file cannot be written.
    """
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

    from heart_disease.data import writing

    head = f"""# How the heart-disease network learns

Change the settings, and run a cell again. The ideas are those of a [lecture on this network]({formulas.COURSE})."""
    quietly = """import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # TensorFlow reads it once, when it is imported

from heart_disease.reporting.terminal import import_tensorflow

import_tensorflow()"""
    cells = [new_markdown_cell(head), new_code_cell(quietly)]
    for number, name in enumerate(names, 1):
        module = find(name)
        settings = module.Settings()
        given = ", ".join(f"{key}={value!r}" for key, value in asdict(settings).items())
        lesson: Lesson = module.run(settings)
        shown = {"text/markdown": lesson._repr_markdown_(), "text/plain": repr(lesson.title)}
        code = f"from heart_disease.lessons import {name}\n\n{name}.run({name}.Settings({given}))"
        result = new_output("execute_result", data=shown, execution_count=number)
        cells.append(new_markdown_cell(f"## {module.TITLE}\n\n{(module.__doc__ or '').strip()}"))
        cells.append(new_code_cell(code, outputs=[result], execution_count=number))
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    writing.write_text(output, nbformat.writes(notebook) + "\n")
