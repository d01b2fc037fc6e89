"""What a training will cost, and what is refused before it begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heart_disease.evaluation import by_rows, cost
from heart_disease.evaluation.settings import Evaluation, EvaluationOptions
from heart_disease.model.errors import UsageError
from heart_disease.processes import memory
from heart_disease.training.recipe import Recipe, RecipeOptions

GIB = 2**30


def test_more_networks_epochs_steps_and_units_take_longer() -> None:
    def seconds(recipe: Recipe, evaluation: Evaluation) -> float:
        return cost.estimate(10_000, [recipe], evaluation).seconds

    base, folds = Recipe(batch_size=512), Evaluation(folds=5, repeats=1)
    for recipe, evaluation in (
        (replace(base, epochs=150), folds),
        (replace(base, batch_size=32), folds),
        (replace(base, hidden=(64,)), folds),
        (replace(base, members=2), folds),
        (base, Evaluation(folds=10, repeats=1)),
        (base, Evaluation(folds=5, repeats=2)),
    ):
        assert seconds(recipe, evaluation) > 1.3 * seconds(base, folds)
    assert seconds(base, Evaluation(holdout=0.2)) < seconds(base, folds) / 4
    both = cost.estimate(10_000, [base, base], folds).seconds
    assert 1.7 * seconds(base, folds) < both < 2 * seconds(base, folds)  # the champion ships no network


def test_the_cost_is_told_in_round_numbers() -> None:
    assert str(cost.Cost(42.4, 1.2 * GIB)) == "about 42 s, 1.2 GiB"
    assert str(cost.Cost(40 * 60, 5 * GIB)) == "about 40 min, 5.0 GiB"
    assert str(cost.Cost(5 * 3600, 5 * GIB)) == "about 5 h, 5.0 GiB"


@pytest.mark.parametrize("rows", [303, 100_000, 10_000_000])
def test_what_the_rule_chooses_fits_into_8_gib(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(memory, "room", lambda: 8 * GIB)
    recipe, judged = by_rows.recipe_for(rows, RecipeOptions()), by_rows.evaluation_for(rows, EvaluationOptions())
    assert cost.check(rows, [recipe, recipe], judged).bytes < 8 * GIB


@pytest.mark.parametrize(
    ("evaluation", "fits", "remedy"),
    [
        (Evaluation(repeats=50), Evaluation(repeats=1), r"fits with --repeats 1\."),
        (Evaluation(repeats=1), Evaluation(holdout=0.2), r"fits with --holdout 0\.2\."),
        (Evaluation(holdout=0.2), None, r"on at most 5\d\d,\d\d\d of them, or on several machines: heart distribute\."),
        (Evaluation(repeats=1), None, r"on at most \d\d\d,\d\d\d of them, or on several machines: heart distribute\."),
    ],
)
def test_what_cannot_fit_is_refused_with_what_would_fit(
    monkeypatch: pytest.MonkeyPatch, evaluation: Evaluation, fits: Evaluation | None, remedy: str
) -> None:
    rows, recipes = 1_000_000, [Recipe(batch_size=8192)]
    room = cost.estimate(rows, recipes, fits).bytes if fits else cost.PROGRAM + rows * cost.ROW / 2
    monkeypatch.setattr(memory, "room", lambda: room + GIB / 10)
    with pytest.raises(UsageError, match=f"1000000 patients need about .* GiB .*Nothing was trained.*{remedy}"):
        cost.check(rows, recipes, evaluation)
    with pytest.raises(UsageError, match=r"Nothing was trained\. Use a machine that has more\."):
        cost.check(rows, recipes, evaluation, fixed=True)


def test_a_network_that_is_too_large_for_a_landscape_is_refused() -> None:
    cost.check_landscape(Recipe(hidden=(128, 128)))
    with pytest.raises(UsageError, match="a network of 73729 weights is too large for a loss landscape"):
        cost.check_landscape(Recipe(hidden=(256, 256)))
