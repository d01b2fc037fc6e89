"""Runs the `heart` command in the test's own process, and unwraps its messages."""

from __future__ import annotations

from pathlib import Path

from heart_disease.cli import main

ROOT = Path(__file__).parent.parent.parent  # the repository


def heart(*arguments: str) -> int:
    """Run the command in this process and return its exit code; argparse exits by raising SystemExit."""
    try:
        return main.main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def one_line(text: str) -> str:
    """The text without the line breaks that wrap it to the terminal's width."""
    return " ".join(text.split())


def root() -> str:
    """The repository's folder, for PYTHONPATH."""
    return str(ROOT)
