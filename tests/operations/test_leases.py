"""A deployed run keeps its place while Prefect's server is killed and started again.

A run renews the lease of its place every 225 seconds, and cancels itself if the server does not know the lease. Here it
renews it every second.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import use_profile
from prefect.settings import Profile
from prefect.states import Pending

from heart_disease.operations.server import own
from heart_disease.operations.server.server import problem_of
from heart_disease.processes.loopback import free_port
from tests.harness.waiting import PATIENCE, wait_for

RUN = """
import sys, time
from pathlib import Path
from uuid import UUID
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.concurrency import _leases
from prefect.flow_engine import run_flow

_leases._RENEWAL_FRACTION = 1 / 300

@flow(name="waits", persist_result=False)
def waits(folder):
    Path(folder, "begun").touch()
    while not Path(folder, "end").exists():
        time.sleep(0.1)

with get_client(sync_client=True) as client:
    run = client.read_flow_run(UUID(sys.argv[1]))
state = run_flow(waits, flow_run=run, parameters={"folder": sys.argv[2]}, return_type="state")
raise SystemExit(not state.is_completed())
"""


@contextmanager
def killed_at_the_end(url: str) -> Iterator[SyncPrefectClient]:
    """Prefect's server with the settings of `heart schedule`; it is killed at the end of the block."""
    port = url.removesuffix("/api").rpartition(":")[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", port],
        env=own.prefect_page(url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: not problem_of(f"{url}/health") or process.poll() is not None)
        with get_client(sync_client=True) as client:
            yield client
    finally:
        process.kill()
        process.wait()


def slots(client: SyncPrefectClient, deployment: UUID) -> int:
    """How many places of the deployment's limit are taken."""
    limit = client.read_deployment(deployment).global_concurrency_limit
    assert limit
    return limit.active_slots


@pytest.mark.slow
def test_a_run_outlives_the_server_and_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    url = f"http://127.0.0.1:{free_port()}/api"
    with (
        use_profile(Profile(name="p", settings={}), include_current_context=False),
        own.prefect_settings(url),
    ):
        with killed_at_the_end(url) as client:
            deployment = client.create_deployment(client.create_flow_from_name("waits"), "one", concurrency_limit=1)
            run = client.create_flow_run_from_deployment(deployment).id
            client.set_flow_run_state(run, Pending())
            process = subprocess.Popen([sys.executable, "-c", RUN, str(run), str(tmp_path)], cwd=tmp_path)
            wait_for((tmp_path / "begun").exists)
        with killed_at_the_end(url) as client:
            [lease] = (tmp_path / "concurrency_leases").glob("*-*.json")
            before = lease.stat().st_mtime_ns
            wait_for(lambda: process.poll() is not None or lease.stat().st_mtime_ns > before)
            assert process.poll() is None
            second = client.create_flow_run_from_deployment(deployment).id
            client.set_flow_run_state(second, Pending())
            assert client.read_flow_run(second).state_name == "AwaitingConcurrencySlot"
            (tmp_path / "end").touch()
            assert process.wait(PATIENCE) == 0
            assert client.read_flow_run(run).state_name == "Completed"
            assert slots(client, deployment) == 0
