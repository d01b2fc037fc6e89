"""What each change accounts for: who learns from whom, what is subtracted, and a case that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heart_disease.data import identities, sources
from heart_disease.evaluation.settings import Evaluation
from heart_disease.evaluation.versions.explanation import NEW, OLD, Trials
from heart_disease.training.recipe import RecipeOptions
from tests.harness.data import patients

MADE = patients.make(180, seed=4)
AFTER = sources.make_table(MADE.iloc[60:], "after.csv")
BEFORE = sources.make_table(MADE.iloc[:120].drop(MADE.index[60:70]), "before.csv")
FIRST = MADE.iloc[:120]
TURNED = FIRST["num"].where(np.arange(120) // 10 != 6, 1.0 - (FIRST["num"] > 0))  # the labels of ten patients
WITH_RELABELLED = sources.make_table(FIRST.assign(num=TURNED), "before.csv")
FOLDS = Evaluation(folds=3, repeats=2)
SHORT, LONG = RecipeOptions(epochs=1), RecipeOptions(epochs=40)


def trials(before: sources.Table | None = BEFORE, old: RecipeOptions = SHORT, new: RecipeOptions = LONG) -> Trials:
    return Trials(before, AFTER, old, new, FOLDS, seed=3)


def test_each_version_learns_from_its_own_patients() -> None:
    found = trials()
    assert len(found.frame) == 120 + 60
    ids = identities.patient_ids(found.frame)
    assert set(ids[found.learners[NEW]]) == set(identities.patient_ids(AFTER.frame))
    assert set(ids[found.learners[OLD]]) == set(identities.patient_ids(BEFORE.frame))


def test_each_recipe_learns_from_each_versions_patients_and_all_are_judged_on_the_later_ones() -> None:
    found = trials()
    assert {job.side for job in found.jobs} == {(recipe, data) for recipe in (OLD, NEW) for data in (OLD, NEW)}
    assert len(found.jobs) == 4 * 3 * 2
    for job in found.jobs:
        recipe, data = job.side
        assert job.recipe.epochs == {OLD: 1, NEW: 40}[recipe]
        assert set(job.rows) <= set(found.learners[data])
        assert set(job.watch) <= set(range(120))
    for key in {job.side for job in found.jobs}:
        tested = np.concatenate([job.watch for job in found.jobs if job.side == key])
        np.testing.assert_array_equal(np.bincount(tested), np.full(120, 2))


def test_the_cost_is_that_of_the_recipes_that_are_trained() -> None:
    found = trials()
    recipes = {job.side: replace(job.recipe, seed=found.seed) for job in found.jobs}
    assert {(recipe, data): its for (data, recipe), its in found.trained.items()} == recipes


def test_no_network_learned_from_a_patient_whom_it_is_judged_on_even_under_another_label() -> None:
    found = trials(before=WITH_RELABELLED)
    assert len(found.frame) == 120 + 60 + 10
    ids = identities.patient_ids(found.frame)
    for job in found.jobs:
        assert not set(ids[job.rows]) & set(ids[job.watch])


def test_the_kinds_that_are_compared_start_from_the_same_weights_on_the_same_folds() -> None:
    found = trials()
    each = [[job for job in found.jobs if job.side == (NEW, data)] for data in (OLD, NEW)]
    for one, other in zip(*each, strict=True):
        assert one.recipe == other.recipe
        np.testing.assert_array_equal(one.watch, other.watch)
        assert one.matrix != other.matrix


def test_effects_are_differences_between_kinds() -> None:
    found = trials()
    losses = {(r, d): np.full(120, value) for (r, d), value in zip(
        [(OLD, OLD), (NEW, OLD), (OLD, NEW), (NEW, NEW)], [0.9, 0.6, 0.8, 0.4], strict=True)}  # fmt: skip
    effects = {one.change: one.difference.value for one in found.effects(losses)}
    assert effects == {
        "the new recipe on the old data": pytest.approx(-0.3),
        "the new data with the old recipe": pytest.approx(-0.1),
        "both": pytest.approx(-0.5),
        "both, beyond the sum of the two": pytest.approx(-0.1),
    }


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        (trials(before=None), ["the new recipe"]),
        (trials(old=LONG), ["the new data"]),
        (trials(before=None, old=LONG), []),
    ],
)
def test_what_did_not_change_has_no_effect(found: Trials, changes: list[str]) -> None:
    losses = {(r, d): np.zeros(120) for r in found.recipes for d in found.splits}
    assert [one.change for one in found.effects(losses)] == changes


def test_more_epochs_and_right_labels_are_found_to_help() -> None:
    guessed = np.random.default_rng(0).permutation(BEFORE.frame["num"].to_numpy())
    before = sources.make_table(BEFORE.frame.assign(num=guessed), "before.csv")
    found = trials(before=before)
    effects = {one.change: one.difference for one in found.effects(found.train("cpu"))}
    assert effects["the new data with the old recipe"].value < 0
    assert effects["both"].high < 0
    assert effects["both, beyond the sum of the two"].high < 0  # with random labels, more epochs do harm
