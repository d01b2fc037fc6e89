"""The network as the course draws it, and its recipe.

29 inputs -> hidden layers (one of 16 ReLU units) -> one sigmoid unit: 29 x 16 + 16 + 16 x 1 + 1 = 497 parameters.
Binary cross-entropy, Adam, mini-batches of 32.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

if TYPE_CHECKING:
    # Imported where they are used: the command line reads `Params` to answer --help.
    import keras
    import numpy as np
    from numpy.typing import NDArray

Units = Annotated[int, Field(ge=1, le=4096)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Params:
    """The recipe of a network: all that decides its weights, apart from the data."""

    hidden: Annotated[
        tuple[Units, ...], Field(description="Units of each hidden layer; empty for logistic regression.")
    ] = (16,)
    activation: Annotated[
        Literal["relu", "tanh", "sigmoid", "elu", "gelu", "silu"], Field(description="Of the hidden layers.")
    ] = "relu"
    epochs: Annotated[int, Field(ge=1, le=100_000, description="Passes over the training rows.")] = 75
    batch_size: Annotated[int, Field(ge=1, description="Rows a step; gd takes all rows instead.")] = 32
    learning_rate: Annotated[float, Field(gt=0, lt=100, description="Step size of the optimizer.")] = 1e-3
    optimizer: Annotated[
        Literal["adam", "sgd", "gd"],
        Field(description="adam, sgd (mini-batches), or gd (gradient descent on all rows at once)."),
    ] = "adam"
    momentum: Annotated[float, Field(ge=0, lt=1, description="Of sgd and gd.")] = 0.0
    weight_decay: Annotated[
        float, Field(ge=0, description="Decoupled: each step shrinks every weight by learning rate x decay.")
    ] = 1.0
    dropout: Annotated[float, Field(ge=0, lt=1, description="Share of hidden units left out at each step.")] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Of initial weights, shuffles, dropout and folds.")] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        if self.momentum and self.optimizer == "adam":
            raise ValueError(f"momentum (={self.momentum:g}) belongs to sgd and gd; adam has its own")
        if self.learning_rate * self.weight_decay >= 1:
            raise ValueError(
                f"learning_rate (={self.learning_rate:g}) x weight_decay (={self.weight_decay:g}) must be below 1, "
                "or each step wipes the weights out"
            )
        return self

    @property
    def title(self) -> str:
        """The recipe in a line: ``29-16-1 relu, adam 0.001, 75 epochs, decay 1``."""
        shape = "-".join(map(str, (29, *self.hidden, 1)))
        momentum = f" momentum {self.momentum:g}" if self.momentum else ""
        parts = [f"{shape} {self.activation}", f"{self.optimizer} {self.learning_rate:g}{momentum}"]
        parts.append(f"{self.epochs} epochs")
        parts += [f"decay {self.weight_decay:g}"] * bool(self.weight_decay)
        parts += [f"dropout {self.dropout:g}"] * bool(self.dropout)
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, for JSON and for a tracker."""
        return asdict(self)


PRESETS: dict[str, Params] = {
    "default": Params(),
    "lecture": Params(epochs=300, weight_decay=0.0),
}


def build(params: Params, inputs: int) -> keras.Sequential:
    """The network for rows of `inputs` values, with the weights of `initial_weights`."""
    import keras

    network = keras.Sequential([keras.Input((inputs,), name="inputs")], name="heart_disease")
    for units in params.hidden:
        network.add(keras.layers.Dense(units, params.activation))
        if params.dropout:
            network.add(keras.layers.Dropout(params.dropout, seed=params.seed))
    network.add(keras.layers.Dense(1, "sigmoid", name="probability"))
    network.set_weights(initial_weights(params, inputs))
    return network


def build_optimizer(params: Params) -> keras.optimizers.Optimizer:
    """Keras's optimizer for `params`; gd is sgd, and its caller gives it all rows as one batch."""
    import keras

    decay = params.weight_decay or None
    if params.optimizer == "adam":
        return keras.optimizers.Adam(params.learning_rate, weight_decay=decay)
    return keras.optimizers.SGD(params.learning_rate, momentum=params.momentum, weight_decay=decay)


def layer_shapes(params: Params, inputs: int) -> list[tuple[int, ...]]:
    """Shapes of kernels and biases, layer by layer: (29, 16), (16,), (16, 1), (1,)."""
    widths = [inputs, *params.hidden, 1]
    return [shape for a, b in pairwise(widths) for shape in ((a, b), (b,))]


def initial_weights(params: Params, inputs: int) -> list[NDArray[np.float32]]:
    """Kernels (Glorot uniform, Keras's default) and biases (zeros), in the shapes of `layer_shapes`.

    Each kernel has a seed of its own: with one for all, layers of equal shape would start equal.
    """
    import keras
    import numpy as np

    weights = []
    for i, shape in enumerate(layer_shapes(params, inputs)):
        if len(shape) == 1:
            weights.append(np.zeros(shape, np.float32))
        else:
            seed = int(np.random.SeedSequence([params.seed, i]).generate_state(1)[0])
            weights.append(np.asarray(keras.initializers.GlorotUniform(seed)(shape)))
    return weights
