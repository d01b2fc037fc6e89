"""The cells of a table as text, what a copy's codes make of them, and what was done, in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from heart_disease.data.copies.published import BLANKS, LABELS, NAMES, Codes, Copy
from heart_disease.model import schema
from heart_disease.model.words import count

LABEL = schema.LABEL.name
SHOWN = 10
DECIMAL_COMMA = re.compile(r"^(-?\d+),(\d+)$")


@dataclass(frozen=True, eq=False)
class Finding:
    """What a table was recognised as.

    title: the copy. known: how many of its rows are known patients. changes: what was translated, in words.
    refusal: why it cannot be used; empty if it can.
    frame: the patients in UCI codes: float64, and the rows are numbered as they came. Known patients are there once.
    """

    title: str
    known: str
    changes: tuple[str, ...]
    refusal: str
    frame: pd.DataFrame

    def lines(self) -> list[str]:
        """What was found and done, a sentence each."""
        return [f"This is {self.title}: {self.known}.", *(f"  {change}" for change in self.changes)]


@dataclass(frozen=True, eq=False)
class Text:
    """A table as text.

    frame: as it came. names: its columns that have a name of the schema or of a copy, and the schema's names for them.
    cells: these, by the schema's names: each in lower case, a number as short as it can be written, a blank one empty.
    """

    frame: pd.DataFrame
    names: Mapping[str, str]
    cells: pd.DataFrame

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Text:
        """The table as text."""
        names = _renamed([str(name) for name in frame])
        return cls(frame, names, pd.DataFrame({new: _texts(frame[old]) for old, new in names.items()}, frame.index))

    @property
    def extra(self) -> list[str]:
        """The columns without such a name."""
        return [str(name) for name in self.frame if str(name) not in self.names]

    def without_extra(self) -> list[str]:
        """In words, which columns the translated table does not have."""
        shown = ", ".join(map(repr, self.extra[:SHOWN])) + (", ..." if len(self.extra) > SHOWN else "")
        return [f"left out: {shown}"] if self.extra else []

    def known(self, known: int) -> str:
        """How many of its rows are known patients, in words."""
        return f"{known} of its {count(len(self.frame), 'row')} are known patients"

    def in_words(self, copy: Copy) -> list[str]:
        """What is done to columns and cells if the table is read as `copy`."""
        pairs = [f"'{old}' is '{new}'" for old, new in self.names.items() if old != new]
        changes = [f"columns: {', '.join(pairs)}"] if pairs else []
        changes += _written_otherwise(self.frame, self.names)
        for name in (name for name in copy.codes if name in self.cells):
            changes += _mapping(name, copy.codes_of(name), self.cells[name])
        return changes

    def decoded(self, copy: Copy) -> pd.DataFrame:
        """The inputs as the codes of `copy` say, float64: NaN for a blank, infinity for what is no code of it."""
        found = {}
        for column in schema.COLUMNS:
            if column.name not in self.cells:
                continue
            cells = self.cells[column.name]
            if column.codes:
                codes = copy.codes_of(column.name)
                found[column.name] = np.array([codes.get(cell, np.inf) for cell in cells], np.float64)  # None is NaN
            else:
                numbers = pd.to_numeric(cells.to_numpy(), errors="coerce").astype(np.float64)
                found[column.name] = np.where(np.isnan(numbers) & (cells.to_numpy() != ""), np.inf, numbers)
        return pd.DataFrame(found, index=self.cells.index)

    def labels(self, meaning: str) -> pd.Series:
        """The label as `meaning` says, float64: NaN for a blank cell, infinity for what has no such meaning."""
        cells = self.cells[LABEL]
        numbers = cells.map(LABELS[meaning]).astype("float64")
        return numbers.where(numbers.notna() | (cells == ""), np.inf)

    def kept(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The translated cells; one that the copy's codes do not have stays as it is, for the validation to name."""
        return cells.mask(np.isinf(cells), self.cells[list(cells)])


def _renamed(names: Sequence[str]) -> dict[str, str]:
    """The names of columns, and the schema's names for them; a name that is right goes first."""
    found = {name: name for name in names if name in NAMES}
    for name in names:
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        for own, others in NAMES.items():
            if own not in found.values() and plain in (own, *others):
                found[name] = own
                break
    return found


def _texts(values: pd.Series) -> pd.Series:
    found = {cell: _plain(cell) for cell in values.unique() if pd.notna(cell)}
    return pd.Series([found.get(cell, "") for cell in values], values.index, dtype="object")


def _plain(cell: object) -> str:
    text = DECIMAL_COMMA.sub(r"\1.\2", str(cell).strip().lower())
    try:
        number = float(text)
    except ValueError:
        return "" if text in BLANKS else text
    text = f"{number + 0.0:.10g}"  # -0.0 is 0
    return "" if text in BLANKS else text


def _written_otherwise(frame: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """In words: the signs for a missing value that are not blank cells, and decimal commas."""
    cells: Counter[str] = Counter()
    for name in names:
        for cell, n in frame[name].value_counts().items():
            cells[f"{cell:g}" if isinstance(cell, float) else str(cell).strip().lower()] += n
    changes = [f"{count(n, 'cell')} with '{sign}', blank" for sign, n in sorted(cells.items()) if sign in BLANKS[1:]]
    commas = sum(n for cell, n in cells.items() if DECIMAL_COMMA.search(cell))
    return changes + ([f"{count(commas, 'decimal comma')} read as points"] if commas else [])


def _mapping(name: str, codes: Codes, text: pd.Series) -> list[str]:
    """What the values that occur in a column become, in words; nothing if they stay."""
    found = [(value, codes[value]) for value in sorted(text.unique()) if value and value in codes]
    pairs = [(value, "blank" if code is None else f"{code:g}") for value, code in found]
    changed = [f"{value} is {code}" for value, code in pairs if value != code]
    return [f"'{name}': {', '.join(changed)}"] if changed else []


def rows_in_words(numbers: Sequence[int]) -> str:
    """``rows 3, 7 (2 in all) are``."""
    shown = ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
    return f"row{'s' * (len(numbers) > 1)} {shown} ({len(numbers)} in all) {'are' if len(numbers) > 1 else 'is'}"
