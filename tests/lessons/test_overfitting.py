"""Pooled losses against scikit-learn, Jensen's inequality by hand, decay against Keras, and the lesson itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import log_loss

from heart_disease.data import sources
from heart_disease.evaluation import folds
from heart_disease.lessons import overfitting
from heart_disease.lessons.lesson import Lesson
from heart_disease.lessons.overfitting import Fitted, Settings
from heart_disease.model import schema
from heart_disease.training.recipe import LECTURE, Recipe


def test_losses_of_folds_are_weighted_by_their_rows() -> None:
    # Two folds, of 3 patients and of 1: (3 x 0.2 + 1 x 1.0) / 4 = 0.4, then (3 x 0.4 + 0) / 4 = 0.3.
    curves = np.array([[0.2, 0.4], [1.0, 0.0]])
    assert overfitting.pooled(curves, np.array([3, 1])) == pytest.approx([0.4, 0.3])
    assert overfitting.pooled(np.stack([curves, 2 * curves]), np.array([3, 1])).shape == (2, 2)


def test_the_turn_is_the_epoch_of_the_lowest_loss_counted_from_1() -> None:
    assert overfitting.turn(np.array([0.7, 0.5, 0.4, 0.45])) == 3
    assert overfitting.turn(np.array([0.7, 0.5])) == 2
    assert overfitting.lowest(np.array([[0.7, 0.5, 0.9], [0.7, 0.3, 0.1]])) == pytest.approx(0.4)


def test_averaging_agrees_with_a_calculation_by_hand() -> None:
    # One sick patient, to whom two networks give 0.5 and 0.9: alone (0.6931 + 0.1054) / 2, together -log 0.7.
    one, two = overfitting.loss_by_number(np.array([1.0]), np.array([[[0.5]], [[0.9]]]))
    assert one == pytest.approx(0.39925, abs=1e-5)
    assert two == pytest.approx(0.35667, abs=1e-5)


def test_averaging_takes_the_mean_over_every_choice_of_networks() -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = (rng.random(40) < 0.5).astype(float), rng.uniform(0.02, 0.98, (3, 2, 40))
    found = overfitting.loss_by_number(labels, probabilities)
    pairs = [(0, 1), (0, 2), (1, 2)]
    of_pairs = [log_loss(labels, (probabilities[a, r] + probabilities[b, r]) / 2) for a, b in pairs for r in (0, 1)]
    assert found[1] == pytest.approx(np.mean(of_pairs))
    assert found == sorted(found, reverse=True)  # Jensen: on average, more networks never increase the loss
    same = np.repeat(probabilities[:1], 3, axis=0)
    assert overfitting.loss_by_number(labels, same) == pytest.approx([found_alone(labels, same[0])] * 3)


def found_alone(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(np.mean([log_loss(labels, p) for p in probabilities]))


def test_decay_shrinks_a_weight_as_much_as_kerass_optimizer_does() -> None:
    import keras

    recipe = Recipe(epochs=3, batch_size=32, learning_rate=0.01, weight_decay=2.0)
    optimizer = keras.optimizers.Adam(recipe.learning_rate, weight_decay=recipe.weight_decay)
    weight = keras.Variable(1.0)
    for _ in range(3 * 4):  # 100 rows in batches of 32 are 4 steps
        optimizer.apply([keras.ops.zeros(())], [weight])
    assert overfitting.kept(recipe, 100) == pytest.approx(float(weight), rel=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stop": 301}, "stop (=301) must not exceed epochs (=300)"),
        ({"folds": 50, "repeats": 20}, "3 recipes x folds x repeats x members is 9000 networks; at most 5000"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"repeats": 0}, "greater than or equal to 1"),
        ({"members": 1}, "greater than or equal to 2"),
        ({"weight_decay": 0}, "greater than 0"),
        ({"epochs": 1}, "greater than or equal to 2"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"optimizer": "adam"}, "Unexpected keyword argument"),
    ],
)
def test_nonsense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Settings(**given)
    assert message in str(error.value)


def test_the_recipes_are_those_of_the_pipeline() -> None:
    assert (Settings().epochs, Settings().stop) == (LECTURE.epochs, Recipe().epochs)
    assert Settings().weight_decay == Recipe().weight_decay


SMALL = Settings(folds=3, repeats=2, epochs=12, stop=8, members=2)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Fitted]:
    labels = schema.label(sources.load().frame).to_numpy()
    recipes = {"long": Recipe(epochs=12, weight_decay=0.0), "short": Recipe(epochs=8)}
    return overfitting._fit(recipes, SMALL, folds.cross_validation(labels, 3, 2, 0))


def test_the_last_loss_of_a_curve_is_that_of_the_pooled_out_of_fold_probabilities(fitted: dict[str, Fitted]) -> None:
    labels = schema.label(sources.load().frame).to_numpy()
    for one, epochs in ((fitted["long"], 12), (fitted["short"], 8)):
        assert one.train.shape == one.test.shape == (2, epochs)
        assert one.probabilities.shape == (2, 2, len(labels))
        for member in range(2):
            assert one.test[member, -1] == pytest.approx(found_alone(labels, one.probabilities[member]), rel=1e-4)


def test_members_differ_but_recipes_start_the_same(fitted: dict[str, Fitted]) -> None:
    long, short = fitted["long"], fitted["short"]
    assert (long.probabilities[0] != long.probabilities[1]).any()
    # Before decay has had time to act, all recipes give the same networks.
    np.testing.assert_allclose(long.train[:, 0], short.train[:, 0], rtol=0.01)
    assert short.norm < long.norm


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return overfitting.run(SMALL)


def test_every_recipe_is_measured_and_reported(lesson: Lesson) -> None:
    names = ("no decay", "decay", "decay stopped")
    assert {name.split("/")[1] for name in lesson.metrics} == {*names, "log loss"}
    assert all(math.isfinite(value) for value in lesson.metrics.values())
    found = lesson.metrics
    for name, shown, epochs in zip(names, ("no decay", "decay", "decay, stopped"), (12, 12, 8), strict=True):
        inside, outside = found[f"training loss/{name}"], found[f"log loss/{name}"]
        line = next(line for line in lesson.text.splitlines() if line.startswith(f"| {shown} | {epochs} |"))
        assert f"| {inside:.3f} | {outside:.3f} [" in line
        assert f"| {outside - inside:.3f} |" in line
        assert len(lesson.curves[f"out-of-fold loss/{name}"]) == epochs
        assert lesson.curves[f"out-of-fold loss/{name}"][-1] == pytest.approx(outside, rel=1e-3)
        assert found[f"log loss averaged/{name}"] <= outside
        curve = lesson.curves[f"out-of-fold loss/{name}"]
        assert curve[int(found[f"best epoch/{name}"]) - 1] == min(curve)
    gained = found["log loss/decay stopped"] - found["log loss/no decay"]
    assert found["difference/log loss"] == pytest.approx(gained)
    assert "497 weights that learns from 202 patients" in lesson.text
    assert "still falls at the last epoch" in lesson.text


def test_the_figure_has_four_panels_that_explain_themselves(lesson: Lesson) -> None:
    axes = lesson.figure.axes
    assert len(axes) == 4
    for a in axes:
        assert a.get_xlabel()
        assert a.get_ylabel()
        assert a.get_title()
        assert a.get_legend() is not None
    marker = next(line for line in axes[0].lines if line.get_marker() == "v")
    assert marker.get_xdata()[0] == lesson.metrics["best epoch/no decay"]  # type: ignore[index]
    bars = axes[3].patches[0].get_path().vertices
    assert bars[:, 0].min() == 0
    assert bars[:, 0].max() == 1
    assert lesson.png.startswith(b"\x89PNG")


def test_without_regularisation_the_loss_turns_while_the_training_loss_still_falls() -> None:
    """The point of the lesson, on the real patients, with fewer folds and quicker training."""
    found = overfitting.run(Settings(folds=3, repeats=1, epochs=150, stop=60, members=2)).metrics
    assert found["best epoch/no decay"] < 100
    assert found["log loss/no decay"] > found["log loss/decay"] + 0.02
    assert found["training loss/no decay"] < found["training loss/decay"] - 0.02
    assert found["weight norm/no decay"] > 1.2 * found["weight norm/decay"]
