"""`heart learn`: run the lessons, print them, track them in MLflow, and write one page or a notebook of all."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from heart_disease import registry
from heart_disease.lessons.lesson import NAMES, Lesson, find

ABOUT = "A run for each lesson of `heart learn`: its settings, curves and picture."
STYLE = """
:root { color-scheme: light dark; }
body { font: 17px/1.55 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; }
h2 { font-size: 1.35rem; margin-top: 3.5rem; border-top: 1px solid #8884; padding-top: 1.5rem; }
img { max-width: 100%; background: #fff; border-radius: 6px; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .25rem .9rem .25rem 0; text-align: left;
  border-bottom: 1px solid #8884; }
code { font: .9em ui-monospace, monospace; } nav li { margin: .2rem 0; }
@media print { h2 { break-before: page; border: 0; } }
"""


def show_list() -> None:
    """The lessons, a line each."""
    for name in NAMES:
        print(f"  {name:12} {find(name).TITLE}")
    print("\nheart learn NAME runs one, heart learn all runs all and writes a page.")


def run(name: str, settings: Any) -> Lesson:
    """Run one lesson, track it, and print its text."""
    module = find(name)
    lesson: Lesson = module.run(settings)
    usual = asdict(module.Settings())
    changed = [f"{key} {value}" for key, value in asdict(settings).items() if value != usual[key]]
    title = ", ".join([name, *changed])
    with registry.open_run(title, {"lesson": name}, experiment=registry.LESSONS, about=ABOUT) as tracked:
        registry.log_lesson(tracked, asdict(settings), lesson.metrics, lesson.curves)
        registry.log_files(tracked, "lesson", {f"{name}.png": lesson.png, f"{name}.md": lesson.text})
        picture = registry.artifact_uri(tracked, f"lesson/{name}.png")
    console = Console(width=min(100, Console().width))
    console.print(Markdown(f"# {lesson.title}\n\n{lesson.text}"))
    console.print(f"\nThe picture: {picture}", soft_wrap=True, highlight=False)
    return lesson


def run_all(output: Path) -> None:
    """Run every lesson as it comes, and write one page of HTML."""
    lessons = {name: run(name, find(name).Settings()) for name in NAMES}
    output.write_text(page(lessons), encoding="utf-8")
    print(f"\n{output}")


def page(lessons: dict[str, Lesson]) -> str:
    """One page that needs nothing else: the texts and the pictures."""
    from markdown_it import MarkdownIt

    render = MarkdownIt("commonmark", {"html": False}).enable("table").render
    contents = "".join(f'<li><a href="#{name}">{html.escape(it.title)}</a></li>' for name, it in lessons.items())
    parts = [
        f'<section id="{name}"><h2>{html.escape(lesson.title)}</h2>{render(lesson.text)}'
        f'<img alt="{html.escape(lesson.title)}" src="data:image/png;base64,{base64.b64encode(lesson.png).decode()}">'
        f"<p>Again, with other settings: <code>heart learn {name} --help</code>.</p></section>"
        for name, lesson in lessons.items()
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>How the heart-disease network learns</title><style>{STYLE}</style>"
        "<h1>How the heart-disease network learns</h1><p>Eight ideas from a lecture on training deep networks, each at "
        "work on the code and the patients of this pipeline.</p>"
        f"<nav><ol>{contents}</ol></nav>{''.join(parts)}</html>\n"
    )


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
    print(output)
