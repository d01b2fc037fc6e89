"""Which version is champion, and how it came to be: the alias `champion` moves through here, and every move is kept.

A move is a parameter of one MLflow run, the only one of the experiment "heart-disease champions": `move.0007` is its
name, and its value says from where to where, when, why and by whom. MLflow never changes a parameter, and takes only
one of a name, so to write number 7 is to say "nobody has moved it since I read number 6". Who comes second is refused.

A move is written first, then the alias is set, then `move.0007.done` is written. Where a writer died in between,
whoever comes next does what is left; where the alias is not where the last move put it, someone moved it in MLflow
itself, and that becomes a move of kind "outside". Both are told from a writer at work by waiting a little.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

import mlflow
from mlflow.exceptions import MlflowException

from heart_disease.model.errors import MovedError, UnavailableError
from heart_disease.registry.models import by_alias, by_version, label, set_alias
from heart_disease.registry.store import (
    CHALLENGER,
    CHAMPION,
    MISSING,
    MODEL,
    ModelRef,
    author_tags,
    check_embedded_store,
    reachable,
    uri,
    user,
)

HISTORY = "heart-disease champions"
RUN_TAG = "history_run"  # of the experiment: which of its runs is the history
ABOUT = "Every move of the alias `champion`, one parameter a move. `heart history` prints it. Do not delete it."
PATIENCE = 3.0  # seconds without a change, after which a writer is taken for dead
LONGEST = 800  # characters of a reason; MLflow takes 6000 for a whole move, and JSON may need 6 for one of them
Kind = Literal["promotion", "by hand", "rollback", "outside"]


@dataclass(frozen=True)
class Move:
    """The alias `champion` went from version `before` to `after`; None is no champion at all."""

    number: int  # from 1, without gaps
    when: str  # ISO 8601, UTC, seconds; of an outside move, when it was noticed
    before: str | None
    after: str | None
    run_id: str  # the MLflow run that trained `after`
    kind: Kind
    why: str
    by: str
    id: str  # so that no two writers ever write the same value, which MLflow would take twice


@dataclass(frozen=True)
class _Log:
    """The history as it was read: its run (None: there is no history yet), and whether the last move is unfinished."""

    run_id: str | None
    moves: Sequence[Move]
    pending: bool

    @property
    def champion(self) -> str | None:
        return self.moves[-1].after if self.moves else None


def champion() -> ModelRef:
    """The version that the alias `champion` points to.

    Raises:
        UnavailableError: there is none, or the store does not answer.
    """
    found = find_champion()
    if found:
        return found
    challenger = by_alias(CHALLENGER)
    hint = (
        f"Version {challenger.version} is a challenger that was not promoted; MLflow says why. Try another recipe, or "
        f"`heart promote {challenger.version} --because WHY`."
        if challenger
        else "Run `heart train` first, in this folder, or set MLFLOW_TRACKING_URI."
    )
    raise UnavailableError(
        f"no champion of '{MODEL}' in {uri()}; expected a registered model with the alias '{CHAMPION}'. {hint}"
    )


def find_champion() -> ModelRef | None:
    """As `champion`, and None where there is none."""
    history()
    return by_alias(CHAMPION)


def history() -> Sequence[Move]:
    """Every move, oldest first; the last one is where the alias is.

    Raises:
        UnavailableError: the store does not answer, or the history was deleted from it.
    """
    check_embedded_store()
    return settle().moves


@reachable()
def move_champion(ref: ModelRef, *, expected: str | None, kind: Kind, why: str) -> Move:
    """Make `ref` the champion if the champion is still version `expected` (None: there is none).

    Raises:
        MovedError: the champion is another than `expected`; nothing was moved.
        UnavailableError: there is no such version, or the store does not answer.
    """
    check_embedded_store()
    by_version(ref.version)
    while True:
        log = settle()
        if log.champion != expected:
            raise MovedError(
                f"the champion moved from {_named(expected)} to {_named(log.champion)} meanwhile; version "
                f"{ref.version} was not compared with that one. The champion was left as it is; run again."
            )
        move = _next(log, ref.version, ref.run_id, kind, why, user())
        if _append(log, move):
            break
    log = _read()
    if log.pending:
        _finish(log)
    return move


def earlier_champions(moves: Sequence[Move]) -> list[str]:
    """The versions that a rollback can return to, nearest first: A, B, C, rolled back to B, leaves A."""
    path: list[str | None] = []
    for move in moves:
        if move.kind == "rollback" and move.after in path:
            while path[-1] != move.after:
                path.pop()
        elif not path or path[-1] != move.after:
            path.append(move.after)
    present = path[-1] if path else None
    back = [version for version in reversed(path[:-1]) if version is not None and version != present]
    return list(dict.fromkeys(back))


@reachable()
def settle(patience: float = PATIENCE) -> _Log:
    """Bring alias and history together, and return the history.

    What does not agree may be a writer at work: only where nothing changes for `patience` seconds is a move finished
    for its writer, or an alias that was moved in MLflow itself taken into the history.
    """
    seen: tuple[int, bool, str | None] | None = None
    since = 0.0
    while True:
        log, alias = _read(), by_alias(CHAMPION)
        present = alias.version if alias else None
        if not log.pending and present == log.champion:
            return log
        now = (len(log.moves), log.pending, present)
        if now != seen:
            seen, since = now, time.monotonic()
        waited = time.monotonic() - since
        if log.moves and waited < patience:
            time.sleep(0.05 + waited / 4)  # less and less often: who asks keeps the server from the one who writes
        elif log.pending:
            _finish(log)
        else:
            why = "moved in MLflow itself" if log.moves else "was champion before this history began"
            _append(log, _next(log, present, alias.run_id if alias else "", "outside", why, "unknown"))


def _named(version: str | None) -> str:
    return f"version {version}" if version else "none"


def _next(log: _Log, after: str | None, run_id: str, kind: Kind, why: str, by: str) -> Move:
    why = " ".join(why.encode("utf-8", "replace").decode().split())  # a terminal may give bytes that are no text
    why = why if len(why) <= LONGEST else f"{why[:LONGEST]} ..."
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Move(len(log.moves) + 1, when, log.champion, after, run_id, kind, why, by, uuid4().hex)


def _read() -> _Log:
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(HISTORY)
    if experiment is None:
        return _Log(None, (), pending=False)
    if experiment.lifecycle_stage != "active" or RUN_TAG not in experiment.tags:
        raise UnavailableError(
            f"the MLflow experiment '{HISTORY}' (ID {experiment.experiment_id}) in {uri()} is no history of champions: "
            f"expected it active and with the tag '{RUN_TAG}'. If it was deleted: mlflow experiments restore -x "
            f"{experiment.experiment_id}; if it is another's, give it another name."
        )
    run_id = experiment.tags[RUN_TAG]
    values = client.get_run(run_id).data.params
    moves = sorted(
        (Move(**json.loads(value)) for key, value in values.items() if re.fullmatch(r"move\.\d+", key)),
        key=lambda move: move.number,
    )
    # What was moved outside had moved the alias before it was written.
    pending = bool(moves) and moves[-1].kind != "outside" and f"{_key(moves[-1])}.done" not in values
    return _Log(run_id, moves, pending)


def _key(move: Move) -> str:
    return f"move.{move.number:04}"


def _text(move: Move) -> str:
    return json.dumps(asdict(move), ensure_ascii=False)


def _append(log: _Log, move: Move) -> bool:
    """Write the move if its number is free; else False, and nothing happened."""
    client = mlflow.MlflowClient()
    run_id = log.run_id or _create()
    value = _text(move)
    try:
        client.log_param(run_id, _key(move), value)
    except MlflowException:
        # The number is taken, or the answer was lost, or the store is broken: what is stored tells them apart.
        stored = client.get_run(run_id).data.params.get(_key(move))
        if stored is None:
            raise
        return bool(stored == value)
    return True


def _finish(log: _Log) -> None:
    """Set the alias to the last move of `log`, and say that it is done.

    A writer that was slow may come too late, and set the alias back to its own move. So it looks again afterwards,
    and does not go before the alias is at the last move there is.
    """
    done = None
    while done != (last := log.moves[-1]):
        _point(last)
        done, log = last, _read()
    mlflow.MlflowClient().log_param(log.run_id, f"{_key(last)}.done", "yes")


def _point(move: Move) -> None:
    """The alias, and why, to where the move says."""
    try:
        if move.after is None:
            mlflow.MlflowClient().delete_registered_model_alias(MODEL, CHAMPION)
        else:
            set_alias(CHAMPION, move.after)
            label(move.after, CHAMPION, move.why)
    except MlflowException as error:
        # Deleted since the move was written. The alias stays, and the next to look takes that into the history.
        if error.error_code not in MISSING:
            raise


def _create() -> str:
    """The history's run. It is made in an experiment of another name, which gets its right one last.

    Names of experiments are unique: of two that start at once one is refused, and takes the other's; who dies in
    between leaves an experiment that nobody looks at.
    """
    client = mlflow.MlflowClient()
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
        if found.experiment_id != experiment_id:  # else only the answer was lost
            client.delete_experiment(experiment_id)
        return str(found.tags[RUN_TAG])
    return str(run_id)
