"""What a training will cost, and what is refused before it begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heart_disease.evaluation import by_rows, cost
from heart_disease.evaluation.settings import Evaluation, EvaluationOptions
from heart_disease.model.errors import UsageError
from heart_disease.processes import memory
from heart_disease.reporting.landscape import cost_of_landscape
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


@pytest.mark.parametrize(
    ("gib", "remedy"),
    [
        (12, r"It fits with --repeats 1\."),
        (8, r"It fits with --holdout 0\.2\."),
        (1.5, r"Use smaller layers: a network has 16,908,289 weights\."),
    ],
)
def test_networks_whose_weights_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, gib: float, remedy: str
) -> None:
    monkeypatch.setattr(memory, "room", lambda: gib * GIB)
    with pytest.raises(UsageError, match=rf"303 patients need .*Nothing was trained\. {remedy}"):
        cost.check(303, [Recipe(hidden=(4096, 4096))], Evaluation())


def test_a_landscape_that_does_not_fit_is_refused_and_the_training_alone_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe, folds = Recipe(hidden=(128, 128)), Evaluation()
    plain, picture = cost.estimate(303, [recipe], folds), cost_of_landscape(303, recipe)
    monkeypatch.setattr(memory, "room", lambda: plain.bytes + picture.bytes)
    both = cost.check(303, [recipe], folds, landscape=picture)
    assert (both.seconds, both.bytes) == (plain.seconds + picture.seconds, plain.bytes + picture.bytes)
    monkeypatch.setattr(memory, "room", lambda: plain.bytes + picture.bytes / 2)
    with pytest.raises(UsageError, match=r"Nothing was trained\. It fits without --landscape\."):
        cost.check(303, [recipe], folds, landscape=picture)
    assert cost.check(303, [recipe], folds) == plain


def test_what_would_fit_fits_with_the_landscape(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, recipes, folds = 1_000_000, [Recipe(batch_size=8192)], Evaluation(repeats=50)
    once, held = (cost.estimate(rows, recipes, way).bytes for way in (Evaluation(repeats=1), Evaluation(holdout=0.2)))
    picture = cost.Cost(0, GIB)
    for room, fits in ((once, "--repeats 1"), (once - 0.1 * GIB, "--holdout 0.2"), (held, "--holdout 0.2")):
        monkeypatch.setattr(memory, "room", lambda room=room: room + GIB)
        with pytest.raises(UsageError, match=rf"It fits with {fits}\."):
            cost.check(rows, recipes, folds, landscape=picture)
    monkeypatch.setattr(memory, "room", lambda: held + 0.9 * GIB)
    with pytest.raises(UsageError, match=r"Train on at most 1\d,\d\d\d of them"):
        cost.check(rows, recipes, folds, landscape=picture)


@pytest.mark.parametrize(
    ("rows", "hidden", "seconds", "mib"),
    [
        (303, (128, 128), 10.8, 176),
        (1000, (128, 128), 22.5, 422),
        (1000, (600,), 28.5, 543),
        (1000, (256,) * 2, 54, 757),
    ],
)
def test_the_cost_of_a_landscape_is_within_a_factor_of_two_of_what_was_measured(
    rows: int, hidden: tuple[int, ...], seconds: float, mib: float
) -> None:
    found = cost_of_landscape(rows, Recipe(hidden=hidden))
    assert seconds / 2 < found.seconds < 2 * seconds
    assert mib / 2 < found.bytes / 2**20 < 2 * mib
