"""Encode patients: 13 columns -> 29 inputs, or fewer if columns are left out.

First come 6 numbers, standardised with the mean and spread of the rows that the encoder was fitted on, then one input
for each code of the 7 other columns; a column that may be blank has one more input for that. The codes come from the
schema, not from a sample, so every encoder has the same 29 inputs. It remembers which of them no row had: an input
that was 0 in every training row has a weight that nothing has taught.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import schema

if TYPE_CHECKING:
    import pandas as pd

BLANK = -1.0  # stands for a blank cell among the codes
BLOCK = 1_000_000  # rows that are encoded at once, so that what lies between a frame and its inputs stays small


def _codes(column: schema.Column) -> list[float]:
    return sorted([*([BLANK] if column.optional else []), *map(float, column.codes)])


NUMBERS = [column.name for column in schema.COLUMNS if column.is_number]
CODED = [column for column in schema.COLUMNS if not column.is_number]
NUMBERED = [schema.INPUT_NAMES.index(name) for name in NUMBERS]  # their positions in a row
HOT = [(schema.INPUT_NAMES.index(column.name), code) for column in CODED for code in _codes(column)]
HOT_COLUMNS, HOT_CODES = [column for column, _ in HOT], np.array([code for _, code in HOT])  # one per coded input
INPUT_COLUMNS = [*NUMBERED, *HOT_COLUMNS]  # the position in a row of the column behind each of the 29 inputs
HOT_NAMES = [
    f"{column.name}={'blank' if code == BLANK else column.codes[int(code)]}"
    for column in CODED
    for code in _codes(column)
]


@dataclass(frozen=True)
class Encoder:
    """Made by `fit`.

    means, scales: belong to the numbers, in the schema's order.
    unseen: the inputs of codes that no row had, ``cp=unknown``; none if that is not known, as in older versions.
    without: the columns that it ignores, whatever they hold.
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]
    unseen: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @classmethod
    def fit(cls, frame: pd.DataFrame, rows: NDArray[np.int64] | None = None) -> Encoder:
        """An encoder with the means and standard deviations of the rows (by number) of `frame`, or of all its rows."""
        from sklearn.preprocessing import StandardScaler  # not needed for scoring

        scaler, seen = StandardScaler(), np.zeros(len(HOT), bool)
        rows = np.arange(len(frame)) if rows is None else rows
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            cells = frame[list(schema.INPUT_NAMES)].iloc[part].to_numpy("float64")
            scaler.partial_fit(cells[:, NUMBERED])
            seen |= hot(cells).any(axis=0)
        return cls(tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist()), unseen(seen[None]))

    def leaving_out(self, without: Collection[str]) -> Encoder:
        """This encoder, which has all columns, without these."""
        if not without:
            return self
        kept = [k for k, name in enumerate(NUMBERS) if name not in without]
        means, scales = (tuple(values[k] for k in kept) for values in (self.means, self.scales))
        names = tuple(name for name in self.unseen if name in input_names(without))
        return Encoder(means, scales, names, tuple(name for name in schema.INPUT_NAMES if name in without))

    @cached_property
    def columns(self) -> tuple[schema.Column, ...]:
        """The columns that it takes."""
        return tuple(column for column in schema.COLUMNS if column.name not in self.without)

    @cached_property
    def ignored(self) -> NDArray[np.bool_]:
        """Which of the schema's columns it leaves out (13,)."""
        return np.isin(schema.INPUT_NAMES, self.without)

    @property
    def width(self) -> int:
        """The number d of inputs; 29 with all columns."""
        return len(self._positions)

    @property
    def input_columns(self) -> NDArray[np.int64]:
        """The position in a row of the column behind each of its inputs (d,)."""
        return np.array(INPUT_COLUMNS)[self._positions]

    @cached_property
    def _positions(self) -> NDArray[np.int64]:
        return positions(self.without)

    def transform(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Rows that the schema allows -> (n, d), in the order of `input_names`; a column left out may be missing.

        Raises:
            ValueError: a column holds a code that the schema does not list, or a number is blank.
        """
        cells, found = frame[[column.name for column in self.columns]], np.empty((len(frame), self.width), np.float32)
        for start in range(0, len(frame), BLOCK):
            block = slice(start, start + BLOCK)
            found[block] = self.encode(self._spread(cells.iloc[block].to_numpy("float64")))
        return found

    def _spread(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """The cells of `columns`, with NaN for the other columns: (n, columns) -> (n, 13)."""
        if not self.without:
            return cells
        found = np.full((len(cells), len(schema.INPUT_NAMES)), np.nan)
        found[:, ~self.ignored] = cells
        return found

    def encode(self, cells: NDArray[np.float64]) -> NDArray[np.float32]:
        """Do as `transform`, for values in the order of `schema.INPUT_NAMES`, NaN for a blank: (n, 13) -> (n, d)."""
        kept = len(self.means)
        numbers = cells[:, NUMBERED][:, self._positions[:kept]]  # (n, 6) with all columns
        if np.isnan(numbers).any():
            names = [column.name for column in self.columns if column.is_number]
            raise ValueError(f"expected a number in every cell of {', '.join(names)}; got a blank")
        coded = hot(cells)[:, self._positions[kept:] - len(NUMBERS)]  # (n, 23) with all columns
        if (coded.sum(axis=1) != len(self.columns) - kept).any():
            columns = [(column, cells[:, schema.INPUT_NAMES.index(column.name)]) for column in self.columns]
            unknown = [column for column, values in columns if column.codes and schema.outside(values, column).any()]
            raise ValueError("unknown category: " + "; ".join(f"{it.name} expects {it.expected}" for it in unknown))
        return np.hstack([(numbers - self.means) / self.scales, coded]).astype(np.float32)

    def never_seen(self, cells: NDArray[np.float64]) -> NDArray[np.bool_]:
        """The cells with a code that no fitted row had, for values as `encode` takes them: (n, 13) -> (n, 13)."""
        found = np.zeros(cells.shape, bool)
        for name in self.unseen:
            column, code = HOT[HOT_NAMES.index(name)]
            found[:, column] |= np.isnan(cells[:, column]) if code == BLANK else cells[:, column] == code
        return found

    def expected(self, column: schema.Column) -> str:
        """What a cell may hold, in words, without the codes that no fitted row had: ``1, 2, 3 or 4``."""
        names = {code: f"{column.name}={meaning}" for code, meaning in column.codes.items()}
        codes = {code: column.codes[code] for code, name in names.items() if name not in self.unseen}
        optional = column.optional and f"{column.name}=blank" not in self.unseen
        return replace(column, codes=codes, optional=optional).expected

    def to_json(self) -> str:
        """All that `from_json` needs, and the names of the inputs for people who read it."""
        names = [column.name for column in self.columns if column.is_number]
        fitted = {name: {"mean": m, "scale": s} for name, m, s in zip(names, self.means, self.scales, strict=True)}
        parts = {"numbers": fitted, "inputs": input_names(self.without), "unseen": self.unseen}
        return json.dumps({**parts, "without": self.without}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Encoder:
        """The encoder that `to_json` wrote.

        Raises:
            ValueError, LookupError: `to_json` did not write this, or it did for other columns.
        """
        stored = json.loads(text)
        numbers, without = stored["numbers"], tuple(stored.get("without", ()))  # older versions have all columns
        if unknown := set(without) - set(schema.INPUT_NAMES):
            raise ValueError(f"without {', '.join(sorted(unknown))}; expected some of {', '.join(schema.INPUT_NAMES)}")
        kept = [name for name in NUMBERS if name not in without]
        means, scales = (tuple(numbers[name][what] for name in kept) for what in ("mean", "scale"))
        names = tuple(stored.get("unseen", ()))  # older versions do not say
        if unknown := set(names) - set(HOT_NAMES):
            raise ValueError(f"input {', '.join(sorted(unknown))}; expected some of {', '.join(HOT_NAMES)}")
        return cls(means, scales, names, without)


def hot(cells: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which code each cell holds, for values as `Encoder.encode` takes them: (n, 13) -> (n, 23)."""
    found: NDArray[np.bool_] = np.where(np.isnan(cells), BLANK, cells)[:, HOT_COLUMNS] == HOT_CODES
    return found


def unseen(coded: NDArray[Any]) -> tuple[str, ...]:
    """The names of the coded inputs that are 0 in every row of `coded` (n, 23)."""
    return tuple(name for name, values in zip(HOT_NAMES, coded.T, strict=True) if not values.any())


def input_names(without: Collection[str] = ()) -> list[str]:
    """The 29 inputs, in order: ``age``, ..., ``sex=female``, ..., ``thal=blank``; fewer without some columns."""
    every = NUMBERS + HOT_NAMES
    return [every[k] for k in positions(without)]


def positions(without: Collection[str]) -> NDArray[np.int64]:
    """Where the inputs of the columns that are not left out stand among all 29, ascending."""
    return np.flatnonzero([schema.INPUT_NAMES[column] not in without for column in INPUT_COLUMNS])
