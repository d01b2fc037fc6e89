"""`heart champion`, `history`, `promote`, `rollback`: which version is used, since when and why; and to change it."""

from __future__ import annotations

import re
import textwrap
from datetime import datetime

from heart_disease import registry
from heart_disease.evaluation.estimates import Estimate
from heart_disease.model.errors import UnavailableError, UsageError
from heart_disease.registry import ModelRef, Move
from heart_disease.reporting.terminal import wrapped
from heart_disease.serving import made_up
from heart_disease.serving.rehearsal import fresh_process

WIDTH = 80


def show() -> None:
    """Print the champion: its recipe and its log loss, and since when and why it is champion.

    Raises:
        UnavailableError: there is none.
    """
    ref = registry.champion()
    move = registry.history()[-1]
    name, metrics = registry.read_run(ref.run_id) or ("", {})
    print(f"{ref.name} version {ref.version}: champion")
    rows = {
        "recipe": name or "unknown: its run was deleted",
        "log loss": _interval(metrics, "log_loss"),
        "since": f"{_local(move.when)}, {_how(move)}",
        "why": move.why,
        "run": ref.run_id,
    }
    for title, value in rows.items():
        print(wrapped(f"  {title:10}{value}", indent=" " * 12))


def show_history() -> None:
    """Print every move of the champion, newest first.

    Raises:
        UnavailableError: there has never been a champion.
    """
    moves = registry.history()
    if not moves:
        registry.champion()  # says what to do
    for move in reversed(moves):
        run = f"run {move.run_id[:8]}" if move.run_id else "no run"
        print(f"{_local(move.when)}  {move.before or 'none'} -> {move.after or 'none'}  {_how(move)}, {run}")
        print(textwrap.fill(move.why, WIDTH, initial_indent="  ", subsequent_indent="  "))


def promote(version: str, because: str) -> None:
    """Make `version`, a number or "challenger", the champion by hand, after a look whether it loads and scores.

    Raises:
        UsageError: no reason, no number, or it is champion already.
        UnavailableError: there is no such version, or it does not load.
        MovedError: someone else moved the champion meanwhile.
    """
    if not because.strip():
        raise UsageError("--because is empty; expected why this version shall be champion, for who reads the history")
    present = registry.find_champion()
    ref = _find(version)
    if present and ref.version == present.version:
        raise UsageError(f"{ref.name} version {ref.version} is champion already; expected another version")
    _move(ref, present.version if present else None, "by hand", because)


def rollback(because: str | None) -> None:
    """Make the champion before the present one champion again; repeated, the one before that, and so on.

    Raises:
        UsageError: the reason is empty.
        UnavailableError: there is no earlier champion, or it does not load.
        MovedError: someone else moved the champion meanwhile.
    """
    if because is not None and not because.strip():
        raise UsageError("--because is empty; expected a reason, or leave the option away")
    moves = registry.history()
    if not moves:
        registry.champion()  # says what to do
    present, there = moves[-1].after, registry.versions()
    earlier = [version for version in registry.earlier_champions(moves) if version in there]
    if not earlier:
        raise UnavailableError(
            f"nothing to roll back to: before version {present} there was no champion, or it was deleted. "
            "`heart promote VERSION` makes any version champion."
        )
    ref = registry.by_version(earlier[0])
    _move(ref, present, "rollback", because or f"rolled back from {f'version {present}' if present else 'none'}")


def _find(version: str) -> ModelRef:
    if version == registry.CHALLENGER:
        found = registry.by_alias(registry.CHALLENGER)
        if not found:
            raise UnavailableError(
                f"no challenger in {registry.uri()}; expected a version with the alias 'challenger'. Run `heart train`."
            )
        return found
    if not re.fullmatch("[0-9]{1,9}", version):
        raise UsageError(f"version '{version}': expected a number, or challenger")
    return registry.by_version(version)


def _move(ref: ModelRef, expected: str | None, kind: registry.Kind, why: str) -> None:
    patients = made_up.patients()
    with fresh_process() as server:
        server.check(ref, registry.check_loads(ref, patients), patients)
    registry.move_champion(ref, expected=expected, kind=kind, why=why)
    print(f"{ref.name} version {ref.version}: champion; before: {expected or 'none'}")


def _interval(metrics: dict[str, float], name: str) -> str:
    return str(Estimate.find(name, metrics) or "unknown")


def _how(move: Move) -> str:
    return move.kind if move.kind == "outside" else f"{move.kind} ({move.by})"


def _local(when: str) -> str:
    return datetime.fromisoformat(when).astimezone().strftime("%Y-%m-%d %H:%M")
