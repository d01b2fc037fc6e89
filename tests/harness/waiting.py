"""Helpers for tests of processes: find a free port, and wait for something with a time limit."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 600.0  # seconds any wait may take; long, because the machine may be busy training something else


def free_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(happened: Callable[[], Any], seconds: float = PATIENCE, pause: float = 0.1) -> Any:
    """Wait until `happened` returns something true, and return it. pause: seconds between two looks.

    Raises:
        TimeoutError: it is not true after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {seconds:g} seconds")
        time.sleep(pause)
    return found
