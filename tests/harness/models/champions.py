"""Moves of the champion, in a few letters."""

from __future__ import annotations

from collections.abc import Sequence

from heart_disease import registry
from heart_disease.registry import Kind, Move


def move(to: int, expected: int | None, why: str = "better", kind: Kind = "promotion") -> Move:
    """Move the champion to version `to`."""
    before = None if expected is None else registry.by_version(str(expected))
    return registry.move_champion(registry.by_version(str(to)), expected=before, kind=kind, why=why)


def alias() -> str | None:
    found = registry.by_alias(registry.CHAMPION)
    return found.version if found else None


def path(moves: Sequence[Move]) -> list[str | None]:
    """Every champion there was; fails if a move does not start where the previous one ended."""
    assert [move.number for move in moves] == list(range(1, len(moves) + 1))
    assert [move.before for move in moves] == [None, *[move.after for move in moves[:-1]]]
    return [move.after for move in moves]
