"""What the terminal shows: progress, wrapped text, and none of the messages that libraries write unasked."""

from __future__ import annotations

import io
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Self, TextIO

from heart_disease.model.errors import hide
from heart_disease.training import libraries
from heart_disease.training.interrupts import undisturbed

LOG = logging.getLogger("heart")


def import_tensorflow() -> None:
    """Import TensorFlow without the lines that its C++ part writes to stderr at any log level."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere, undisturbed():
        os.dup2(nowhere.fileno(), 2)
        try:
            tf = libraries.tensorflow()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    tf.get_logger().setLevel("ERROR")  # it warns about new traces, but each batch of networks needs one


class _Stages(logging.Formatter):
    """One line per stage; continued lines begin below its text, not below its name."""

    def format(self, record: logging.LogRecord) -> str:
        """The message alone, without passwords."""
        return wrapped(hide(record.getMessage()), indent=" " * 10)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to the present `sys.stderr`; while a bar is shown, that one writes above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self.stream = sys.stderr
        super().emit(record)


@contextmanager
def progress() -> Iterator[None]:
    """Show on stderr what the stages report, unless that is not wanted (`heart -q`)."""
    handler = _Stderr()
    handler.setFormatter(_Stages())
    if not LOG.level:
        LOG.setLevel(logging.INFO)
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)


def say(text: str, indent: str = "  ") -> None:
    """Print to stderr what is good to know beside a result, unless that is not wanted (`heart -q`)."""
    if not _quiet():
        print(wrapped(text, indent), file=sys.stderr, flush=True)


def _quiet() -> bool:
    return LOG.level >= logging.WARNING


def wrapped(text: str, indent: str = "  ") -> str:
    """`text` in lines of the terminal's width, continued lines indented."""
    width = shutil.get_terminal_size().columns
    return "\n".join(
        textwrap.fill(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
        )
        for line in text.splitlines()
    )


def replace_unknown_signs() -> None:
    """Let standard output write a ? for a sign that its encoding lacks, as standard error does, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def short(path: str) -> str:
    """A path relative to the working directory if that is shorter; an address as it is."""
    if "://" in path:
        return path
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path


@contextmanager
def rows_bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """On a terminal, a bar of the rows done of `total`; 0 if that is not known. Gives a function that counts more."""
    if _quiet() or not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<9}"), BarColumn(None), TextColumn("{task.completed:,.0f} rows"))
    with Progress(
        *columns, TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(name, total=total or None)
        yield lambda rows: bar.advance(task, rows)


class Bar:
    """A bar on a terminal: networks done of `total`, networks per second, time left. Elsewhere a line every 10 seconds.

    A context manager. Call `add` when networks are done; `part` makes a callback for progress within the next ones.
    tell: is called with every share that is done, 0 to 1.
    """

    def __init__(self, name: str, total: int, tell: Callable[[float], None] = lambda _: None) -> None:
        self.name, self.total, self.done, self.tell = name, total, 0.0, tell
        self._started = self._said = monotonic()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not _quiet():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description:<9}"), BarColumn(None), TextColumn("{task.fields[text]}"))
            left = (TextColumn("left"), TimeRemainingColumn())
            self._bar = Progress(*columns, *left, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=self.total, text="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def add(self, networks: int) -> None:
        """Count this many more networks as done."""
        self.done += networks
        self._show(self.done)

    def part(self, networks: int) -> Callable[[int, int], None]:
        """A callback for work on this many networks: it takes the steps done, and the steps in all."""
        return lambda done, total: self._show(self.done + networks * done / total)

    def _show(self, done: float) -> None:
        self.tell(done / self.total)
        seconds = monotonic() - self._started
        rate = done / seconds if seconds else 0
        if self._bar:
            self._bar.update(self._task, completed=done, text=f"{done:.0f} of {self.total} networks, {rate:.0f}/s")
        elif monotonic() - self._said >= 10:
            self._said = monotonic()
            left = (self.total - done) / rate if rate else 0
            LOG.info(
                "%-9s %3.0f %% of %d networks, %.0f per second, %.0f s left",
                self.name, 100 * done / self.total, self.total, rate, left,
            )  # fmt: skip
