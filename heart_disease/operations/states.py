"""How a flow run ends: a final state with a name, a one-line message and an exit code.

Prefect names an event after the state (`prefect.flow-run.NotPromoted`), so an automation can wait for one.
"""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, StateType
from prefect.states import Completed, Failed

from heart_disease.model.errors import ExitCode, HeartError

EXIT_CODES = {
    "Promoted": ExitCode.DONE,  # a new champion
    "NothingToDo": ExitCode.DONE,  # the champion is already what would be trained
    "Superseded": ExitCode.DONE,  # a later run makes up for this one
    "NotPromoted": ExitCode.NOT_PROMOTED,  # a new challenger
    "Rejected": ExitCode.REJECTED,
    "Unavailable": ExitCode.UNAVAILABLE,
    "WrongUsage": ExitCode.WRONG_USAGE,
}
# Prefect's own states.
OF_TYPE = {
    StateType.COMPLETED: ExitCode.DONE,
    StateType.FAILED: ExitCode.FAILED,
    StateType.CRASHED: ExitCode.FAILED,
    StateType.CANCELLED: ExitCode.STOPPED,
}
ERRORS = {EXIT_CODES[name]: name for name in ("Rejected", "Unavailable", "WrongUsage")}


def completed(name: str, message: str, data: Any = None) -> Any:
    """What a flow returns to end in this state; the caller of the flow gets `data`."""
    assert name in EXIT_CODES
    return Completed(name=name, message=one_line(message), data=data)


def failed(error: HeartError) -> Any:
    """What a flow returns to end in the state of this error, without a traceback; in its caller the error is raised."""
    return Failed(name=ERRORS.get(error.exit_code, "Failed"), message=one_line(str(error)), data=error)


def exit_code(state: State) -> ExitCode:
    """The exit code of a command whose flow run ended in this state."""
    return EXIT_CODES.get(state.name or "", OF_TYPE.get(state.type, ExitCode.FAILED))


def one_line(text: str) -> str:
    """The text without line breaks, for a list of runs or a notification."""
    return " ".join(text.split())
