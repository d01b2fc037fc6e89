"""Great Expectations' results -> failures that a person can act on."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from expectations.failure import AS_GIVEN, Cell, Failure, listed, percent, shown
from expectations.judge import Tally
from expectations.limits import BLANK_ROWS, MOST_FOREIGN
from expectations.statistics import Statistics
from heart_disease.model import schema
from heart_disease.model.schema import Column
from heart_disease.model.words import count

# From a number alone nobody can tell which copy it comes from, so no conversion is advised.
COPIES = "What a code means differs from copy to copy of this data: see docs/copies.md before you change any."
# For each kind of warning, the kind of error that the same cells may already cause.
REFUSED_AS = {"usual": "limits", "usual share": "rare share"}
MISSING_WORDS = frozenset({"?", "-", ".", "na", "n/a", "nan", "none", "null", "missing", "unknown"})

Result = dict[str, Any]


def explain(results: Sequence[tuple[Result, Tally]], found: Statistics) -> tuple[Failure, ...]:
    """The failures among `results`, errors first; `found` is about the same table.

    A cell that is already refused gets no warning as well.
    """
    failed = [(result, tally) for result, tally in results if not result["success"]]
    directions = [result["success"] for result, _ in results if _meta(result)["kind"] == "direction"]
    inverted = len(directions) > 1 and not any(directions)
    refused: dict[tuple[str, str], Tally] = {}
    failures: list[Failure] = []
    for result, tally in failed:
        kind, names = _meta(result)["kind"], _meta(result)["columns"]
        if kind in REFUSED_AS:
            # All cells that break a limit are unusual too, and those of a code that is refused are one code's.
            tally = _without(tally, refused.get((REFUSED_AS[kind], names[0])))
        elif len(names) == 1:
            refused[kind, names[0]] = tally
        failures += _failures(result, tally, found, inverted)
    return tuple(sorted(failures, key=lambda failure: failure.severity != "critical"))


def _without(tally: Tally, refused: Tally | None) -> Tally:
    if refused is None:
        return tally
    known = set(refused.rows)
    left = [(row, value) for row, value in zip(tally.rows, tally.cells, strict=True) if row not in known]
    rows, cells = [row for row, _ in left], [value for _, value in left]
    return replace(tally, count=tally.count - refused.count, rows=rows, cells=cells)


def _failures(result: Result, tally: Tally, found: Statistics, inverted: bool) -> Iterator[Failure]:
    meta, outcome, rows = _meta(result), result["result"], found.rows
    severity, names = result["expectation_config"]["severity"], tuple(meta["columns"])

    def failure(
        observed: str,
        advice: str,
        cells: Sequence[Cell] = (),
        count: int = 0,
        columns: Sequence[str] = names,
        whole: bool = False,
    ) -> Failure:
        return Failure(
            severity, meta["rule"], meta["expected"], observed, tuple(cells), tuple(columns), advice, whole, count
        )

    if not outcome and not tally.count and meta["kind"] != "number":
        # An expectation that Great Expectations could not compute must never count as met.
        yield failure(f"'{meta['rule']}' could not be checked", "Please report this, with the table if you can.")
        return
    match meta["kind"]:
        case "columns":
            yield from _columns(outcome["details"]["mismatched"], severity)
        case "rows":
            yield failure(f"the table has {count(rows, 'row')}", "Add patients.")
        case "duplicates":
            repeats, by_chance, cells = found.repeats
            more = f"; chance explains at most {by_chance}" if by_chance else ""
            yield failure(f"{repeats} of {rows} rows{more}", "Keep one of each.", cells, repeats, columns=())
        case "balance":
            yield failure(
                f"{percent(outcome['observed_value'])} of the {rows} patients have heart disease (num > 0)",
                "A model needs both: add patients of the other class, or check how the label is coded.",
            )
        case "direction":
            at_fault = names[:1] if inverted else names
            yield failure(*_direction(names[1], outcome["observed_value"], inverted), columns=at_fault)
        case kind:
            name = names[0]
            cells = [Cell(row, name, as_text(value)) for row, value in zip(tally.rows, tally.cells, strict=True)]
            share = f", {percent(tally.count / rows)}" if kind.endswith("share") else ""
            if tally.count:
                # Some hospitals write 0 for what was not measured, which says nothing about the other rows.
                strange = tally.count - (found.zeros(name) if kind == "limits" else 0)
                whole = name in schema.INPUT_NAMES and _is_about_all(kind, strange, rows)
                observed, advice = f"{tally.count} of {rows} rows{share}", _advice(kind, schema.BY_NAME[name], cells)
                yield failure(observed, advice, cells, tally.count, whole=whole)
            elif kind == "number":  # no cell is at fault: a table that was not read by heart_disease/data/sources.py
                yield failure(f"column '{name}' is of type {outcome['observed_value']}", "Convert it to float64.")


def _meta(result: Result) -> dict[str, Any]:
    meta: dict[str, Any] = result["expectation_config"]["meta"]
    return meta


def _columns(mismatched: dict[str, list[str]], severity: str) -> Iterator[Failure]:
    missing = [name for name in schema.BY_NAME if name in mismatched.get("missing", ())]
    extra = sorted({str(name).removesuffix(AS_GIVEN) for name in mismatched.get("unexpected", ())})
    for name in list(missing):
        like = difflib.get_close_matches(name, [other.lower().strip() for other in extra], n=1, cutoff=0.6)
        if like:
            other = next(other for other in extra if other.lower().strip() == like[0])
            missing.remove(name)
            extra.remove(other)
            observed = f"column {shown(other)} is unknown; did you mean '{name}'?"
            rule, advice = f"column '{name}' is there", f"If it is '{name}', rename it."
            yield Failure(severity, rule, f"'{name}' ({schema.BY_NAME[name].meaning})", observed, (), (name,), advice)
    if missing:
        names = listed([f"'{name}'" for name in missing])
        observed = f"column {names} is missing" if len(missing) == 1 else f"columns {names} are missing"
        expected = f"all of {', '.join(schema.BY_NAME)}"
        yield Failure(severity, "every column is there", expected, observed, (), tuple(missing), "Add what is missing.")
    if extra:
        names = listed([shown(name) for name in extra[:10]] + ([f"{len(extra) - 10} more"] if len(extra) > 10 else []))
        observed = f"column {names} is unknown" if len(extra) == 1 else f"columns {names} are unknown"
        expected = f"only {', '.join(schema.BY_NAME)}"
        yield Failure(severity, "no other columns", expected, observed, (), (), "Leave the unknown ones out.")


def _direction(name: str, correlation: float, inverted: bool) -> tuple[str, str]:
    word = "rises with" if correlation > 0 else "falls with" if correlation < 0 else "does not depend on"
    column = f"'{name}', {schema.BY_NAME[name].meaning}"
    what = "the label looks inverted: it" if inverted else "the label"
    advice = (
        "The known copies with an inverted label have other codes in other columns too: see docs/copies.md before you "
        "change any."
    )
    if not inverted:
        advice = f"Check the unit and the sign of '{name}', and what the label means."
    return f"{what} {word} {column} (correlation {correlation:+.2f})", advice


def _is_about_all(kind: str, cells: int, rows: int) -> bool:
    """Whether a rule that `cells` of the `rows` break makes the other rows doubtful."""
    match kind:
        case "rare share":
            return True
        case "blank share":
            return rows >= BLANK_ROWS
        case "codes" | "limits":
            return cells > 1 and cells > MOST_FOREIGN * rows
    return False


def as_text(value: Any) -> str:
    """A cell as a person would write it: ``63``, ``2.3``, ``inf``, text as it is, blank as ``""``."""
    if isinstance(value, str):
        value = _number(value)
    if not isinstance(value, float):
        return "" if value is None or value is pd.NA else str(value)
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() else repr(float(value))


def _number(text: str) -> float | str:
    """Text that is a number, in a column with words, as that number."""
    number = pd.to_numeric(text, errors="coerce")
    return text if pd.isna(number) else float(number)


def _advice(kind: str, column: Column, cells: Sequence[Cell]) -> str:
    values = {cell.value for cell in cells}
    if kind in ("usual", "usual share"):
        return "That is possible, but rare among the Cleveland patients: check the value."
    if kind == "blank":
        optional = listed([f"'{other.name}'" for other in schema.COLUMNS if other.optional])
        return f"Only {optional} may be blank: fill the value in, or leave these patients out."
    if kind == "blank share":
        return "Fill the values in, or leave these patients out."
    if kind == "number" and {value.lower() for value in values} <= MISSING_WORDS:
        if column.optional:
            return "Where a value is missing, leave the cell blank."
        return "A value is required here: fill it in, or leave these patients out."
    codes = f"The codes: {', '.join(f'{code} {meaning}' for code, meaning in column.codes.items())}."
    if kind in ("codes", "rare share"):
        return f"{codes} {COPIES}"
    if kind == "number":
        return codes if column.codes else "Write a plain number, with a point for decimals."
    return "Correct the value, or leave the patient out."
