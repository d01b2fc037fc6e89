"""The progress of a training, for people."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger("heart")


def progress() -> Callable[[int, int], None]:
    """Says how far a long training is, every five seconds."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 5 and done < total:
            last = time.monotonic()
            log.info("train     %3.0f %% of %d steps", 100 * done / total, total)

    return tell
