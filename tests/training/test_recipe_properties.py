"""For every recipe: what a tracker shows of it reads back as the same recipe."""

from __future__ import annotations

import json

from hypothesis import assume, given
from hypothesis import strategies as some

from heart_disease.model import schema
from heart_disease.training.recipe import Recipe

FIELDS = some.fixed_dictionaries(
    {
        "hidden": some.lists(some.integers(1, 4096), max_size=4).map(tuple),
        "activation": some.sampled_from(["relu", "tanh", "sigmoid", "elu", "gelu", "silu"]),
        "epochs": some.integers(1, 100_000),
        "batch_size": some.integers(min_value=1),
        "learning_rate": some.floats(0, 100, exclude_min=True, exclude_max=True),
        "optimizer": some.sampled_from(["adam", "sgd", "gd"]),
        "momentum": some.floats(0, 1, exclude_max=True),
        "weight_decay": some.floats(0, 1000),
        "dropout": some.floats(0, 1, exclude_max=True),
        "members": some.integers(1, 64),
        "without": some.sets(some.sampled_from(schema.INPUT_NAMES), max_size=12).map(tuple),
        "seed": some.integers(0, 2**31 - 1),
    }
)


@given(FIELDS)
def test_a_recipe_is_read_back_from_its_text_and_from_its_json(fields: dict[str, object]) -> None:
    if fields["optimizer"] == "adam":
        fields["momentum"] = 0.0
    assume(fields["learning_rate"] * fields["weight_decay"] < 1)
    recipe = Recipe(**fields)
    assert Recipe.from_text(recipe.as_text()) == recipe
    assert Recipe(**json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_the_strategy_has_every_field_of_a_recipe() -> None:
    fields = set(Recipe.__pydantic_fields__)

    @given(FIELDS)
    def check(drawn: dict[str, object]) -> None:
        assert set(drawn) == fields

    check()
