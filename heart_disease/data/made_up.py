"""Made-up patients, drawn from whatever columns the schema has, to test whether a version can score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heart_disease.model import schema
from heart_disease.model.schema import Column

BLANK_SHARE = 0.1  # the share of an optional column's cells that are blank


def patients(n: int = 300) -> pd.DataFrame:
    """`n` patients whom every model of this schema can score: all inputs, float64, the same at every call."""
    draw = np.random.default_rng(0)
    return pd.DataFrame({column.name: _cells(column, n, draw) for column in schema.COLUMNS})


def _cells(column: Column, n: int, draw: np.random.Generator) -> NDArray[np.float64]:
    if column.codes:
        cells = draw.choice(np.array(list(column.codes), "float64"), n)
    else:
        low, high = column.usual or column.limits or (0, 1)
        cells = draw.uniform(low, high, n)
    return np.where(draw.random(n) < BLANK_SHARE, np.nan, cells) if column.optional else cells
