"""Waits for something with a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 600.0  # seconds any wait may take; long, because the machine may be busy training something else


def wait_for(happened: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until `happened` returns something true, and return it.

    The longer it takes, the more seldom it looks, at least once a second: servers that are asked need the processor for
    what is waited for.

    Raises:
        TimeoutError: it is not true after `seconds`.
    """
    since = time.monotonic()
    while not (found := happened()):
        waited = time.monotonic() - since
        if waited > seconds:
            raise TimeoutError(f"it did not happen within {seconds:g} seconds")
        time.sleep(min(max(0.1, waited / 10), 1))
    return found
