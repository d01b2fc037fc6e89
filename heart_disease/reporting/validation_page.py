"""Validation -> one HTML page for people: no script, nothing loaded; for light and dark, wide and narrow, and print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from expectations.failure import in_words, listed, percent
from expectations.gate import Seen, Validation
from heart_disease.data.remote import addresses
from heart_disease.model import schema
from heart_disease.model.schema import Column
from heart_disease.reporting import pages

MARKS = {"ok": "✓ ok", "warning": "! warning", "error": "✕ error"}
MOST_CELLS = 30
WHOLE = ("columns", "rows", "duplicates", "balance", "direction")  # the rules about the table as a whole


@dataclass(frozen=True)
class _Rule:
    """A rule of the table as a whole, and what was observed."""

    state: str
    rule: str
    expected: str
    observed: str


@dataclass(frozen=True)
class _Bar:
    """Where the observed numbers lie between a column's limits, in percent of their distance."""

    left: float
    width: float
    middle: float


@dataclass(frozen=True)
class _Held:
    """What a column holds, in words and as a bar; a column of codes has no bar."""

    lines: list[str]
    notes: list[str]
    bar: _Bar | None


@dataclass(frozen=True)
class _Column:
    """A column of the schema, and what it holds; None if the table lacks it."""

    state: str
    column: Column
    held: _Held | None


def render(validation: Validation) -> str:
    """The complete page; everything that came from the table is escaped."""
    return pages.fill(
        "heart_disease.reporting",
        "validation_page.html",
        validation=validation,
        source=addresses.name(validation.source),
        headline=headline(validation),
        whole=_whole(validation),
        columns=_columns(validation),
        marks=MARKS,
        most_cells=MOST_CELLS,
        in_words=in_words,
    )


def headline(validation: Validation) -> str:
    """What validation found, in one sentence."""
    counts = [_many(len(validation.errors), "error")] if validation.errors else []
    counts += [_many(len(validation.warnings), "warning")] if validation.warnings else []
    found = listed(counts) if counts else "nothing to report"
    if validation.passed:
        return f"Passed: {_many(validation.rows, 'patient')} can be used, with {found}."
    return f"Refused: {_many(validation.rows, 'patient')} cannot be used; there {_are(counts[0])} {found}."


def _many(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _are(count: str) -> str:
    return "is" if count.startswith("1 ") else "are"


def _whole(validation: Validation) -> list[_Rule]:
    rules = []
    for one in validation.result["results"]:
        meta = one["expectation_config"]["meta"]
        if meta["kind"] in WHOLE:
            state = "ok" if one["success"] else "error"
            rules.append(_Rule(state, meta["rule"], meta["expected"], _observed(meta["kind"], one)))
    return rules


def _observed(kind: str, result: dict[str, Any]) -> str:
    outcome = result["result"]
    match kind:
        case "columns":
            return "these" if result["success"] else "others: see the errors"
        case "duplicates":
            return f"{percent(outcome['observed_value'])} of the rows repeat another"
        case "balance":
            return percent(outcome["observed_value"])
        case "direction":
            return f"correlation {outcome['observed_value']:+.2f}"
        case _:
            return str(outcome["observed_value"])


def _columns(validation: Validation) -> list[_Column]:
    seen = {one.name: one for one in validation.seen}
    columns = []
    for name, column in schema.BY_NAME.items():
        kinds = [failure.kind for failure in validation.failures if name in failure.columns]
        state = "error" if "error" in kinds else "warning" if kinds else "ok"
        held = _held(column, seen[name], validation.rows) if name in seen else None
        columns.append(_Column(state, column, held))
    return columns


def _held(column: Column, seen: Seen, rows: int) -> _Held:
    bar = None
    if column.codes:
        counts = [(code, meaning, seen.counts[code]) for code, meaning in column.codes.items() if seen.counts[code]]
        lines = [f"{code} {meaning}: {n} ({percent(n / rows)})" for code, meaning, n in counts]
    elif column.limits is None or seen.least is None or seen.middle is None or seen.most is None:
        lines = ["no number"]
    else:
        lines = [f"{seen.least:g} to {seen.most:g} {column.unit}, median {seen.middle:g}"]
        bar = _bar(column.limits, seen.least, seen.middle, seen.most)
    notes = []
    if seen.unusual:
        notes.append(f"{_many(seen.unusual, 'cell')} ({percent(seen.unusual / rows)}) outside the usual")
    if seen.blank:
        notes.append(f"{seen.blank} blank ({percent(seen.blank / rows)})")
    if seen.unreadable:
        notes.append(f"{seen.unreadable} not a number")
    return _Held(lines, notes, bar)


def _bar(limits: tuple[float, float], least: float, middle: float, most: float) -> _Bar:
    low, high = limits

    def at(value: float) -> float:
        return 100 * min(max((value - low) / (high - low), 0), 1)

    return _Bar(at(least), at(most) - at(least), at(middle))
