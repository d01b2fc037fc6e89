"""The made-up patients that test a version can be scored, whatever columns the schema has."""

from __future__ import annotations

import pandas as pd

from heart_disease.data import made_up
from heart_disease.model import schema


def test_every_cell_is_allowed_and_every_code_and_blank_occurs() -> None:
    patients = made_up.patients()
    assert list(patients) == list(schema.INPUT_NAMES)
    for column in schema.COLUMNS:
        assert not schema.forbidden(patients[column.name], column).any(), column.name
        assert set(patients[column.name].dropna()) >= set(column.codes)
        assert patients[column.name].isna().any() == column.optional


def test_they_are_the_same_each_time() -> None:
    pd.testing.assert_frame_equal(made_up.patients(20), made_up.patients(20))
