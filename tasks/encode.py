"""Encode patients: 13 columns -> 29 inputs, with pandas and scikit-learn.

6 numbers, standardised with the mean and spread of the rows that the encoder was fitted on, then one input for each
code of the 7 other columns; a column that may be blank has one more input for that. The codes come from the
schema and not from a sample, so that every encoder has the same 29 inputs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tasks import schema

NUMBERS = [column.name for column in schema.COLUMNS if column.is_number]
CODED = [column for column in schema.COLUMNS if not column.is_number]
BLANK = -1.0  # stands for a blank cell among the codes


@dataclass(frozen=True)
class Encoder:
    """Fitted by `fit`. `means` and `scales` belong to the numbers, in the schema's order."""

    means: tuple[float, ...]
    scales: tuple[float, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame) -> Encoder:
        """An encoder with the means and standard deviations of `frame`'s rows."""
        scaler = StandardScaler().fit(frame[NUMBERS].to_numpy("float64"))
        return cls(tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist()))

    def transform(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Rows that the schema allows -> (n, 29), in the order of `input_names`.

        Raises:
            ValueError: a column holds a code that the schema does not list, or a number is blank.
        """
        numbers = frame[NUMBERS].to_numpy("float64")
        if np.isnan(numbers).any():
            raise ValueError(f"expected a number in every cell of {', '.join(NUMBERS)}; got a blank")
        scaled = (numbers - self.means) / self.scales  # (n, 6)
        coded = frame[[column.name for column in CODED]].to_numpy("float64")
        hot = _one_hot().transform(np.where(np.isnan(coded), BLANK, coded))  # (n, 23)
        return np.hstack([scaled, hot]).astype(np.float32)

    def to_json(self) -> str:
        """All that `from_json` needs, and the names of the inputs for a reader."""
        fitted = {name: {"mean": m, "scale": s} for name, m, s in zip(NUMBERS, self.means, self.scales, strict=True)}
        return json.dumps({"numbers": fitted, "inputs": input_names()}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Encoder:
        """The encoder that `to_json` wrote."""
        numbers = json.loads(text)["numbers"]
        return cls(tuple(numbers[name]["mean"] for name in NUMBERS), tuple(numbers[name]["scale"] for name in NUMBERS))


def matrices(frame: pd.DataFrame, fitted_on: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    """All rows, encoded once for each set of row numbers that an encoder is fitted on: (F, n, 29)."""
    return np.stack([Encoder.fit(frame.iloc[rows]).transform(frame) for rows in fitted_on])


def input_names() -> list[str]:
    """The 29 inputs, in order: ``age``, ..., ``sex=female``, ..., ``thal=blank``."""
    return NUMBERS + [
        f"{column.name}={'blank' if code == BLANK else column.codes[int(code)]}"
        for column in CODED
        for code in sorted(_codes(column))
    ]


@cache
def _one_hot() -> OneHotEncoder:
    vocabulary = [sorted(_codes(column)) for column in CODED]
    # With given categories there is nothing to learn from a row; scikit-learn wants to see one all the same.
    return OneHotEncoder(categories=vocabulary, sparse_output=False).fit([[codes[0] for codes in vocabulary]])


def _codes(column: schema.Column) -> list[float]:
    return [*([BLANK] if column.optional else []), *map(float, column.codes)]
