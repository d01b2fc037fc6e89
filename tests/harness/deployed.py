"""Faults under the runs of a deployment that a real worker starts.

A run waits before its last stages while the gate is shut, so that the fault meets it there (deployed_run.py). The
leases of the runs are as short as Prefect allows.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import IntervalSchedule

from heart_disease.data import sources
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.model import schema
from heart_disease.operations import deployments, missed, states
from heart_disease.operations.deployments import RECONCILE, RETRAIN
from heart_disease.training.recipe import Recipe
from tests.harness import aftermath
from tests.harness.aftermath import Checked
from tests.harness.compose import Stack
from tests.harness.compose_file import ROOT
from tests.harness.deployed_run import LEASE_SECONDS
from tests.harness.waiting import wait_for
from tests.harness.work import using

# Of Prefect's server: a run that has not begun loses its place after a minute; one that waits for a place asks often.
SHORT_LEASES = {
    "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "1",
}
HEARTBEAT_SECONDS = 30  # the least that Prefect allows
SITE = """
import os
if os.environ.get("PREFECT__FLOW_RUN_ID"):
    from tests.harness import deployed_run
    deployed_run.prepare()
"""
SMALL = deployments.parameters(
    None,
    Recipe(epochs=75),
    Evaluation(folds=2, repeats=1),
    Promotion(margin=0.5, promote_if="not-worse"),
    "cpu",
    force=True,
)
SCHEDULE_SECONDS = 20
VICTIMS = ("worker", "run", "prefect", "mlflow", "postgres")


@dataclass
class Worker:
    """The stack's worker, a client of its server, and the gate."""

    stack: Stack
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

    def wait_at_the_gate(self, run: UUID) -> None:
        wait_for((self.gate / str(run)).exists)

    def run(self, run: UUID) -> FlowRun:
        return self.client.read_flow_run(run)

    def wait_for_ends(self, *runs: UUID) -> None:
        """Wait until these runs have ended, and whatever else the worker had to do."""
        wait_for(lambda: all((state := self.run(run).state) and state.is_final() for run in runs))
        wait_for(lambda: not aftermath.running_flows())

    def reconcile(self) -> None:
        """Let the reconciliation listen for as long as a heartbeat takes."""
        self.wait_for_ends(self.trigger(RECONCILE, patience=HEARTBEAT_SECONDS + 10))

    def places_taken(self) -> int:
        limit = self.client.read_deployment_by_name(RETRAIN).global_concurrency_limit
        assert limit
        return limit.active_slots


@contextmanager
def worker(stack: Stack) -> Iterator[Worker]:
    """Start the worker, and kill it at the end. The servers must have been started with `SHORT_LEASES`."""
    site, gate = stack.folder / "site", stack.folder / "worker" / "tmp" / "gate"
    for folder in (site, gate):
        folder.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(SITE)
    stack.added["worker"] = {
        "PYTHONPATH": f"{site}:{ROOT}",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    stack.start_service("worker")
    try:
        with using(stack.client_environment), get_client(sync_client=True) as client:
            yield Worker(stack, client, gate)
    finally:
        stack.kill("worker")
        del stack.added["worker"]


def server_killed(stack: Stack) -> Checked:
    """Kill -9 Prefect's server under a run that lasts longer than the lease that it had then; another run waits."""
    with worker(stack) as it:
        it.shut()
        first = it.trigger()
        it.wait_at_the_gate(first)
        second = it.trigger()
        killed = time.monotonic()
        stack.kill("prefect")
        stack.start_service("prefect")
        time.sleep(max(0.0, killed + LEASE_SECONDS + 1 - time.monotonic()))
        assert it.run(first).state_type == StateType.RUNNING, it.run(first).state
        assert it.run(second).state_name == "AwaitingConcurrencySlot", it.run(second).state
        it.open()
        it.wait_for_ends(first, second)
        return _checked(it, [first, second])


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
        return _checked(it, [first, second])


def _checked(it: Worker, runs: list[UUID]) -> Checked:
    found = aftermath.count([str(run) for run in runs])
    return replace(found, running=found.running + it.places_taken())


@dataclass
class Caller:
    """Asks the scoring API about a patient until the end of the block. `unanswered`: how often there was no answer."""

    stack: Stack
    unanswered: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        row = sources.load().frame.iloc[0]
        patient = {name: float(row[name]) for name in schema.INPUT_NAMES}
        token = {"Authorization": f"Bearer {self.stack.secrets['HEART_API_TOKEN']}"}
        with httpx.Client(base_url=self.stack.url("api"), headers=token, timeout=30) as api:
            while not self._ended.wait(0.2):
                with suppress(httpx.HTTPError):
                    if api.post("/predict", json={"patients": [patient]}).status_code == 200:
                        continue
                self.unanswered += 1


def random_kills(stack: Stack, kills: int, seed: int = 0) -> Checked:
    """Kill -9 random processes at random moments while a schedule retrains; each is started again, as Docker does.

    The API is not killed: it must answer all the time.
    """
    draw = random.Random(seed)  # noqa: S311
    stack.start_service("api")
    try:
        with Caller(stack) as caller, worker(stack) as it:
            deployment = it.client.read_deployment_by_name(RETRAIN).id
            every = IntervalSchedule(interval=timedelta(seconds=SCHEDULE_SECONDS))
            often = DeploymentScheduleCreate(schedule=every, active=True, parameters=SMALL, slug="often")
            [schedule] = it.client.create_deployment_schedules(deployment, [often])
            for _ in range(kills):
                time.sleep(draw.uniform(0, SCHEDULE_SECONDS / 2))
                _kill(stack, draw.choice(VICTIMS))
            wait_for(lambda: _answers(it.client))  # after PostgreSQL, the servers need a moment
            it.client.delete_deployment_schedule(deployment, schedule.id)
            it.reconcile()
            wait_for(lambda: not missed.due(it.client, deployment))
            it.wait_for_ends(it.trigger())
            runs = _runs(it.client, deployment)
            completed = [run for run in runs if run.state_type == StateType.COMPLETED]
            found = _checked(it, [run.id for run in completed])
            return replace(
                found,
                lost=found.lost + caller.unanswered + sum(map(_unexplained, runs)),
                duplicated=sum(aftermath.duplicates(str(run.id)) for run in runs),
            )
    finally:
        stack.kill("api")


def _kill(stack: Stack, victim: str) -> None:
    """Kill a service and start it again, or kill the processes of the runs under way."""
    if victim == "run":
        for process in psutil.Process(stack.process("worker").pid).children(recursive=True):
            with suppress(psutil.Error):
                if "PREFECT__FLOW_RUN_ID" in process.environ():
                    process.kill()
        return
    stack.kill(victim)
    stack.start_service(victim)


def _answers(client: SyncPrefectClient) -> bool:
    with suppress(httpx.HTTPError):
        return bool(client.read_deployment_by_name(RETRAIN))
    return False


def _runs(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    its = filters.FlowRunFilter(deployment_id=filters.FlowRunFilterDeploymentId(any_=[deployment]))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=its, offset=len(found)):
        found += page
    return found


def _unexplained(run: FlowRun) -> bool:
    """Whether the run has ended in a way that says nothing: it should have an outcome, have crashed, or be planned."""
    planned = run.state_type == StateType.SCHEDULED and run.auto_scheduled
    return not planned and run.state_type != StateType.CRASHED and states.outcome_of(run) is None
