"""Faults under `heart schedule`, which has a Prefect server of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType

from heart_disease.operations import kept
from heart_disease.operations.deployments import RETRAIN
from heart_disease.operations.server.server import problem_of
from heart_disease.processes.loopback import free_port
from tests.harness.faults import faults
from tests.harness.faults.aftermath import Checked
from tests.harness.faults.deployed import Worker, gated
from tests.harness.faults.work import POINTS, using
from tests.harness.waiting import wait_for


def server_killed(folder: Path) -> Checked:
    """Kill -9 its server at each stage of a retrain, while another retrain waits."""
    stores, port, gate = faults.embedded(folder), free_port(), folder / "tmp" / "gate"
    url = f"http://127.0.0.1:{port}/api"
    gate.mkdir(parents=True)
    environment = {**os.environ, **stores, **gated(folder / "site", tuple(POINTS), short_leases=False)}
    with (folder / "schedule.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "heart_disease", "schedule", "--port", str(port)],
            env={**environment, "TMPDIR": str(folder / "tmp")}, cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
    stores = {**stores, "PREFECT_API_URL": url}
    try:
        wait_for(lambda: not problem_of(f"{url}/health"))
        with using(stores), get_client(sync_client=True) as client:
            it = Worker(client, gate)
            wait_for(lambda: kept.find(client, RETRAIN))
            it.shut()
            first, second, began = it.trigger(), None, time.monotonic()
            for point in POINTS:
                it.wait_at(point, first)
                second = second or it.trigger()
                _kill_server(process)
                wait_for(lambda: not problem_of(f"{url}/health"))
                assert it.run(first).state_type == StateType.RUNNING, (point, it.run(first).state)
                assert it.run(second).state_type == StateType.SCHEDULED, (point, it.run(second).state)
                print(f"{point}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
                it.let_through(point, first)
            assert second
            it.let_end(first, second)
            found = faults.check(stores, [str(first), str(second)])
            return replace(found, running=found.running + it.places_taken())
    finally:
        process.terminate()
        process.wait()
        print((folder / "schedule.log").read_text(errors="replace")[-3000:], file=sys.stderr)


def _kill_server(schedule: subprocess.Popen[bytes]) -> None:
    [server] = [one for one in psutil.Process(schedule.pid).children() if "server" in one.cmdline()]
    with suppress(psutil.NoSuchProcess):
        server.kill()
        server.wait()
