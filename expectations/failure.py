"""What validation found: failures, the cells that caused them, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# What the suite adds to the name of a column that has the name of one of its own.
AS_GIVEN = " (as given)"


@dataclass(frozen=True)
class Cell:
    """One cell: `row` as the table's index numbers it, and its value as text; a blank one is ``""``.

    A repeated patient is a row, not a cell: its `column` is ``""`` and its value is ``repeats row 3``.
    """

    row: int
    column: str
    value: str


@dataclass(frozen=True)
class Failure:
    """One rule that the table breaks.

    severity: ``critical`` or ``warning``.
    rule: the rule's short name.
    expected: what the rule allows, in words.
    observed: what came, in words: a count if `cells` name the rest, otherwise a clause of its own.
    cells: the first cells that break the rule, at most `limits.MOST_CELLS`; none if it is about the whole table.
    columns: the columns that may be at fault; none if it is the table as a whole.
    advice: what to do, as sentences.
    whole: whether it makes every row doubtful, even those that break no rule: what the column holds may mean something
        else in this table.
    count: how many cells break the rule.
    """

    severity: str
    rule: str
    expected: str
    observed: str
    cells: tuple[Cell, ...]
    columns: tuple[str, ...]
    advice: str
    whole: bool = False
    count: int = 0

    @property
    def kind(self) -> str:
        """``error`` or ``warning``."""
        return "error" if self.severity == "critical" else "warning"

    def message(self, most: int = 10) -> str:
        """One line: what came, where (at most `most` cells are named), what was expected, what to do."""
        came = self.observed
        if self.cells:
            came = in_words(self.cells, self.count, most) + (f" ({self.observed})" if self.count > 1 else "")
        came += " Expected" if came.endswith("?") else "; expected"
        return f"{self.kind}: {came} {self.expected}. {self.advice}".rstrip()


def in_words(cells: Sequence[Cell], count: int, most: int = 10) -> str:
    """The first of `count` cells of a column, or repeated rows: ``column 'chol' has 999 in row 3 and 800 in row 5``."""
    groups: dict[str, list[int]] = {}
    for cell in cells[:most]:
        groups.setdefault(cell.value, []).append(cell.row)
    name = cells[0].column
    parts = [_where(value, rows, repeated=not name) for value, rows in groups.items()]
    if count > most:
        parts.append(f"{count - most} more")
    if not name:
        return listed(parts)
    return f"column {shown(name)} {'is' if cells[0].value == '' else 'has'} {listed(parts)}"


def _where(value: str, rows: list[int], repeated: bool) -> str:
    where = f"row{'s' if len(rows) > 1 else ''} {listed([str(row) for row in rows])}"
    if repeated:
        return f"{where} {value if len(rows) == 1 else value.replace('repeats', 'repeat', 1)}"
    return f"{shown(value) if value else 'blank'} in {where}"


def shown(value: str) -> str:
    """A value as a message shows it: numbers as they are, text quoted, shortened, control characters escaped."""
    try:
        float(value)
    except ValueError:
        return repr(value if len(value) <= 40 else value[:37] + "...")
    return value


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def percent(share: float) -> str:
    """A share as a person reads it: ``45.9 %``."""
    return f"{round(100 * share, 1):g} %"
