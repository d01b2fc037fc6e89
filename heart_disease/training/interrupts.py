"""Ctrl-C and SIGTERM wait for the end of what must not be interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def undisturbed() -> Iterator[None]:
    """For TensorFlow: an exception in the middle of its C code breaks it, and in the middle of its import is lost."""
    if threading.current_thread() is not threading.main_thread():  # signals are for the main thread
        yield
        return
    waiting: list[int] = []
    before = {number: signal.signal(number, lambda number, _: waiting.append(number)) for number in STOPS}
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler or signal.SIG_DFL)
        for number in waiting[:1]:
            signal.raise_signal(number)
