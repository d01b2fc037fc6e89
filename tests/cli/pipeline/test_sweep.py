"""`heart sweep`: what can be given, and what it suggests at the end."""

from __future__ import annotations

import pytest

from heart_disease.evaluation import by_rows
from heart_disease.training.recipe import Recipe, RecipeOptions
from tests.harness.command import heart, one_line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "missing.yaml"], "'missing.yaml' cannot be read: No such file or directory"),
        (["--space", "."], "'.' cannot be read: Is a directory; expected a YAML file with a space."),
        (["--grid"], "a grid needs lists; learning_rate has a range. List its values, or search at random."),
        (["--configurations", "0"], "--configurations 0: input should be greater than or equal to 1"),
        (["--configurations", "100001"], "--configurations 100001: input should be less than or equal to 100000"),
        (["--configurations", "many"], "--configurations many: input should be a valid integer"),
        (["--inner-folds", "1"], "--inner-folds 1: input should be greater than or equal to 2"),
        (["--seed", "-1"], "--seed -1: input should be greater than or equal to 0"),
        (["--seed", str(2**31)], f"--seed {2**31}: input should be less than {2**31}"),
        (["--folds", "1"], "--folds 1: input should be greater than or equal to 2"),
    ],
)
def test_wrong_usage_ends_in_2_with_one_message_that_fits_80_columns(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert heart("sweep", *arguments) == 2
    said = capsys.readouterr().err
    assert one_line(said).startswith(f"heart: {message}")
    assert max(map(len, said.splitlines())) <= 80
    assert len(said.splitlines()) <= 3


def test_a_search_has_no_holdout_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("sweep", "--holdout", "0.2") == 2
    assert "unrecognized arguments: --holdout" in capsys.readouterr().err


def test_help_says_what_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("sweep", "--help") == 0
    shown = one_line(capsys.readouterr().out)
    for option in (
        "--space FILE",
        "--grid",
        "--configurations",
        "--inner-folds",
        "--seed",
        "--folds",
        "--dask",
        "--ray",
    ):
        assert option in shown
    assert "how many configurations to draw at random (default 200)" in shown
    assert "--holdout" not in shown


def test_the_flows_form_has_the_same_limits_as_the_command() -> None:
    from prefect.utilities.callables import parameter_schema

    from flows.sweep import search as flow

    form = parameter_schema(flow.fn).model_dump()["properties"]
    assert (form["configurations"]["minimum"], form["configurations"]["maximum"]) == (1, 100_000)
    assert (form["inner_folds"]["minimum"], form["inner_folds"]["maximum"]) == (2, 20)
    assert [form[name]["default"] for name in ("configurations", "inner_folds", "seed")] == [200, 5, 0]


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(hidden=(), epochs=10, weight_decay=0),
        Recipe(hidden=(16, 8), activation="tanh", learning_rate=0.0003456, dropout=0.2, batch_size=16, seed=7),
        Recipe(optimizer="sgd", momentum=0.9, learning_rate=0.1, without=("ca", "thal")),
    ],
)
def test_the_suggested_command_trains_the_chosen_recipe(recipe: Recipe) -> None:
    from heart_disease.cli.main import make_parser
    from heart_disease.cli.options import made
    from heart_disease.cli.pipeline.sweep import train_command

    for rows in (303, 100_000):
        command = train_command(recipe, rows).split()
        assert command[:2] == ["heart", "train"]
        options = make_parser().parse_args(command[1:])
        assert by_rows.recipe_for(rows, made(RecipeOptions, options, {})) == recipe
