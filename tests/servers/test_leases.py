"""A deployment's run holds a lease on its slot. It must outlive the server, or every long run dies of a restart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate

from heart_disease.operations.server import embedded, own
from heart_disease.operations.server.server import problem_of
from tests.harness.waiting import free_port, wait_for

pytestmark = pytest.mark.slow


@contextmanager
def killed_at_the_end(port: int) -> Iterator[SyncPrefectClient]:
    """An embedded Prefect server, which is killed when the block ends."""
    url = f"http://127.0.0.1:{port}/api"
    with own.prefect_settings(url):
        process = subprocess.Popen([sys.executable, embedded.__file__, str(port)], env={**os.environ})
        try:
            wait_for(lambda: not problem_of(f"{url}/health"))
            with get_client(sync_client=True) as client:
                yield client
        finally:
            process.kill()
            process.wait()


def take(client: SyncPrefectClient, limit: str) -> httpx.Response:
    return client.increment_concurrency_slots_with_lease([limit], 1, "concurrency", lease_duration=300)


def test_a_lease_outlives_the_server_that_gave_it() -> None:
    port, limit = free_port(), f"retrain-{uuid4()}"
    with killed_at_the_end(port) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=limit, limit=1))
        lease = take(client, limit).json()["lease_id"]
    with killed_at_the_end(port) as client:
        client.renew_concurrency_lease(lease, 300)  # raises if the server has lost it
        with pytest.raises(httpx.HTTPStatusError, match="423"):
            take(client, limit)  # and nobody else runs beside it
