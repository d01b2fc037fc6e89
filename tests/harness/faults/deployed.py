"""Faults under the runs of a deployment that a real worker starts.

A run waits before its last stages while the gate is shut, so that the fault meets it there (deployed_run.py). The
leases of the runs are as short as Prefect allows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType

from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.operations import deployments
from heart_disease.operations.deployments import RECONCILE, RETRAIN
from heart_disease.training.recipe import Recipe
from tests.harness.command import ROOT
from tests.harness.faults import aftermath
from tests.harness.faults.aftermath import Checked
from tests.harness.faults.deployed_run import LEASE_SECONDS
from tests.harness.faults.work import POINTS, using
from tests.harness.servers.compose import Stack
from tests.harness.waiting import wait_for

# Prefect's server takes its place from a run that has not begun for a minute; one that waits for a place asks often.
SHORT_LEASES = {
    "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "1",
}
HEARTBEAT_SECONDS = 30  # the least that Prefect allows
SITE = """
import os
if os.environ.get("PREFECT__FLOW_RUN_ID"):
    from tests.harness.faults import deployed_run
    deployed_run.prepare({points!r}, short_leases={short_leases})
"""
SMALL = deployments.parameters(
    None,
    Recipe(epochs=75),
    Evaluation(folds=2, repeats=1),
    Promotion(margin=0.5, promote_if="not-worse"),
    "cpu",
    force=True,
)
OUTLASTS_SECONDS = 600.0
RESTARTED = (("prefect",), ("postgres",), ("postgres", "prefect"), ("mlflow",))


@dataclass
class Worker:
    """Whatever starts the runs: a client of its server, and the gate."""

    client: SyncPrefectClient
    gate: Path

    def trigger(self, name: str = RETRAIN, **parameters: Any) -> UUID:
        """Ask for a run of a deployment."""
        deployment = self.client.read_deployment_by_name(name)
        return self.client.create_flow_run_from_deployment(deployment.id, parameters=parameters or SMALL).id

    def shut(self) -> None:
        (self.gate / "shut").touch()

    def open(self) -> None:
        (self.gate / "shut").unlink()

    def wait_at(self, point: str, run: UUID) -> None:
        """Wait until the run has come to this point of the flow, and waits there."""
        wait_for((self.gate / f"{run} {point}").exists)

    def let_through(self, point: str, run: UUID) -> None:
        """Let the run go on, as far as the next point."""
        (self.gate / f"{run} {point}").unlink()

    def run(self, run: UUID) -> FlowRun:
        return self.client.read_flow_run(run)

    def wait_for_ends(self, *runs: UUID) -> None:
        """Wait until these runs have ended, and whatever else the worker had to do."""
        wait_for(lambda: all((state := self.run(run).state) and state.is_final() for run in runs))
        wait_for(lambda: not aftermath.running_flows())

    def let_end(self, first: UUID, second: UUID) -> None:
        """Wait for the end of the first run, which passes point after point, and of the second, which passes all."""
        wait_for(lambda: (state := self.run(first).state) and state.is_final())
        self.open()
        self.wait_for_ends(first, second)

    def reconcile(self) -> None:
        """Let the reconciliation listen for as long as a heartbeat takes."""
        self.wait_for_ends(self.trigger(RECONCILE, patience=HEARTBEAT_SECONDS + 10))

    def places_taken(self) -> int:
        limit = self.client.read_deployment_by_name(RETRAIN).global_concurrency_limit
        assert limit
        return limit.active_slots


@contextmanager
def worker(stack: Stack, points: Sequence[str] = ("evaluate",), short_leases: bool = True) -> Iterator[Worker]:
    """Start the worker, and kill it at the end.

    points: where its runs stop while the gate is shut. short_leases: the servers have been started with `SHORT_LEASES`.
    """
    gate = stack.folder / "worker" / "tmp" / "gate"
    gate.mkdir(parents=True, exist_ok=True)
    stack.added["worker"] = gated(stack.folder / "site", points, short_leases) | {"PREFECT_WORKER_QUERY_SECONDS": "2"}
    stack.start_service("worker")
    try:
        with using(stack.client_environment), get_client(sync_client=True) as client:
            yield Worker(client, gate)
    finally:
        stack.kill("worker")
        del stack.added["worker"]


def gated(site: Path, points: Sequence[str], short_leases: bool) -> dict[str, str]:
    """The environment of a program whose runs stop at these points while the gate is shut. site: a folder for it."""
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(SITE.format(points=tuple(points), short_leases=short_leases))
    return {"PYTHONPATH": f"{site}:{ROOT}", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}


def server_killed(stack: Stack) -> Checked:
    """Kill -9 Prefect's server under a run that lasts longer than the lease that it had then; another run waits."""
    with worker(stack) as it:
        it.shut()
        first = it.trigger()
        it.wait_at("evaluate", first)
        second = it.trigger()
        killed = time.monotonic()
        stack.kill("prefect")
        stack.start_service("prefect")
        time.sleep(max(0.0, killed + LEASE_SECONDS + 1 - time.monotonic()))
        assert it.run(first).state_type == StateType.RUNNING, it.run(first).state
        assert it.run(second).state_name == "AwaitingConcurrencySlot", it.run(second).state
        it.open()
        it.wait_for_ends(first, second)
        return checked(it, [first, second])


def stranded(stack: Stack) -> Checked:
    """Kill -9 the worker when it has taken a run that has not begun; another run, asked for later, is not kept out."""
    with worker(stack) as it:
        first = it.trigger()
        wait_for(lambda: it.run(first).state_type == StateType.PENDING)
        stack.kill("worker")
        assert it.run(first).state_type == StateType.PENDING, it.run(first).state
        second = it.trigger()
        stack.start_service("worker")
        it.reconcile()
        it.wait_for_ends(first, second)
        return checked(it, [first, second])


def outlasting(stack: Stack) -> Checked:
    """Kill -9 the servers in turn at each stage of a run of more than ten minutes, under the lease times of Prefect.

    Another run, asked for at its beginning, waits all the time.
    """
    _restart_prefect(stack, {})
    try:
        with worker(stack, tuple(POINTS), short_leases=False) as it:
            it.shut()
            first, began = it.trigger(), time.monotonic()
            second = None
            for point in POINTS:
                it.wait_at(point, first)
                second = second or it.trigger()
                for names in RESTARTED:
                    kill(stack, names)
                    start_again(stack, names)
                    assert it.run(first).state_type == StateType.RUNNING, (point, names, it.run(first).state)
                    assert it.run(second).state_type == StateType.SCHEDULED, (point, names, it.run(second).state)
                if point == list(POINTS)[-1]:
                    time.sleep(max(0.0, began + OUTLASTS_SECONDS - time.monotonic()))
                print(f"{point}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
                it.let_through(point, first)
            assert second
            it.let_end(first, second)
            return checked(it, [first, second])
    finally:
        _restart_prefect(stack, SHORT_LEASES)


def _restart_prefect(stack: Stack, more: dict[str, str]) -> None:
    stack.kill("prefect")
    stack.added["prefect"] = more
    stack.start_service("prefect")


def kill(stack: Stack, names: Iterable[str]) -> None:
    """Kill -9 these services; `run` stands for the processes of the runs under way."""
    for name in names:
        if name != "run":
            stack.kill(name)
            continue
        for process, _ in processes_of_runs(stack):
            with suppress(psutil.Error):
                process.kill()


def processes_of_runs(stack: Stack) -> list[tuple[psutil.Process, str]]:
    """The worker's processes that work on a flow run, each with the ID of that run."""
    found = []
    for process in stack.members("worker"):
        with suppress(psutil.Error):
            if flow_run := process.environ().get("PREFECT__FLOW_RUN_ID"):
                found.append((process, flow_run))
    return found


def start_again(stack: Stack, names: Sequence[str]) -> None:
    """Start these services at the same time, and wait until they are healthy."""
    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(stack.start_service, names))


def checked(it: Worker, runs: list[UUID]) -> Checked:
    """What is wrong after these runs, each of which should have completed, while nothing runs."""
    found = aftermath.count([str(run) for run in runs])
    return replace(found, running=found.running + it.places_taken())
