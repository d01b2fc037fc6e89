"""A quick look at a file before it is scored: may validation have doubts about all of its rows?

It only counts what a doubt needs at least (`explain`), and errs on the side of asking: Great Expectations is the judge,
but need not be called if its answer is certain.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from expectations.limits import BLANK_ROWS, MOST_BLANK, MOST_FOREIGN, MOST_RARE, RARE_ROWS
from heart_disease.data.sources import Rows
from heart_disease.model import schema


class Screen:
    """Add all rows of a file, then ask. words: the columns of the schema that hold something besides numbers."""

    def __init__(self) -> None:
        self.rows = 0
        self.words: set[str] = set()
        self._foreign, self._blank, self._known = Counter[str](), Counter[str](), Counter[str]()
        self._rare = Counter[tuple[str, int]]()

    def add(self, rows: Rows) -> None:
        """Count the cells of some rows."""
        self.rows += len(rows.index)
        for name, column in schema.BY_NAME.items():
            if name not in rows.columns:
                continue
            cells = rows.columns[name]
            if cells.dtype == object:
                self.words.add(name)
            if name not in schema.INPUT_NAMES:
                continue
            numbers = schema.numbers(rows.frame[name]) if cells.dtype == object else cells
            blank = int(np.isnan(numbers).sum())
            self._blank[name] += blank
            self._known[name] += int(np.isfinite(numbers).sum())
            self._foreign[name] += int(schema.outside(numbers, column).sum())
            for code in column.usual_share:
                self._rare[name, code] += int((numbers == code).sum())

    def join(self, other: Screen) -> None:
        """Add what another screen has counted in other rows."""
        self.rows += other.rows
        self.words |= other.words
        self._foreign.update(other._foreign)
        self._blank.update(other._blank)
        self._known.update(other._known)
        self._rare.update(other._rare)

    @property
    def may_be_doubted(self) -> bool:
        """Whether validation has to be asked: it has no doubts otherwise."""
        foreign = any(n > 1 and n > MOST_FOREIGN * self.rows for n in self._foreign.values())
        blank = self.rows >= BLANK_ROWS and any(
            self._blank[column.name] >= MOST_BLANK * self.rows for column in schema.COLUMNS if column.optional
        )
        rare = self.rows >= RARE_ROWS and any(
            n >= MOST_RARE * self._known[name] for (name, _), n in self._rare.items() if n
        )
        return foreign or blank or rare
