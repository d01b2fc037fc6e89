"""`heart learn`: run the lessons, print them, track them in MLflow, and write the page of all."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from heart_disease import registry
from heart_disease.lessons import page
from heart_disease.lessons.lesson import NAMES, Lesson, find

ABOUT = "A run for each lesson of `heart learn`: its settings, curves and picture."


def show_list() -> None:
    """The lessons, one line each."""
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
    output.write_text(page.render(lessons), encoding="utf-8")
    print(f"\n{output}")


def write_notebook(output: Path) -> None:
    """Write a notebook that runs every lesson, with its settings to change."""
    page.write_notebook(output)
    print(output)
