"""Closes orphans: runs left RUNNING in one of the stores by a process that died.

A run is closed if its process can be looked at and is gone. A process on another machine can be judged only by the
heartbeats that Prefect sends for every flow run: if none arrives while this flow run waits for minutes and hears its
own, the process counts as dead. Clocks of different machines are never compared. An MLflow run also ends with its flow
run.

The start of every training and search closes only the runs that can be judged at once. `heart reconcile`, and the flow
of that name, also wait for heartbeats; schedule that flow if several machines share the servers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import get_current_settings
from prefect.states import AwaitingRetry, Cancelled, Crashed

from heart_disease import registry
from heart_disease.model.errors import hide
from heart_disease.operations import slots
from heart_disease.operations.deployments import RETRAIN
from heart_disease.processes import memory, process

log = logging.getLogger("heart")
# This project's flows, by full name: another project's may begin with the same words.
FLOWS = [f"heart-disease-{name}" for name in ("train", "sweep", "monitor", "reconcile", "prune")]
WHO, ATTEMPT = "heart.process", "heart.attempt"  # labels of a flow run: the process that works on it, and the try
KILLS = "heart.memory_kills"  # a label: how many processes the kernel had ended for want of memory when it began
PATIENCE = 300.0  # seconds; flow runs send a heartbeat every 180 or less
LOOK_SECONDS = 5.0
HEARTBEAT = "prefect.flow-run.heartbeat"
BEGINNING, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
GONE = "its process ended without a word (killed, or its machine went down)"
SILENT = "it sent no heartbeat for {:.0f} seconds"
NEVER_STARTED = "nothing has started it for {:.0f} seconds"


@dataclass(frozen=True)
class Closed:
    """A run that was closed, its new state, and why. store: MLflow or Prefect."""

    store: str
    run_id: str
    state: str
    why: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.store} run {self.run_id}: {self.state}, because {self.why}"


def check_in() -> dict[str, str]:
    """Say which process works on this flow run, and close orphans; returns tags by which to find its MLflow run.

    Raises:
        UnavailableError: the MLflow store does not answer.
    """
    context = FlowRunContext.get()
    if not (context and context.flow_run):
        return {}
    flow_run = context.flow_run
    with _prefect_may_fail(), get_client(sync_client=True) as client:
        labels: dict[str, Any] = {WHO: process.identity(), ATTEMPT: flow_run.run_count, KILLS: memory.kills() or 0}
        client.update_flow_run_labels(flow_run.id, labels)
    close_orphans()
    return {registry.FLOW_RUN: str(flow_run.id), registry.FLOW_API: hide(get_current_settings().api.url or "")}


@contextmanager
def _prefect_may_fail() -> Iterator[None]:
    """A training must not fail because clean-up failed; what is left is closed next time."""
    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("          Prefect did not answer; orphans will be closed next time: %s", error)


def close_orphans() -> list[Closed]:
    """Close the orphans that can be recognized at once, except the flow run that calls this.

    Raises:
        UnavailableError: the MLflow store does not answer.
    """
    closed: list[Closed] = []
    with _prefect_may_fail(), get_client(sync_client=True) as client:
        closed += _close_flow_runs(client)[0]
        closed += _close_mlflow_runs(client)
        free_slots(client)
    for one in closed:
        log.info("          closed %s", one)
    return closed


def free_slots(client: SyncPrefectClient) -> None:
    """Correct how many places of the training's deployment count as taken (slots.py)."""
    for line in slots.mend(client, [RETRAIN], _lives):
        log.info("          %s", line)


def any_open(client: SyncPrefectClient) -> bool:
    """Whether a run of this project has begun and not ended."""
    return bool(_ours(client, *slots.HOLDING))


def close_all(patience: float) -> list[Closed]:
    """Close the orphans of both stores, also those on machines that cannot be looked at; call it in a flow run.

    patience: seconds without a sign of life after which a run counts as dead.

    Raises:
        UnavailableError: the MLflow store does not answer.
    """
    with get_client(sync_client=True) as client:
        closed, unsure = _close_flow_runs(client)
        if unsure:
            closed += _close_silent(client, unsure, patience)
        closed += _close_mlflow_runs(client)
        free_slots(client)
    for one in closed:
        log.info("          closed %s", one)
    log.info("reconcile %d closed", len(closed))
    return closed


def _close_flow_runs(client: SyncPrefectClient) -> tuple[list[Closed], list[FlowRun]]:
    """The runs that were closed because their process is gone, and those for which that cannot be known."""
    closed: list[Closed] = []
    unsure: list[FlowRun] = []
    for run in _ours(client, *slots.HOLDING):
        lives = _lives(run)
        if lives is None:
            unsure.append(run)
        elif not lives:
            closed += _close(client, run, GONE + _for_want_of_memory(run))
    return closed, unsure


def _for_want_of_memory(run: FlowRun) -> str:
    """What to add if the kernel has ended processes for want of memory since the run began; empty if it has not."""
    before, now = run.labels.get(KILLS), memory.kills()
    if before is None or now is None or now <= int(before):
        return ""
    return "; the kernel has ended processes for want of memory since then, so probably this one"


def _ours(client: SyncPrefectClient, *types: StateType) -> list[FlowRun]:
    """The flow runs of this project in these states, except the one that asks."""
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            flow_filter=filters.FlowFilter(name=filters.FlowFilterName(any_=FLOWS)),
            flow_run_filter=filters.FlowRunFilter(
                state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=list(types)))
            ),
            offset=len(found),
        )
        if not page:
            return [run for run in found if str(run.id) != runtime.flow_run.id]
        found += page


def _lives(run: FlowRun) -> bool | None:
    """Whether the process of this try lives; None if that cannot be known here, or it has not checked in yet."""
    who, attempt = run.labels.get(WHO), run.labels.get(ATTEMPT)
    if run.state_type == StateType.PENDING or attempt != run.run_count:
        return None
    return process.alive(str(who))


def _close(client: SyncPrefectClient, run: FlowRun, why: str) -> list[Closed]:
    """End the run and its task runs, if its state has not changed since it was read."""
    state: State[Any]
    if run.state_type == StateType.PENDING and run.deployment_id:
        why = f"{why}; it waits for a worker again"
        state = AwaitingRetry(message=f"Set back: {why}.")
    elif run.state_type == StateType.CANCELLING:
        state = Cancelled(message=f"Cancelled: {why}.")
    else:
        state = Crashed(message=f"Crashed: {why}.")
    if client.read_flow_run(run.id).state_id != run.state_id:
        return []
    client.set_flow_run_state(run.id, state)
    under_way = filters.TaskRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])
    for task_run in client.read_task_runs(
        flow_run_filter=filters.FlowRunFilter(id=filters.FlowRunFilterId(any_=[run.id])),
        task_run_filter=filters.TaskRunFilter(state=filters.TaskRunFilterState(type=under_way)),
    ):
        client.set_task_run_state(task_run.id, Crashed(message=f"Crashed: {why}."), force=True)
    return [Closed("Prefect", str(run.id), state.name or "", why)]


def _close_silent(client: SyncPrefectClient, runs: Iterable[FlowRun], patience: float) -> list[Closed]:
    """Close those of `runs` that give no sign of life for that long: no heartbeat and no new state."""
    me = runtime.flow_run.id
    own = _heartbeats(client, me)
    silent = {run.id: (run, _heartbeats(client, run.id)) for run in runs}
    log.info("          %d runs cannot be looked at from here; listening for %.0f s", len(silent), patience)
    since = time.monotonic()
    while silent and time.monotonic() - since < patience:
        time.sleep(min(LOOK_SECONDS, patience))
        now = {run.id: run.state_id for run in _ours(client, *slots.HOLDING)}
        silent = {
            run.id: (run, heard)
            for run, heard in silent.values()
            if now.get(run.id) == run.state_id and _heartbeats(client, run.id) == heard
        }
    if silent and _heartbeats(client, me) == own:
        log.warning("          this flow run's own heartbeats do not arrive either, so no run was closed")
        return []
    closed: list[Closed] = []
    for run, _ in silent.values():
        why = NEVER_STARTED if run.state_type == StateType.PENDING else SILENT
        closed += _close(client, run, why.format(patience))
    return closed


def _heartbeats(client: SyncPrefectClient, run_id: UUID | str | None) -> int:
    """How many heartbeats of a flow run the server has. Not when they came: that would depend on a machine's clock."""
    wanted = EventFilter(
        occurred=EventOccurredFilter(since=BEGINNING, until=END),  # type: ignore[arg-type]
        event=EventNameFilter(name=[HEARTBEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run_id}"]),
    )
    return client.read_events(wanted, limit=1).total


def _close_mlflow_runs(client: SyncPrefectClient) -> list[Closed]:
    closed: list[Closed] = []
    here = hide(get_current_settings().api.url or "")
    for run in registry.open_runs():
        if run.flow_run_id and run.flow_run_id == runtime.flow_run.id:
            continue  # an earlier try of this same flow run, which continues it
        known, state = _state_of(client, run.flow_run_id)
        lives = process.alive(run.process)
        if state and state.is_final():
            why = f"its flow run ended as {state.name}"
        elif lives is False:
            why = GONE
        elif lives is None and not known and run.flow_api and run.flow_api == here:
            why = "its flow run was deleted"
        else:
            continue
        status: Literal["FAILED", "KILLED"] = "KILLED" if state and state.is_cancelled() else "FAILED"
        if registry.close_run(run.run_id, status, why):
            closed.append(Closed("MLflow", run.run_id, status, why))
    return closed


def _state_of(client: SyncPrefectClient, flow_run_id: str) -> tuple[bool, State[Any] | None]:
    """Whether this server knows the flow run, and its state."""
    try:
        return True, client.read_flow_run(UUID(flow_run_id)).state
    except (ObjectNotFound, ValueError):
        return False, None
