"""The process of the embedded Prefect server (server.py): `python embedded.py PORT`, until SIGTERM or the end of stdin.

Standard input is a pipe from the process that started it. The system closes that with the process, also with one that
was killed and could not say goodbye, so that no server is left behind. Tables are made under a lock: of two servers
that make them at once, one fails.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import threading
import time

import uvicorn
from prefect.server.database import provide_database_interface
from prefect.settings import get_current_settings

END_SECONDS = 5


def serve(port: int) -> None:
    """Prefect's server on the loopback."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    with (get_current_settings().home / "heart.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the system takes it back from a process that ends, however it ends
        asyncio.run(provide_database_interface().create_db())
    app = "prefect.server.api.server:create_app"
    uvicorn.run(app, factory=True, host="127.0.0.1", port=port, log_level="error", lifespan="on")


def _end_with_stdin() -> None:
    while os.read(0, 1024):  # not sys.stdin, whose lock a thread must not hold when Python ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
