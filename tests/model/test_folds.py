"""The networks of the cross-validation that are shipped with a model: what they say, and how they are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heart_disease.model import folds, schema
from tests.harness.data import patients
from tests.harness.models import models

TABLE = patients.make(40)
STACK = models.stack(29, 4, 3, np.random.default_rng(2))
SHIPPED = models.make(TABLE).network


def plainly(fold: int, member: int, x: np.ndarray) -> np.ndarray:
    """One of the networks, layer by layer."""
    first, last = STACK
    hidden = np.tanh(x @ first.kernel[fold, member] + first.bias[fold, member, 0])
    return 1 / (1 + np.exp(-(hidden @ last.kernel[fold, member] + last.bias[fold, member, 0])))[:, 0]


def test_each_fold_answers_with_the_mean_of_its_members() -> None:
    x = models.make(TABLE).encoder.transform(TABLE)
    found = folds.answers(STACK, x)
    expected = [np.mean([plainly(fold, member, x) for member in range(3)], axis=0) for fold in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_patients_spread_is_from_the_lowest_to_the_highest_fold() -> None:
    model = replace(models.make(TABLE), folds=STACK)
    cells = TABLE[list(schema.INPUT_NAMES)].to_numpy()[5]
    found, each = model.spread(cells), folds.answers(STACK, model.encoder.encode(cells[None]))[:, 0]
    assert found
    assert (found.lowest, found.highest, found.networks) == (min(each), max(each), 4)


def test_without_them_there_is_no_spread() -> None:
    model = models.make(TABLE, folds=0)
    assert model.spread(TABLE[list(schema.INPUT_NAMES)].to_numpy()[5]) is None


@pytest.mark.parametrize("held", [STACK, ()], ids=["some", "none"])
def test_they_are_read_as_they_were_written(held: folds.Folds, tmp_path: Path) -> None:
    folds.save(held, tmp_path / "folds.npy")
    assert folds.same(folds.load(tmp_path / "folds.npy", SHIPPED), held)
    assert not folds.same((), STACK)
    other = (replace(STACK[0], bias=STACK[0].bias + 1), STACK[1])
    assert not folds.same(other, STACK)


def test_a_version_from_before_has_none(tmp_path: Path) -> None:
    assert folds.load(tmp_path / "folds.npy", SHIPPED) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 3, models.HIDDEN * 31), np.float32),
        np.zeros((4, models.HIDDEN * 31 + 1), np.float32),
        np.zeros((4, 3, models.HIDDEN * 31 + 1)),
    ],
    ids=["other size", "no members", "other type"],
)
def test_networks_that_do_not_fit_the_shipped_one_are_refused(wrong: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "folds.npy", wrong)
    with pytest.raises(ValueError, match=r"folds\.npy has float.*; expected float32 \(F, M, 156\)"):
        folds.load(tmp_path / "folds.npy", SHIPPED)
