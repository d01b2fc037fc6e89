"""What the terminal shows: progress, wrapped text, and nothing that a library says on its own account."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager


def import_tensorflow() -> None:
    """Import it without the lines that its C++ part writes to stderr whatever its log level is."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow as tf
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    tf.get_logger().setLevel("ERROR")  # it warns of traces that are wanted: each batch of networks has its own


class _Stages(logging.Formatter):
    """A line a stage, wrapped below its text and not below its name."""

    def format(self, record: logging.LogRecord) -> str:
        """The message alone."""
        return wrapped(record.getMessage(), indent=" " * 10)


@contextmanager
def progress() -> Iterator[None]:
    """Show on stderr what the stages report."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Stages())
    log = logging.getLogger("heart")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def wrapped(text: str, indent: str = "  ") -> str:
    """`text` in lines of the terminal's width, continued lines indented."""
    width = shutil.get_terminal_size().columns
    return "\n".join(
        textwrap.fill(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
        )
        for line in text.splitlines()
    )
