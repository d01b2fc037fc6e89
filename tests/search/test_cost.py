"""What a search will cost, and what is refused before it begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import UsageError
from heart_disease.processes import memory
from heart_disease.search import cost
from heart_disease.search.cost import Design
from heart_disease.search.space import DEFAULT, make_space, sample
from heart_disease.training.recipe import Recipe

GIB = 2**30
DESIGN = Design(rows=20_000, evaluation=Evaluation(folds=10, repeats=1), inner_folds=5, epochs=7)
RECIPES = [Recipe(batch_size=1024, epochs=100, seed=seed) for seed in range(100)]


def test_more_configurations_networks_epochs_and_patients_take_longer() -> None:
    least = cost.estimate(RECIPES, DESIGN)
    for recipes, design in (
        (RECIPES * 2, DESIGN),
        ([replace(recipe, epochs=200) for recipe in RECIPES], DESIGN),
        ([replace(recipe, hidden=(64,)) for recipe in RECIPES], DESIGN),
        (RECIPES, replace(DESIGN, rows=40_000)),
        (RECIPES, replace(DESIGN, inner_folds=10)),
    ):
        assert cost.estimate(recipes, design).seconds > 1.5 * least.seconds


def test_a_cluster_needs_less_memory_here() -> None:
    assert cost.estimate(RECIPES, replace(DESIGN, here=False)).bytes < cost.estimate(RECIPES, DESIGN).bytes


def test_the_default_search_among_the_bundled_patients_fits_into_2_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "room", lambda: 2 * GIB)
    cost.check(sample(make_space(DEFAULT), 200), Design(303, Evaluation(), 5, len(DEFAULT["epochs"])))


@pytest.mark.parametrize(
    ("repeats", "recipes", "design", "remedy"),
    [
        (2, RECIPES, DESIGN, r"fits with --repeats 1\."),
        (1, RECIPES[:40], DESIGN, r"fits with --configurations 40, or a grid of as many\."),
        (1, RECIPES[:1], replace(DESIGN, rows=5_000), r"with --repeats 1 and at most 5,0\d\d of them\."),
    ],
)
def test_what_cannot_fit_is_refused_with_what_would_fit(
    repeats: int, recipes: list[Recipe], design: Design, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = replace(DESIGN, evaluation=Evaluation(folds=10, repeats=repeats))
    room = cost.estimate(RECIPES if repeats > 1 else recipes, design).bytes
    monkeypatch.setattr(memory, "room", lambda: room + 2**20)
    with pytest.raises(UsageError, match=f"100 configurations on 20000 patients need .*Nothing was trained.*{remedy}"):
        cost.check(RECIPES, wanted)


def test_networks_whose_weights_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "room", lambda: 8 * GIB)
    with pytest.raises(UsageError, match=r"Use smaller layers: a network has 16,908,289 weights\."):
        cost.check([Recipe(hidden=(4096, 4096))], DESIGN)
