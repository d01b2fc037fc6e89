"""Runs the `heart` command in the test's own process, and unwraps its messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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


def speaking(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`heart`, which also returns what the command printed, and its errors on one line."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = heart(*arguments)
        out, err = capsys.readouterr()
        return code, out, one_line(err)

    return call
