"""The contest: which networks learn from which rows, and what is reported of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from heart_disease.evaluation import folds
from heart_disease.evaluation.contest import ALL_COLUMNS, CHAMPION, LOGISTIC, NETWORK, PREVALENCE, Contest, Report
from heart_disease.evaluation.estimates import Estimate, Numbers
from heart_disease.evaluation.folds import Splits
from heart_disease.model import encoding, schema
from heart_disease.model.folds import answers
from heart_disease.training.batches import Floats, Job
from heart_disease.training.engine import CURVES, Networks
from heart_disease.training.recipe import Recipe
from tests.harness.data import patients
from tests.harness.models.metrics import plainly

N = 83
LABELS = np.array([1.0] * 37 + [0.0] * 44)[np.random.default_rng(5).permutation(81)]


# --- jobs


def jobs_of(recipe: Recipe, splits: Splits) -> tuple[Job, ...]:
    return Contest(PATIENTS.iloc[: len(LABELS)], LABELS, recipe, splits).jobs


def test_cross_validation_trains_one_network_per_fold_and_ships_one_trained_on_all_rows() -> None:
    recipe, splits = Recipe(seed=7), folds.cross_validation(LABELS, 5, 2, seed=0)
    *fits, shipped = jobs_of(recipe, splits)
    assert len(fits) == 10
    for i, (job, (train, test)) in enumerate(zip(fits, splits.pairs, strict=True)):
        np.testing.assert_array_equal(job.rows, train)
        np.testing.assert_array_equal(job.watch, test)
        assert job.matrix == i
        assert replace(job.recipe, seed=7) == recipe
    np.testing.assert_array_equal(shipped.rows, np.arange(81))
    assert len(shipped.watch) == 0
    assert (shipped.recipe, shipped.matrix) == (recipe, 10)


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
            np.testing.assert_allclose(contest.inputs[job.matrix], expected, rtol=1e-6, atol=1e-6)


def test_every_fold_has_its_own_seed_which_follows_from_the_recipes() -> None:
    splits = folds.cross_validation(LABELS, 10, 2, seed=0)

    def seeds(recipe: Recipe) -> list[int]:
        return [job.recipe.seed for job in jobs_of(recipe, splits)]

    assert len(set(seeds(Recipe()))) == 21
    assert seeds(Recipe()) == seeds(Recipe(epochs=1))
    assert not set(seeds(Recipe())) & set(seeds(Recipe(seed=1)))


# --- reports


PATIENTS = patients.make(N)
Y = schema.label(PATIENTS).to_numpy()


def on(splits: Splits, **changes: Any) -> Contest:
    """A contest on `splits`; it has a champion only if `changes` names one."""
    return replace(Contest(PATIENTS, Y, Recipe(epochs=4), splits), **changes)


def untrained(contest: Contest) -> Networks:
    """Networks with random weights for the jobs of a contest."""
    rng = np.random.default_rng(0)
    weights = [0.3 * rng.standard_normal((1, job.recipe.size)).astype(np.float32) for job in contest.jobs]
    curves = {name: rng.random((len(contest.jobs), 4)).astype(np.float32) for name in CURVES}
    return Networks(contest.jobs, tuple(weights), curves, "cpu")


def answer(weights: Floats, rows: Floats) -> Numbers:
    """The answers of the network d-16-1 with flat weights (1, 497 if d is 29) to rows (n, d), written out."""
    w = weights[0].astype("float64")
    kernel, bias, last = np.split(w, [16 * rows.shape[1], 16 * rows.shape[1] + 16])
    hidden = np.maximum(rows @ kernel.reshape(-1, 16) + bias, 0)
    return 1 / (1 + np.exp(-(hidden @ last[:16] + last[16])))


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


@pytest.mark.parametrize("without", [(), ("chol", "cp", "ca")])
def test_logistic_regression_equals_scikit_learns_on_the_same_folds_and_columns(without: tuple[str, ...]) -> None:
    splits = folds.cross_validation(Y, 5, 1, seed=0)
    codes = {column.name: sorted([*column.codes, -1]) for column in encoding.CODED if column.name not in without}
    coded = OneHotEncoder(categories=list(codes.values()), sparse_output=False)
    numbers = [name for name in encoding.NUMBERS if name not in without]
    columns = ColumnTransformer([("numbers", StandardScaler(), numbers), ("codes", coded, list(codes))])
    theirs = cross_val_predict(
        make_pipeline(columns, LogisticRegression(max_iter=1000)),
        PATIENTS.fillna(-1), Y, cv=list(splits.pairs), method="predict_proba",
    )[:, 1]  # fmt: skip
    contest = on(splits, recipe=Recipe(epochs=4, without=without))
    np.testing.assert_allclose(contest.report(untrained(contest)).probabilities[LOGISTIC][0], theirs, atol=1e-4)


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
    np.testing.assert_array_equal(one.inputs[0][train], other.inputs[0][train])
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


def without_them(rows: Floats, names: tuple[str, ...]) -> Floats:
    """The inputs (n, 29) without those of some columns, found by their names."""
    return rows[:, [k for k, name in enumerate(encoding.input_names()) if name.partition("=")[0] not in names]]


def test_a_recipe_without_columns_is_compared_with_itself_with_all_columns() -> None:
    splits, without = folds.cross_validation(Y, 4, 2, seed=1), ("slope", "ca", "thal")
    contest = on(splits, recipe=Recipe(epochs=4, without=without))
    networks, inputs = untrained(contest), contest.inputs
    whole = networks.pick(lambda job: job.side == ALL_COLUMNS)
    assert {job.recipe.without for job in whole.jobs} == {()}
    found = contest.report(networks)
    assert found.without == without
    for i, (_, test) in enumerate(splits.pairs):
        ours = answer(networks.weights[i], without_them(inputs[i][test], without))
        np.testing.assert_allclose(found.probabilities[NETWORK][i // 4, test], ours, rtol=1e-4)
        theirs = answer(whole.weights[i], inputs[i][test])
        np.testing.assert_allclose(found.probabilities[ALL_COLUMNS][i // 4, test], theirs, rtol=1e-4)
    gap = found.metrics[NETWORK]["log_loss"].value - found.metrics[ALL_COLUMNS]["log_loss"].value
    assert found.differences[ALL_COLUMNS].value == pytest.approx(gap)


def test_the_model_of_a_recipe_without_columns_does_not_take_them() -> None:
    splits, without = folds.cross_validation(Y, 4, 1, seed=1), ("slope", "ca", "thal")
    contest = on(splits, recipe=Recipe(epochs=4, without=without))
    networks = untrained(contest)
    model = contest.model(networks, 1)
    assert set(schema.INPUT_NAMES) - set(model.columns) == set(without)
    shipped = networks.pick(lambda job: job.side == NETWORK and job.fold is None)
    expected = answer(shipped.weights[0], without_them(contest.inputs[4], without))
    scored = model.predict(PATIENTS.drop(columns=list(without)))
    np.testing.assert_allclose(scored["probability"], expected, rtol=1e-4)


@pytest.mark.parametrize("without", [(), ("slope", "ca", "thal")])
def test_the_model_carries_the_networks_of_the_folds_for_the_inputs_of_its_encoder(without: tuple[str, ...]) -> None:
    splits = folds.cross_validation(Y, 4, 2, seed=1)
    contest = on(splits, recipe=Recipe(epochs=4, members=2, without=without))
    networks, inputs = untrained(contest), contest.inputs
    model = contest.model(networks, 2)
    own = networks.pick(lambda job: job.side == NETWORK)
    weights = {(job.fold, job.member): w for job, w in zip(own.jobs, own.weights, strict=True)}
    found = answers(model.folds, model.encoder.transform(PATIENTS))
    assert len(found) == len(splits.pairs)
    assert model.support
    assert model.support.patients == len(Y)  # each is left out once to set the limit
    for i in range(len(splits.pairs)):
        expected = np.mean([answer(weights[i, m], without_them(inputs[i], without)) for m in range(2)], axis=0)
        np.testing.assert_allclose(found[i], expected, atol=1e-6)


def test_with_one_held_out_part_the_tested_network_is_shipped_and_there_are_no_others() -> None:
    contest = on(folds.holdout(Y, 0.2, seed=0))
    assert contest.model(untrained(contest), 1).folds == ()


def test_a_model_answers_yes_from_where_it_finds_the_share_that_was_asked_for() -> None:
    splits = folds.cross_validation(Y, 4, 2, seed=1)
    usual, asked = (on(splits, sensitivity=share) for share in (None, 0.8))
    networks = untrained(usual)
    assert usual.report(networks).threshold == 0.5
    found = asked.report(networks)
    sick = found.probabilities[NETWORK][:, Y > 0.5]
    assert (sick >= found.threshold).mean() >= 0.8 > (sick > found.threshold + 2e-6).mean()
    assert asked.model(networks, 1, found.threshold).threshold == found.threshold
    assert asked.threshold(networks, 1) == found.threshold
    assert usual.threshold(networks, 1) == 0.5
