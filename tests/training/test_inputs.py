"""One matrix for all folds, against an encoder for each."""

from __future__ import annotations

import numpy as np
import pytest

from heart_disease.model.encoding import Encoder
from heart_disease.training.inputs import Inputs
from tests.harness.data import patients

PARTS = [np.arange(0, 30), np.arange(10, 40), np.arange(40)]


def test_each_matrix_is_what_an_encoder_makes_that_is_fitted_on_its_rows() -> None:
    frame = patients.make(40)
    inputs = Inputs.fitted(frame, PARTS)
    assert len(inputs) == len(PARTS)
    assert inputs.width == 29
    for f, rows in enumerate(PARTS):
        expected = Encoder.fit(frame.iloc[rows]).transform(frame)
        assert inputs[f].dtype == expected.dtype
        np.testing.assert_allclose(inputs[f], expected, rtol=1e-6, atol=1e-6)


def test_some_rows_of_some_matrices_are_taken_at_once() -> None:
    inputs = Inputs.fitted(patients.make(40), PARTS)
    matrices, rows = np.array([2, 0]), np.array([[3, 5, 3], [39, 0, 1]])
    expected = np.stack([inputs[f][own] for f, own in zip(matrices, rows, strict=True)])
    np.testing.assert_array_equal(inputs.take(matrices, rows), expected)


def test_rows_that_a_matrix_is_not_fitted_on_change_nothing_in_the_others() -> None:
    frame = patients.make(100)
    changed, rows = frame.copy(), np.arange(60)
    changed.iloc[60:] = patients.make(40, seed=9).to_numpy()
    one, other = (Inputs.fitted(each, [rows])[0][rows] for each in (frame, changed))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("folds", [2, 50])
def test_more_folds_take_no_more_copies_of_the_patients(folds: int) -> None:
    inputs = Inputs.fitted(patients.make(200), [np.arange(100)] * folds)
    assert inputs.rows.shape == (200, 29)
    assert inputs.means.shape == inputs.factors.shape == (folds, 29)
