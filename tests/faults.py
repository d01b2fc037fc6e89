"""Faults on real processes and servers: for tests/test_faults.py, and for benchmarks/faults.py, which counts them.

A training runs in a process of its own, forked from one that has imported everything, and stops at a named point of
the flow: there it is killed, or waits until the test has killed something else. What must hold afterwards is `Checked`.
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch
from uuid import UUID

import mlflow
import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows import cli, reconcile
from tasks import process, registry, schema, sources
from tests.compose import Stack

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.faults_preload"])
PATIENCE = 300.0  # seconds for anything at all, on a busy machine
# Points of the flow: what is called there. A fault comes before the call.
POINTS = {
    "load": ("tasks.sources", "load"),
    "validate": ("expectations.gate", "validate"),
    "encode": ("tasks.encode", "matrices"),
    "train": ("tasks.training", "train"),
    "evaluate": ("tasks.evaluate", "report"),
    "metrics": ("tasks.registry", "log_report"),
    "upload": ("tasks.registry", "log_model"),
    "registration": ("mlflow.MlflowClient", "create_model_version"),  # its artefacts are there, the version is not
    "loading back": ("tasks.registry", "check_model"),  # the version is there, no alias
    "moving the alias": ("tasks.registry.champions", "_finish"),  # the move is in the history, not yet done
    "saying so": ("flows.publish", "_decision_artifacts"),  # the alias has moved
}
# Small, and promoted every time.
TRAIN = ("train", "--folds=2", "--repeats=1", "--epochs=30", "--promote-if=not-worse", "--margin=0.5", "--force")
Action = Literal["kill", "wait", "go on"]


@contextmanager
def using(stores: Mapping[str, str]) -> Iterator[None]:
    """Work on the stores that these variables name."""
    settings = {setting: stores.get(setting.name) for setting in (PREFECT_API_URL, PREFECT_API_AUTH_STRING)}
    if "PREFECT_HOME" in stores:  # and an embedded server
        settings[PREFECT_HOME] = Path(stores["PREFECT_HOME"])
    with patch.dict(os.environ, stores), temporary_settings(settings):
        yield


@contextmanager
def servers(folder: Path) -> Iterator[Stack]:
    """PostgreSQL, MLflow and Prefect of docker-compose.yml, with a champion.

    Without MLflow's login, which costs half a second a call where two cores are busy.
    """
    stack = Stack(folder)
    mlflow_server = stack.services["mlflow"]
    mlflow_server["command"] = mlflow_server["command"].replace("--app-name basic-auth", "")
    try:
        for name in ("postgres", "mlflow", "prefect"):
            stack.start_service(name)
        assert Work(stack.client_environment).join() == 0
        yield stack
    finally:
        stack.close()


class Work:
    """A process at work on the stores; at `point`, it says so and does the action."""

    def __init__(
        self,
        stores: Mapping[str, str],
        work: Callable[..., int] = cli.main,
        *arguments: Any,
        point: str = "",
        action: Action = "go on",
    ) -> None:
        self.here, there = PROCESSES.Pipe()
        self.children: list[str] = []
        arguments = (TRAIN,) if work is cli.main else arguments
        self.process = PROCESSES.Process(target=_work, args=(stores, work, arguments, point, action, there))
        self.process.start()
        there.close()

    def reached(self) -> str:
        """Wait until it is at the point; the ID of its flow run."""
        if not self.here.poll(PATIENCE):
            raise TimeoutError("the process did not get to the point")
        flow_run, self.children = self.here.recv()
        return str(flow_run)

    def left_behind(self) -> list[str]:
        """The processes that it had started when it was at the point, and that live although they have had time."""
        since = time.monotonic()
        while (left := [who for who in self.children if process.alive(who)]) and time.monotonic() - since < 60:
            time.sleep(0.1)
        return left

    def go_on(self) -> None:
        self.here.send("go on")

    def send(self, number: int) -> None:
        assert self.process.pid
        os.kill(self.process.pid, number)

    def join(self) -> int:
        """Its exit code, negative for a signal."""
        self.process.join(PATIENCE)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            raise TimeoutError("the process did not end")
        return code


def _work(
    stores: Mapping[str, str],
    work: Callable[..., int],
    arguments: Sequence[Any],
    point: str,
    action: Action,
    there: Connection,
) -> None:
    if point:
        _install(point, action, there)
    with using(stores):
        code = work(*arguments)
    raise SystemExit(code)


def _install(point: str, action: Action, there: Connection) -> None:
    """Put the fault before what is called at the point. Before flows.steps is imported, which takes what it finds."""
    where, name = POINTS[point]
    try:
        holder = importlib.import_module(where)
    except ModuleNotFoundError:
        module, kind = where.rsplit(".", 1)
        holder = getattr(importlib.import_module(module), kind)
    called = getattr(holder, name)

    @functools.wraps(called)
    def fail(*given: Any, **named: Any) -> Any:
        from prefect import runtime

        setattr(holder, name, called)  # once
        children = psutil.Process().children(recursive=True)
        there.send((runtime.flow_run.id, [process.identity(child.pid) for child in children]))
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action == "wait":
            there.recv()
        return called(*given, **named)

    setattr(holder, name, fail)


def rerun(flow_run_id: str) -> int:
    """What a worker does with a flow run that is tried again."""
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
    """As the next training does at its start."""
    reconcile.close_orphans()
    return 0


@dataclass(frozen=True)
class Checked:
    """What is wrong with the stores after a fault; all of it 0 where all is well.

    lost: champions and versions that were reported and are not complete; flow runs that did not come to their end.
    duplicated: MLflow runs and versions beyond the one of a flow run, points of a curve beyond the one of a step.
    running: runs that say so in one of the stores, and that nobody is at.
    """

    lost: int
    duplicated: int
    running: int


def check(stores: Mapping[str, str], flow_runs: Sequence[str]) -> Checked:
    """Look at the stores with nothing under way; `flow_runs` were to end as completed."""
    with using(stores):
        lost = _incomplete() + sum(not _completed(one) for one in flow_runs)
        duplicated = sum(_duplicated(one) for one in flow_runs)
        running = len(registry.open_runs()) + _running_flows()
    return Checked(lost + bool(Work(stores, load_champion).join()), duplicated, running)


def _completed(flow_run_id: str) -> bool:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(flow_run_id)).state
    return bool(state and state.is_completed())


def _running_flows() -> int:
    with get_client(sync_client=True) as client:
        return len(reconcile._ours(client, StateType.RUNNING, StateType.CANCELLING, StateType.PENDING))


def _incomplete() -> int:
    """Gaps of the history, a last move that is not where the alias is, and champions whose files are not there."""
    moves = registry.history()
    gaps = [move.number for move in moves] != list(range(1, len(moves) + 1))
    gaps = gaps or [move.before for move in moves] != [None, *[move.after for move in moves[:-1]]][: len(moves)]
    present = registry.by_alias(registry.CHAMPION)
    astray = (present.version if present else None) != (moves[-1].after if moves else None)
    missing = 0
    for version in {move.after for move in moves if move.after}:
        files = mlflow.artifacts.list_artifacts(f"models:/{registry.MODEL}/{version}")
        missing += not any(file.path.endswith("MLmodel") for file in files)
    return int(gaps) + int(astray) + missing


def _duplicated(flow_run_id: str) -> int:
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(registry.EXPERIMENT)
    assert experiment
    runs = client.search_runs([experiment.experiment_id], f"tags.`{registry.FLOW_RUN}` = '{flow_run_id}'")
    found = max(len(runs) - 1, 0)
    for run in runs:
        found += max(len(client.search_model_versions(f"run_id = '{run.info.run_id}'")) - 1, 0)
        for name in run.data.metrics:
            steps = Counter(point.step for point in client.get_metric_history(run.info.run_id, name))
            found += sum(times - 1 for times in steps.values())
    return found
