"""Calibration, threshold, groups and stability, each beside a slow or independent computation.

Net benefit, and more about calibration and groups, is in test_references.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import bootstrap
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, recall_score
from statsmodels.nonparametric.kernel_regression import KernelReg

from heart_disease.evaluation import clinical, estimates, groups
from tests.harness.pages import numbers

N = 160
RNG = np.random.default_rng(3)
LABELS = (RNG.permutation(N) < 70).astype(float)
P = expit(2 * LABELS - 1 + RNG.standard_normal((4, N)))


def test_the_slope_is_that_of_an_unpenalised_logistic_regression_on_the_log_odds() -> None:
    slopes = [LogisticRegression(C=1e9, tol=1e-10).fit(logit(p)[:, None], LABELS).coef_[0, 0] for p in P]
    found = clinical.calibration(LABELS, P)
    assert found
    assert found.slope.value == pytest.approx(np.mean(slopes), rel=1e-4)
    assert found.slope.low < found.slope.value < found.slope.high


def test_the_intercept_makes_the_mean_probability_right() -> None:
    found = clinical.calibration(LABELS, P[:1])
    assert found
    assert expit(logit(P[0]) + found.intercept.value).mean() == pytest.approx(LABELS.mean(), abs=1e-6)


@pytest.mark.parametrize("p", [np.full(N, 0.4), 0.98 * LABELS + 0.01], ids=["all equal", "perfectly apart"])
def test_what_has_no_slope_is_not_given_one(p: np.ndarray) -> None:
    assert clinical.calibration(LABELS, p[None]) is None


def test_a_difference_in_calibration_is_that_of_one_regression_on_both_models() -> None:
    theirs = expit(0.5 * logit(P[:2]) + RNG.standard_normal((2, N)))
    both = clinical.calibrations(LABELS, P, theirs, 1.14)
    assert both
    assert both[:2] == (clinical.calibration(LABELS, P), clinical.calibration(LABELS, theirs))
    for one, expected in zip(
        (both[2].slope, both[2].intercept), numbers.calibration_gap(LABELS, P, theirs, 1.14), strict=True
    ):
        assert vars(one) == pytest.approx(vars(expected), abs=1e-6)
    same = clinical.calibrations(LABELS, P, P, 1.14)
    assert same
    assert str(same[2].slope) == str(same[2].intercept) == "0.000 [0.000, 0.000]"
    assert clinical.calibrations(LABELS, P, np.full((1, N), 0.4), 1.14) is None


def test_a_difference_in_calibration_moves_between_samples_of_patients_as_far_as_its_interval_says() -> None:
    rng, p = np.random.default_rng(5), np.stack([P[0], expit(0.7 * logit(P[1]))])
    both = clinical.calibrations(LABELS, p[:1], p[1:], 1.0)
    assert both
    drawn = [rng.integers(0, N, N) for _ in range(300)]
    again = [clinical.calibrations(LABELS[k], p[:1, k], p[1:, k], 1.0) for k in drawn]
    for name in ("slope", "intercept"):
        spread = np.std([getattr(one[2], name).value for one in again if one])
        half = getattr(both[2], name).high - getattr(both[2], name).value
        assert spread * estimates.Z == pytest.approx(half, rel=0.2)


@pytest.mark.parametrize("target", [0.5, 0.9, 0.95, 1.0])
def test_the_threshold_is_the_highest_that_finds_enough(target: float) -> None:
    found = clinical.threshold_for(target, LABELS, P, seed=0)

    def sensitivity(t: float) -> float:
        return float(np.mean([recall_score(LABELS, p >= t) for p in P]))

    assert sensitivity(found.value) >= target - 1e-9
    assert sensitivity(found.value + 2 * clinical.ROUNDING) < target
    assert found.sensitivity.value == pytest.approx(sensitivity(found.value))
    specificity = np.mean([recall_score(LABELS, p >= found.value, pos_label=0) for p in P])
    assert found.specificity.value == pytest.approx(specificity)


def test_rounding_changes_no_answer_at_the_threshold() -> None:
    found = clinical.threshold_for(0.9, LABELS, P, seed=0)
    usual = found.value <= P
    for factor in (1 - 2e-7, 1 + 2e-7):  # what computing in float32 changes
        np.testing.assert_array_equal(P * factor >= found.value, usual)
    assert clinical.threshold_for(0.9, LABELS, np.zeros_like(P), seed=0).value == 0


def test_a_group_is_judged_on_its_own_patients_and_only_if_it_is_large_enough() -> None:
    large = np.arange(N) < 120
    small = np.zeros(N, bool)
    small[np.flatnonzero(LABELS)[: groups.ENOUGH - 1]] = True
    small[np.flatnonzero(LABELS == 0)[:60]] = True
    one, other = clinical.slices({"large": large, "small": small}, LABELS, P, 0.5, seed=0)
    assert one.log_loss
    assert one.log_loss.value == pytest.approx(np.mean([log_loss(LABELS[large], p[large]) for p in P]))
    assert (one.n, one.sick) == (120, int(LABELS[:120].sum()))
    assert other.sick == groups.ENOUGH - 1
    assert (other.log_loss, other.sensitivity, other.specificity) == (None, None, None)


def test_stability_is_counted_patient_by_patient() -> None:
    own = P.max(axis=0)
    found = clinical.stability(own, P, 0.5, seed=0)
    assert found
    for k in (0, 17, N - 1):
        assert found.error[k] == pytest.approx(sum(abs(p - own[k]) for p in P[:, k]) / 4)
        assert found.flips[k] == sum((p >= 0.5) != (own[k] >= 0.5) for p in P[:, k]) / 4
    for mean, each in ((found.mean_error, found.error), (found.mean_flips, found.flips)):
        theirs = bootstrap((each,), np.mean, n_resamples=5000, method="percentile", random_state=1).confidence_interval
        assert mean.value == pytest.approx(each.mean())
        assert (mean.low, mean.high) == pytest.approx(theirs, abs=0.1 * (theirs.high - theirs.low))


def test_one_other_network_says_nothing_of_stability() -> None:
    assert clinical.stability(P[0], P[1:2], 0.5, seed=0) is None


def test_the_farthest_come_first() -> None:
    assert clinical.farthest(np.array([0.1, 0.9, 0.3, 0.9]), 3).tolist() == [1, 3, 2]


def test_the_smooth_curve_is_the_local_linear_regression_of_statsmodels() -> None:
    found = clinical.smooth(LABELS, P)
    assert found
    width = 1.06 * P.std() * N**-0.2
    theirs = KernelReg(np.tile(LABELS, 4), P.ravel(), "c", reg_type="ll", bw=[width]).fit(found.grid)[0]
    np.testing.assert_allclose(found.share, np.clip(theirs, 0, 1), atol=1e-6)


def test_the_band_of_the_smooth_curve_is_that_of_resampled_patients() -> None:
    found = clinical.smooth(LABELS, P)
    assert found
    rng, curves = np.random.default_rng(0), []
    for _ in range(200):
        drawn = rng.integers(0, N, N)
        again = clinical.smooth(LABELS[drawn], P[:, drawn])
        assert again
        curves.append(np.interp(found.grid, again.grid, again.share))
    inside = slice(5, -5)  # the ends of the grid are drawn anew each time
    spread = 1.96 * np.std(curves, axis=0)[inside]
    assert np.median((found.high - found.low)[inside] / 2 / spread) == pytest.approx(1, abs=0.1)


def test_the_band_has_a_width_where_the_curve_is_cut_at_0_or_1() -> None:
    wide = expit(0.3 * logit(P))  # so the line falls below 0 and rises above 1
    found = clinical.smooth(LABELS, wide)
    assert found
    assert {0.0, 1.0} <= set(found.share)
    assert (found.low < found.high).all()
    assert ((found.low <= found.share) & (found.share <= found.high)).all()


def test_equal_probabilities_have_no_curve() -> None:
    assert clinical.smooth(LABELS, np.full((2, N), 0.4)) is None
