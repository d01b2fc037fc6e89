"""What one pass over a table, frame by frame, says about it as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from expectations.failure import Cell
from expectations.repeats import FREE, Repeats
from heart_disease.model import schema
from heart_disease.model.schema import LABEL

# The sign of the correlation with heart disease, -0.42 and +0.42 in Cleveland; an inverted label reverses it.
DIRECTION = {"thalach": -1, "oldpeak": +1}
# More different values of a column than this are rounded to four digits, so that their number stays small.
MOST_VALUES = 100_000


@dataclass(frozen=True)
class Seen:
    """What a column holds, in numbers.

    least, middle, most: smallest value, median and greatest; None if no cell is a number.
    blank, unreadable, unusual: cells that are blank, are not numbers, or lie outside what is usual.
    counts: for a column of codes, the rows with each code that it may hold.
    """

    name: str
    least: float | None
    middle: float | None
    most: float | None
    blank: int
    unreadable: int
    unusual: int
    counts: dict[int, int]


@dataclass(frozen=True)
class _Together:
    """Number, means and central moments of pairs of values, added up without large sums.

    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The American Statistician 37, 1983.
    """

    n: int = 0
    means: np.ndarray = field(default_factory=lambda: np.zeros(2))
    moments: np.ndarray = field(default_factory=lambda: np.zeros((2, 2)))

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> _Together:
        """The pairs of x (n,) and y (n,), at least one."""
        pairs = np.stack([x, y])
        means = pairs[:, :1] + (pairs - pairs[:, :1]).mean(axis=1, keepdims=True)  # exact for a constant
        return cls(len(x), means[:, 0], (pairs - means) @ (pairs - means).T)

    def __add__(self, other: _Together) -> _Together:
        total, step = self.n + other.n, other.means - self.means
        moments = self.moments + other.moments + np.outer(step, step) * (self.n * other.n / total)
        return _Together(total, self.means + step * (other.n / total), moments)

    @property
    def correlation(self) -> float:
        """0 with a constant."""
        spread = float(np.sqrt(self.moments[0, 0] * self.moments[1, 1]))
        return float(self.moments[0, 1]) / spread if spread > 0 else 0.0


class Statistics:
    """Add every frame of a table once; then ask. Only cells that are finite numbers count.

    `join` adds those of other rows, with the result, to the last bit, of adding the rows.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.sick = Counter[float]()  # the patients without and with heart disease, 0 and 1
        self._values: dict[str, Counter[float]] = {}
        self._odd: dict[str, tuple[int, int]] = {}
        self._short: set[str] = set()  # the columns whose values are in four digits
        self._by: dict[str, list[_Together]] = {name: [] for name in DIRECTION}  # one per frame: sums depend on order
        self._labels: dict[str, Counter[float]] = {name: Counter() for name in DIRECTION}
        self._repeats = Repeats()

    def add(self, frame: pd.DataFrame) -> None:
        """Some rows, indexed by row number."""
        self.rows += len(frame)
        numbers = {name: readable(frame[name]) for name in schema.BY_NAME if name in frame}
        for name, values in numbers.items():
            unknown, empty = int(values.isna().sum()), int(frame[name].isna().sum())
            self._count(name, _counts(values), empty, unknown - empty)
        if LABEL.name in numbers:
            disease = schema.label(numbers[LABEL.name].to_frame()).where(numbers[LABEL.name].notna())
            self.sick.update(_counts(disease))
            for name, frames in self._by.items():
                if name in numbers:
                    known = (disease.notna() & numbers[name].notna()).to_numpy()
                    x = disease.to_numpy()[known]
                    self._labels[name].update({0.0: int((x == 0).sum()), 1.0: int((x == 1).sum())})
                    if len(x):
                        frames.append(_Together.of(x, numbers[name].to_numpy()[known]))
        if set(schema.INPUT_NAMES) <= set(frame):
            self._repeats.add(frame)

    def join(self, below: Statistics) -> None:
        """Add the statistics of the rows below these, numbered from 1."""
        self._repeats.join(below._repeats, self.rows)
        self.rows += below.rows
        self.sick.update(below.sick)
        self._short |= below._short
        for name, values in below._values.items():
            self._count(name, values, *below._odd[name])
        for name in DIRECTION:
            self._labels[name].update(below._labels[name])
            self._by[name] += below._by[name]

    def _count(self, name: str, values: Mapping[float, int], blank: int, unreadable: int) -> None:
        """Count the values of a column, and its cells without one."""
        before = self._odd.get(name, (0, 0))
        self._odd[name] = (before[0] + blank, before[1] + unreadable)
        counted = self._values.setdefault(name, Counter())
        counted.update(values)
        if len(counted) > MOST_VALUES or name in self._short:
            self._short.add(name)
            self._values[name] = rounded = Counter[float]()
            for value, n in counted.items():
                rounded[float(f"{value:.4g}")] += n

    def zeros(self, name: str) -> int:
        """How many cells of a column are 0, if its limits exclude 0."""
        limits = schema.BY_NAME[name].limits
        return self._values[name][0.0] if limits and not limits[0] <= 0 <= limits[1] else 0

    @property
    def share(self) -> float | None:
        """The share of patients with heart disease; None if no label can be read."""
        known = self.sick.total()
        return self.sick[1.0] / known if known else None

    def correlation(self, name: str) -> float | None:
        """The correlation of heart disease with a column of `DIRECTION`; None if only one class has a value there."""
        labels = self._labels[name]
        return sum(self._by[name], _Together()).correlation if labels[0.0] and labels[1.0] else None

    @cached_property
    def repeats(self) -> tuple[int, int, list[Cell]]:
        """See `Repeats.found`."""
        return self._repeats.found(self._values.get(FREE, {}))

    @property
    def seen(self) -> tuple[Seen, ...]:
        """What each column of the schema holds."""
        return tuple(_seen(column, self._values[name], *self._odd[name])
                     for name, column in schema.BY_NAME.items() if name in self._values)  # fmt: skip


def readable(values: pd.Series) -> pd.Series:
    """float64: the finite numbers among `values`, NaN elsewhere."""
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def _counts(values: pd.Series) -> dict[float, int]:
    """How often each number occurs."""
    found = values.value_counts()
    return dict(zip(found.index.to_numpy("float64").tolist(), found.tolist(), strict=True))


def _seen(column: schema.Column, values: Counter[float], blank: int, unreadable: int) -> Seen:
    least, middle, most, unusual = None, None, None, 0
    if values:
        held = np.array(sorted(values))
        below = np.cumsum([values[value] for value in held.tolist()])
        at = np.searchsorted(below, [(below[-1] + 1) // 2, below[-1] // 2 + 1])
        least, middle, most = float(held[0]), float(held[at].mean()), float(held[-1])
    if column.usual:
        low, high = column.usual
        unusual = sum(n for value, n in values.items() if not low <= value <= high)
    counts = {code: int(values[float(code)]) for code in column.codes}
    return Seen(column.name, least, middle, most, blank, unreadable, unusual, counts)
