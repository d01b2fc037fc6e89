"""The network as the course draws it, and the weights it starts from."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from heart_disease.training import network
from heart_disease.training.recipe import LECTURE, Recipe


@pytest.mark.parametrize("recipe", [Recipe(), LECTURE])
def test_a_preset_has_497_parameters(recipe: Recipe) -> None:
    model = network.build(recipe, 29)
    assert model.count_params() == 497
    assert model.input_shape == (None, 29)
    assert model.output_shape == (None, 1)


def test_the_default_is_29_16_1_with_relu_and_a_sigmoid() -> None:
    hidden, output = network.build(Recipe(), 29).layers
    assert (hidden.units, hidden.activation.__name__) == (16, "relu")
    assert (output.units, output.activation.__name__) == (1, "sigmoid")


def test_it_computes_what_the_course_draws() -> None:
    rows = np.random.default_rng(0).standard_normal((7, 29)).astype(np.float32)
    kernel, bias, last_kernel, last_bias = network.initial_weights(Recipe(), 29)
    hidden = np.maximum(rows @ kernel + bias, 0)
    expected = 1 / (1 + np.exp(-(hidden @ last_kernel + last_bias)))
    np.testing.assert_allclose(np.asarray(network.build(Recipe(), 29)(rows)), expected, rtol=1e-5)


def test_without_hidden_layers_it_is_logistic_regression() -> None:
    recipe = Recipe(hidden=())
    model = network.build(recipe, 29)
    assert model.count_params() == 30
    rows = np.random.default_rng(0).standard_normal((7, 29)).astype(np.float32)
    (weights, bias) = network.initial_weights(recipe, 29)
    np.testing.assert_allclose(np.asarray(model(rows)), 1 / (1 + np.exp(-(rows @ weights + bias))), rtol=1e-5)


def test_layers_shapes_and_weights_agree() -> None:
    recipe = Recipe(hidden=(8, 4), dropout=0.2)
    shapes = [(29, 8), (8,), (8, 4), (4,), (4, 1), (1,)]
    assert network.layer_shapes(recipe, 29) == shapes
    assert [weight.shape for weight in network.initial_weights(recipe, 29)] == shapes
    assert [weight.shape for weight in network.build(recipe, 29).get_weights()] == shapes
    assert sum("dropout" in layer.name for layer in network.build(recipe, 29).layers) == 2


def test_initial_weights_are_those_of_the_built_network() -> None:
    built = network.build(Recipe(seed=5), 29).get_weights()
    for mine, theirs in zip(network.initial_weights(Recipe(seed=5), 29), built, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_initial_weights_depend_only_on_the_recipes_seed() -> None:
    start = network.initial_weights(Recipe(), 29)
    other = Recipe(epochs=7, learning_rate=0.1, weight_decay=0, dropout=0.5, optimizer="sgd", activation="tanh")
    keras.utils.set_random_seed(7)
    for a, b in zip(start, network.initial_weights(other, 29), strict=True):
        np.testing.assert_array_equal(a, b)
    reseeded = network.initial_weights(Recipe(seed=1), 29)
    assert not np.isclose(start[0], reseeded[0]).all()
    assert not np.isclose(start[2], reseeded[2]).all()


def test_initial_weights_are_glorot_uniform_with_biases_of_0() -> None:
    kernel, bias, last_kernel, last_bias = network.initial_weights(Recipe(hidden=(400,)), 29)
    limit = np.sqrt(6 / (29 + 400))
    assert np.abs(kernel).max() <= limit
    assert np.isclose(kernel.std(), limit / np.sqrt(3), rtol=0.03)
    assert not bias.any()
    assert not last_bias.any()
    assert np.abs(last_kernel).max() <= np.sqrt(6 / 401)


def test_layers_of_equal_shape_start_with_different_weights() -> None:
    weights = network.initial_weights(Recipe(hidden=(29, 29, 29)), 29)
    kernels = [weight for weight in weights if weight.shape == (29, 29)]
    assert len(kernels) == 3
    assert not np.isclose(kernels[0], kernels[1]).all()
    assert not np.isclose(kernels[1], kernels[2]).all()


@pytest.mark.parametrize(
    ("recipe", "kind", "momentum"),
    [
        (Recipe(), "Adam", None),
        (Recipe(optimizer="sgd", momentum=0.9), "SGD", 0.9),
        (Recipe(optimizer="gd"), "SGD", 0.0),
    ],
)
def test_the_optimizer_is_the_one_of_the_recipe(recipe: Recipe, kind: str, momentum: float | None) -> None:
    optimizer = network.build_optimizer(recipe)
    assert type(optimizer).__name__ == kind
    assert float(optimizer.learning_rate) == pytest.approx(recipe.learning_rate)
    assert optimizer.weight_decay == 1.0
    assert getattr(optimizer, "momentum", None) == momentum


def test_weight_decay_of_0_becomes_none() -> None:
    assert network.build_optimizer(LECTURE).weight_decay is None
