"""A process that works on the stores, and stops at a named point of the flow: there it dies, waits, or goes on.

It is forked from one that has imported everything (faults_preload.py).
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import psutil
from prefect import runtime
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    temporary_settings,
)

from heart_disease.cli import main
from heart_disease.operations.server.server import send_what_is_queued
from heart_disease.processes import process
from tests.harness.command import ROOT
from tests.harness.models.trainings import checked_here, undrawn
from tests.harness.waiting import PATIENCE

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.harness.faults.faults_preload"])
# Each point of the flow: the function called there. A fault happens before the call.
POINTS = {
    "load": ("heart_disease.data.sources", "load"),
    "validate": ("expectations.gate", "validate"),
    "encode": ("heart_disease.training.inputs.Inputs", "fitted"),
    "train": ("heart_disease.training.engine", "train"),
    "evaluate": ("heart_disease.evaluation.contest.Contest", "report"),
    "upload": ("heart_disease.registry", "log_model"),
    "registration": ("mlflow.MlflowClient", "create_model_version"),  # the artefacts exist, the version does not
    "metrics": ("heart_disease.registry", "log_evaluation"),
    "loading back": ("heart_disease.registry", "check_model"),  # the version exists, without an alias
    "moving the alias": ("heart_disease.registry.champions", "_finish"),  # the move is in the history, but not yet made
    "saying so": ("tasks.register", "_decision_artifacts"),  # the alias has moved
}
# A small training whose model is always promoted; after 30 epochs it would be worse than logistic regression.
TRAIN = ("train", "--folds=2", "--repeats=1", "--epochs=75", "--promote-if=not-worse", "--margin=0.5", "--force")
CHECKED_HERE = False  # whether a training loads its version back in its own process: see `checked_here`
RETRY_SECONDS = [2.0, 10.0, 60.0]  # seconds until the last stage is tried again; otherwise 10, 60 and 300
Action = Literal["kill", "wait", "go on"]


@contextmanager
def using(stores: Mapping[str, str]) -> Iterator[None]:
    """Work on the stores that these variables name.

    Prefect has one thread that sends events, and it goes on sending them to the server for which it was started. So it
    ends before and after.
    """
    settings: dict[Any, Any] = {
        setting: stores.get(setting.name) for setting in (PREFECT_API_URL, PREFECT_API_AUTH_STRING)
    }
    if "PREFECT_HOME" in stores:  # an embedded server
        settings[PREFECT_HOME] = Path(stores["PREFECT_HOME"])
    send_what_is_queued()
    # The database is then that of the stores' folder, even if the tests have a server of their own.
    with (
        patch.dict(os.environ, stores),
        temporary_settings(settings, restore_defaults={PREFECT_SERVER_DATABASE_CONNECTION_URL}),
    ):
        try:
            yield
        finally:
            send_what_is_queued()


class Work:
    """A process that works on the stores; at `point` it reports to the test and takes the action."""

    def __init__(
        self,
        stores: Mapping[str, str],
        work: Callable[..., int] = main.main,
        *arguments: Any,
        point: str = "",
        action: Action = "go on",
    ) -> None:
        self.here, there = PROCESSES.Pipe()
        self.children: list[str] = []
        with patch.dict(os.environ, {"PYTHONPATH": str(ROOT)}):  # pytest does not pass its own on
            forkserver.ensure_running()
        arguments = (TRAIN,) if work is main.main else arguments
        given = (stores, work, arguments, point, action, CHECKED_HERE, there)
        self.process = PROCESSES.Process(target=_work, args=given)
        self.process.start()
        there.close()

    def reached(self) -> str:
        """Wait until it is at the point, and return the ID of its flow run."""
        if not self.here.poll(PATIENCE):
            raise TimeoutError("the process did not get to the point")
        flow_run, self.children = self.here.recv()
        return str(flow_run)

    def left_behind(self) -> list[str]:
        """Processes that it had started by the point and that still run, although they had 60 seconds to end."""
        since = time.monotonic()
        while (left := [who for who in self.children if process.alive(who)]) and time.monotonic() - since < 60:
            time.sleep(0.1)
        return left

    def go_on(self) -> None:
        self.here.send("go on")

    def send(self, number: int) -> None:
        assert self.process.pid
        os.kill(self.process.pid, number)

    def ended(self) -> bool:
        return not self.process.is_alive()

    def join(self) -> int:
        """Wait for its end, and return its exit code, which is negative for a signal."""
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
    here: bool,
    there: Connection,
) -> None:
    def fault() -> None:
        children = psutil.Process().children(recursive=True)
        there.send((runtime.flow_run.id, [process.identity(child.pid) for child in children]))
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action == "wait":
            there.recv()

    if point:
        install(point, fault)
    from tasks import stages  # it binds what it finds, so `install` comes first

    stages.register = stages.register.with_options(retry_delay_seconds=RETRY_SECONDS)  # type: ignore[attr-defined]
    with using(stores), undrawn(), checked_here() if here else nullcontext():
        code = work(*arguments)
    raise SystemExit(code)


def install(point: str, fault: Callable[[], None]) -> None:
    """Call `fault` once, at the point. Must run before tasks.stages is imported, which binds what it finds."""
    where, name = POINTS[point]
    try:
        holder = importlib.import_module(where)
    except ModuleNotFoundError:
        module, kind = where.rsplit(".", 1)
        holder = getattr(importlib.import_module(module), kind)
    called = getattr(holder, name)

    @functools.wraps(called)
    def fail(*given: Any, **named: Any) -> Any:
        setattr(holder, name, called)
        fault()
        return called(*given, **named)

    setattr(holder, name, fail)
