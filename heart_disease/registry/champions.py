"""Which version is champion, and how it became so: all moves of the alias `champion` go through here and are kept.

A move is a parameter of one MLflow run, the only run of the experiment "heart-disease champions". The parameter's name
is, say, `move.0007`; its value says from where to where, when, why and by whom. MLflow never changes a parameter, and
accepts each name only once, so writing number 7 means "nobody has moved the alias since I read number 6". The second
writer of a number is refused.

First the move is written, then the alias is set, then `move.0007.done` is written. If a writer dies in between, the
next one completes the move. If the alias is not where the last move put it, someone moved it in MLflow itself, and
that becomes a move of kind "outside". Waiting a little tells both cases from a writer that is still at work.
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
    MODEL,
    ModelRef,
    author_tags,
    check_embedded_store,
    is_missing,
    reachable,
    uri,
    user,
)

HISTORY = "heart-disease champions"
RUN_TAG = "history_run"  # a tag of the experiment: which of its runs is the history
ABOUT = "Every move of the alias `champion`, one parameter per move. `heart history` prints it. Do not delete it."
PATIENCE = 3.0  # seconds without a change after which a writer counts as dead
LONGEST = 800  # characters of a reason; MLflow takes 6000 for a whole move, and JSON may need 6 per character
Kind = Literal["promotion", "by hand", "rollback", "outside"]


@dataclass(frozen=True)
class Move:
    """The alias `champion` went from version `before` to `after`; None means no champion."""

    number: int  # from 1, without gaps
    when: str  # ISO 8601, UTC, seconds; for an outside move, the time it was noticed
    before: str | None
    after: str | None
    run_id: str  # the MLflow run that trained `after`
    kind: Kind
    why: str
    by: str
    id: str  # unique, because MLflow accepts a parameter twice if both writers give the same value


@dataclass(frozen=True)
class _Log:
    """The history as read: its run (None if there is no history yet), its moves, and whether the last is unfinished."""

    run_id: str | None
    moves: Sequence[Move]
    pending: bool

    @property
    def champion(self) -> str | None:
        return self.moves[-1].after if self.moves else None


def champion() -> ModelRef:
    """The version that the alias `champion` points to.

    Raises:
        UnavailableError: there is no champion, or the store does not answer.
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
    """Like `champion`, but None if there is no champion."""
    history()
    return by_alias(CHAMPION)


def history() -> Sequence[Move]:
    """Every move, oldest first. The alias is where the last move put it.

    Raises:
        UnavailableError: the store does not answer, or the history was deleted from it.
    """
    check_embedded_store()
    return settle().moves


@reachable()
def move_champion(ref: ModelRef, *, expected: str | None, kind: Kind, why: str) -> Move:
    """Make `ref` the champion if the champion is still version `expected` (None: no champion).

    Raises:
        MovedError: the champion is no longer `expected`; nothing was moved.
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
    """The versions that a rollback can return to, nearest first. After A, B, C and a rollback to B, that is A."""
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
    """Make alias and history agree, and return the history.

    If they disagree, a writer may be at work. Only if nothing changes for `patience` seconds is the move finished for
    its writer, or an alias that was moved in MLflow itself recorded in the history.
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
            time.sleep(0.05 + waited / 4)  # less and less often: each look takes the server's time from the writer
        elif log.pending:
            _finish(log)
        else:
            why = "moved in MLflow itself" if log.moves else "was champion before this history began"
            _append(log, _next(log, present, alias.run_id if alias else "", "outside", why, "unknown"))


def _named(version: str | None) -> str:
    return f"version {version}" if version else "none"


def _next(log: _Log, after: str | None, run_id: str, kind: Kind, why: str, by: str) -> Move:
    why = " ".join(why.encode("utf-8", "replace").decode().split())  # a terminal may pass bytes that are not text
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
            f"the MLflow experiment '{HISTORY}' (ID {experiment.experiment_id}) in {uri()} is not the history of "
            f"champions: expected it active and with the tag '{RUN_TAG}'. If it was deleted: mlflow experiments "
            f"restore -x {experiment.experiment_id}; if it has another purpose, rename it."
        )
    run_id = experiment.tags[RUN_TAG]
    values = client.get_run(run_id).data.params
    moves = sorted(
        (Move(**json.loads(value)) for key, value in values.items() if re.fullmatch(r"move\.\d+", key)),
        key=lambda move: move.number,
    )
    # An outside move is never pending: its alias had moved before the move was written.
    pending = bool(moves) and moves[-1].kind != "outside" and f"{_key(moves[-1])}.done" not in values
    return _Log(run_id, moves, pending)


def _key(move: Move) -> str:
    return f"move.{move.number:04}"


def _text(move: Move) -> str:
    return json.dumps(asdict(move), ensure_ascii=False)


def _append(log: _Log, move: Move) -> bool:
    """Write the move if its number is free; otherwise do nothing and return False."""
    client = mlflow.MlflowClient()
    run_id = log.run_id or _create()
    value = _text(move)
    try:
        client.log_param(run_id, _key(move), value)
    except MlflowException:
        # Either the number is taken, the answer was lost, or the store is broken. What is stored tells which.
        stored = client.get_run(run_id).data.params.get(_key(move))
        if stored is None:
            raise
        return bool(stored == value)
    return True


def _finish(log: _Log) -> None:
    """Set the alias to the last move of `log`, and write that the move is done.

    A slow writer may come too late and set the alias back to its own move. So every writer looks again afterwards, and
    does not return until the alias is at the latest move.
    """
    done = None
    while done != (last := log.moves[-1]):
        _point(last)
        done, log = last, _read()
    mlflow.MlflowClient().log_param(log.run_id, f"{_key(last)}.done", "yes")


def _point(move: Move) -> None:
    """Point the alias where the move says, and record why."""
    try:
        if move.after is None:
            mlflow.MlflowClient().delete_registered_model_alias(MODEL, CHAMPION)
        else:
            set_alias(CHAMPION, move.after)
            label(move.after, CHAMPION, move.why)
    except MlflowException as error:
        # The version was deleted after the move was written. The alias stays; the next look records that.
        if not is_missing(error):
            raise


def _create() -> str:
    """Create the history's run, in an experiment that gets its proper name only at the end.

    Names of experiments are unique. If two processes start at once, one is refused and uses the other's run. A process
    that dies in between leaves an experiment that nothing reads.
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
        if found.experiment_id != experiment_id:  # otherwise only the answer was lost
            client.delete_experiment(experiment_id)
        return str(found.tags[RUN_TAG])
    return str(run_id)
