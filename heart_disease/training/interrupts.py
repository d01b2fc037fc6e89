"""Hold back Ctrl-C and SIGTERM until code that must not be interrupted has ended, and lose none that came."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)
_CAME: list[int] = []  # the signals that nobody has answered


@contextmanager
def undisturbed() -> Iterator[list[int]]:
    """Hold back signals while TensorFlow works: an exception breaks its C code, and is lost while it is imported.

    Yields the signals that have come so far. The first of them is raised at the end.
    """
    waiting: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # signals are for the main thread
        yield waiting
        return
    before = {number: signal.signal(number, lambda number, _: waiting.append(number)) for number in STOPS}
    try:
        yield waiting
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler or signal.SIG_DFL)
        for number in waiting[:1]:
            signal.raise_signal(number)


@contextmanager
def not_lost() -> Iterator[None]:
    """Raise at the end of the block a signal that came within it, if its exception has not ended the block.

    A handler raises wherever the program happens to be. Python drops what is raised within a finaliser or a callback
    from C, and some libraries catch everything: the program would go on, and end as if nobody had pressed Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are for the main thread
        yield
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in STOPS}
    _CAME.clear()

    def note(number: int, frame: FrameType | None) -> None:
        _CAME.append(number)
        before[number](number, frame)

    for number, handler in before.items():
        if callable(handler):  # one that is ignored, as in a shell's background job, stays so
            signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler) and signal.getsignal(number) is note:  # otherwise the block chose another one
                signal.signal(number, handler)
    for lost in _CAME[:1]:
        signal.raise_signal(lost)


@contextmanager
def answered(*signals: type[BaseException]) -> Iterator[None]:
    """End the block quietly if Ctrl-C (KeyboardInterrupt) or SIGTERM (SystemExit) is how it is meant to end."""
    with suppress(*signals):
        yield
    _CAME.clear()
