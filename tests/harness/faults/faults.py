"""Faults in real processes and servers, for tests/servers/test_faults.py and for the benchmark that counts them.

A training stops at a named point of the flow (work.py). There it is killed, or waits until the test has killed
something else. `Checked` is what must hold afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Scheduled

from heart_disease import registry
from heart_disease.cli import main
from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.operations import deployments, reconciliation
from heart_disease.operations.server.server import prefect_server
from tests.harness.command import ROOT
from tests.harness.faults import aftermath
from tests.harness.faults.aftermath import Checked
from tests.harness.faults.deployed import SHORT_LEASES, SMALL
from tests.harness.faults.disk import small_disk
from tests.harness.faults.work import TRAIN, Work, install, using
from tests.harness.models.stores import empty_prefect_database
from tests.harness.servers.compose import Stack
from tests.harness.servers.proxy import Proxy
from tests.harness.waiting import wait_for

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
# If only the wall clock is faked, libfaketime 0.9.10 refuses every sleep until an absolute time.
SLEEP = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
DISK = 256  # megabytes for the servers' files


@contextmanager
def servers(folder: Path) -> Iterator[Stack]:
    """PostgreSQL, MLflow and Prefect of docker-compose.yml, with their accounts, deployments and a champion.

    MLflow accepts every host and port, because some tests reach it through a proxy. Prefect's leases are short.
    """
    stack = Stack(folder)
    stack.added["prefect"] = SHORT_LEASES
    mlflow_server = stack.services["mlflow"]
    mlflow_server["command"] = re.sub(r"--allowed-hosts \S+", r"--allowed-hosts \\*", mlflow_server["command"])
    with small_disk(artifacts(stack), DISK):
        try:
            for name in ("postgres", "databases", "mlflow", "prefect", "deploy"):
                stack.start_service(name)
            assert Work(stack.client_environment).join() == 0
            yield stack
        finally:
            stack.close()


def artifacts(stack: Stack) -> Path:
    """The folder in which the MLflow server keeps its files."""
    return stack.folder / "volumes" / "artifacts"


def killed(stack: Stack, points: Sequence[str]) -> Checked:
    """Kill -9 one flow run at each of these points in turn; every try resumes it, and the last one completes it."""
    stores, flow_run, left = stack.client_environment, "", 0
    for point in points:
        given = (rerun, flow_run) if flow_run else ()
        work = Work(stores, *given, point=point, action="kill")
        flow_run = work.reached()
        assert work.join() == -signal.SIGKILL
        left += len(work.left_behind())
        close(stores)
    assert Work(stores, rerun, flow_run).join() == 0
    return replace(check(stores, [flow_run]), left=left)


def server_killed(stack: Stack, name: str, points: Sequence[str]) -> Checked:
    """Kill -9 a server while a training waits at a point; it comes back while the training retries."""
    stores, flow_runs = stack.client_environment, []
    for point in points:
        work = Work(stores, point=point, action="wait")
        flow_runs.append(work.reached())
        stack.kill(name)
        work.go_on()
        stack.start_service(name)
        again(stores, work, flow_runs[-1])
    return check(stores, flow_runs)


def two_at_once(stores: Mapping[str, str]) -> Checked:
    """Two trainings that have read the same champion."""
    both = [Work(stores, point="train", action="wait") for _ in range(2)]
    flow_runs = [work.reached() for work in both]
    for work in both:
        work.go_on()
    codes = sorted(work.join() for work in both)
    assert codes == [0, 5], codes  # one is promoted; the other was compared with a champion that has been replaced
    return check(stores, flow_runs)


def full_disk(stack: Stack) -> Checked:
    """No room for the model's files at first, and enough later: the training retries its last stage."""
    stores = {**stack.client_environment, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    work = Work(stores, point="upload", action="wait")
    flow_run = work.reached()
    filler = artifacts(stack) / "filler"
    with suppress(OSError), filler.open("wb") as file:  # the error is intended
        while True:
            file.write(bytes(2**20))
    assert shutil.disk_usage(filler.parent).free < 2**20
    said = len(stack.log("mlflow"))
    work.go_on()
    wait_for(lambda: "No space left" in stack.log("mlflow")[said:] or work.ended())
    filler.unlink()
    again(stores, work, flow_run)
    return check(stores, [flow_run])


def stalled_network(stack: Stack, points: Sequence[str]) -> Checked:
    """Both servers accept connections and bytes but do not answer until the training has timed out and asked again."""
    flow_runs = []
    with Proxy(stack.port("mlflow")) as to_mlflow, Proxy(stack.port("prefect")) as to_prefect:
        stores = {
            **stack.client_environment,
            "MLFLOW_TRACKING_URI": to_mlflow.url,
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
            "PREFECT_API_URL": f"{to_prefect.url}/api",
            "PREFECT_API_REQUEST_TIMEOUT": "3",
        }
        for point in points:
            work = Work(stores, point=point, action="wait")
            flow_runs.append(work.reached())
            to_mlflow.stall()
            to_prefect.stall()
            work.go_on()
            wait_for(lambda: to_mlflow.waiting > 1 or to_prefect.waiting > 1 or work.ended())  # noqa: B023
            to_mlflow.go_on()
            to_prefect.go_on()
            again(stores, work, flow_runs[-1])
    return check(stack.client_environment, flow_runs)


def worker_ended(stack: Stack, by: Sequence[signal.Signals]) -> Checked:
    """End the worker by each signal in turn, under the same flow run, which each next worker resumes.

    After SIGTERM the run has ended as crashed, and nothing is left open; SIGKILL goes to the run, too.
    """
    stores, found = stack.client_environment, [Checked()]
    stack.start_service("worker")
    with using(stores), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(deployments.RETRAIN)
        flow_run = client.create_flow_run_from_deployment(deployment.id, parameters=SMALL).id
        for number in by:
            wait_for(registry.open_runs)
            if number == signal.SIGKILL:
                stack.kill("worker")
                close(stores)
            else:
                found.append(_stopped(stack, client, flow_run))
            stack.start_service("worker")
            client.set_flow_run_state(flow_run, Scheduled())
        wait_for(lambda: client.read_flow_run(flow_run).state_type in (StateType.COMPLETED, StateType.FAILED))
        wait_for(lambda: not aftermath.running_flows())  # the worker also has other runs to do
    stack.kill("worker")
    found.append(check(stores, [str(flow_run)]))
    return Checked(*(sum(counts) for counts in zip(*map(astuple, found), strict=True)))


def _stopped(stack: Stack, client: SyncPrefectClient, flow_run: UUID) -> Checked:
    """Send SIGTERM to the worker; what is left open afterwards."""
    stack.stop("worker")
    left = len(stack.members("worker"))
    state = client.read_flow_run(flow_run).state
    assert state, "the flow run has no state"
    assert state.is_crashed(), state
    return Checked(running=len(registry.open_runs()) + aftermath.running_flows(), left=left)


def embedded(folder: Path) -> dict[str, str]:
    """Stores on this machine in `folder`, as `heart` uses them without any server."""
    empty_prefect_database(folder / "prefect" / "prefect.db")
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}", "PREFECT_HOME": str(folder / "prefect")}


def killed_embedded(folder: Path, points: Sequence[str]) -> Checked:
    """Kill -9 trainings that each have their own Prefect server; the next training closes what they left open."""
    stores, left = embedded(folder), 0
    for point in points:
        work = Work(stores, point=point, action="kill")
        work.reached()
        assert work.join() == -signal.SIGKILL
        left += len(work.left_behind())
    work = Work(stores, point="saying so")
    flow_run = work.reached()
    assert work.join() == 0
    return replace(_check_embedded(stores, [flow_run]), left=left)


def two_at_once_embedded(folder: Path) -> Checked:
    """Like `two_at_once`, but as the very first trainings on new stores."""
    stores = embedded(folder)
    both = [Work(stores, point="train") for _ in range(2)]
    flow_runs = [work.reached() for work in both]
    codes = sorted(work.join() for work in both)
    assert codes in ([0, 5], [0, 0]), codes  # the second may have been so late that the first was champion already
    return _check_embedded(stores, flow_runs)


def clock_steps(folder: Path, steps: Mapping[str, str]) -> Checked:
    """A training whose clock, and that of its Prefect server, jumps to an offset from the true time at each point."""
    stores = embedded(folder)
    clock = folder / "clock"
    clock.write_text("+0d")
    (folder / "sitecustomize.py").write_text(SLEEP)
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    script = f"from tests.harness.faults import faults; raise SystemExit(faults.cold({str(clock)!r}, {dict(steps)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", **stores, **faked},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reached = re.findall("^at the point: (.+)", done.stdout, re.MULTILINE)
    assert len(reached) == len(steps)
    [flow_run] = set(reached)
    return _check_embedded(stores, [flow_run])


def cold(clock: str, steps: Mapping[str, str]) -> int:
    """Train, and set this process's clock at these points."""

    def fault(offset: str) -> None:
        Path(clock).write_text(offset)
        print(f"at the point: {runtime.flow_run.id}", flush=True)

    for point, offset in steps.items():
        install(point, partial(fault, offset))
    return main.main(TRAIN)


def _check_embedded(stores: Mapping[str, str], flow_runs: Sequence[str]) -> Checked:
    with using(stores), prefect_server() as server:
        server.wait()
        return check({**stores, "PREFECT_API_URL": server.url}, flow_runs)


def again(stores: Mapping[str, str], work: Work, flow_run: str) -> None:
    """If a training did not complete by itself, close what it left open, and try it again."""
    if work.join():
        close(stores)
        assert Work(stores, rerun, flow_run).join() == 0


def close(stores: Mapping[str, str]) -> None:
    assert Work(stores, close_orphans).join() == 0


def rerun(flow_run_id: str) -> int:
    """Do what a worker does with a flow run that is tried again."""
    from prefect.flow_engine import run_flow

    from flows.train import train

    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(flow_run_id))
    state: Any = run_flow(train, flow_run=run, parameters=run.parameters, return_type="state")
    return 0 if state.is_completed() else 1


def load_champion() -> int:
    """Load the champion in this process, and score with it."""
    rows = sources.load().frame[list(schema.INPUT_NAMES)]
    answers = registry.load_model(registry.champion()).predict(rows)
    return 0 if answers["probability"].between(0, 1).all() else 1


def close_orphans() -> int:
    """Do what the next training does at its start."""
    reconciliation.close_orphans()
    return 0


def check(stores: Mapping[str, str], flow_runs: Sequence[str]) -> Checked:
    """Check the stores while nothing runs; every one of `flow_runs` should have completed."""
    with using(stores):
        found = aftermath.count(flow_runs)
    return replace(found, lost=found.lost + bool(Work(stores, load_champion).join()))
