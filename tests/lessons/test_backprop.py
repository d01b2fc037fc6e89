"""The lesson `backprop` against TensorFlow's tape, Keras, finite differences and a calculation by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from heart_disease.evaluation.estimates import Numbers
from heart_disease.lessons import backprop, passes
from heart_disease.lessons.backprop import Settings
from heart_disease.model.errors import UsageError
from heart_disease.training.network import build
from heart_disease.training.recipe import Recipe

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((7, 5)), (RNG.random((7, 1)) < 0.5).astype(float)
SHAPES = [(3,), (16,), (4, 6), ()]


def gradient(weights: list[Numbers], x: Numbers, y: Numbers) -> list[Numbers]:
    return passes.backward(weights, passes.forward(weights, x), y)


@pytest.mark.parametrize("hidden", SHAPES)
def test_the_forward_pass_is_the_pipelines_network(hidden: tuple[int, ...]) -> None:
    recipe = Recipe(hidden=hidden, seed=3)
    kept = passes.forward(passes.starting_weights(recipe, 5), X)
    model = build(recipe, 5)
    np.testing.assert_allclose(kept.h[-1], model(X).numpy(), atol=1e-6)
    theirs = float(keras.losses.BinaryCrossentropy()(Y, model(X)))
    assert passes.loss(kept, Y) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("hidden", SHAPES)
def test_the_backward_pass_finds_the_derivatives_of_the_tape(hidden: tuple[int, ...]) -> None:
    recipe = Recipe(hidden=hidden, seed=3)
    ours = gradient(passes.starting_weights(recipe, 5), X, Y)
    theirs = backprop.by_tape(recipe, X, Y)
    assert [part.shape for part in ours] == [part.shape for part in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert passes.largest_gap(ours, theirs) < 1e-6


@pytest.mark.parametrize("hidden", SHAPES)
def test_the_backward_pass_finds_the_derivatives_of_finite_differences(hidden: tuple[int, ...]) -> None:
    weights = [part + 0.1 for part in passes.starting_weights(Recipe(hidden=hidden, seed=3), 5)]  # biases too
    before = [part.copy() for part in weights]
    found = passes.finite_differences(lambda: passes.loss(passes.forward(weights, X), Y), weights)
    assert passes.largest_gap(gradient(weights, X, Y), found) < 1e-8
    for part, old in zip(weights, before, strict=True):
        np.testing.assert_array_equal(part, old)  # restored


def test_a_network_worked_out_by_hand() -> None:
    # One input 2, one hidden unit, a sick patient. z1 = 2 x 0.5 - 0.4 = 0.6, h1 = 0.6, z2 = 0.6 x 1 - 0.6 = 0, p = 1/2.
    # D2 = p - y = -1/2. By W2: h1 D2 = -0.3, by b2: -0.5. D1 = D2 W2 = -0.5. By W1: 2 D1 = -1, by b1: -0.5.
    weights = [np.array([[0.5]]), np.array([-0.4]), np.array([[1.0]]), np.array([-0.6])]
    x, y = np.array([[2.0]]), np.array([[1.0]])
    kept = passes.forward(weights, x)
    np.testing.assert_allclose([kept.z[0], kept.h[1], kept.z[1], kept.h[2]], np.reshape([0.6, 0.6, 0, 0.5], (4, 1, 1)))
    assert passes.loss(kept, y) == pytest.approx(np.log(2))
    found = passes.backward(weights, kept, y)
    np.testing.assert_allclose(np.concatenate([part.ravel() for part in found]), [-1, -0.5, -0.3, -0.5])


def test_a_resting_unit_passes_nothing_back() -> None:
    weights = [np.array([[0.5]]), np.array([-1.4]), np.array([[1.0]]), np.array([-0.6])]  # z1 = -0.4
    w1, b1, w2, b2 = gradient(weights, np.array([[2.0]]), np.array([[1.0]]))
    assert [float(part.ravel()[0]) for part in (w1, b1, w2)] == [0, 0, 0]
    assert b2[0] == pytest.approx(1 / (1 + np.exp(0.6)) - 1)


def test_a_batch_has_the_mean_of_its_rows_gradients() -> None:
    weights = passes.starting_weights(Recipe(seed=1), 5)
    each = [gradient(weights, X[i : i + 1], Y[i : i + 1]) for i in range(len(X))]
    for part, parts in zip(gradient(weights, X, Y), zip(*each, strict=True), strict=True):
        np.testing.assert_allclose(part, np.mean(parts, axis=0), atol=1e-14)


def test_loss_and_gradient_hold_for_a_network_that_is_certain() -> None:
    weights = [np.array([[1000.0]]), np.array([0.0])]
    kept = passes.forward(weights, np.array([[1.0]]))
    assert passes.loss(kept, np.array([[0.0]])) == 1000
    assert passes.loss(kept, np.array([[1.0]])) == 0
    assert passes.backward(weights, kept, np.array([[0.0]]))[0][0, 0] == 1


def test_finite_differences_take_two_passes_per_weight_and_back_propagation_one_in_all() -> None:
    x = RNG.standard_normal((12, 29))
    cost = passes.cost(Recipe(), x, np.ones((12, 1)), repeats=3)
    assert cost.parameters == 29 * 16 + 16 + 16 * 1 + 1 == 497
    assert cost.passes == {"back-propagation": 1, "finite differences": 994}
    assert 0 < cost.seconds["back-propagation"] < cost.seconds["finite differences"] / 5
    assert cost.gap < 1e-7


def test_weights_are_named_in_the_order_of_their_arrays() -> None:
    assert backprop.weight_names(2) == [
        "thalach -> unit 1", "thalach -> unit 2", "oldpeak -> unit 1", "oldpeak -> unit 2", "bias of unit 1",
        "bias of unit 2", "unit 1 -> output", "unit 2 -> output", "bias of output",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"patient": 0}, "patient\n  Input should be greater than or equal to 1"),
        ({"units": 0}, "units\n  Input should be greater than or equal to 1"),
        ({"units": 5}, "units\n  Input should be less than or equal to 4"),
        ({"widths": (1, 0)}, "widths.1\n  Input should be greater than or equal to 1"),
        ({"repeats": 0}, "repeats\n  Input should be greater than or equal to 1"),
        ({"layers": 2}, "layers\n  Unexpected keyword argument"),
    ],
)
def test_nonsense_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**given)  # type: ignore[arg-type]
    assert message in str(refused.value)


def test_a_row_without_a_patient_is_refused() -> None:
    with pytest.raises(UsageError, match="--patient 304: expected the row of a bundled patient, 1 to 303"):
        backprop.run(Settings(patient=304))


def test_the_lesson_tells_its_numbers_and_draws_them() -> None:
    lesson = backprop.run(Settings(widths=(2,), repeats=3))
    assert "2 x 3 + 3 + 3 x 1 + 1 = 13 weights" in lesson.text
    named = [
        line for line in lesson.text.splitlines() if line.startswith(("| thalach", "| oldpeak", "| unit", "| bias"))
    ]
    assert len(named) == 13
    for line in named:
        ours, theirs = map(float, line.strip("| ").split(" | ")[2:])
        assert ours == pytest.approx(theirs, abs=2e-6)
    assert "| 497 | finite differences | 994 |" in lesson.text
    assert "| 497 | back-propagation | 1 |" in lesson.text
    assert "| 63 | finite differences | 126 |" in lesson.text  # 29 x 2 + 2 + 2 + 1
    assert lesson.metrics["weights"] == 13
    assert lesson.metrics["loss after a step"] < lesson.metrics["loss"]
    assert max(value for name, value in lesson.metrics.items() if name.startswith("largest")) < 1e-6
    assert np.isfinite(list(lesson.metrics.values())).all()
    graph, *measured = lesson.figure.axes
    shown = {text.get_text() for text in graph.texts}
    assert {"thalach", "oldpeak", "z1, unit 3", "h1, unit 3", "z2", "p", "loss"} <= shown
    assert f"{lesson.metrics['loss']:.3f}" in shown
    assert all(axes.get_xlabel() and axes.get_ylabel() and axes.get_legend() for axes in measured)
    assert lesson.png.startswith(b"\x89PNG")


def test_the_patient_is_the_row_of_the_file() -> None:
    # The file's first patient is a healthy man: thalach 150 is near the mean, and oldpeak 2.3 is above it.
    lesson = backprop.run(Settings(patient=1, units=1, widths=(), repeats=1))
    assert "who does not have heart disease" in lesson.text
    assert "`loss = -log(1 - p)`" in lesson.text
    shown = [text.get_text() for text in lesson.figure.axes[0].texts]
    assert float(shown[shown.index("thalach") + 1]) == pytest.approx((150 - 149.607) / 22.838, abs=1e-3)
    assert float(shown[shown.index("oldpeak") + 1]) == pytest.approx((2.3 - 1.0396) / 1.1592, abs=1e-3)
