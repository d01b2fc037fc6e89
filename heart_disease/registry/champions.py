"""Which version is champion, and every move of the alias `champion`: all go through here and are kept (moves.py).

First the move is written, then the alias is set, then the move is marked as done. If a writer dies in between, the
next one completes the move. If the alias is not where the last move put it, someone moved it in MLflow itself, and
that becomes a move of kind "outside". Waiting a little tells both cases from a writer that is still at work.

Only a move needs a history that can be written. Reading it does that housekeeping too, but if the store refuses
it, the answer is the alias.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic, sleep

import mlflow
from mlflow.exceptions import MlflowException

from heart_disease.model.errors import HistoryError, MovedError, UnavailableError
from heart_disease.registry import moves as records
from heart_disease.registry.access.failures import in_words
from heart_disease.registry.access.store import (
    CHALLENGER,
    CHAMPION,
    FORMER,
    MODEL,
    STORE_ERRORS,
    ModelRef,
    check_embedded_store,
    is_writable,
    reachable,
    unless_missing,
    uri,
    user,
)
from heart_disease.registry.models import all_versions, by_alias, by_version, introduce, label, set_alias
from heart_disease.registry.moves import History, Kind, Move

log = logging.getLogger("heart")
PATIENCE = 3.0  # seconds without a change after which a writer counts as dead


def champion() -> ModelRef:
    """The version that the alias `champion` points to. It does not look at the history.

    Raises:
        UnavailableError: there is no champion, or the store does not answer.
    """
    check_embedded_store()
    found = by_alias(CHAMPION)
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
    """The champion, after any unfinished move has been finished; None if there is no champion."""
    check_embedded_store()
    settle(reading=True)
    return by_alias(CHAMPION)


def history() -> Sequence[Move]:
    """Every move, oldest first. The alias is where the last move put it.

    Raises:
        UnavailableError: the store does not answer.
    """
    check_embedded_store()
    found = settle(reading=True)
    if found.refusal:
        log.warning("%s", found.refusal)
    return found.moves


@reachable()
def move_champion(ref: ModelRef, *, expected: ModelRef | None, kind: Kind, why: str) -> Move:
    """Make `ref` the champion if the champion is still `expected` (None: no champion).

    Raises:
        MovedError: the champion is no longer `expected`; nothing was moved.
        HistoryError: the history takes no further move; nothing was moved.
        UnavailableError: there is no such version, or the store cannot be used.
    """
    check_embedded_store(to_write=True)
    if (found := by_version(ref.version)) != ref:
        raise UnavailableError(
            f"version {ref.version} of '{MODEL}' in {uri()} is that of run {found.run_id or '(none)'}; expected that "
            f"of run {ref.run_id or '(none)'}. The model was deleted and registered again meanwhile. Run again."
        )
    while True:
        found_history = settle()
        present = found_history.champion
        if present != expected:
            raise MovedError(
                f"the champion moved from {_named(expected, present)} to {_named(present, expected)} meanwhile; "
                f"version {ref.version} was not compared with that one. The champion was left as it is; run again."
            )
        move = found_history.next(ref, kind, why, user())
        if records.append(found_history, move):
            break
    found_history = records.read()
    if found_history.pending:
        _finish(found_history)
    return move


def earlier_champions(moves: Sequence[Move]) -> list[ModelRef]:
    """The versions that a rollback can return to, nearest first. After A, B, C and a rollback to B, that is A."""
    path: list[ModelRef | None] = []
    for move in moves:
        if move.kind == "rollback" and move.champion in path:
            while path[-1] != move.champion:
                path.pop()
        elif not path or path[-1] != move.champion:
            path.append(move.champion)
    present = path[-1] if path else None
    back = [version for version in reversed(path[:-1]) if version is not None and version != present]
    return list(dict.fromkeys(back))


@reachable()
def settle(patience: float = PATIENCE, *, reading: bool = False) -> History:
    """Make alias and history agree, and return the history.

    If they disagree, a writer may be at work. Only if nothing changes for `patience` seconds is the move finished for
    its writer, or an alias that was moved in MLflow itself recorded in the history. If the store refuses that, and it
    was only for `reading`, the returned history says where the alias is.

    Raises:
        HistoryError: they disagree, and the history takes no further move.
    """
    seen: tuple[int, bool, ModelRef | None] | None = None
    since = 0.0
    while True:
        found, alias = records.read(), by_alias(CHAMPION)
        if not found.pending and alias == found.champion:
            return found
        if reading and (found.refusal or not is_writable()):
            return _as_it_is(found, alias)
        if found.refusal:
            raise HistoryError(found.refusal)
        now = (len(found.moves), found.pending, alias)
        if now != seen:
            seen, since = now, monotonic()
        waited = monotonic() - since
        if found.moves and waited < patience:
            sleep(0.05 + waited / 4)  # less and less often: each look takes the server's time from the writer
            continue
        try:
            if found.pending:
                _finish(found)
            else:
                _record(found, alias)
        except MlflowException:
            if not reading:
                raise
            return _as_it_is(found, alias)


def _as_it_is(found: History, alias: ModelRef | None) -> History:
    """The history, with the alias as its last move, although nobody could write that."""
    if found.pending and alias != found.champion:  # the alias never followed the last move
        found = replace(found, moves=found.moves[:-1])
    moves = found.moves if alias == found.champion else [*found.moves, found.next_outside(alias)]
    return replace(found, moves=moves, pending=False)


def _record(found: History, alias: ModelRef | None) -> None:
    """Write a move that was made in MLflow itself."""
    move = found.next_outside(alias)
    if records.append(found, move):
        _describe(found.champion, move)


def _named(one: ModelRef | None, other: ModelRef | None) -> str:
    """A version in words, with its run if the other has the same number."""
    run = f" of run {one.run_id}" if one and other and one.version == other.version else ""
    return f"version {one.version}{run}" if one else "none"


def _finish(found: History) -> None:
    """Set the alias to the last move of `found`, and write that the move is done.

    A slow writer may come too late and set the alias back to its own move. So every writer looks again afterwards, and
    does not return until the alias is at the latest move.
    """
    done = None
    while done != (last := found.moves[-1]):
        _point(found.moves[-2].champion if len(found.moves) > 1 else None, last)
        done, found = last, records.read()
    records.finish(found)


def _point(before: ModelRef | None, move: Move) -> None:
    """Point the alias where the move says, if that version is still there, and describe both versions.

    If it was deleted after the move was written, the alias stays, and the next look records that.
    """
    if move.champion is None:
        unless_missing(mlflow.MlflowClient().delete_registered_model_alias, MODEL, CHAMPION)
    elif move.champion in all_versions():
        set_alias(CHAMPION, move.champion.version)
    else:
        return
    _describe(before, move)


def _describe(before: ModelRef | None, move: Move) -> None:
    """Write into both versions of a move what they are now, and why; and who is champion, into the model itself."""
    place = f"version {move.after} took its place" if move.after else "the alias was removed"
    there = all_versions()  # another version may have the number of one that was deleted
    if before in there:
        label(before.version, FORMER, f"{place} on {move.when[:10]}: {move.why}")
    if move.champion in there:
        label(move.champion.version, CHAMPION, move.why)
    try:
        introduce(move.champion if move.champion in there else None, move.why)
    except STORE_ERRORS as error:  # the move counts all the same, and the next one writes it anew
        log.warning("the description of the model '%s' still shows the champion before: %s", MODEL, in_words(error))
