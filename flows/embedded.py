"""The process of the embedded Prefect server (server.py): `python embedded.py PORT`, until SIGTERM or the end of stdin.

Standard input is a pipe from the process that started it. The system closes that with the process, also with one that
was killed and could not say goodbye, so that no server is left behind.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import uvicorn

END_SECONDS = 5


def serve(port: int) -> None:
    """Prefect's server on the loopback."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    app = "prefect.server.api.server:create_app"
    uvicorn.run(app, factory=True, host="127.0.0.1", port=port, log_level="error", lifespan="on")


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
