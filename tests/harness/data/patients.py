"""Patients for tests: random and plausible, drawn from the schema; they pass validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from heart_disease.model import schema
from heart_disease.model.schema import Column

# The maximum heart rate falls with disease; all other columns rise.
FALLING = frozenset({"thalach"})
# How strongly a column depends on the illness behind it, from 0 to 1.
STRENGTH = 0.7
# The share of blank cells in an optional column.
BLANK = 0.02

# The first patient of the bundled file, without the diagnosis.
FIRST = {"age": 63, "sex": 1, "cp": 1, "trestbps": 145, "chol": 233, "fbs": 1, "restecg": 2, "thalach": 150, "exang": 0,
         "oldpeak": 2.3, "slope": 3, "ca": 0, "thal": 6}  # fmt: skip


def make(n: int = 120, seed: int = 0, **changes: Any) -> pd.DataFrame:
    """`n` patients: all columns of the schema, float64, indexed by row number from 1; `num` is above 0 in about half.

    Values are in the usual range, and 2 % of the optional cells are blank. `changes` then replaces whole columns, by
    one value or `n` of them: ``make(chol=0)``.
    """
    rng = np.random.default_rng(seed)
    illness = rng.standard_normal(n)  # (n,) drives all columns
    columns = {column.name: _draw(column, illness, rng) for column in schema.BY_NAME.values()}
    frame = pd.DataFrame(columns, index=pd.RangeIndex(1, n + 1, name="row"))
    return frame.assign(**changes)


def _draw(column: Column, illness: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = np.sqrt(1 - STRENGTH**2) * rng.standard_normal(len(illness))
    level = (-STRENGTH if column.name in FALLING else STRENGTH) * illness + noise  # (n,) standard normal
    if column is schema.LABEL:
        return np.where(level > 0, rng.integers(1, max(column.codes) + 1, len(level)), 0).astype("float64")
    if not column.codes:
        assert column.usual is not None, f"'{column.name}' has neither codes nor a usual range"
        low, high = column.usual
        decimals = 1 if high - low < 10 else 0
        drawn: np.ndarray = np.clip((low + high) / 2 + level * (high - low) / 6, low, high).round(decimals)
        return drawn
    shares = {code: column.usual_share.get(code, 1.0) / 2 for code in column.codes}
    shares = {code: share for code, share in shares.items() if share}  # a code that is usually absent stays absent
    cuts = np.quantile(level, np.cumsum(list(shares.values()))[:-1] / sum(shares.values()))  # (codes - 1,)
    values: np.ndarray = np.array(list(shares), dtype="float64")[np.searchsorted(cuts, level)]
    if column.optional:
        values[rng.choice(len(values), int(len(values) * BLANK), replace=False)] = np.nan
    return values
