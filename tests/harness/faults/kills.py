"""Kills of random processes at random moments, while a schedule retrains and the champion is asked all the time."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import filters
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import PrefectException

from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.operations import missed, states
from heart_disease.operations.deployments import RETRAIN
from tests.harness.faults import aftermath
from tests.harness.faults.aftermath import Checked
from tests.harness.faults.deployed import SMALL, Worker, checked, kill, processes_of_runs, worker
from tests.harness.servers.compose import Stack
from tests.harness.waiting import wait_for

SCHEDULE_SECONDS = 60
VICTIMS = ("worker", "run", "prefect", "mlflow", "postgres")
SERVICES = ("postgres", "mlflow", "prefect", "worker")
AT_ONCE = (1, 1, 1, 2, 3, len(VICTIMS))  # how many are killed at once, each of these equally often
SHORT_PAUSE = 10  # seconds until the next kill, at most; most services have not come back by then
RECOVERIES = 8  # after each eighth kill, on average, everything comes back, and a retrain has to run


def random_kills(stack: Stack, kills: int, seed: int) -> Checked:
    """Kill -9 random sets of processes at random moments while a schedule retrains; each is started again at once.

    The next kill may come while they start. After some of the kills, drawn too, everything comes back, and then a
    retrain has to run within one interval plus a minute. The API is not killed: it must answer all the time.
    """
    print(f"seed {seed}", file=sys.stderr, flush=True)
    draw = random.Random(seed)  # noqa: S311
    began = time.monotonic()
    stack.start_service("api")
    try:
        with Caller(stack) as caller, worker(stack) as it:
            deployment = it.client.read_deployment_by_name(RETRAIN).id
            every = IntervalSchedule(interval=timedelta(seconds=SCHEDULE_SECONDS))
            often = DeploymentScheduleCreate(schedule=every, active=True, parameters=SMALL, slug="often")
            [schedule] = it.client.create_deployment_schedules(deployment, [often])
            late = 0
            with restarting(stack) as up:
                for number in range(1, kills + 1):
                    victims = draw.sample(VICTIMS, draw.choice(AT_ONCE))
                    kill(stack, victims)
                    _say(began, f"kill {number}: {', '.join(victims)}")
                    recovers = draw.randrange(RECOVERIES) == 0
                    if recovers:
                        wait_for(up)
                        late += not _recovers(stack, it, deployment, began)
                    time.sleep(draw.uniform(0, SCHEDULE_SECONDS if recovers else SHORT_PAUSE))
                wait_for(up)
            it.client.delete_deployment_schedule(deployment, schedule.id)
            it.reconcile()
            wait_for(lambda: not missed.due(it.client, deployment))
            it.wait_for_ends(it.trigger())
            runs = _runs(it.client, deployment)
            _say(began, str(Counter(run.state_name for run in runs)))
            completed = [run.id for run in runs if run.state_type == StateType.COMPLETED]
            found = checked(it, completed)
            strange = [run for run in runs if _unexplained(run)]
            _say(began, f"unanswered {caller.unanswered}, late {late}, unexplained {[run.state for run in strange]}")
            return replace(
                found,
                lost=found.lost + caller.unanswered + late + len(strange),
                duplicated=sum(aftermath.duplicates(str(run.id)) for run in runs),
            )
    finally:
        stack.kill("api")


@contextmanager
def restarting(stack: Stack) -> Iterator[Callable[[], bool]]:
    """Until the end of the block, start each service again whenever it has ended, as Docker does.

    The block is given a function that says whether all of them are healthy.
    """
    over = threading.Event()
    healthy = dict.fromkeys(SERVICES, True)

    def keep(name: str) -> None:
        while not over.wait(0.2):
            if stack.processes[name].poll() is not None:
                healthy[name] = False
                with suppress(RuntimeError, TimeoutError):  # it was killed again meanwhile
                    stack.start_service(name)
                    healthy[name] = True

    def up() -> bool:
        return all(healthy[name] and stack.processes[name].poll() is None for name in SERVICES)

    threads = [threading.Thread(target=keep, args=(name,), daemon=True) for name in SERVICES]
    for thread in threads:
        thread.start()
    try:
        yield up
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _recovers(stack: Stack, it: Worker, deployment: UUID, began: float) -> bool:
    """Whether a retrain runs within one interval plus a minute from now, when everything has come back."""
    since = time.monotonic()
    try:
        wait_for(lambda: _retrain_runs(stack, it, deployment), SCHEDULE_SECONDS + 60)
    except TimeoutError:
        runs = [(run.name, run.state) for run in _runs(it.client, deployment) if run.state_name != "Scheduled"]
        _say(began, f"NO RETRAIN RUNS; {it.places_taken()} places taken; {runs[:8]}")
        return False
    _say(began, f"a retrain runs {time.monotonic() - since:.0f} s after everything has come back")
    return True


def _retrain_runs(stack: Stack, it: Worker, deployment: UUID) -> bool:
    """Whether the process of a run that says RUNNING lives."""
    with suppress(httpx.HTTPError, PrefectException):
        alive = {flow_run for _, flow_run in processes_of_runs(stack)}
        return any(str(run.id) in alive for run in _runs(it.client, deployment, StateType.RUNNING))
    return False


def _say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)


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


def _runs(client: SyncPrefectClient, deployment: UUID, *types: StateType) -> list[FlowRun]:
    """The deployment's runs in these states, or in any."""
    state = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=list(types))) if types else None
    its = filters.FlowRunFilter(deployment_id=filters.FlowRunFilterDeploymentId(any_=[deployment]), state=state)
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=its, offset=len(found)):
        found += page
    return found


def _unexplained(run: FlowRun) -> bool:
    """Whether the run has ended in a way that says nothing: it should have an outcome, have crashed, or be planned."""
    planned = run.state_type == StateType.SCHEDULED and run.auto_scheduled
    return not planned and run.state_type != StateType.CRASHED and states.outcome_of(run) is None
