"""`heart learn`: run the lessons, print them, track them in MLflow, and write one page of them all."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heart_disease.cli.options import add_options, made
from heart_disease.cli.parser import Command, Parser
from heart_disease.lessons.lesson import NAMES, Lesson, find, page, write_notebook
from heart_disease.model.errors import ExitCode
from heart_disease.reporting.terminal import import_tensorflow

ABOUT = "A run for each lesson of `heart learn`: its settings, curves and picture."


class LessonParser(Parser):
    """The parser of one lesson, which imports that lesson only when it is needed."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Add the options first."""
        self.load()
        return super().parse_known_args(args, namespace)

    def load(self) -> None:
        """Add the lesson's description and options."""
        name = self.get_default("lesson")
        if name in NAMES:
            module = find(name)
            self.description = module.__doc__
            add_options(self, module.Settings)


def add(parser: argparse.ArgumentParser) -> None:
    """Options: a parser for each lesson, and one for all of them."""
    parser.set_defaults(lesson=None)
    parser.add_argument("--notebook", metavar="FILE", help="run all lessons, and write a notebook of them (.ipynb)")
    names = parser.add_subparsers(
        metavar="NAME", parser_class=LessonParser, help=f"{', '.join(NAMES)}, or all: run it; none: list the lessons"
    )
    for name in NAMES:
        names.add_parser(name).set_defaults(lesson=name)
    every = names.add_parser("all", description="Run all lessons, and write one page of HTML.")
    every.set_defaults(lesson="all")
    every.add_argument(
        "-o", "--output", metavar="FILE", default="lessons.html", help="the page to write (default %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Run a lesson or all, write a notebook, or list the lessons.

    Raises:
        UsageError: a setting makes no sense.
        UnavailableError: the MLflow store cannot be used.
    """
    if options.notebook:
        import_tensorflow()
        write_notebook(Path(options.notebook))
        print(Path(options.notebook))
    elif options.lesson is None:
        show_list()
    else:
        import_tensorflow()
        if options.lesson == "all":
            run_all(Path(options.output))
        else:
            run_one(options.lesson, made(find(options.lesson).Settings, options, {}))
    return ExitCode.DONE


def show_list() -> None:
    """Print the lessons, one per line."""
    from heart_disease.reporting import tables

    print(tables.aligned([("lesson", "about"), *((name, find(name).TITLE) for name in NAMES)]))
    print("\nheart learn NAME runs one, heart learn all runs all and writes a page.")


def run_one(name: str, settings: Any) -> Lesson:
    """Run one lesson, track it, and print its text."""
    from rich.console import Console
    from rich.markdown import Markdown

    from heart_disease import registry

    module = find(name)
    lesson: Lesson = module.run(settings)
    usual = asdict(module.Settings())
    changed = [f"{key} {value}" for key, value in asdict(settings).items() if value != usual[key]]
    title = ", ".join([name, *changed])
    with registry.open_run(title, {"lesson": name}, experiment=registry.LESSONS, about=ABOUT) as tracked:
        registry.log_values(tracked, asdict(settings), lesson.metrics, lesson.curves)
        registry.log_files(tracked, "lesson", {f"{name}.png": lesson.png, f"{name}.md": lesson.text})
        picture = registry.artifact_uri(tracked, f"lesson/{name}.png")
    console = Console(width=min(100, Console().width))
    console.print(Markdown(f"# {lesson.title}\n\n{lesson.text}"))
    console.print(f"\nThe picture: {picture}", soft_wrap=True, highlight=False)
    return lesson


def run_all(output: Path) -> None:
    """Run every lesson with its default settings, and write one page of HTML."""
    from heart_disease.data import writing

    lessons = {name: run_one(name, find(name).Settings()) for name in NAMES}
    writing.write_text(output, page(lessons))
    print(f"\n{output}")


COMMAND = Command(
    name="learn",
    help="the course: lessons on this network",
    description="Lessons on how the network learns. Without a name, the lessons are listed.",
    add=add,
    run=run,
    no_facts="It prints lessons to read; their numbers are in MLflow.",
)
