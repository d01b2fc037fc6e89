"""The recipe, which recipes are refused, and the network that it starts from."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from tasks import network
from tasks.network import PRESETS, Params


def test_the_presets() -> None:
    assert set(PRESETS) == {"default", "lecture"}
    assert PRESETS["default"] == Params()
    lecture = PRESETS["lecture"]
    assert (lecture.hidden, lecture.activation, lecture.optimizer) == ((16,), "relu", "adam")
    assert (lecture.epochs, lecture.batch_size, lecture.learning_rate) == (300, 32, 0.001)
    assert (lecture.weight_decay, lecture.dropout, lecture.momentum) == (0, 0, 0)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_497_parameters(name: str) -> None:
    model = network.build(PRESETS[name], 29)
    assert model.count_params() == 497
    assert model.input_shape == (None, 29)
    assert model.output_shape == (None, 1)


def test_the_default_is_29_16_1_with_relu_and_a_sigmoid() -> None:
    hidden, output = network.build(Params(), 29).layers
    assert (hidden.units, hidden.activation.__name__) == (16, "relu")
    assert (output.units, output.activation.__name__) == (1, "sigmoid")


def test_it_computes_what_the_course_draws() -> None:
    rows = np.random.default_rng(0).standard_normal((7, 29)).astype(np.float32)
    kernel, bias, last_kernel, last_bias = network.initial_weights(Params(), 29)
    hidden = np.maximum(rows @ kernel + bias, 0)
    expected = 1 / (1 + np.exp(-(hidden @ last_kernel + last_bias)))
    np.testing.assert_allclose(np.asarray(network.build(Params(), 29)(rows)), expected, rtol=1e-5)


def test_without_hidden_layers_it_is_logistic_regression() -> None:
    params = Params(hidden=())
    model = network.build(params, 29)
    assert model.count_params() == 30
    rows = np.random.default_rng(0).standard_normal((7, 29)).astype(np.float32)
    (weights, bias) = network.initial_weights(params, 29)
    np.testing.assert_allclose(np.asarray(model(rows)), 1 / (1 + np.exp(-(rows @ weights + bias))), rtol=1e-5)


def test_layers_shapes_and_weights_agree() -> None:
    params = Params(hidden=(8, 4), dropout=0.2)
    shapes = [(29, 8), (8,), (8, 4), (4,), (4, 1), (1,)]
    assert network.layer_shapes(params, 29) == shapes
    assert [weight.shape for weight in network.initial_weights(params, 29)] == shapes
    assert [weight.shape for weight in network.build(params, 29).get_weights()] == shapes
    assert sum("dropout" in layer.name for layer in network.build(params, 29).layers) == 2


def test_initial_weights_are_those_of_the_built_network() -> None:
    built = network.build(Params(seed=5), 29).get_weights()
    for mine, theirs in zip(network.initial_weights(Params(seed=5), 29), built, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_initial_weights_depend_on_the_seed_and_on_nothing_else_of_the_recipe() -> None:
    start = network.initial_weights(Params(), 29)
    other = Params(epochs=7, learning_rate=0.1, weight_decay=0, dropout=0.5, optimizer="sgd", activation="tanh")
    keras.utils.set_random_seed(7)
    for a, b in zip(start, network.initial_weights(other, 29), strict=True):
        np.testing.assert_array_equal(a, b)
    reseeded = network.initial_weights(Params(seed=1), 29)
    assert not np.isclose(start[0], reseeded[0]).all()
    assert not np.isclose(start[2], reseeded[2]).all()


def test_initial_weights_are_glorot_uniform_with_biases_of_0() -> None:
    kernel, bias, last_kernel, last_bias = network.initial_weights(Params(hidden=(400,)), 29)
    limit = np.sqrt(6 / (29 + 400))
    assert np.abs(kernel).max() <= limit
    assert np.isclose(kernel.std(), limit / np.sqrt(3), rtol=0.03)
    assert not bias.any()
    assert not last_bias.any()
    assert np.abs(last_kernel).max() <= np.sqrt(6 / 401)


def test_layers_of_equal_shape_start_different() -> None:
    weights = network.initial_weights(Params(hidden=(29, 29, 29)), 29)
    kernels = [weight for weight in weights if weight.shape == (29, 29)]
    assert len(kernels) == 3
    assert not np.isclose(kernels[0], kernels[1]).all()
    assert not np.isclose(kernels[1], kernels[2]).all()


@pytest.mark.parametrize(
    ("params", "kind", "momentum"),
    [
        (Params(), "Adam", None),
        (Params(optimizer="sgd", momentum=0.9), "SGD", 0.9),
        (Params(optimizer="gd"), "SGD", 0.0),
    ],
)
def test_the_optimizer_is_the_one_of_the_recipe(params: Params, kind: str, momentum: float | None) -> None:
    optimizer = network.build_optimizer(params)
    assert type(optimizer).__name__ == kind
    assert float(optimizer.learning_rate) == pytest.approx(params.learning_rate)
    assert optimizer.weight_decay == 1.0
    assert getattr(optimizer, "momentum", None) == momentum


def test_no_weight_decay_is_none() -> None:
    assert network.build_optimizer(PRESETS["lecture"]).weight_decay is None


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
    "negative seed": ({"seed": -1}, "seed\n  Input should be greater than or equal to 0"),
    "seed of more than 31 bits": ({"seed": 2**31}, "seed\n  Input should be less than 2147483648"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_recipe_that_makes_no_sense_is_refused(name: str) -> None:
    values, message = REFUSED[name]
    with pytest.raises(ValidationError) as caught:
        Params(**values)
    assert message in str(caught.value)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize(
    ("params", "title"),
    [
        (Params(), "29-16-1 relu, adam 0.001, 75 epochs, decay 1"),
        (PRESETS["lecture"], "29-16-1 relu, adam 0.001, 300 epochs"),
        (
            Params(hidden=(8, 4), activation="tanh", optimizer="sgd", momentum=0.9, learning_rate=0.01, dropout=0.25),
            "29-8-4-1 tanh, sgd 0.01 momentum 0.9, 75 epochs, decay 1, dropout 0.25",
        ),
    ],
)
def test_the_title_is_the_recipe_in_a_line(params: Params, title: str) -> None:
    assert params.title == title


def test_a_recipe_is_plain_values_that_make_the_same_recipe() -> None:
    params = Params(hidden=(8, 4), seed=3)
    assert Params(**json.loads(json.dumps(params.as_dict()))) == params
    assert hash(params) == hash(Params(hidden=(8, 4), seed=3))
