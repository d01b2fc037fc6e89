"""Reading in a thread of its own: a driver that waits without end can be left behind, if nothing interrupts it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from typing import Any

LOOK_SECONDS = 0.5  # how often the thread looks whether anybody still takes what it has


class LateError(Exception):
    """An item has not come in time: in all, or, if `silent`, the first one, or the next one after another."""

    def __init__(self, seconds: float, *, silent: bool) -> None:
        super().__init__(f"nothing came for {seconds:g} s")
        self.seconds, self.silent = seconds, silent


def items(
    made: Callable[[], Generator[Any]], first: float, total: float, silence: float | None = None
) -> Generator[Any]:
    """The items of a generator that runs in a thread of its own from beginning to end, except the first.

    The first one is a function that ends what the thread waits for, as far as the driver can do that; it is called if
    nobody takes the items any more. first, total: the seconds within which the first item, and all of them, must come.
    silence: those within which each must come.

    Raises:
        LateError: they do not. The thread is then left behind; it does not keep the program from ending.
    """
    found: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=1)
    over, start, seconds = threading.Event(), time.monotonic(), first
    reader = threading.Thread(target=_make, args=(made, found, over), daemon=True, name="heart-reader")
    stop: Callable[[], None] | None = None
    reader.start()
    try:
        while True:
            left = start + seconds - time.monotonic()
            try:
                if left <= 0:  # an item that is there already is late as well
                    raise queue.Empty
                kind, item = found.get(timeout=left if silence is None else min(left, silence))
            except queue.Empty:
                if silence is not None and silence < left:
                    raise LateError(silence, silent=True) from None
                raise LateError(seconds, silent=stop is None) from None
            if kind == "error":
                raise item
            if kind == "end":
                return
            if stop is None:
                stop, seconds = item, total
            else:
                yield item
    finally:
        over.set()
        if stop and reader.is_alive():
            threading.Thread(target=_end, args=(reader, stop), daemon=True, name="heart-reader's end").start()


def _make(made: Callable[[], Generator[Any]], found: queue.Queue[tuple[str, Any]], over: threading.Event) -> None:
    def put(kind: str, item: Any = None) -> bool:
        while not over.is_set():
            with suppress(queue.Full):
                found.put((kind, item), timeout=LOOK_SECONDS)
                return True
        return False

    try:
        with closing(made()) as every:
            if all(put("item", item) for item in every):
                put("end")
    except Exception as error:
        put("error", error)


def _end(reader: threading.Thread, stop: Callable[[], None]) -> None:
    """Stop what the thread waits for, again and again: it may be about to begin with it."""
    while reader.is_alive():
        with suppress(Exception):  # the connection is closed
            stop()
        reader.join(LOOK_SECONDS)
