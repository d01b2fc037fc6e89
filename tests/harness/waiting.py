"""What tests of processes need: a port that is free, and a wait with an end."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 600.0  # seconds for anything at all; a machine that trains something else is slow


def free_port() -> int:
    """A port of the loopback on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(happened: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What `happened` returns, as soon as that is true.

    Raises:
        TimeoutError: it is not true within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {seconds:g} seconds")
        time.sleep(0.1)
    return found
