"""Patients that are in a table twice, and how many of them chance explains.

Two patients of a large table agree in all 13 whole numbers by chance, and the number of such pairs grows with the
square of the rows. It is estimated from the table itself: from the pairs that agree in everything but cholesterol,
and the chance p that any two patients have the same cholesterol, as p / (1 - p) for each. Copies of rows do not
add to those pairs. Patients who agree in the rest are also likelier to have the same cholesterol: on simulated patients
chance brings 3 to 6 times the estimate, whatever the number of rows from 10,000 to 1,000,000. So 10 times the estimate
is allowed, and what a Poisson variable of that mean exceeds once in 1,000 times. Up to 1,000 rows, none is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expectations.failure import Cell
from expectations.limits import MOST_CELLS
from heart_disease.data import digests, sources
from heart_disease.data.digests import Digests
from heart_disease.model import schema

# The column in which two patients agree least often: the one with most room, cholesterol.
FREE = max((column.limits[1] - column.limits[0], column.name) for column in schema.COLUMNS if column.limits)[1]
NONE_UP_TO = 1000
ALLOWANCE, RARELY = 10, 0.001


@dataclass
class Repeats:
    """Sees every row once, 24 bytes each."""

    _ids: list[Digests] = field(default_factory=list)
    _rest: list[Digests] = field(default_factory=list)
    _rows: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, frame: pd.DataFrame) -> None:
        """Rows with all input columns, indexed by row number, each number above those before."""
        cells = {name: digests.of_values(sources.cells(frame[name])) for name in schema.INPUT_NAMES}
        self._ids.append(digests.of_rows(cells))
        cells.pop(FREE)
        self._rest.append(digests.of_rows(cells))
        self._rows.append(frame.index.to_numpy("int64"))

    def join(self, below: Repeats, rows: int) -> None:
        """Add what was seen of the rows below these `rows`, numbered from 1."""
        self._ids += below._ids
        self._rest += below._rest
        self._rows += [numbers + rows for numbers in below._rows]

    def found(self, free: Mapping[float, int]) -> tuple[int, int, list[Cell]]:
        """How many rows repeat an earlier one, how many chance explains, and the first of them.

        free: how often each value of the column `FREE` occurs.
        """
        if not self._ids:
            return 0, 0, []
        ids, rows = np.concatenate(self._ids), np.concatenate(self._rows)
        order = np.argsort(ids, kind="stable")
        ids, rows = ids[order], rows[order]
        again = ids[1:] == ids[:-1]
        repeats = int(again.sum())
        if not repeats:
            return 0, 0, []
        allowed = 0 if len(ids) <= NONE_UP_TO else self._by_chance(_pairs(ids), free)
        start = np.maximum.accumulate(np.where(np.concatenate([[True], ~again]), np.arange(len(ids)), 0))
        row, first = rows[1:][again], rows[start[1:][again]]
        least = np.argsort(row)[:MOST_CELLS]
        pairs = zip(row[least].tolist(), first[least].tolist(), strict=True)
        cells = [Cell(at, "", f"repeats row {of}") for at, of in pairs]
        return repeats, allowed, cells

    def _by_chance(self, same: float, free: Mapping[float, int]) -> int:
        from scipy.stats import poisson

        counts = np.array(list(free.values()), dtype="float64")
        p = float(((counts / counts.sum()) ** 2).sum()) if len(counts) else 1.0
        if p == 1:  # a column that never varies says nothing about chance
            return 0
        expected = (_pairs(np.sort(np.concatenate(self._rest))) - same) * p / (1 - p)
        return int(poisson.isf(RARELY, ALLOWANCE * expected)) if expected > 0 else 0


def _pairs(ordered: NDArray[Any]) -> float:
    """How many pairs of equal values there are."""
    ends = np.flatnonzero(np.concatenate([ordered[1:] != ordered[:-1], [True]]))
    sizes = np.diff(ends, prepend=-1).astype("float64")
    return math.fsum(sizes * (sizes - 1) / 2)
