"""Hold back Ctrl-C and SIGTERM until code that must not be interrupted has ended."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPS = (signal.SIGINT, signal.SIGTERM)


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
