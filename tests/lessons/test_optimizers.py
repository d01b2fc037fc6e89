"""The optimizers' formulas against Keras, the noise of mini-batches against sampling, and the lesson itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from heart_disease.data import sources
from heart_disease.evaluation.estimates import Numbers
from heart_disease.lessons import optimizers
from heart_disease.lessons.lesson import Lesson
from heart_disease.lessons.optimizers import Raced, Settings
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.training.network import build
from heart_disease.training.recipe import Recipe

SLOPES = [1.0, -2.0, 0.5, 0.0, 300.0, 1e-4]


def keras_steps(optimizer: Any) -> list[float]:
    """How far a Keras optimizer moves one weight at each of `SLOPES`."""
    import keras

    weight = keras.Variable(0.0, dtype="float64")
    places = [0.0]
    for slope in SLOPES:
        optimizer.apply([keras.ops.convert_to_tensor(slope, "float64")], [weight])
        places.append(float(weight))
    return np.diff(places).tolist()


def test_momentum_moves_a_weight_as_keras_does() -> None:
    import keras

    expected = keras_steps(keras.optimizers.SGD(0.1, momentum=0.8))
    assert optimizers.momentum_steps(SLOPES, 0.1, 0.8) == pytest.approx(expected, rel=1e-5)


def test_adam_moves_a_weight_as_keras_does() -> None:
    import keras

    expected = keras_steps(keras.optimizers.Adam(0.01))
    assert optimizers.adam_steps(SLOPES, 0.01) == pytest.approx(expected, rel=1e-4)


def test_momentum_by_hand() -> None:
    # v1 = -0.1 x 1; v2 = 0.5 x -0.1 - 0.1 x 2 = -0.25; v3 = 0.5 x -0.25 - 0.1 x 0 = -0.125.
    assert optimizers.momentum_steps([1, 2, 0], 0.1, 0.5) == pytest.approx([-0.1, -0.25, -0.125])


def test_the_first_step_of_adam_is_the_learning_rate_whatever_the_slope() -> None:
    for slope in (1e-2, 1.0, 1e6):
        assert optimizers.adam_steps([slope], 0.3)[0] == pytest.approx(-0.3, rel=1e-3)


@pytest.mark.parametrize("size", [1, 5, 30])
def test_the_noise_of_a_mini_batch_is_the_spread_of_sampled_means(size: int) -> None:
    rng = np.random.default_rng(0)
    slopes = rng.standard_normal(31)
    means = [rng.permutation(slopes)[:size].mean() for _ in range(20_000)]
    assert optimizers.batch_noise(size, 31) == pytest.approx(np.std(means) / np.std(slopes), rel=0.03)
    assert optimizers.batch_noise(31, 31) == 0


def test_passes_are_counted_from_the_loss_before_the_first_step() -> None:
    assert optimizers.passes_to([0.8, 0.5, 0.3, 0.4], 0.5) == 1
    assert optimizers.passes_to([0.8, 0.5, 0.3, 0.4], 0.31) == 2
    assert optimizers.passes_to([0.8, 0.5, 0.3, 0.4], 0.8) == 0
    assert optimizers.passes_to([0.8, math.nan, math.inf], 0.3) is None


def test_the_best_rate_has_most_seeds_arrive_then_is_the_quickest_then_the_lowest() -> None:
    quick_for_one = [[0.8, 0.2, 0.2], [0.8, 0.8, 0.8]]
    slow = [[0.8, 0.5, 0.3], [0.8, 0.5, 0.3]]
    slow_and_lower = [[0.8, 0.5, 0.3], [0.8, 0.5, 0.2]]
    quick = [[0.8, 0.3, 0.3], [0.8, 0.5, 0.3]]
    broken = [[0.8, math.nan, math.nan], [0.8, math.inf, math.inf]]
    high = [[0.8, 0.7, 0.6], [0.8, 0.7, 0.6]]

    def best(*rates: list[list[float]]) -> int:
        return optimizers.best_rate(np.array(rates), 0.3)

    assert best(quick_for_one, slow) == 1
    assert best(slow, quick, slow_and_lower) == 1
    assert best(slow, slow_and_lower) == 1
    assert best(broken, high) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_sizes": (8, 8)}, "batch_sizes (=8, 8) must name each value once"),
        ({"batch_size": 16}, "batch_size (=16) must be one of batch_sizes (=1, 8, 32, 128)"),
        ({"batch_sizes": (0, 32)}, "greater than or equal to 1"),
        ({"batch_sizes": ()}, "at least 1 item"),
        ({"learning_rates": (0.1, 0.1)}, "learning_rates (=0.1, 0.1) must name each value once"),
        ({"learning_rates": (0.0,)}, "greater than 0"),
        ({"momentum": 1.0}, "less than 1"),
        ({"seeds": 1}, "greater than or equal to 2"),
        ({"epochs": 0}, "greater than or equal to 2"),
        ({"target": 0.7}, "less than 0.69"),
        ({"speed": 1}, "Unexpected keyword argument"),
    ],
)
def test_nonsense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Settings(**given)
    assert message in str(error.value)


SMALL = Settings(batch_sizes=(32, 128), learning_rates=(0.1, 1.0), seeds=2, epochs=4, target=0.45)
NAMES = ["gd", "sgd 32", "sgd 128", "momentum 32", "adam 32"]


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return optimizers.run(SMALL)


@pytest.mark.slow
def test_every_optimizer_is_measured_and_drawn(lesson: Lesson) -> None:
    assert {name.split("/")[1] for name in lesson.metrics} == set(NAMES)
    assert all(math.isfinite(value) for value in lesson.metrics.values())
    for name in NAMES:
        curve = lesson.curves[f"training loss/{name}"]
        assert len(curve) == SMALL.epochs + 1
        assert curve[-1] == pytest.approx(lesson.metrics[f"final loss/{name}"])
        assert f"| {name} | {lesson.metrics[f'learning rate/{name}']:g} |" in lesson.text
    axes = lesson.figure.axes
    assert len(axes) == 4
    assert all(a.get_xlabel() and a.get_ylabel() == "training loss" and a.get_title() for a in axes)
    assert {line.get_label() for line in axes[2].lines} >= set(NAMES)
    assert lesson.png.startswith(b"\x89PNG")


@pytest.mark.slow
def test_steps_and_seconds_follow_from_the_passes(lesson: Lesson) -> None:
    found = lesson.metrics
    for name, steps in (("sgd 32", 10), ("sgd 128", 3), ("adam 32", 10)):
        assert found[f"steps/{name}"] == pytest.approx(found[f"passes/{name}"] * steps)
        assert 0 < found[f"seconds/{name}"] < 5
        shown = f"{found[f'passes/{name}']:.1f} ("
        assert shown in next(line for line in lesson.text.splitlines() if line.startswith(f"| {name} |"))


@pytest.mark.slow
def test_all_start_from_the_same_weights(lesson: Lesson) -> None:
    starts = [lesson.curves[f"training loss/{name}"][0] for name in NAMES]
    frame = sources.load().frame
    labels = schema.label(frame).to_numpy()
    inputs = Encoder.fit(frame).transform(frame)
    losses = []
    for seed in range(SMALL.seeds):
        p = np.asarray(build(Recipe(seed=seed), 29)(inputs))[:, 0].astype("float64")
        losses.append(-np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p)))
    assert starts == pytest.approx([np.mean(losses)] * len(NAMES), rel=1e-4)


@pytest.mark.slow
def test_full_batch_descent_equals_keras_step_by_step(lesson: Lesson) -> None:
    import keras

    rate = lesson.metrics["learning rate/gd"]
    frame = sources.load().frame
    labels = schema.label(frame).to_numpy()
    inputs = Encoder.fit(frame).transform(frame)
    curves = []
    for seed in range(SMALL.seeds):
        network = build(Recipe(seed=seed), 29)
        network.compile(keras.optimizers.SGD(rate), "binary_crossentropy")
        history = network.fit(inputs, labels, batch_size=303, epochs=SMALL.epochs + 1, shuffle=False, verbose=0)
        curves.append(history.history["loss"])  # measured before each step
    np.testing.assert_allclose(lesson.curves["training loss/gd"], np.mean(curves, axis=0), rtol=1e-3)


def raced(name: str, size: int, seconds: float, losses: list[float], reached: list[int]) -> Raced:
    curves: Numbers = np.array([[losses, losses]])
    kind = name.split()[0]
    recipe = Recipe(optimizer="sgd", momentum=0.9) if kind == "momentum" else Recipe(optimizer=kind)  # type: ignore[arg-type]
    return Raced(name, recipe, size, -(-303 // size), seconds, curves, 0, reached)


def test_losses_that_are_not_reached_are_reported() -> None:
    settings = Settings(learning_rates=(0.1,), seeds=2, epochs=2, batch_sizes=(1, 32))
    never = [0.8, 0.7, 0.6]
    field = [raced(name, size, 1e-3, never, []) for name, size in (("gd", 303), ("sgd 1", 1), ("sgd 32", 32))]
    field += [raced("momentum 32", 32, 1e-3, never, []), raced("adam 32", 32, 1e-3, never, [])]
    text = optimizers._text(field, settings)
    assert text.count("not reached") == 5
    assert "Nothing reaches 0.3 within 2 passes" in text
    field[1] = raced("sgd 1", 1, 1e-3, [0.8, 0.3, 0.2], [1])
    text = optimizers._text(field, settings)
    # One of two seeds reached it, in one pass of 303 steps of 1 ms each.
    assert "| sgd 1 | 0.1 | 1.0 (1 to 1, 1 of 2 seeds) | 303 | 1.00 | 0.303 | 1.00 |" in text
    assert text.count("not reached") == 4
    assert "**Fewest passes**: sgd 1, 1.0. **Least time**: sgd 1, 0.303 s" in text
