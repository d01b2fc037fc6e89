"""Recipes and evaluations: the presets, and which values are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from heart_disease.evaluation.settings import Evaluation
from heart_disease.model import schema
from heart_disease.training.recipe import LECTURE, PRESETS, Recipe, RecipeOptions


def test_the_presets() -> None:
    assert {"default": RecipeOptions(), "lecture": LECTURE} == PRESETS
    lecture = LECTURE
    assert (lecture.hidden, lecture.activation, lecture.optimizer) == ((16,), "relu", "adam")
    assert (lecture.epochs, lecture.batch_size, lecture.learning_rate) == (300, 32, 0.001)
    assert (lecture.weight_decay, lecture.dropout, lecture.momentum) == (0, 0, 0)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no epoch": ({"epochs": 0}, "epochs\n  Input should be greater than or equal to 1"),
    "half an epoch": ({"epochs": 7.5}, "epochs\n  Input should be a valid integer"),
    "too many epochs": ({"epochs": 100_001}, "epochs\n  Input should be less than or equal to 100000"),
    "no row in a batch": ({"batch_size": 0}, "batch_size\n  Input should be greater than or equal to 1"),
    "learning rate 0": ({"learning_rate": 0}, "learning_rate\n  Input should be greater than 0"),
    "negative learning rate": ({"learning_rate": -0.001}, "learning_rate\n  Input should be greater than 0"),
    "learning rate not a number": ({"learning_rate": float("nan")}, "learning_rate\n"),
    "infinite learning rate": ({"learning_rate": float("inf")}, "learning_rate\n"),
    "negative weight decay": ({"weight_decay": -1}, "weight_decay\n  Input should be greater than or equal to 0"),
    "weight decay not a number": ({"weight_decay": float("nan")}, "weight_decay\n"),
    "all units dropped": ({"dropout": 1}, "dropout\n  Input should be less than 1"),
    "momentum of 1": ({"optimizer": "sgd", "momentum": 1}, "momentum\n  Input should be less than 1"),
    "momentum of adam": ({"momentum": 0.9}, "momentum (=0.9) belongs to sgd and gd; adam has its own"),
    "learning rate x decay = 1": (
        {"learning_rate": 0.5, "weight_decay": 2},
        "learning_rate (=0.5) x weight_decay (=2) must be below 1, or each step wipes the weights out",
    ),
    "layer without units": ({"hidden": (16, 0)}, "hidden.1\n  Input should be greater than or equal to 1"),
    "a number of units alone": ({"hidden": 16}, "hidden\n  Input should be a valid tuple"),
    "unknown activation": ({"activation": "step"}, "activation\n  Input should be 'relu', 'tanh'"),
    "unknown optimizer": ({"optimizer": "adamw"}, "optimizer\n  Input should be 'adam', 'sgd' or 'gd'"),
    "unknown field": ({"learningrate": 0.1}, "learningrate\n  Unexpected keyword argument"),
    "unknown column": ({"without": ("weight",)}, "cannot leave out column 'weight'; expected some of age, sex"),
    "no column left": ({"without": schema.INPUT_NAMES}, "cannot leave out all columns; expected some of age, sex"),
    "negative seed": ({"seed": -1}, "seed\n  Input should be greater than or equal to 0"),
    "seed of more than 31 bits": ({"seed": 2**31}, "seed\n  Input should be less than 2147483648"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_recipe_is_refused(name: str) -> None:
    values, message = REFUSED[name]
    with pytest.raises(ValidationError) as caught:
        Recipe(**values)
    assert message in str(caught.value)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize(
    ("recipe", "title"),
    [
        (Recipe(), "29-16-1, 75 epochs, decay 1, adam 0.001, relu"),
        (LECTURE, "29-16-1, 300 epochs, adam 0.001, relu"),
        (
            Recipe(hidden=(8, 4), activation="tanh", optimizer="sgd", momentum=0.9, learning_rate=0.01, dropout=0.25),
            "29-8-4-1, 75 epochs, decay 1, dropout 0.25, sgd 0.01 momentum 0.9, tanh",
        ),
    ],
)
def test_the_title_is_the_recipe_in_one_line(recipe: Recipe, title: str) -> None:
    assert recipe.title == title


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (Recipe(), "29-16-1, 75 epochs, decay 1, adam 0.001, relu"),
        (LECTURE, "300 epochs, no decay, 29-16-1, adam 0.001, relu"),
        (Recipe(members=8, seed=3), "8 averaged, 29-16-1, 75 epochs, decay 1, adam 0.001, relu"),
        (Recipe(hidden=(8,), without=("ca",)), "24-8-1, without ca, 75 epochs, decay 1, adam 0.001, relu"),
    ],
)
def test_a_name_begins_with_what_differs_from_the_default(recipe: Recipe, name: str) -> None:
    assert recipe.name == name


@pytest.mark.parametrize(
    "recipe", [LECTURE, Recipe(), Recipe(hidden=(), members=8), Recipe(hidden=(8, 4), learning_rate=3e-5, seed=9)]
)
def test_a_recipe_is_read_back_from_the_text_that_a_tracker_keeps(recipe: Recipe) -> None:
    text = recipe.as_text()
    assert all(type(value) is str for value in text.values())
    assert Recipe.from_text(text | {"data_digest": "abc", "folds": "10"}) == recipe


def test_fields_that_an_older_recipe_lacks_get_their_defaults() -> None:
    text = Recipe(epochs=9).as_text()
    del text["members"]
    assert Recipe.from_text(text) == Recipe(epochs=9)
    with pytest.raises(ValueError, match="epochs"):
        Recipe.from_text(text | {"epochs": "many"})


@pytest.mark.parametrize(("hidden", "size"), [((16,), 497), ((), 30), ((16, 8), 29 * 16 + 16 + 16 * 8 + 8 + 8 + 1)])
def test_the_size_of_a_network_is_the_number_of_its_weights(hidden: tuple[int, ...], size: int) -> None:
    assert Recipe(hidden=hidden).size == size


def test_a_recipe_becomes_plain_values_that_make_the_same_recipe() -> None:
    recipe = Recipe(hidden=(8, 4), seed=3)
    assert Recipe(**json.loads(json.dumps(recipe.as_dict()))) == recipe
    assert hash(recipe) == hash(Recipe(hidden=(8, 4), seed=3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folds": 1}, "folds\n  Input should be greater than or equal to 2"),
        ({"folds": 51}, "folds\n  Input should be less than or equal to 50"),
        ({"repeats": 0}, "repeats\n  Input should be greater than or equal to 1"),
        ({"holdout": 0}, "holdout\n  Input should be greater than 0"),
        ({"holdout": 1}, "holdout\n  Input should be less than 1"),
        ({"fold": 5}, "fold\n  Unexpected keyword argument"),
    ],
)
def test_an_invalid_evaluation_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Evaluation(**values)
    assert message in str(caught.value)


def test_an_evaluation_names_only_what_applies() -> None:
    assert Evaluation().as_dict() == {"folds": 10, "repeats": 5}
    assert Evaluation(holdout=0.2).as_dict() == {"holdout": 0.2}
    assert Evaluation(**Evaluation(holdout=0.2).as_dict()) == Evaluation(holdout=0.2)


def test_columns_that_are_left_out_are_written_in_the_schemas_order() -> None:
    recipe = Recipe(without=("thal", "slope", "ca", "ca"))
    assert recipe == Recipe(without=("slope", "ca", "thal"))
    assert recipe.widths == (19, 16, 1)
    assert recipe.title == "19-16-1, 75 epochs, decay 1, adam 0.001, relu, without slope ca thal"
    assert recipe.as_text()["without"] == "slope ca thal"
    assert Recipe.from_text(recipe.as_text()) == recipe


def test_a_recipe_of_an_older_version_has_all_columns() -> None:
    text = Recipe(epochs=3).as_text()
    assert text.pop("without") == "none"
    assert Recipe.from_text(text) == Recipe(epochs=3)
