"""Judging changed patients: what tests of the validation and of its page have in common."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from expectations.gate import Validation, validate
from heart_disease.data import sources

Change = Callable[[pd.DataFrame], pd.DataFrame]


def judge(frame: pd.DataFrame) -> Validation:
    return validate(sources.make_table(frame, "test.csv"))


def put(column: str, *cells: tuple[int, object]) -> Change:
    """A change that puts these (row, value) cells into `column`, which may then hold text."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        values = frame[column].astype(object)
        for row, value in cells:
            values[row] = value
        return frame.assign(**{column: values})

    return change
