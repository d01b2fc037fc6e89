"""How a flow run ends: a final state with a name, a one-line message and an exit code, all declared here.

    Promoted      0   a new champion              Rejected      3   the data was refused
    NothingToDo   0   the champion is just this   Unavailable   4   a store, a device or a server is not there
    Superseded    0   a later run makes up for it WrongUsage    2   a parameter makes no sense
    NotPromoted   5   a new challenger            Failed, Crashed 1, Cancelled 130: Prefect's own

Prefect names an event after the state (`prefect.flow-run.NotPromoted`), so that an automation can wait for one.
"""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, StateType
from prefect.states import Completed, Failed

from heart_disease.model.errors import HeartError

EXIT_CODES = {
    "Promoted": 0,
    "NothingToDo": 0,
    "Superseded": 0,
    "NotPromoted": 5,
    "Rejected": 3,
    "Unavailable": 4,
    "WrongUsage": 2,
}
OF_TYPE = {StateType.COMPLETED: 0, StateType.FAILED: 1, StateType.CRASHED: 1, StateType.CANCELLED: 130}
ERRORS = {EXIT_CODES[name]: name for name in ("Rejected", "Unavailable", "WrongUsage")}


def completed(name: str, message: str, data: Any = None) -> Any:
    """What a flow returns to end in this state; whoever called the flow gets `data`."""
    assert name in EXIT_CODES
    return Completed(name=name, message=one_line(message), data=data)


def failed(error: HeartError) -> Any:
    """What a flow returns to end in the state of this error, without a traceback; its caller gets the error raised."""
    return Failed(name=ERRORS.get(error.exit_code, "Failed"), message=one_line(str(error)), data=error)


def exit_code(state: State) -> int:
    """What a command ends with whose flow run ended in this state."""
    return EXIT_CODES.get(state.name or "", OF_TYPE.get(state.type, 1))


def one_line(text: str) -> str:
    """Without line breaks, for a list of runs and for a notification."""
    return " ".join(text.split())
