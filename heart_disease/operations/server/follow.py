"""`heart retrain --on-server`: start a run of the deployment, follow its log, and end as a training here would."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTimestamp,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import LogSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings

from heart_disease.model.errors import UnavailableError, UsageError, hide
from heart_disease.operations import states
from heart_disease.operations.deployments import RETRAIN
from heart_disease.operations.server import configured
from heart_disease.reporting.terminal import say, wrapped

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 20.0  # then it says what the run waits for, and again after three times as long
LAST_LINES_SECONDS = 8.0  # the longest a log takes to arrive after its run has ended
LINKS = ("mlflow-run", "report")  # the artifacts of a training that are addresses
LATE = timedelta(seconds=10)  # a line may arrive this much later than a newer one
SOMEBODY = "`heart schedule`, or `python -m heart_disease.operations.worker --pool heart`"


@contextmanager
def server() -> Iterator[SyncPrefectClient]:
    """The configured Prefect server.

    Raises:
        UnavailableError: none is configured, or it does not answer.
    """
    url = configured.address()
    if not url:
        raise UnavailableError(
            "PREFECT_API_URL is not set; expected the address of a Prefect server. For `heart schedule` on this "
            "machine: export PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    configured.check(url, else_do="run `heart schedule` there")
    with get_client(sync_client=True) as client:
        yield client


def deployment(client: SyncPrefectClient) -> DeploymentResponse:
    """The training's deployment.

    Raises:
        UnavailableError: the server has none.
    """
    try:
        return client.read_deployment_by_name(RETRAIN)
    except ObjectNotFound as error:
        raise UnavailableError(
            f"the Prefect server at {get_current_settings().api.url} has no deployment {RETRAIN}; start `heart "
            "schedule` with this PREFECT_API_URL, or run `python -m heart_disease.operations.deploy` in the project's "
            "folder"
        ) from error


def run(client: SyncPrefectClient, found: DeploymentResponse, parameters: Mapping[str, Any]) -> int:
    """Start a run with these parameters and follow it; returns its exit code.

    Raises:
        UsageError: the server refuses the parameters.
        UnavailableError: the run was deleted meanwhile.
    """
    try:
        flow_run = client.create_flow_run_from_deployment(found.id, parameters=dict(parameters))
    except PrefectHTTPStatusError as error:
        raise UsageError(f"the Prefect server refuses the parameters: {error.response.text}") from error
    page = hide(get_current_settings().ui_url or "").rstrip("/")
    _say(f"flow run  {flow_run.name}\n          {page}/runs/flow-run/{flow_run.id}")
    try:
        ended = follow(client, flow_run.id)
    except (KeyboardInterrupt, SystemExit):
        _say(f"\nthe run goes on without this; to end it: prefect flow-run cancel {flow_run.id}")
        raise
    show(client, ended)
    return states.exit_code(ended)


def follow(client: SyncPrefectClient, flow_run_id: UUID) -> FlowRun:
    """Show a flow run's log as it comes, and what the run waits for, until it ends; returns the run as it ended.

    Raises:
        UnavailableError: the run was deleted.
    """
    tail, waits = _Tail(client, flow_run_id), _Waits()
    away = False
    while True:
        try:
            flow_run = client.read_flow_run(flow_run_id)
            ended = tail.show()
            if flow_run.state and flow_run.state.is_final():
                break
            waits.say(flow_run)
            away = False
        except ObjectNotFound as error:
            raise UnavailableError(f"the flow run {flow_run_id} was deleted; nothing more is known about it") from error
        except httpx.TransportError as error:
            if not away:
                _say(f"waiting   the Prefect server does not answer: {error}")
            away = True
        time.sleep(LOOK_SECONDS)
    last = time.monotonic() + LAST_LINES_SECONDS
    while flow_run.start_time and not (ended and not _may_change(flow_run)) and time.monotonic() < last:
        time.sleep(LOOK_SECONDS)
        ended = tail.show() or ended
        flow_run = client.read_flow_run(flow_run_id)
    if not states.outcome_of(flow_run):  # an unexpected end
        print("\n".join(tail.errors), file=sys.stderr)
    return flow_run


def _may_change(flow_run: FlowRun) -> bool:
    """A run that is cancelled first ends as crashed, because it was told to end; its worker then calls it cancelled."""
    return flow_run.state is not None and flow_run.state.is_crashed()


def show(client: SyncPrefectClient, flow_run: FlowRun) -> None:
    """Print what a training on this machine would print at its end."""
    state, outcome = flow_run.state, states.outcome_of(flow_run)
    assert state  # it has ended
    message = state.message or ""
    if outcome in ("Promoted", "NotPromoted"):
        made = _artifacts(client, flow_run.id)
        if "metrics" in made:
            _show_metrics(made["metrics"])
        headline, _, reason = message.partition("; ")
        print(f"{headline}\n{wrapped(f'  {reason}')}\n")
        for key in LINKS:
            if key in made:
                print(f"  {made[key].partition('](')[2].removesuffix(')')}")  # Prefect keeps a link as Markdown
    elif state.is_completed():
        print(wrapped(message))
    elif outcome:
        print(wrapped(f"heart: {message}"), file=sys.stderr)
    else:
        print(wrapped(f"heart: the run ended as {state.name}: {message}"), file=sys.stderr)


def _artifacts(client: SyncPrefectClient, flow_run_id: UUID) -> dict[str, str]:
    """What the run shows on Prefect's page, by its key."""
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            key=ArtifactFilterKey(any_=["metrics", *LINKS]), flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id])
        )
    )
    return {str(artifact.key): str(artifact.data) for artifact in found}


def _show_metrics(data: str) -> None:
    from heart_disease.reporting import tables

    rows = json.loads(data)
    hidden = [tables.MODEL_NAMES[model] for model in tables.NOT_SHOWN]
    names = [name for name in rows[0] if name not in hidden]
    table = [names, *([row[name] for name in names] for row in rows)]
    print(f"\n{tables.aligned(table)}\n")


class _Tail:
    """The lines of a flow run's log that people want, each once; Prefect's own errors are kept for the end."""

    def __init__(self, client: SyncPrefectClient, flow_run_id: UUID) -> None:
        self.errors: list[str] = []
        self._client, self._run = client, LogFilterFlowRunId(any_=[flow_run_id])
        self._seen: set[UUID] = set()
        self._newest: Any = None

    def show(self) -> bool:
        """Show the lines that have arrived; True if the run's last line is among them."""
        after = LogFilterTimestamp(after_=self._newest - LATE) if self._newest else None
        wanted = LogFilter(flow_run_id=self._run, timestamp=after)
        offset, ended = 0, False
        while True:
            lines = self._client.read_logs(wanted, offset=offset, sort=LogSort.TIMESTAMP_ASC)
            for line in lines:
                if line.id not in self._seen:
                    self._seen.add(line.id)
                    self._newest = max(self._newest or line.timestamp, line.timestamp)
                    if line.name == "heart":
                        _say(line.message)
                    elif line.level >= logging.ERROR:
                        self.errors.append(line.message)
                ended = ended or (line.message.startswith("Finished in state") and line.name == "prefect.flow_runs")
            offset += len(lines)
            if not lines:
                return ended


class _Waits:
    """Says what a run waits for if it waits long."""

    def __init__(self) -> None:
        self._next = time.monotonic() + PATIENCE_SECONDS

    def say(self, flow_run: FlowRun) -> None:
        """Say what the run waits for, if it is time to say so."""
        state = flow_run.state
        if not state or not (state.is_scheduled() or state.is_pending()) or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 3 * PATIENCE_SECONDS
        if state.name == "AwaitingConcurrencySlot":
            _say("waiting   for the run before it: one at a time")
        elif state.is_pending():
            _say("waiting   for its process to start")
        else:
            _say(f"waiting   nobody has taken the run yet; expected {SOMEBODY}, on this Prefect server")


def _say(text: str) -> None:
    say(text, indent=" " * 10)
