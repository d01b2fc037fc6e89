"""Encode patients: 13 columns -> 29 inputs.

First come 6 numbers, standardised with the mean and spread of the rows that the encoder was fitted on, then one input
for each code of the 7 other columns; a column that may be blank has one more input for that. The codes come from the
schema, not from a sample, so every encoder has the same 29 inputs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import schema

BLANK = -1.0  # stands for a blank cell among the codes


def _codes(column: schema.Column) -> list[float]:
    return sorted([*([BLANK] if column.optional else []), *map(float, column.codes)])


NUMBERS = [column.name for column in schema.COLUMNS if column.is_number]
CODED = [column for column in schema.COLUMNS if not column.is_number]
NUMBERED = [schema.INPUT_NAMES.index(name) for name in NUMBERS]  # their positions in a row
HOT = [(schema.INPUT_NAMES.index(column.name), code) for column in CODED for code in _codes(column)]
HOT_COLUMNS, HOT_CODES = [column for column, _ in HOT], np.array([code for _, code in HOT])  # one per coded input


@dataclass(frozen=True)
class Encoder:
    """Made by `fit`. `means` and `scales` belong to the numbers, in the schema's order."""

    means: tuple[float, ...]
    scales: tuple[float, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame) -> Encoder:
        """An encoder with the means and standard deviations of `frame`'s rows."""
        from sklearn.preprocessing import StandardScaler  # not needed for scoring

        scaler = StandardScaler().fit(frame[NUMBERS].to_numpy("float64"))
        return cls(tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist()))

    def transform(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Rows that the schema allows -> (n, 29), in the order of `input_names`.

        Raises:
            ValueError: a column holds a code that the schema does not list, or a number is blank.
        """
        return self.encode(frame[list(schema.INPUT_NAMES)].to_numpy("float64"))

    def encode(self, cells: NDArray[np.float64]) -> NDArray[np.float32]:
        """Do as `transform`, for values in the order of `schema.INPUT_NAMES`, NaN for a blank: (n, 13) -> (n, 29)."""
        numbers = cells[:, NUMBERED]  # (n, 6)
        if np.isnan(numbers).any():
            raise ValueError(f"expected a number in every cell of {', '.join(NUMBERS)}; got a blank")
        coded = np.where(np.isnan(cells), BLANK, cells)[:, HOT_COLUMNS]  # (n, 23)
        hot = coded == HOT_CODES
        if (hot.sum(axis=1) != len(CODED)).any():
            columns = zip(schema.COLUMNS, cells.T, strict=True)
            unknown = [column for column, values in columns if column.codes and schema.outside(values, column).any()]
            raise ValueError("unknown category: " + "; ".join(f"{it.name} expects {it.expected}" for it in unknown))
        return np.hstack([(numbers - self.means) / self.scales, hot]).astype(np.float32)

    def to_json(self) -> str:
        """All that `from_json` needs, and the names of the inputs for people who read it."""
        fitted = {name: {"mean": m, "scale": s} for name, m, s in zip(NUMBERS, self.means, self.scales, strict=True)}
        return json.dumps({"numbers": fitted, "inputs": input_names()}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Encoder:
        """The encoder that `to_json` wrote."""
        numbers = json.loads(text)["numbers"]
        return cls(tuple(numbers[name]["mean"] for name in NUMBERS), tuple(numbers[name]["scale"] for name in NUMBERS))


def input_names() -> list[str]:
    """The 29 inputs, in order: ``age``, ..., ``sex=female``, ..., ``thal=blank``."""
    return NUMBERS + [
        f"{column.name}={'blank' if code == BLANK else column.codes[int(code)]}"
        for column in CODED
        for code in _codes(column)
    ]
