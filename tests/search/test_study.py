"""The search: which rows each network is trained on, and the estimate of what its choice is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from heart_disease.evaluation import contest, estimates, folds
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import UsageError
from heart_disease.reporting import tables
from heart_disease.search.study import Result, Study, cross_validate, measure, summarise
from heart_disease.training.batches import Job, Plan, together
from heart_disease.training.engine import train
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import Recipe
from tests.harness.data import patients
from tests.harness.models.searches import slow_choice

EVALUATION = Evaluation(folds=3, repeats=2)
RECIPES = (
    Recipe(hidden=(3,), learning_rate=0.03, weight_decay=0.0, epochs=6),
    Recipe(hidden=(3,), learning_rate=0.01, weight_decay=1.0, epochs=6),
    Recipe(hidden=(), learning_rate=0.05, weight_decay=0.1, epochs=6),
)


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(patients.make(60), EVALUATION, epochs=(2, 6), inner_folds=2, seed=0)


@pytest.fixture(scope="module")
def results(study: Study) -> list[Result]:
    return cross_validate(study, RECIPES, device="cpu")


# Which rows each network is trained on


def test_every_configuration_sees_the_same_folds_from_the_same_seeds(study: Study) -> None:
    first, *others = (study.jobs(recipe) for recipe in RECIPES)
    for other in others:
        for ours, theirs in zip(first, other, strict=True):
            assert np.array_equal(ours.rows, theirs.rows)
            assert np.array_equal(ours.watch, theirs.watch)
            assert (ours.matrix, ours.recipe.seed) == (theirs.matrix, theirs.recipe.seed)


def test_the_main_networks_are_those_of_a_training(study: Study) -> None:
    main = contest.fold_jobs(RECIPES[0], study.splits)
    for ours, theirs in zip(study.jobs(RECIPES[0]), main, strict=False):
        assert np.array_equal(ours.rows, theirs.rows)
        assert np.array_equal(ours.watch, theirs.watch)
        assert (ours.matrix, ours.recipe) == (theirs.matrix, theirs.recipe)


def test_the_inner_folds_divide_the_training_rows_of_their_outer_fold(study: Study) -> None:
    jobs = study.jobs(RECIPES[0])
    assert len(jobs) == study.fits == 6 + 3 * 2
    for outer, (rows, test) in enumerate(study.outer):
        inner = jobs[6 + 2 * outer : 8 + 2 * outer]
        assert sorted(np.concatenate([job.watch for job in inner])) == sorted(rows)
        for job in inner:
            assert sorted([*job.rows, *job.watch]) == sorted(rows)
            assert not set(test) & {*job.rows, *job.watch}


def test_the_outer_folds_are_the_first_repeat(study: Study) -> None:
    assert len(study.outer) == 3
    assert sorted(np.concatenate([test for _, test in study.outer])) == list(range(60))


def test_no_two_networks_of_a_configuration_have_the_same_seed(study: Study) -> None:
    assert len({job.recipe.seed for job in study.jobs(RECIPES[0])}) == study.fits


def test_every_networks_inputs_are_encoded_with_its_training_rows(study: Study) -> None:
    for job in study.jobs(RECIPES[0]):
        expected = Encoder.fit(study.frame.iloc[job.rows]).transform(study.frame)
        np.testing.assert_allclose(study.inputs[job.matrix], expected, rtol=1e-6, atol=1e-6)


def test_the_largest_seed_is_allowed() -> None:
    last = 2**31 - 1
    study = Study(patients.make(60), EVALUATION, (2,), 2, seed=last)
    assert len({job.recipe.seed for job in study.jobs(replace(RECIPES[0], seed=last))}) == study.fits


def test_several_numbers_of_epochs_cost_nothing_extra(study: Study) -> None:
    jobs = study.jobs(RECIPES[0])
    longer = [replace(job, epochs=(2, 4, 6)) for job in jobs]
    plans = [Plan([[job] for job in these]) for these in (longer, jobs)]
    assert plans[0].steps == plans[1].steps
    assert [len(batch) for batch in together(longer, 100)] == [len(jobs)]


def test_too_few_patients_for_the_inner_and_for_the_outer_folds_are_different_errors() -> None:
    frame = patients.make(60)
    with pytest.raises(UsageError, match="^inside each of the outer folds 20 folds need at least 20 patients of each"):
        _ = Study(frame, EVALUATION, (2,), inner_folds=20).fits
    with pytest.raises(UsageError, match="^50 folds need at least 50 patients of each class"):
        _ = Study(frame, Evaluation(folds=50), (2,), inner_folds=2).fits


def test_a_holdout_is_refused() -> None:
    with pytest.raises(UsageError, match=r"expected folds, not a holdout \(=0\.2\)"):
        Study(patients.make(60), Evaluation(holdout=0.2), (2,), inner_folds=2)


# What is found about a configuration


@pytest.mark.slow
@pytest.mark.parametrize(("number", "epoch"), [(0, 0), (0, 1), (2, 0)])
def test_a_configuration_is_judged_as_if_trained_alone_for_exactly_these_epochs(
    number: int, epoch: int, study: Study, results: list[Result]
) -> None:
    recipe = replace(RECIPES[number], epochs=study.epochs[epoch])
    inputs = Inputs.fitted(study.frame, [rows for rows, _ in study.splits.pairs])
    plain = train(inputs, study.labels, contest.fold_jobs(recipe, study.splits), device="cpu")
    expected = contest.by_member(plain, inputs, study.splits)[0]
    assert results[number].probabilities[epoch] == pytest.approx(expected, abs=1e-6)
    if epoch == 1:
        assert results[number].train == pytest.approx(plain.curves["loss/train"].mean(axis=0), abs=1e-6)
        assert results[number].validation == pytest.approx(plain.curves["loss/test"].mean(axis=0), abs=1e-6)


def test_results_come_in_the_order_of_the_recipes_with_the_documented_shapes(results: list[Result]) -> None:
    assert tuple(result.recipe for result in results) == RECIPES
    for result in results:
        assert result.probabilities.shape == (2, 2, 60)
        assert result.inner.shape == (2, 3, 60)
        assert result.train.shape == result.validation.shape == (6,)
        assert ((result.probabilities > 0) & (result.probabilities < 1)).all()


def test_inner_losses_are_only_those_of_their_outer_folds_training_rows(study: Study, results: list[Result]) -> None:
    for result in results:
        for outer, (rows, test) in enumerate(study.outer):
            assert np.isfinite(result.inner[:, outer, rows]).all()
            assert np.isnan(result.inner[:, outer, test]).all()


def test_the_test_rows_of_an_outer_fold_change_nothing_inside_it(study: Study, results: list[Result]) -> None:
    """This proves that the estimate is nested: other values and labels there leave the pick the same, bit for bit."""
    outer = 1
    rows, test = study.outer[outer]
    frame = study.frame.copy()
    other = patients.make(len(test), seed=9)
    frame.iloc[test] = other.to_numpy()
    frame.iloc[test, frame.columns.get_loc("num")] = np.where(study.labels[test] > 0, 0.0, 1.0)
    changed = Study(frame, EVALUATION, study.epochs, study.inner_folds, study.seed)
    # Folds are stratified by label, so they are held fixed here.
    changed.__dict__.update(splits=study.splits, inner=study.inner)
    found = cross_validate(changed, RECIPES, device="cpu")

    for before, after in zip(results, found, strict=True):
        assert np.array_equal(before.inner[:, outer, rows], after.inner[:, outer, rows])
        assert not np.array_equal(before.inner[:, 0, study.outer[0][0]], after.inner[:, 0, study.outer[0][0]])
        assert not np.array_equal(before.probabilities, after.probabilities)
    before, after = summarise(study, results), summarise(changed, found)
    assert before.picks[outer] == after.picks[outer]
    assert before.nested != after.nested


def test_a_network_that_diverges_counts_as_certain_and_wrong_and_is_never_the_best(study: Study) -> None:
    recipes = [Recipe(hidden=(3,), optimizer="sgd", learning_rate=rate, weight_decay=0) for rate in (99.0, 0.01)]
    recipes = [replace(recipe, activation="elu", epochs=6) for recipe in recipes]
    inputs = replace(study.inputs, factors=study.inputs.factors * np.float32(1e30))  # sure to overflow
    overflowing = Study(study.frame, EVALUATION, study.epochs, study.inner_folds)
    overflowing.__dict__.update(inputs=inputs)
    [diverged, _] = cross_validate(overflowing, recipes, device="cpu")
    labels = np.broadcast_to(study.labels, diverged.probabilities.shape)
    assert np.array_equal(diverged.probabilities, 1 - labels)
    assert np.nanmin(diverged.inner) > 30

    fine = Result(
        recipes[1], np.full((2, 2, 60), 0.5, np.float32), np.full((2, 3, 60), 0.7, np.float32), *[np.ones(6)] * 2
    )
    found = summarise(study, [diverged, fine])
    assert found.ranked[0] == found.chosen == replace(recipes[1], epochs=2)
    assert {replace(pick, epochs=6) for pick in found.picks} == {recipes[1]}
    assert np.isfinite([one.value for one in found.loss]).all()


# What the choice is worth


def slow_nested(study: Study, recipes: Sequence[Recipe]) -> tuple[np.ndarray, list[Recipe]]:
    """The loss of each patient and the picks, by nested cross-validation as in a textbook.

    For each outer fold: cross-validate every recipe inside its training rows, choose, train the winner on all of
    these rows, and let it predict the test rows.
    """
    losses, picks = np.full(len(study.frame), np.nan), []
    winners: list[Job] = []
    outer_folds = study.splits.pairs[: study.evaluation.folds]
    for outer, (rows, test) in enumerate(outer_folds):
        frame, labels = study.frame.iloc[rows], study.labels[rows]
        splits = folds.cross_validation(labels, study.inner_folds, 1, study.seed + 1 + outer)
        inputs = Inputs.fitted(frame, [part for part, _ in splits.pairs])
        candidates = [replace(recipe, epochs=e) for recipe in recipes for e in study.epochs]
        jobs: list[Job] = []
        for recipe in candidates:
            jobs += contest.fold_jobs(replace(recipe, seed=recipe.seed + 1 + outer), splits)
        answers = train(inputs, labels, jobs, device="cpu").watched(inputs)
        inner = np.empty((len(recipes), len(study.epochs), len(rows)))
        for job, answer, number in zip(jobs, answers, np.arange(len(jobs)) // study.inner_folds, strict=True):
            inner[np.unravel_index(number, inner.shape[:2])][job.watch] = estimates.losses(labels[job.watch], answer)
        _, pick = slow_choice(inner, recipes, study.epochs, splits.widening)
        winner = replace(recipes[pick.number], epochs=study.epochs[pick.epoch])
        picks.append(winner)
        seed = contest.fold_jobs(winner, study.splits)[outer].recipe.seed
        winners.append(Job(replace(winner, seed=seed), rows, test, matrix=outer))
    inputs = Inputs.fitted(study.frame, [rows for rows, _ in outer_folds])
    answers = train(inputs, study.labels, winners, device="cpu").watched(inputs)
    for (_, test), answer in zip(outer_folds, answers, strict=True):
        losses[test] = estimates.losses(study.labels[test], answer)
    return losses, picks


@pytest.mark.slow
def test_the_nested_estimate_equals_the_textbooks() -> None:
    recipes = [
        Recipe(hidden=(3,), learning_rate=0.02, weight_decay=0, epochs=6),
        Recipe(hidden=(3,), learning_rate=0.1, weight_decay=0, epochs=6),
    ]
    study = Study(patients.make(50, seed=14), Evaluation(folds=2, repeats=2), epochs=(2, 6), inner_folds=3, seed=5)
    found = summarise(study, cross_validate(study, recipes, device="cpu"))
    losses, picks = slow_nested(study, recipes)
    assert list(found.picks) == picks
    assert len(set(picks)) == 2  # otherwise the choice would hardly be tested
    expected = estimates.estimate(losses, study.resamples)
    assert [found.nested.value, found.nested.low, found.nested.high] == pytest.approx(
        [expected.value, expected.low, expected.high], abs=1e-5
    )


def test_inside_an_outer_fold_only_the_inner_losses_choose(study: Study) -> None:
    """Networks of the main folds have seen the test rows of other outer folds, so their losses are no evidence."""

    def result(recipe: Recipe, right: float, inner: float) -> Result:
        p = np.where(study.labels > 0, right, 1 - right).astype(np.float32)
        return Result(recipe, np.tile(p, (2, 2, 1)), np.full((2, 3, 60), inner, np.float32), *[np.ones(6)] * 2)

    found = summarise(study, [result(RECIPES[0], right=0.9, inner=0.8), result(RECIPES[1], right=0.6, inner=0.3)])
    assert found.best == found.chosen == replace(RECIPES[0], epochs=2)
    assert list(found.picks) == [replace(RECIPES[1], epochs=2)] * 3
    assert found.nested.value == pytest.approx(-np.log(0.6))


def random_results(study: Study, count: int) -> list[Result]:
    """Configurations that have learned nothing: every answer is drawn at random, independently of the patient."""
    rng, n = np.random.default_rng(1), len(study.frame)
    results = []
    for number in range(count):
        inner = np.full((1, len(study.outer), n), np.nan, np.float32)
        for outer, (rows, _) in enumerate(study.outer):
            inner[0, outer, rows] = estimates.losses(study.labels[rows], rng.uniform(0.3, 0.7, (1, len(rows))))
        p = rng.uniform(0.3, 0.7, (1, study.evaluation.repeats, n)).astype(np.float32)
        recipe = Recipe(learning_rate=0.001 + number * 1e-6, epochs=study.epochs[0])
        results.append(Result(recipe, p, inner, np.ones(1, np.float32), np.ones(1, np.float32)))
    return results


def test_the_best_of_many_looks_better_than_it_is_but_the_nested_estimate_does_not() -> None:
    frame = patients.make(200)
    frame["num"] = np.random.default_rng(0).permutation(frame["num"].to_numpy())
    study = Study(frame, Evaluation(folds=5, repeats=1), epochs=(5,), inner_folds=3)
    found = summarise(study, random_results(study, 300))
    prevalence = log_loss(study.labels, np.full(200, study.labels.mean()))
    assert found.of_best.high < found.nested.value
    assert found.of_best.value < found.of_chosen.value + 1e-9
    assert found.of_best.value < prevalence < found.nested.value


def test_the_ranking_has_every_configuration_at_its_best_epochs_best_first(study: Study, results: list[Result]) -> None:
    found = summarise(study, results)
    expected = {}
    for result in results:
        by_epochs = [
            np.mean([log_loss(study.labels, p.astype(np.float64)) for p in repeats]) for repeats in result.probabilities
        ]
        best = int(np.argmin(by_epochs))
        expected[replace(result.recipe, epochs=study.epochs[best])] = by_epochs[best]
    assert list(found.ranked) == sorted(expected, key=lambda recipe: expected[recipe])
    assert [loss.value for loss in found.loss] == pytest.approx(sorted(expected.values()))
    assert found.ranked[0] == found.best
    assert found.loss[0] == found.of_best
    assert found.chosen in {replace(recipe, epochs=e) for recipe in RECIPES for e in study.epochs}
    assert found.apart.value == pytest.approx(found.of_chosen.value - found.of_best.value)
    for loss in (*found.loss, found.of_chosen, found.nested):
        assert loss.low < loss.value < loss.high


def test_a_configuration_is_measured_at_the_epochs_in_the_ranking(study: Study, results: list[Result]) -> None:
    found = summarise(study, results)
    for result in results:
        recipe, metrics = measure(study, result)
        assert metrics["log_loss"] == found.loss[list(found.ranked).index(recipe)]
        epoch = study.epochs.index(recipe.epochs)
        assert metrics == estimates.measure(
            study.labels, result.probabilities[epoch].astype(np.float64), study.resamples
        )


def test_results_do_not_depend_on_the_batch_in_which_they_were_trained(study: Study, results: list[Result]) -> None:
    [alone] = cross_validate(study, RECIPES[1:2], device="cpu")
    assert alone.probabilities == pytest.approx(results[1].probabilities, abs=1e-6)
    assert alone.inner == pytest.approx(results[1].inner, abs=1e-5, nan_ok=True)


# What is reported about it


def test_a_search_says_what_differed_between_its_configurations(study: Study, results: list[Result]) -> None:
    found = summarise(study, results)
    assert tables.tried(study, found) == {
        "epochs": "2, 6", "hidden": "none, 3", "learning_rate": "0.01, 0.03, 0.05", "weight_decay": "0.0, 0.1, 1.0",
    }  # fmt: skip
    said = tables.search_text(study, found)
    assert f"Chosen: **{found.chosen.title}**" in said
    assert "3 configurations on 60 patients: 3-fold cross-validation, 2 repeats, with 2 inner folds" in said
    assert "| learning_rate | 0.01, 0.03, 0.05 |" in said


def test_of_many_values_only_the_lowest_and_highest_are_named(study: Study, results: list[Result]) -> None:
    found = summarise(study, results)
    many = [replace(found.chosen, learning_rate=rate / 1000) for rate in range(1, 11)]
    assert tables.tried(study, replace(found, ranked=many)) == {"epochs": "2, 6", "learning_rate": "0.001 to 0.01"}


def test_a_configuration_names_the_epochs_of_its_figures(study: Study, results: list[Result]) -> None:
    recipe, estimates = measure(study, results[0])
    said = tables.configuration_text(study, recipe, estimates)
    assert said.startswith(f"Figures at {recipe.epochs} epochs, its best of 2, 6. Curves to 6, means over 6 folds.")
    assert f"| log loss | {estimates['log_loss']} |" in said
