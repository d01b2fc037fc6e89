"""The history of champions: every move of the alias `champion`, in order. champions.py makes the moves.

A move is a parameter of one MLflow run, the only run of the experiment "heart-disease champions". The parameter's name
is, say, `move.0007`; its value says from where to where, when, why and by whom. MLflow never changes a parameter, and
accepts each name only once, so writing number 7 means "nobody has moved the alias since I read number 6". The second
writer of a number is refused. `move.0007.done` says that the alias is where the move put it.

If someone deleted the history in MLflow, its moves can still be read, and the next writer is told how to restore it. If
it is gone for good, a new history begins.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

import mlflow
from mlflow.exceptions import MlflowException

from heart_disease.model.errors import HistoryError
from heart_disease.registry.access.store import MODEL, ModelRef, author_tags, unless_missing, uri

log = logging.getLogger("heart")
HISTORY = "heart-disease champions"
RUN_TAG = "history_run"  # a tag of the experiment: which of its runs is the history
ABOUT = "Every move of the alias `champion`, one parameter per move. `heart history` prints it. Do not delete it."
LONGEST = 800  # characters of a reason; MLflow takes 6000 for a whole move, and JSON may need 6 per character
Kind = Literal["promotion", "by hand", "rollback", "outside"]


@dataclass(frozen=True)
class Move:
    """The alias `champion` went from version `before` to `after`; None means no champion.

    If a model is deleted and registered again, its versions count from 1 again. So a version is its number and its run.
    """

    number: int  # from 1, without gaps
    when: str  # ISO 8601, UTC, seconds; for an outside move, the time it was noticed
    before: str | None
    after: str | None
    run_id: str  # the MLflow run that trained `after`
    kind: Kind
    why: str
    by: str
    id: str  # unique, because MLflow accepts a parameter twice if both writers give the same value

    @property
    def champion(self) -> ModelRef | None:
        """The version `after`."""
        return ModelRef(MODEL, self.after, self.run_id) if self.after else None


@dataclass(frozen=True)
class History:
    """The history as read.

    run_id: None if there is none. pending: the last move is unfinished. refusal: why it takes no further move, and what
    to do; empty if it does. lost: the ID of the experiment whose history was deleted for good; empty if none was.
    """

    run_id: str | None
    moves: Sequence[Move] = ()
    pending: bool = False
    refusal: str = ""
    lost: str = ""

    @property
    def champion(self) -> ModelRef | None:
        """The version that the last move went to."""
        return self.moves[-1].champion if self.moves else None

    def next(self, to: ModelRef | None, kind: Kind, why: str, by: str) -> Move:
        """The move that would follow, to a version or to none."""
        why = " ".join(why.encode("utf-8", "replace").decode().split())  # a terminal may pass bytes that are not text
        why = why if len(why) <= LONGEST else f"{why[:LONGEST]} ..."
        when = datetime.now(UTC).isoformat(timespec="seconds")
        before, present = self.champion, to.version if to else None
        return Move(
            len(self.moves) + 1, when, before.version if before else None, present, to.run_id if to else "",
            kind, why, by, uuid4().hex,
        )  # fmt: skip

    def next_outside(self, alias: ModelRef | None) -> Move:
        """The move that somebody made in MLflow itself."""
        why = "moved in MLflow itself" if self.moves else "was champion before this history began"
        return self.next(alias, "outside", why, "unknown")


def read() -> History:
    """The history in the store, also if it was deleted and can be restored."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(HISTORY)
    if experiment is None:
        return History(None)
    number = experiment.experiment_id
    named = f"the history of champions in {uri()}, the MLflow experiment '{HISTORY}',"
    run_id = experiment.tags.get(RUN_TAG)
    if run_id is None:
        return History(
            None, refusal=f"{named} lacks the tag '{RUN_TAG}'; expected one that this program made. Rename it."
        )
    run = unless_missing(client.get_run, run_id)
    refusal = ""
    if experiment.lifecycle_stage != "active":
        refusal = f"{named} was deleted. Restore it: mlflow experiments restore --experiment-id {number}"
    elif run is None:
        return History(None, lost=number)
    elif run.info.lifecycle_stage != "active":
        refusal = f"the run of {named} was deleted. Restore it: mlflow runs restore --run-id {run_id}"
    values = run.data.params if run else {}
    moves = sorted(
        (Move(**json.loads(value)) for name, value in values.items() if re.fullmatch(r"move\.\d+", name)),
        key=lambda move: move.number,
    )
    # An outside move is never pending: its alias had moved before the move was written.
    pending = bool(moves) and moves[-1].kind != "outside" and f"{_name(moves[-1])}.done" not in values
    return History(run_id, moves, pending, refusal)


def append(history: History, move: Move) -> bool:
    """Write the move if its number is free; otherwise do nothing and return False.

    Raises:
        HistoryError: the history takes no further move.
    """
    if history.refusal:
        raise HistoryError(history.refusal)
    client = mlflow.MlflowClient()
    run_id, value = history.run_id or _begin(history.lost), as_text(move)
    try:
        client.log_param(run_id, _name(move), value, synchronous=True)
    except MlflowException:
        # Either the number is taken, the answer was lost, or the store is broken. What is stored tells which.
        stored = client.get_run(run_id).data.params.get(_name(move))
        if stored is None:
            raise
        return bool(stored == value)
    return True


def finish(history: History) -> None:
    """Write that the alias is where the last move put it."""
    mlflow.MlflowClient().log_param(history.run_id, f"{_name(history.moves[-1])}.done", "yes", synchronous=True)


def as_text(move: Move) -> str:
    """A move as it is stored."""
    return json.dumps(asdict(move), ensure_ascii=False)


def _name(move: Move) -> str:
    return f"move.{move.number:04}"


def _begin(lost: str = "") -> str:
    """Create the history's run, in an experiment that gets its proper name only at the end.

    Names of experiments are unique. If two processes start at once, one is refused and uses the other's run. A process
    that dies in between leaves an experiment that nothing reads. An experiment that lost its run gives up the name.
    """
    client = mlflow.MlflowClient()
    if lost:
        client.rename_experiment(lost, f"{HISTORY} (lost, {lost})")
    tags = {"mlflow.note.content": ABOUT, "mlflow.experimentKind": "custom_model_development"}
    experiment_id = client.create_experiment(f"{HISTORY} ({uuid4().hex})", tags=tags)
    run_id = client.create_run(experiment_id, run_name="champion history", tags=author_tags()).info.run_id
    client.set_terminated(run_id)
    client.set_experiment_tag(experiment_id, RUN_TAG, run_id)
    try:
        client.rename_experiment(experiment_id, HISTORY)
    except MlflowException:
        found = client.get_experiment_by_name(HISTORY)
        if found is None:
            raise
        if found.experiment_id != experiment_id:  # otherwise only the answer was lost
            client.delete_experiment(experiment_id)
        return str(found.tags[RUN_TAG])
    if lost:
        log.warning("the history of champions was deleted from %s for good; a new one begins here", uri())
    return str(run_id)
