"""Scheduled runs that were missed while no worker was up: one makes up for all of them, the others are closed.

With the same parameters they would all do the same on the same data. So the first that starts does it, and the others
that are due end as Superseded, at once and without a process of their own. A schedule that was added in Prefect's page
may have parameters of its own, such as another source; its runs are made up for by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.types import DateTime

from heart_disease.model.errors import HeartError
from heart_disease.operations import slots, states


class Found(Protocol):
    """What a flow's work comes to. end: its outcome (states.py); message: that of the flow run's final state."""

    @property
    def end(self) -> str: ...  # noqa: D102

    @property
    def message(self) -> str: ...  # noqa: D102


def ended(work: Callable[[], Found]) -> Any:
    """Do a flow's work, also for the runs that were missed; returns what the flow returns to end accordingly."""
    states.begin()
    make_up_now()
    try:
        with slots.renewed():
            found = work()
    except HeartError as error:
        return states.failed(error)
    return states.completed(found.end, found.message, found)


def make_up_now() -> None:
    """Close the scheduled runs that are due and would do what the current one does, if it is a scheduled one itself.

    It does not leave the work to a later one, which could be as late: if a process takes longer to start than the
    interval is, no run would ever do the work.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run and run.deployment_id and run.auto_scheduled:
        with get_client(sync_client=True) as client:
            others = [one for one in due(client, run.deployment_id) if one.parameters == run.parameters]
            _close(client, others, run)


def make_up(deployment_id: UUID) -> None:
    """Close a deployment's scheduled runs that are due, except the latest one with each set of parameters."""
    with get_client(sync_client=True) as client:
        runs = sorted(due(client, deployment_id), key=_planned)
        while runs:
            latest = runs.pop()
            others = [one for one in runs if one.parameters == latest.parameters]
            _close(client, others, latest)
            runs = [one for one in runs if one not in others]


def due(client: SyncPrefectClient, deployment_id: UUID) -> list[FlowRun]:
    """The deployment's scheduled runs that are due and have not started."""
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment_id]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime(before_=DateTime.now(UTC)),
        )
    )
    return [run for run in found if run.auto_scheduled]


def _close(client: SyncPrefectClient, runs: Sequence[FlowRun], instead: FlowRun) -> None:
    for run in runs:
        states.close(client, run, "Superseded", _because(instead))


def _because(run: FlowRun) -> str:
    return f"The run '{run.name}', planned for {_planned(run):%Y-%m-%d %H:%M} UTC, makes up for this one."


def _planned(run: FlowRun) -> datetime:
    assert run.expected_start_time  # each scheduled run has one
    return run.expected_start_time
