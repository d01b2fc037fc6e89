"""Metrics against scikit-learn, intervals against plain resampling."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss

from heart_disease.evaluation import estimates
from heart_disease.evaluation.estimates import METRICS, Numbers
from heart_disease.training.batches import Ints
from tests.harness.models.metrics import plainly

N = 83


def sample(n: int = N, repeats: int = 3, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Labels (n,), and probabilities (repeats, n) that are better than chance."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.45).astype(float)
    return labels, 1 / (1 + np.exp(-(2 * labels - 1 + 1.5 * rng.standard_normal((repeats, n)))))


def drawn(weights: Numbers) -> list[Ints]:
    """The rows of every resample, each repeated as often as it was drawn."""
    return [np.repeat(np.arange(len(w)), w.astype(int)) for w in weights]


# --- metrics


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("kind", ["smooth", "ties", "certain"])
def test_metrics_equal_scikit_learn(kind: str, repeats: int) -> None:
    labels, probabilities = sample(repeats=repeats)
    if kind == "ties":  # 0, 0.25, 0.5, 0.75, 1: many equal, some exactly at the threshold
        probabilities = np.round(probabilities * 4) / 4
    if kind == "certain":
        probabilities = np.round(probabilities)
    found = estimates.measure(labels, probabilities, estimates.resamples(N, 0)[:10])
    assert tuple(found) == tuple(METRICS)
    assert {m: found[m].value for m in METRICS} == pytest.approx(plainly(labels, probabilities), rel=1e-9)


@pytest.mark.parametrize("threshold", [0.2, 0.75])
def test_answers_are_those_from_a_threshold_on(threshold: float) -> None:
    labels, probabilities = sample()
    probabilities = np.round(probabilities * 20) / 20  # some are exactly at the threshold
    found = estimates.measure(labels, probabilities, None, threshold)
    expected = plainly(labels, probabilities, threshold)
    assert {m: found[m].value for m in METRICS} == pytest.approx(expected, rel=1e-9)
    gaps = estimates.differences(labels, probabilities, probabilities, None, 1.0, (threshold, 0.5))
    for metric, usual in plainly(labels, probabilities).items():
        assert gaps[metric].value == pytest.approx(expected[metric] - usual, abs=1e-9)


def test_a_constant_probability_has_an_area_of_one_half() -> None:
    labels, probabilities = sample()
    found = estimates.measure(labels, np.full_like(probabilities, 0.4), estimates.resamples(N, 0))
    assert (found["roc_auc"].value, found["roc_auc"].low, found["roc_auc"].high) == (0.5, 0.5, 0.5)


def test_losses_are_those_of_each_patient() -> None:
    labels, probabilities = sample(repeats=2)
    each = [[log_loss([y], [p], labels=[0, 1]) for y, p in zip(labels, row, strict=True)] for row in probabilities]
    np.testing.assert_allclose(estimates.losses(labels, probabilities), np.mean(each, axis=0))


def test_a_certain_error_costs_much_but_not_infinitely_much() -> None:
    loss = estimates.losses(np.array([1.0, 0.0]), np.array([[0.0, 1.0]]))
    assert np.isfinite(loss).all()
    assert (loss > 30).all()


# --- intervals


def test_weights_are_the_sample_followed_by_draws_of_as_many_patients() -> None:
    weights = estimates.resamples(50, seed=3)
    assert weights.shape == (estimates.RESAMPLES + 1, 50)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 50).all()
    assert (weights == weights.astype(int)).all()
    assert weights[1:].mean(axis=0) == pytest.approx(np.ones(50), abs=0.1)
    assert weights[1:].var() == pytest.approx(1 - 1 / 50, rel=0.02)
    np.testing.assert_array_equal(weights, estimates.resamples(50, seed=3))
    assert (weights != estimates.resamples(50, seed=4)).any()


@pytest.mark.parametrize("ties", [False, True])
def test_intervals_equal_a_plain_loop_over_the_same_resamples(ties: bool) -> None:
    labels, probabilities = sample(repeats=2)
    probabilities = np.round(probabilities, 1) if ties else probabilities
    weights = estimates.resamples(N, seed=1)[:41]
    found = estimates.measure(labels, probabilities, weights)
    plain = [plainly(labels[rows], probabilities[:, rows]) for rows in drawn(weights)]
    for metric in METRICS:
        low, high = np.quantile([one[metric] for one in plain[1:]], [0.025, 0.975])
        assert (found[metric].low, found[metric].high) == pytest.approx((low, high), rel=1e-9), metric
        assert found[metric].value == pytest.approx(plain[0][metric], rel=1e-9)


def test_the_interval_of_a_difference_equals_a_plain_loop_over_the_same_resamples() -> None:
    labels, ours = sample(seed=1)
    theirs = ours**1.5
    weights = estimates.resamples(N, seed=1)[:41]
    plain = []
    for rows in drawn(weights):
        a, b = (np.mean([log_loss(labels[rows], one[rows]) for one in p]) for p in (ours, theirs))
        plain.append(a - b)
    found = estimates.difference(labels, ours, theirs, weights)
    expected = [plain[0], *np.quantile(plain[1:], [0.025, 0.975])]
    assert [found.value, found.low, found.high] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", ["log_loss", "brier", "accuracy"])
def test_intervals_equal_those_of_scipy_within_monte_carlo_error(metric: str) -> None:
    labels, probabilities = sample(repeats=1)
    values = {
        "log_loss": estimates.losses(labels, probabilities),
        "brier": (probabilities[0] - labels) ** 2,
        "accuracy": ((probabilities[0] >= 0.5) == labels).astype(float),
    }[metric]
    theirs = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(0))
    ours = estimates.measure(labels, probabilities, estimates.resamples(N, 0))[metric]
    # The standard error of a quantile of 2000 resamples is 0.06 times that of the mean; accuracy changes in steps.
    tolerance = 0.25 * theirs.standard_error + (1 / N if metric == "accuracy" else 0)
    interval = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=tolerance)


def test_95_percent_intervals_hold_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    n, sets = 80, 300
    weights = estimates.resamples(n, seed=0)[:401]

    def draw(size: int) -> tuple[Numbers, Numbers, Numbers]:
        """True probabilities, and the probabilities that two models predict for them."""
        x = 1.5 * rng.standard_normal(size)
        noise = rng.standard_normal((2, size))
        return 1 / (1 + np.exp(-x)), *(1 / (1 + np.exp(-(0.8 * x + 0.5 * noise))))

    def expected_loss(truth: Numbers, p: Numbers) -> float:
        return float(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean())

    truth, a, b = draw(200_000)
    loss, gap = expected_loss(truth, a), expected_loss(truth, a) - expected_loss(truth, b)
    hits = np.zeros(2)
    for _ in range(sets):
        truth, a, b = draw(n)
        labels = (rng.random(n) < truth).astype(float)
        mean = estimates.measure(labels, a[None], weights)["log_loss"]
        paired = estimates.difference(labels, a[None], b[None], weights)
        hits += [mean.low <= loss <= mean.high, paired.low <= gap <= paired.high]
    assert (hits / sets >= 0.90).all(), hits / sets
    assert (hits / sets <= 0.99).all(), hits / sets


def test_equal_models_differ_by_exactly_0() -> None:
    labels, ours = sample()
    found = estimates.difference(labels, ours, ours.copy(), estimates.resamples(N, 0))
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_the_difference_is_ours_minus_theirs_and_below_0_if_ours_is_better() -> None:
    labels, ours = sample()
    worse = np.full_like(ours, 0.5)
    weights = estimates.resamples(N, 0)
    found, turned = (estimates.difference(labels, a, b, weights) for a, b in ((ours, worse), (worse, ours)))
    expected = plainly(labels, ours)["log_loss"] - plainly(labels, worse)["log_loss"]
    assert found.value == pytest.approx(expected)
    assert found.value < 0
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_a_paired_difference_has_a_narrower_interval_than_an_unpaired_one() -> None:
    labels, ours = sample()
    theirs = np.clip(ours + 0.02 * np.random.default_rng(1).standard_normal(ours.shape), 0.01, 0.99)
    weights = estimates.resamples(N, 0)
    paired = estimates.difference(labels, ours, theirs, weights)
    one, other = (estimates.measure(labels, p, weights)["log_loss"] for p in (ours, theirs))
    unpaired = np.hypot(one.high - one.low, other.high - other.low)
    assert paired.high - paired.low < unpaired / 3


def test_an_interval_holds_its_value_and_narrows_with_more_patients() -> None:
    few, many = (estimates.measure(*sample(n, seed=2), estimates.resamples(n, 0)[:501]) for n in (50, 800))
    for metric in METRICS:
        assert few[metric].low <= few[metric].value <= few[metric].high
        assert many[metric].high - many[metric].low < (few[metric].high - few[metric].low) / 2


def test_resamples_without_one_of_the_classes_leave_no_nan() -> None:
    labels, probabilities = np.array([1.0, 0, 0, 0, 0]), np.array([[0.9, 0.1, 0.2, 0.95, 0.4]])
    weights = estimates.resamples(5, 0)
    assert (weights[:, 0] == 0).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = estimates.measure(labels, probabilities, weights)
    assert all(np.isfinite([one.value, one.low, one.high]).all() for one in found.values())
    assert found["roc_auc"].value == 0.75
    assert (found["sensitivity"].low, found["sensitivity"].high) == (1, 1)


# --- many patients


def test_few_patients_are_drawn_and_many_are_not() -> None:
    few = estimates.resamples(estimates.BOOTSTRAP_ROWS, 0)
    assert few is not None
    assert few.shape == (estimates.RESAMPLES + 1, estimates.BOOTSTRAP_ROWS)
    assert estimates.resamples(estimates.BOOTSTRAP_ROWS + 1, 0) is None


@pytest.mark.parametrize("ties", [False, True])
def test_a_computed_interval_equals_a_drawn_one_within_monte_carlo_error(ties: bool) -> None:
    labels, probabilities = sample(estimates.BOOTSTRAP_ROWS, repeats=2)
    probabilities = np.round(probabilities, 1) if ties else probabilities
    drawn, computed = (estimates.measure(labels, probabilities, w) for w in (estimates.resamples(len(labels), 0), None))
    for metric in METRICS:
        assert computed[metric].value == pytest.approx(drawn[metric].value, rel=1e-9)
        # An end of a drawn interval has a standard error of 0.06 times that of the figure, which is a quarter of the
        # interval's width.
        error = (drawn[metric].high - drawn[metric].low) / 3.92
        for one, other in ((computed[metric].low, drawn[metric].low), (computed[metric].high, drawn[metric].high)):
            assert one == pytest.approx(other, abs=0.2 * error), metric


def test_the_computed_interval_of_the_area_is_that_of_all_pairs() -> None:
    labels, [p] = sample(repeats=1)
    sick, healthy = p[labels > 0.5][:, None], p[labels < 0.5]
    ordered = (sick > healthy) + 0.5 * (sick == healthy)
    sick_part, healthy_part = (ordered.mean(axis=axis) for axis in (1, 0))
    error = np.sqrt(sick_part.var(ddof=1) / len(sick) + healthy_part.var(ddof=1) / len(healthy))
    found = estimates.roc_auc(labels, p[None], None)
    assert found.value == pytest.approx(ordered.mean())
    assert (found.low, found.high) == pytest.approx(
        (ordered.mean() - estimates.Z * error, ordered.mean() + estimates.Z * error)
    )


def test_a_computed_difference_is_widened() -> None:
    labels, ours = sample()
    theirs = ours**1.5
    plain, wide = (estimates.difference(labels, ours, theirs, None, widening) for widening in (1.0, 1.5))
    each = estimates.losses(labels, ours) - estimates.losses(labels, theirs)
    half = stats.norm.ppf(0.975) * stats.sem(each)
    assert (plain.low, plain.high) == pytest.approx((each.mean() - half, each.mean() + half))
    assert (wide.low, wide.high) == pytest.approx((each.mean() - 1.5 * half, each.mean() + 1.5 * half))


@pytest.mark.parametrize("n", [estimates.BOOTSTRAP_ROWS, 200_000])
def test_metrics_need_little_memory(n: int) -> None:
    labels, probabilities = sample(n, repeats=1)
    tracemalloc.start()
    try:
        estimates.measure(labels, probabilities, estimates.resamples(n, 0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400e6


def test_widening_moves_the_ends_and_not_the_value() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(150) < 0.4).astype(float)
    ours, theirs = rng.random((2, 3, 150))
    weights = estimates.resamples(150, 0)
    plain, wide = (estimates.difference(labels, ours, theirs, weights, widening) for widening in (1.0, 1.5))
    assert wide.value == plain.value
    assert wide.low - wide.value == pytest.approx(1.5 * (plain.low - plain.value))
    assert wide.high - wide.value == pytest.approx(1.5 * (plain.high - plain.value))


def test_differences_of_all_metrics_equal_a_plain_loop_over_the_same_resamples() -> None:
    labels, ours = sample(repeats=2)
    theirs = np.clip(ours[:1] + 0.2 * np.random.default_rng(1).standard_normal((3, N)), 0.01, 0.99)
    weights = estimates.resamples(N, 0)[:41]
    found = estimates.differences(labels, ours, theirs, weights, widening=1.5)
    each = [[plainly(labels[rows], p[:, rows]) for p in (ours, theirs)] for rows in drawn(weights)]
    for metric, one in found.items():
        gaps = np.array([mine[metric] - other[metric] for mine, other in each])
        ends = np.quantile(gaps[0] + 1.5 * (gaps[1:] - gaps[0]), [0.025, 0.975])
        assert (one.value, one.low, one.high) == pytest.approx((gaps[0], *ends), abs=1e-9), metric


def test_computed_differences_of_all_metrics_equal_drawn_ones_within_monte_carlo_error() -> None:
    labels, ours = sample(1000, repeats=2)
    theirs = np.clip(ours + 0.2 * np.random.default_rng(1).standard_normal(ours.shape), 0.01, 0.99)
    some, none = (estimates.differences(labels, ours, theirs, w, 1.2) for w in (estimates.resamples(1000, 0), None))
    for metric in METRICS:
        assert some[metric].value == pytest.approx(none[metric].value)
        widths = [one.high - one.low for one in (some[metric], none[metric])]
        assert widths[0] == pytest.approx(widths[1], rel=0.1), metric
