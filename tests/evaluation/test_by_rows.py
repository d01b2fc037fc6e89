"""What the number of patients decides, and what it does not."""

from __future__ import annotations

import pytest

from heart_disease.evaluation import by_rows
from heart_disease.evaluation.settings import Evaluation, EvaluationOptions
from heart_disease.training.recipe import LECTURE, Recipe, RecipeOptions


def test_the_303_patients_of_cleveland_keep_the_settings_that_were_found_for_them() -> None:
    assert by_rows.recipe_for(303, RecipeOptions()) == Recipe(epochs=75, batch_size=32)
    assert by_rows.evaluation_for(303, EvaluationOptions()) == Evaluation(folds=10, repeats=5)


@pytest.mark.parametrize(
    ("rows", "epochs", "size"),
    [(1, 75, 32), (768, 75, 32), (3_000, 75, 128), (100_000, 75, 4096), (1_000_000, 40, 8192), (10_000_000, 10, 8192)],
)
def test_more_patients_take_larger_steps_and_fewer_epochs(rows: int, epochs: int, size: int) -> None:
    assert by_rows.recipe_for(rows, RecipeOptions()) == Recipe(epochs=epochs, batch_size=size)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (4_999, Evaluation(folds=10, repeats=5)),
        (5_000, Evaluation(folds=10, repeats=1)),
        (49_999, Evaluation(folds=10, repeats=1)),
        (50_000, Evaluation(holdout=0.2)),
    ],
)
def test_more_patients_need_fewer_networks_to_judge_them(rows: int, expected: Evaluation) -> None:
    assert by_rows.evaluation_for(rows, EvaluationOptions()) == expected


def test_what_is_given_is_obeyed_and_the_rest_still_follows_the_rule() -> None:
    asked = RecipeOptions(hidden=(8,), epochs=3, seed=5)
    assert by_rows.recipe_for(1_000_000, asked) == Recipe(hidden=(8,), epochs=3, batch_size=8192, seed=5)
    assert by_rows.recipe_for(1_000_000, LECTURE) == LECTURE
    assert by_rows.evaluation_for(1_000_000, EvaluationOptions(folds=5)) == Evaluation(folds=5, repeats=1)
    assert by_rows.evaluation_for(1_000_000, EvaluationOptions(repeats=2)) == Evaluation(folds=10, repeats=2)
    assert by_rows.evaluation_for(303, EvaluationOptions(holdout=0.3)) == Evaluation(holdout=0.3)


def test_a_retraining_keeps_the_champions_sensitivity_unless_another_is_named() -> None:
    def asked(sensitivity: float | None, champion: float | None) -> float | None:
        options = EvaluationOptions(sensitivity=sensitivity)
        return by_rows.evaluation_for(303, options, champion=champion).sensitivity

    assert asked(None, None) is None
    assert asked(None, 0.9) == 0.9
    assert asked(0.8, 0.9) == 0.8
    assert asked(0, 0.9) is None
    held_out = by_rows.evaluation_for(100_000, EvaluationOptions(), champion=0.9)
    assert held_out == Evaluation(holdout=0.2, sensitivity=0.9)


def test_a_search_cross_validates_whatever_the_number() -> None:
    found = by_rows.evaluation_for(1_000_000, EvaluationOptions(), may_hold_out=False)
    assert found == Evaluation(folds=10, repeats=1)


@pytest.mark.parametrize("asked", [RecipeOptions(hidden=(8,)), RecipeOptions(epochs=9), Recipe(epochs=9, batch_size=4)])
def test_a_recipe_remembers_what_was_left_open_and_means_the_same_again(asked: RecipeOptions) -> None:
    recipe = by_rows.recipe_for(303, asked)
    again = by_rows.asked_again(recipe, by_rows.left_open(asked))
    assert by_rows.recipe_for(1_000_000, again) == by_rows.recipe_for(1_000_000, asked)


@pytest.mark.parametrize(
    ("asked", "judged", "words"),
    [
        (RecipeOptions(), {}, "75 epochs in steps of 32 rows; 10 folds, 5 repeats: chosen for 303 patients"),
        (
            RecipeOptions(epochs=9),
            {"folds": 3},
            "9 epochs in steps of 32 rows; 3 folds, 5 repeats: batch_size, repeats chosen for 303 patients",
        ),
        (LECTURE, {"holdout": 0.2}, "300 epochs in steps of 32 rows; 0.2 held out: as asked"),
        (Recipe(optimizer="gd"), {"holdout": 0.2}, "75 epochs in steps of all rows; 0.2 held out: as asked"),
    ],
)
def test_the_output_says_what_was_chosen_and_what_was_asked_for(
    asked: RecipeOptions, judged: dict[str, float], words: str
) -> None:
    assert by_rows.in_words(303, asked, EvaluationOptions(**judged)) == words  # type: ignore[arg-type]
