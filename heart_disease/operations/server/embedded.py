"""The process of the embedded Prefect server (server.py): `embedded.py PORT`, started by tethered.py.

Tables are made under a lock, because if two servers make them at once, one of them fails.
"""

from __future__ import annotations

import asyncio
import sys

import uvicorn
from filelock import FileLock
from prefect.server.database import provide_database_interface
from prefect.settings import get_current_settings


def serve(port: int) -> None:
    """Run Prefect's server on the loopback address."""
    with FileLock(get_current_settings().home / "heart.lock"):  # the system frees the lock when the process ends
        asyncio.run(provide_database_interface().create_db())
    app = "prefect.server.api.server:create_app"
    uvicorn.run(app, factory=True, host="127.0.0.1", port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
