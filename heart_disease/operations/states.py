"""How a flow run ends: in one of Prefect's own states, with a one-line message, and with an outcome.

Prefect's page of a deployment lists only runs whose state has one of Prefect's own names, so the outcome is not the
state's name. It is a tag of the flow run, an event `heart.flow-run.OUTCOME` for automations, and an exit code.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.states import Completed, Failed

from heart_disease.model.errors import ExitCode, HeartError

COMPLETED = {
    "Promoted": ExitCode.DONE,  # a new champion
    "NothingToDo": ExitCode.DONE,  # the champion is already what would be trained
    "Superseded": ExitCode.DONE,  # another run makes up for this one
    "NotPromoted": ExitCode.NOT_PROMOTED,  # a new challenger
    "NoDrift": ExitCode.DONE,  # no difference from what the model learned from was found
    "Drifted": ExitCode.DRIFTED,
}
FAILED = {
    "Rejected": ExitCode.REJECTED,
    "Unavailable": ExitCode.UNAVAILABLE,
    "WrongUsage": ExitCode.WRONG_USAGE,
}
# Runs without an outcome.
OF_TYPE = {
    StateType.COMPLETED: ExitCode.DONE,
    StateType.FAILED: ExitCode.FAILED,
    StateType.CRASHED: ExitCode.FAILED,
    StateType.CANCELLED: ExitCode.STOPPED,
}
ERRORS = {code: outcome for outcome, code in FAILED.items()}
EVENT = "heart.flow-run."
LABEL = "heart.outcome"  # the label of the event's resource


def begin() -> None:
    """Take away the outcome that an earlier try of this flow run has left."""
    run = _this()
    if run:
        with get_client(sync_client=True) as client:
            _tag(client, run.id, None)


def completed(outcome: str, message: str, data: Any = None) -> Any:
    """What a flow returns to end with this outcome; the caller of the flow gets `data`."""
    assert outcome in COMPLETED
    _announce(outcome, message)
    return Completed(message=one_line(message), data=data)


def failed(error: HeartError) -> Any:
    """What a flow returns to fail with this error's outcome, without a traceback; in its caller the error is raised."""
    outcome = ERRORS.get(error.exit_code)
    if outcome:
        _announce(outcome, str(error))
    return Failed(message=one_line(str(error)), data=error)


def close(client: SyncPrefectClient, run: FlowRun, outcome: str, message: str) -> None:
    """End another flow run, which has not started, with this outcome."""
    assert outcome in COMPLETED
    _tag(client, run.id, outcome)
    client.set_flow_run_state(run.id, Completed(message=one_line(message)))


def outcome_of(run: FlowRun) -> str | None:
    """The outcome of a run that has ended; None if it has none, because it crashed or was cancelled, say."""
    kind = run.state.type if run.state else None
    known = {StateType.COMPLETED: COMPLETED, StateType.FAILED: FAILED}.get(kind, {}) if kind else {}
    return next((tag for tag in run.tags if tag in known), None)


def exit_code(run: FlowRun) -> ExitCode:
    """The exit code of a command whose flow run ended like this."""
    outcome = outcome_of(run)
    if outcome:
        return (COMPLETED | FAILED)[outcome]
    return OF_TYPE.get(run.state.type, ExitCode.FAILED) if run.state else ExitCode.FAILED


def one_line(text: str) -> str:
    """The text without line breaks, for a list of runs or a notification."""
    return " ".join(text.split())


def _this() -> FlowRun | None:
    context = FlowRunContext.get()
    return context.flow_run if context else None


def _announce(outcome: str, message: str) -> None:
    """Give the flow run that calls this its tag and its event, before its state: what sees the state finds both."""
    run = _this()
    if not run:
        return
    with get_client(sync_client=True) as client:
        _tag(client, run.id, outcome)
    labels = {"id": f"prefect.flow-run.{run.id}", "name": run.name}
    resource = {f"prefect.resource.{name}": value for name, value in labels.items()}
    emit_event(EVENT + outcome, {**resource, LABEL: outcome, "prefect.state-message": one_line(message)})


def _tag(client: SyncPrefectClient, run_id: UUID, outcome: str | None) -> None:
    """Give the run this outcome in place of any other; tags that people added stay."""
    before = client.read_flow_run(run_id).tags
    after = [tag for tag in before if tag not in COMPLETED and tag not in FAILED] + ([outcome] if outcome else [])
    if after != before:
        client.update_flow_run(run_id, tags=after)
