"""Folds and held-out parts against their definition."""

from __future__ import annotations

import numpy as np
import pytest

from heart_disease.evaluation import folds
from heart_disease.evaluation.folds import Splits
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import UsageError

# --- splits


LABELS = np.array([1.0] * 37 + [0.0] * 44)[np.random.default_rng(5).permutation(81)]


@pytest.mark.parametrize(("k", "repeats"), [(2, 1), (5, 3), (10, 2)])
def test_every_row_is_tested_once_per_repeat_by_a_fit_that_did_not_see_it(k: int, repeats: int) -> None:
    splits = folds.cross_validation(LABELS, k, repeats, seed=0)
    assert len(splits.pairs) == k * repeats
    assert splits.repeats == repeats
    for i in range(repeats):
        pairs = splits.pairs[i * k : (i + 1) * k]
        np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in pairs])), np.arange(81))
        for train, test in pairs:
            np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(81))
            assert abs(LABELS[test].sum() - 37 / k) < 1
            assert abs(len(test) - 81 / k) < 2
    np.testing.assert_array_equal(splits.test_rows, np.arange(81))


def same(one: Splits, other: Splits) -> bool:
    return all(
        np.array_equal(a, b)
        for mine, theirs in zip(one.pairs, other.pairs, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    )


def test_folds_depend_on_the_seed_and_differ_between_repeats() -> None:
    splits = folds.cross_validation(LABELS, 5, 2, seed=0)
    assert same(splits, folds.cross_validation(LABELS, 5, 2, seed=0))
    assert not same(splits, folds.cross_validation(LABELS, 5, 2, seed=1))
    assert not same(Splits(splits.pairs[:5], 1, ""), Splits(splits.pairs[5:], 1, ""))


def test_splits_describe_themselves() -> None:
    assert folds.cross_validation(LABELS, 5, 1, 0).description == "5-fold cross-validation, 1 repeat, 81 patients"
    assert folds.cross_validation(LABELS, 5, 3, 0).description == "5-fold cross-validation, 3 repeats, 81 patients"
    assert folds.holdout(LABELS, 0.2, 0).description == "one split: 17 patients held out of 81"


def test_a_class_smaller_than_the_folds_is_refused() -> None:
    labels = np.array([1.0] * 9 + [0.0] * 50)
    assert len(folds.cross_validation(labels, 9, 1, 0).pairs) == 9
    for y in (labels, 1 - labels):
        with pytest.raises(UsageError, match=r"^10 folds need at least 10 patients of each class; .* has 9$"):
            folds.cross_validation(y, 10, 1, 0)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.8])
def test_a_holdout_is_one_stratified_split(share: float) -> None:
    splits = folds.holdout(LABELS, share, seed=0)
    ((train, test),) = splits.pairs
    assert splits.repeats == 1
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(81))
    np.testing.assert_array_equal(splits.test_rows, test)
    assert (np.diff(train) > 0).all()
    assert len(test) == np.ceil(share * 81)
    assert abs(LABELS[test].mean() - 37 / 81) < 1 / len(test)
    assert same(splits, folds.holdout(LABELS, share, seed=0))
    assert not same(splits, folds.holdout(LABELS, share, seed=1))


@pytest.mark.parametrize("share", [-0.1, 0.0, 0.001, 0.999, 1.0, 1.5])
def test_an_impossible_holdout_share_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match=f"^holdout of {share:g} "):
        folds.holdout(LABELS, share, seed=0)


@pytest.mark.parametrize("share", [0.05, 0.97])
def test_a_holdout_that_leaves_a_part_with_one_class_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match=r"single class; choose a share nearer 0.5"):
        folds.holdout(np.array([1.0] * 10 + [0.0] * 90), share, seed=0)


def test_a_split_is_the_one_the_evaluation_asks_for() -> None:
    by_folds = folds.split(LABELS, Evaluation(folds=4, repeats=2), seed=3)
    assert same(by_folds, folds.cross_validation(LABELS, 4, 2, seed=3))
    by_part = folds.split(LABELS, Evaluation(holdout=0.2), seed=3)
    assert same(by_part, folds.holdout(LABELS, 0.2, seed=3))


def test_the_widening_of_repeated_cross_validation_is_that_of_nadeau_and_bengio() -> None:
    labels = np.arange(200) % 2.0
    for k, repeats in ((10, 5), (5, 1), (2, 3)):
        splits = folds.cross_validation(labels, k, repeats, seed=0)
        assert splits.widening == pytest.approx((1 / repeats + k / (k - 1)) ** 0.5)
    # One split: the variance times (1 + n2 / n1).
    assert folds.holdout(labels, 0.2, seed=0).widening == pytest.approx((1 + 40 / 160) ** 0.5)
