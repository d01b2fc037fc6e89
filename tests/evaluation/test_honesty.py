"""The verdict's error rates by simulation, its interval against other methods, and no fit that sees its test rows.

The simulated patients are drawn from a finite population with replacement, and the networks are small and quick,
because the method is tested here. benchmarks/statistics/error_rates.py does the same with the real recipes, and knows
the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.statistics import error_rates
from benchmarks.statistics.error_rates import Trial, corrected_t, probabilities
from heart_disease.evaluation import estimates, folds
from heart_disease.evaluation.contest import NETWORK, Contest, Report
from heart_disease.evaluation.estimates import Estimate, Numbers
from heart_disease.evaluation.folds import Splits
from heart_disease.evaluation.settings import Promotion
from heart_disease.evaluation.verdict import BETTER, WORSE, compare
from heart_disease.model import encoding, schema
from heart_disease.model.patient_model import PatientModel
from heart_disease.training.engine import CURVES, Networks, train
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import Recipe
from tests.harness.data import patients

POPULATION = patients.make(2000)
N, FOLDS, REPEATS, TRIALS = 80, 2, 3, 200
RECIPE = Recipe(hidden=(4,), epochs=40, learning_rate=0.01, batch_size=16)
RESEEDED = replace(RECIPE, seed=1)
SHRUNK = replace(RECIPE, weight_decay=5.0)  # a very different network that is neither better nor worse on average
RUINED = replace(RECIPE, learning_rate=0.1, weight_decay=0.0)

Found = dict[Recipe, list[Numbers]]


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    """Data sets of `N` patients, each with its own folds and seeds."""
    made = []
    for seed in range(TRIALS):
        drawn = np.random.default_rng(seed).integers(0, len(POPULATION), N)
        frame = POPULATION.iloc[drawn].reset_index(drop=True)
        labels = schema.label(frame).to_numpy()
        made.append(Trial(frame, labels, labels, folds.cross_validation(labels, FOLDS, REPEATS, seed), seed))
    return made


@pytest.fixture(scope="module")
def found(trials: list[Trial]) -> Found:
    """Each recipe's probabilities (R, N) in each trial."""
    return probabilities(trials, [RECIPE, RESEEDED, SHRUNK, RUINED])


def estimates_of(
    trials: list[Trial], found: Found, challenger: Recipe, champion: Recipe, *, widened: bool = True
) -> list[Estimate]:
    """The difference in each trial, as a report computes it, or as resampling only patients would."""
    resamples = estimates.resamples(N, 0)
    return [
        estimates.difference(
            trial.labels, ours, theirs, resamples, trial.splits.widening if widened else 1.0
        )
        for trial, ours, theirs in zip(trials, found[challenger], found[champion], strict=True)
    ]  # fmt: skip


def kinds(found: list[Estimate]) -> list[str]:
    return [compare(one, Promotion().margin).kind for one in found]


def misses(found: list[Estimate]) -> float:
    """The share of intervals that miss the true difference, estimated without bias by the mean of all trials."""
    truth = np.mean([one.value for one in found])
    return float(np.mean([not one.low <= truth <= one.high for one in found]))


# --- error rates


def test_a_stopped_simulation_resumes_from_what_it_kept(
    trials: list[Trial], found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def answer(some: Sequence[Trial], recipes: Sequence[Recipe]) -> Found:
        asked.extend(trial.seed for trial in some)
        return {recipe: [found[recipe][trial.seed] for trial in some] for recipe in recipes}

    monkeypatch.setattr(error_rates, "probabilities", answer)
    error_rates.together(trials[:4], [RECIPE], 2, tmp_path)
    again = error_rates.together(trials[:6], [RECIPE], 2, tmp_path)
    assert asked == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(again[RECIPE], found[RECIPE][:6], rtol=1e-6)


def test_identical_recipes_are_called_better_at_most_once_in_twenty(trials: list[Trial], found: Found) -> None:
    drawn = kinds(estimates_of(trials, found, RESEEDED, RECIPE))
    # A method that errs in 12 of 100 would pass with a probability of 0.0007: at most 10 of 200 (binomial).
    assert drawn.count(BETTER) <= TRIALS // 20
    assert drawn.count(WORSE) <= TRIALS // 20


def test_without_the_widening_identical_recipes_are_called_better_too_often(trials: list[Trial], found: Found) -> None:
    drawn = kinds(estimates_of(trials, found, RESEEDED, RECIPE, widened=False))
    assert drawn.count(BETTER) > TRIALS // 20


def test_the_interval_holds_the_true_difference_but_not_if_repeats_count_as_patients(
    trials: list[Trial], found: Found
) -> None:
    ours = estimates_of(trials, found, SHRUNK, RECIPE)
    resamples = estimates.resamples(REPEATS * N, 0)
    naive = [
        estimates.difference(
            np.tile(trial.labels, REPEATS), shrunk.reshape(1, -1), plain.reshape(1, -1), resamples
        )
        for trial, shrunk, plain in zip(trials, found[SHRUNK], found[RECIPE], strict=True)
    ]  # fmt: skip
    assert [one.value for one in naive] == pytest.approx([one.value for one in ours])
    assert misses(ours) <= 0.05
    assert misses(naive) >= 0.15


def test_a_large_difference_and_its_reverse_are_found(trials: list[Trial], found: Found) -> None:
    for challenger, champion, kind in ((RECIPE, RUINED, BETTER), (RUINED, RECIPE, WORSE)):
        assert kinds(estimates_of(trials, found, challenger, champion)).count(kind) >= 0.95 * TRIALS


# --- the interval against other methods


def differing(n: int, repeats: int, seed: int) -> tuple[Numbers, Numbers, Numbers]:
    """Labels (n,), and two models' probabilities (repeats, n); repeats differ much less than patients do."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.45).astype(float)
    logits = 2 * labels - 1 + rng.standard_normal((2, 1, n)) + 0.1 * rng.standard_normal((2, repeats, n))
    ours, theirs = 1 / (1 + np.exp(-logits))
    return labels, ours, theirs


def test_the_paired_bootstrap_equals_scipys_within_monte_carlo_error() -> None:
    labels, ours, theirs = differing(150, 3, seed=0)
    each = estimates.losses(labels, ours), estimates.losses(labels, theirs)
    scipys = stats.bootstrap(
        each, lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis), paired=True, vectorized=True,
        n_resamples=20_000, method="percentile", rng=np.random.default_rng(1),
    )  # fmt: skip
    weights = estimates.resamples(150, 0)
    mine, widened = (estimates.difference(labels, ours, theirs, weights, by) for by in (1.0, 1.5))
    interval = scipys.confidence_interval
    # The standard error of a quantile of 2000 resamples is 0.06 times that of the mean.
    tolerance = 0.2 * scipys.standard_error
    assert (mine.low, mine.high) == pytest.approx((interval.low, interval.high), abs=tolerance)
    stretched = [mine.value + 1.5 * (end - mine.value) for end in interval]
    assert (widened.low, widened.high) == pytest.approx(stretched, abs=1.5 * tolerance)


def nadeau_bengio(labels: Numbers, ours: Numbers, theirs: Numbers, splits: Splits) -> tuple[float, float]:
    """The mean difference of the folds and its variance by the paper's formula: (1 / J + n2 / n1) s^2."""
    folds = len(splits.pairs) // splits.repeats
    means = []
    for i, (_, test) in enumerate(splits.pairs):
        p, q, y = ours[i // folds, test], theirs[i // folds, test], labels[test]
        means.append(np.mean(-np.log(np.where(y == 1, p, 1 - p)) + np.log(np.where(y == 1, q, 1 - q))))
    train_rows, test_rows = splits.pairs[0]
    return float(np.mean(means)), (1 / len(means) + len(test_rows) / len(train_rows)) * np.var(means, ddof=1)


@pytest.mark.parametrize(("k", "repeats"), [(10, 1), (10, 5), (4, 3)])
def test_the_widened_interval_is_as_wide_as_nadeau_and_bengios(k: int, repeats: int) -> None:
    sets, n = 100, 200
    weights = estimates.resamples(n, 0)
    theirs, ours = np.zeros(sets), np.zeros(sets)
    for seed in range(sets):
        labels, p, q = differing(n, repeats, seed)
        splits = folds.cross_validation(labels, k, repeats, seed)
        mean, theirs[seed] = nadeau_bengio(labels, p, q, splits)
        found = estimates.difference(labels, p, q, weights, splits.widening)
        assert found.value == pytest.approx(mean)
        ours[seed] = ((found.high - found.low) / (2 * stats.norm.ppf(0.975))) ** 2
        student = corrected_t(labels, p, q, splits)
        half = stats.t.ppf(0.975, k * repeats - 1) * np.sqrt(theirs[seed])
        assert (student.low, student.high) == pytest.approx((mean - half, mean + half))
    # The variance of ten means has a standard error of 47 %, and its average over 100 sets one of 5 %. A bootstrap's
    # quantiles are those of a sum that is not quite normal.
    assert np.sqrt(ours.mean() / theirs.mean()) == pytest.approx(1, abs=0.1)


# --- nothing is learned from test rows


def test_no_fit_touches_its_test_rows() -> None:
    frame = patients.make(90, seed=4)
    labels = schema.label(frame).to_numpy()
    splits = folds.cross_validation(labels, 3, 2, seed=0)
    fold = 4  # of the pairs 0 to 5, the middle one of the second repeat
    learned, tested = splits.pairs[fold]
    changed_frame, changed_labels = frame.copy(), labels.copy()
    changed_frame.iloc[tested] = patients.make(len(tested), seed=8).to_numpy()
    changed_labels[tested] = 1 - labels[tested]
    probe = patients.make(50, seed=9)

    def run(frame: pd.DataFrame, labels: Numbers) -> tuple[Inputs, Networks, PatientModel, Report]:
        contest = Contest(frame, labels, Recipe(epochs=4), splits)
        inputs = contest.inputs
        networks = train(inputs, labels.astype(np.float32), contest.jobs)
        model = PatientModel(encoding.Encoder.fit(frame.iloc[learned]), networks.keras(fold, 29))
        return inputs, networks, model, contest.report(networks)

    (inputs, networks, model, report), (inputs_2, networks_2, model_2, report_2) = (
        run(frame, labels), run(changed_frame, changed_labels)
    )  # fmt: skip
    # The fold's own fit is unchanged: encoder, weights to the last bit, all training figures, threshold, answers.
    assert model.encoder.to_json() == model_2.encoder.to_json()
    np.testing.assert_array_equal(inputs[fold][learned], inputs_2[fold][learned])
    np.testing.assert_array_equal(networks.weights[fold], networks_2.weights[fold])
    for name in ("loss/train", "accuracy/train"):
        np.testing.assert_array_equal(networks.curves[name][fold], networks_2.curves[name][fold])
    assert model.threshold == model_2.threshold
    pd.testing.assert_frame_equal(model.predict(probe), model_2.predict(probe))
    # Its test scores follow the changed rows but stop nothing: it trained to its last epoch both times.
    for name in ("loss/test", "accuracy/test"):
        assert (networks.curves[name][fold] != networks_2.curves[name][fold]).any()
    assert (report.probabilities[NETWORK][1, tested] != report_2.probabilities[NETWORK][1, tested]).all()
    assert np.isfinite([networks.curves[name][fold] for name in CURVES]).all()
    # The other fits of that repeat did learn from these rows, so the change was large enough to see.
    for other in (3, 5):
        assert (networks.weights[other] != networks_2.weights[other]).any()
        assert (inputs[other] != inputs_2[other]).any()
