"""Metrics against scikit-learn, intervals against plain resampling, splits against their definition."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, recall_score, roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from heart_disease.evaluation import estimates, folds
from heart_disease.evaluation.contest import CHAMPION, LOGISTIC, NETWORK, PREVALENCE, Contest, Report
from heart_disease.evaluation.estimates import METRICS, Estimate, Numbers
from heart_disease.evaluation.folds import Splits
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model import encoding, schema
from heart_disease.model.errors import UsageError
from heart_disease.training.batches import Floats, Ints, Job
from heart_disease.training.engine import CURVES, Networks
from heart_disease.training.recipe import Recipe
from tests.harness import patients

N = 83


def sample(n: int = N, repeats: int = 3, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Labels (n,), and probabilities (repeats, n) that are better than chance."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.45).astype(float)
    return labels, 1 / (1 + np.exp(-(2 * labels - 1 + 1.5 * rng.standard_normal((repeats, n)))))


def plainly(labels: Numbers, probabilities: Numbers) -> dict[str, float]:
    """The metrics by scikit-learn: computed for each repeat, then averaged."""
    each = [
        {
            "log_loss": log_loss(labels, p, labels=[0, 1]),
            "brier": brier_score_loss(labels, p),
            "roc_auc": roc_auc_score(labels, p),
            "accuracy": accuracy_score(labels, p >= 0.5),
            "sensitivity": recall_score(labels, p >= 0.5),
            "specificity": recall_score(labels, p >= 0.5, pos_label=0),
        }
        for p in probabilities
    ]
    return {metric: float(np.mean([one[metric] for one in each])) for metric in METRICS}


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
    found = estimates.measure(labels, probabilities, estimates.bootstrap_weights(N, 0)[:10])
    assert tuple(found) == tuple(METRICS)
    assert {m: found[m].value for m in METRICS} == pytest.approx(plainly(labels, probabilities), rel=1e-9)


def test_a_constant_probability_has_an_area_of_one_half() -> None:
    labels, probabilities = sample()
    found = estimates.measure(labels, np.full_like(probabilities, 0.4), estimates.bootstrap_weights(N, 0))
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
    weights = estimates.bootstrap_weights(50, seed=3)
    assert weights.shape == (estimates.RESAMPLES + 1, 50)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 50).all()
    assert (weights == weights.astype(int)).all()
    assert weights[1:].mean(axis=0) == pytest.approx(np.ones(50), abs=0.1)
    assert weights[1:].var() == pytest.approx(1 - 1 / 50, rel=0.02)
    np.testing.assert_array_equal(weights, estimates.bootstrap_weights(50, seed=3))
    assert (weights != estimates.bootstrap_weights(50, seed=4)).any()


@pytest.mark.parametrize("ties", [False, True])
def test_intervals_equal_a_plain_loop_over_the_same_resamples(ties: bool) -> None:
    labels, probabilities = sample(repeats=2)
    probabilities = np.round(probabilities, 1) if ties else probabilities
    weights = estimates.bootstrap_weights(N, seed=1)[:41]
    found = estimates.measure(labels, probabilities, weights)
    plain = [plainly(labels[rows], probabilities[:, rows]) for rows in drawn(weights)]
    for metric in METRICS:
        low, high = np.quantile([one[metric] for one in plain[1:]], [0.025, 0.975])
        assert (found[metric].low, found[metric].high) == pytest.approx((low, high), rel=1e-9), metric
        assert found[metric].value == pytest.approx(plain[0][metric], rel=1e-9)


def test_the_interval_of_a_difference_equals_a_plain_loop_over_the_same_resamples() -> None:
    labels, ours = sample(seed=1)
    theirs = ours**1.5
    weights = estimates.bootstrap_weights(N, seed=1)[:41]
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
    ours = estimates.measure(labels, probabilities, estimates.bootstrap_weights(N, 0))[metric]
    # The standard error of a quantile of 2000 resamples is 0.06 times that of the mean; accuracy changes in steps.
    tolerance = 0.25 * theirs.standard_error + (1 / N if metric == "accuracy" else 0)
    interval = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=tolerance)


def test_95_percent_intervals_hold_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    n, sets = 80, 300
    weights = estimates.bootstrap_weights(n, seed=0)[:401]

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
    found = estimates.difference(labels, ours, ours.copy(), estimates.bootstrap_weights(N, 0))
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_the_difference_is_ours_minus_theirs_and_below_0_if_ours_is_better() -> None:
    labels, ours = sample()
    worse = np.full_like(ours, 0.5)
    weights = estimates.bootstrap_weights(N, 0)
    found, turned = (estimates.difference(labels, a, b, weights) for a, b in ((ours, worse), (worse, ours)))
    expected = plainly(labels, ours)["log_loss"] - plainly(labels, worse)["log_loss"]
    assert found.value == pytest.approx(expected)
    assert found.value < 0
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_a_paired_difference_has_a_narrower_interval_than_an_unpaired_one() -> None:
    labels, ours = sample()
    theirs = np.clip(ours + 0.02 * np.random.default_rng(1).standard_normal(ours.shape), 0.01, 0.99)
    weights = estimates.bootstrap_weights(N, 0)
    paired = estimates.difference(labels, ours, theirs, weights)
    one, other = (estimates.measure(labels, p, weights)["log_loss"] for p in (ours, theirs))
    unpaired = np.hypot(one.high - one.low, other.high - other.low)
    assert paired.high - paired.low < unpaired / 3


def test_an_interval_holds_its_value_and_narrows_with_more_patients() -> None:
    few, many = (estimates.measure(*sample(n, seed=2), estimates.bootstrap_weights(n, 0)[:501]) for n in (50, 800))
    for metric in METRICS:
        assert few[metric].low <= few[metric].value <= few[metric].high
        assert many[metric].high - many[metric].low < (few[metric].high - few[metric].low) / 2


def test_resamples_without_one_of_the_classes_leave_no_nan() -> None:
    labels, probabilities = np.array([1.0, 0, 0, 0, 0]), np.array([[0.9, 0.1, 0.2, 0.95, 0.4]])
    weights = estimates.bootstrap_weights(5, 0)
    assert (weights[:, 0] == 0).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = estimates.measure(labels, probabilities, weights)
    assert all(np.isfinite([one.value, one.low, one.high]).all() for one in found.values())
    assert found["roc_auc"].value == 0.75
    assert (found["sensitivity"].low, found["sensitivity"].high) == (1, 1)


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


# --- jobs


def jobs_of(recipe: Recipe, splits: Splits) -> tuple[Job, ...]:
    return Contest(PATIENTS.iloc[: len(LABELS)], LABELS, recipe, splits).jobs


def test_cross_validation_trains_one_network_per_fold_and_ships_one_trained_on_all_rows() -> None:
    params, splits = Recipe(seed=7), folds.cross_validation(LABELS, 5, 2, seed=0)
    *fits, shipped = jobs_of(params, splits)
    assert len(fits) == 10
    for i, (job, (train, test)) in enumerate(zip(fits, splits.pairs, strict=True)):
        np.testing.assert_array_equal(job.rows, train)
        np.testing.assert_array_equal(job.watch, test)
        assert job.matrix == i
        assert replace(job.recipe, seed=7) == params
    np.testing.assert_array_equal(shipped.rows, np.arange(81))
    assert len(shipped.watch) == 0
    assert (shipped.recipe, shipped.matrix) == (params, 10)


def test_no_fitting_touches_a_held_out_row() -> None:
    splits = folds.holdout(LABELS, 0.2, seed=0)
    jobs = jobs_of(Recipe(), splits)
    held_out = set(splits.test_rows.tolist())
    assert len(jobs) == 1
    assert held_out
    assert not held_out & {row for job in jobs for row in job.rows.tolist()}
    assert set(jobs[0].watch.tolist()) == held_out


def test_members_are_networks_of_one_fold_with_their_own_seeds() -> None:
    splits = folds.cross_validation(LABELS, 5, 2, seed=0)
    alone, three = (jobs_of(Recipe(members=members), splits) for members in (1, 3))
    assert len(three) == 3 * len(alone)
    # The first members are the networks of the recipe with one member.
    for one, same_fold in zip(alone, [job for job in three if job.member == 0], strict=True):
        assert (one.recipe, one.matrix) == (same_fold.recipe, same_fold.matrix)
        np.testing.assert_array_equal(one.rows, same_fold.rows)
    for fold in {job.fold for job in three}:
        members = [job for job in three if job.fold == fold]
        assert [job.member for job in members] == [0, 1, 2]
        assert len({job.recipe.seed for job in members}) == 3
        assert len({(job.matrix, job.rows.tobytes(), job.watch.tobytes()) for job in members}) == 1
    assert len({job.recipe.seed for job in three}) == len(three)
    assert all(job.recipe.members == 1 for job in three)


def test_each_matrix_is_standardised_on_the_rows_its_networks_learn_from() -> None:
    for splits in (folds.cross_validation(LABELS, 5, 2, seed=0), folds.holdout(LABELS, 0.2, seed=0)):
        contest = Contest(PATIENTS.iloc[:81], LABELS, Recipe(members=2), splits)
        assert {job.matrix for job in contest.jobs} == set(range(len(contest.inputs)))
        for job in contest.jobs:
            expected = encoding.Encoder.fit(contest.frame.iloc[job.rows]).transform(contest.frame)
            np.testing.assert_array_equal(contest.inputs[job.matrix], expected)


def test_every_fold_has_its_own_seed_which_follows_from_the_recipes() -> None:
    splits = folds.cross_validation(LABELS, 10, 2, seed=0)

    def seeds(params: Recipe) -> list[int]:
        return [job.recipe.seed for job in jobs_of(params, splits)]

    assert len(set(seeds(Recipe()))) == 21
    assert seeds(Recipe()) == seeds(Recipe(epochs=1))
    assert not set(seeds(Recipe())) & set(seeds(Recipe(seed=1)))


# --- the correction


def test_the_widening_of_repeated_cross_validation_is_that_of_nadeau_and_bengio() -> None:
    labels = np.arange(200) % 2.0
    for k, repeats in ((10, 5), (5, 1), (2, 3)):
        splits = folds.cross_validation(labels, k, repeats, seed=0)
        assert splits.widening == pytest.approx((1 / repeats + k / (k - 1)) ** 0.5)
    # One split: the variance times (1 + n2 / n1).
    assert folds.holdout(labels, 0.2, seed=0).widening == pytest.approx((1 + 40 / 160) ** 0.5)


def test_widening_moves_the_ends_and_not_the_value() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(150) < 0.4).astype(float)
    ours, theirs = rng.random((2, 3, 150))
    weights = estimates.bootstrap_weights(150, 0)
    plain, wide = (estimates.difference(labels, ours, theirs, weights, widening) for widening in (1.0, 1.5))
    assert wide.value == plain.value
    assert wide.low - wide.value == pytest.approx(1.5 * (plain.low - plain.value))
    assert wide.high - wide.value == pytest.approx(1.5 * (plain.high - plain.value))


# --- reports


PATIENTS = patients.make(N)
Y = schema.label(PATIENTS).to_numpy()


def on(splits: Splits, **changes: Any) -> Contest:
    """A contest on `splits`; it has a champion only if `changes` names one."""
    return replace(Contest(PATIENTS, Y, Recipe(epochs=4), splits), **changes)


def untrained(contest: Contest) -> Networks:
    """Networks with random weights for the jobs of a contest."""
    rng = np.random.default_rng(0)
    weights = 0.3 * rng.standard_normal((len(contest.jobs), 1, 497)).astype(np.float32)
    curves = {name: rng.random((len(contest.jobs), 4)).astype(np.float32) for name in CURVES}
    return Networks(contest.jobs, tuple(weights), curves, "cpu")


def answer(weights: Floats, rows: Floats) -> Numbers:
    """The answers of the network 29-16-1 with flat weights (1, 497), written out."""
    w = weights[0].astype("float64")
    hidden = np.maximum(rows @ w[:464].reshape(29, 16) + w[464:480], 0)
    return 1 / (1 + np.exp(-(hidden @ w[480:496] + w[496])))


def reported(splits: Splits) -> Report:
    contest = on(splits)
    return contest.report(untrained(contest))


def test_each_patient_has_the_probability_of_the_fit_that_did_not_see_them() -> None:
    splits = folds.cross_validation(Y, 4, 2, seed=1)
    contest = on(splits)
    networks, inputs = untrained(contest), contest.inputs
    found = contest.report(networks)
    assert {model: p.shape for model, p in found.probabilities.items()} == dict.fromkeys(
        (NETWORK, LOGISTIC, PREVALENCE), (2, N)
    )
    np.testing.assert_array_equal(found.labels, Y)
    for i, (train, test) in enumerate(splits.pairs):
        expected = answer(networks.weights[i], inputs[i][test])
        np.testing.assert_allclose(found.probabilities[NETWORK][i // 4, test], expected, rtol=1e-4)
        np.testing.assert_array_equal(found.probabilities[PREVALENCE][i // 4, test], Y[train].mean())


def test_a_report_of_a_holdout_is_about_the_held_out_patients() -> None:
    splits = folds.holdout(Y, 0.3, seed=1)
    contest = on(splits)
    networks, inputs = untrained(contest), contest.inputs
    found = contest.report(networks)
    ((train, test),) = splits.pairs
    np.testing.assert_array_equal(found.labels, Y[test])
    np.testing.assert_allclose(
        found.probabilities[NETWORK], answer(networks.weights[0], inputs[0][test])[None], rtol=1e-4
    )
    np.testing.assert_array_equal(found.probabilities[PREVALENCE], np.full((1, len(test)), Y[train].mean()))
    assert found.description == splits.description


def test_logistic_regression_equals_scikit_learns_on_the_same_folds() -> None:
    splits = folds.cross_validation(Y, 5, 1, seed=0)
    vocabulary = [sorted([*column.codes, -1]) for column in encoding.CODED]
    coded = OneHotEncoder(categories=vocabulary, sparse_output=False)
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), encoding.NUMBERS), ("codes", coded, [column.name for column in encoding.CODED])]
    )
    theirs = cross_val_predict(
        make_pipeline(columns, LogisticRegression(max_iter=1000)),
        PATIENTS.fillna(-1), Y, cv=list(splits.pairs), method="predict_proba",
    )[:, 1]  # fmt: skip
    np.testing.assert_allclose(reported(splits).probabilities[LOGISTIC][0], theirs, atol=1e-4)


def test_a_reports_metrics_are_those_of_its_probabilities() -> None:
    found = reported(folds.cross_validation(Y, 4, 2, seed=1))
    for model, probabilities in found.probabilities.items():
        values = {metric: estimate.value for metric, estimate in found.metrics[model].items()}
        assert values == pytest.approx(plainly(Y, probabilities)), model
    for baseline in (LOGISTIC, PREVALENCE):
        gap = found.metrics[NETWORK]["log_loss"].value - found.metrics[baseline]["log_loss"].value
        assert found.differences[baseline].value == pytest.approx(gap)
    assert set(found.differences) == {LOGISTIC, PREVALENCE}


def test_a_reports_curves_leave_out_the_shipped_network() -> None:
    splits = folds.cross_validation(Y, 4, 1, seed=1)
    contest = on(splits)
    networks = untrained(contest)
    found = contest.report(networks)
    assert set(found.curves) == set(CURVES)
    for name in CURVES:
        np.testing.assert_array_equal(found.curves[name], networks.curves[name][:4])


def test_a_report_is_reproducible_and_its_seed_moves_only_the_intervals() -> None:
    splits = folds.holdout(Y, 0.3, seed=1)
    networks = untrained(on(splits))
    one, same_again, other = (on(splits, recipe=Recipe(epochs=4, seed=seed)).report(networks) for seed in (0, 0, 1))
    assert one.metrics == same_again.metrics
    assert one.metrics[NETWORK]["log_loss"].value == other.metrics[NETWORK]["log_loss"].value
    assert one.metrics[NETWORK]["log_loss"].low != other.metrics[NETWORK]["log_loss"].low


def test_changing_the_test_rows_of_a_fold_changes_no_fit() -> None:
    splits = folds.holdout(Y, 0.3, seed=1)
    ((train, test),) = splits.pairs
    changed = PATIENTS.copy()
    changed.iloc[test] = patients.make(len(test), seed=8).to_numpy()
    one, other = on(splits), on(splits, frame=changed)
    networks = untrained(one)
    before, after = (contest.report(networks).probabilities for contest in (one, other))
    np.testing.assert_array_equal(one.inputs[0, train], other.inputs[0, train])
    assert (before[LOGISTIC] != after[LOGISTIC]).any()
    moved = pd.Series(Y).where(~pd.Series(range(N)).isin(test), 1 - Y).to_numpy()
    relabelled = on(splits, labels=moved).report(networks).probabilities
    for model in (NETWORK, LOGISTIC, PREVALENCE):
        np.testing.assert_array_equal(relabelled[model], before[model])


def test_members_are_averaged_and_the_gain_is_over_a_single_member() -> None:
    splits = folds.cross_validation(Y, 4, 2, seed=1)
    contest = on(splits, recipe=Recipe(epochs=4, members=3))
    networks, inputs = untrained(contest), contest.inputs
    found = contest.report(networks)
    weights = {(job.fold, job.member): w for job, w in zip(networks.jobs, networks.weights, strict=True)}
    losses = np.empty((3, 2, N))
    for i, (_, test) in enumerate(splits.pairs):
        members = np.stack([answer(weights[i, m], inputs[i][test]) for m in range(3)])
        np.testing.assert_allclose(found.probabilities[NETWORK][i // 4, test], members.mean(axis=0), rtol=1e-4)
        losses[:, i // 4, test] = -np.log(np.where(Y[test] > 0.5, members, 1 - members))
    assert found.averaging
    assert found.averaging.value == pytest.approx(found.metrics[NETWORK]["log_loss"].value - losses.mean(), abs=1e-5)
    assert found.averaging.high <= 0
    assert all(len(curve) == 3 * len(splits.pairs) for curve in found.curves.values())


def test_the_champion_is_one_more_model_on_the_same_rows() -> None:
    splits = folds.cross_validation(Y, 4, 2, seed=1)
    contest = on(splits, rival=Recipe(epochs=4))
    networks, inputs = untrained(contest), contest.inputs
    champion = networks.pick(lambda job: job.side == CHAMPION)
    found = contest.report(networks)
    assert list(found.probabilities) == [NETWORK, CHAMPION, LOGISTIC, PREVALENCE]
    _, test = splits.pairs[0]
    np.testing.assert_allclose(
        found.probabilities[CHAMPION][0, test], answer(champion.weights[0], inputs[0][test]), rtol=1e-4
    )
    gap = found.metrics[NETWORK]["log_loss"].value - found.metrics[CHAMPION]["log_loss"].value
    assert found.differences[CHAMPION].value == pytest.approx(gap)
    ours = networks.pick(lambda job: job.side == NETWORK)
    same = replace(networks, weights=ours.weights + ours.pick(lambda job: job.fold is not None).weights)
    themselves = contest.report(same)
    assert themselves.differences[CHAMPION] == Estimate(0.0, 0.0, 0.0)
