"""The network as the course draws it, in Keras.

29 inputs -> hidden layers (one of 16 ReLU units) -> one sigmoid unit: 29 x 16 + 16 + 16 x 1 + 1 = 497 parameters.
Binary cross-entropy, Adam, mini-batches of 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heart_disease.training import libraries
from heart_disease.training.recipe import Recipe

if TYPE_CHECKING:
    import keras  # imported at run time only where it is used, because TensorFlow takes seconds


def build(recipe: Recipe, inputs: int, name: str = "heart_disease") -> keras.Sequential:
    """The network for rows of `inputs` values, with the weights of `initial_weights`."""
    keras = libraries.keras()

    network = keras.Sequential([keras.Input((inputs,), name="inputs")], name=name)
    for units in recipe.hidden:
        network.add(keras.layers.Dense(units, recipe.activation))
        if recipe.dropout:
            network.add(keras.layers.Dropout(recipe.dropout, seed=recipe.seed))
    network.add(keras.layers.Dense(1, "sigmoid", name="probability"))
    network.set_weights(initial_weights(recipe, inputs))
    return network


def average(networks: Sequence[keras.Sequential]) -> keras.Model:
    """One model whose probability is the mean of those of `networks`, which must have different names."""
    keras = libraries.keras()

    inputs = keras.Input(networks[0].input_shape[1:], name="inputs")
    mean = keras.layers.Average(name="probability")([network(inputs) for network in networks])
    return keras.Model(inputs, mean, name="heart_disease")


def build_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Keras's optimizer for `recipe`; gd is sgd, and its caller gives it all rows as one batch."""
    keras = libraries.keras()

    decay = recipe.weight_decay or None
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(recipe.learning_rate, weight_decay=decay)
    return keras.optimizers.SGD(recipe.learning_rate, momentum=recipe.momentum, weight_decay=decay)


def layer_shapes(recipe: Recipe, inputs: int) -> list[tuple[int, ...]]:
    """Shapes of kernels and biases, layer by layer: (29, 16), (16,), (16, 1), (1,)."""
    widths = [inputs, *recipe.hidden, 1]
    return [shape for a, b in pairwise(widths) for shape in ((a, b), (b,))]


def initial_weights(recipe: Recipe, inputs: int) -> list[NDArray[np.float32]]:
    """Kernels (Glorot uniform, Keras's default) and biases (zeros), in the shapes of `layer_shapes`.

    Each kernel has its own seed: with one seed for all, layers of equal shape would start equal.
    """
    keras = libraries.keras()

    weights = []
    for i, shape in enumerate(layer_shapes(recipe, inputs)):
        if len(shape) == 1:
            weights.append(np.zeros(shape, np.float32))
        else:
            seed = int(np.random.SeedSequence([recipe.seed, i]).generate_state(1)[0])
            weights.append(np.asarray(keras.initializers.GlorotUniform(seed)(shape)))
    return weights
