"""A stored network without Keras: the matrices of a .keras file, and what it says about a patient, in NumPy.

Scoring does not wait ten seconds for TensorFlow to multiply two small matrices. Only the layers that network.py builds
are read; any other is refused, such as a Lambda, which carries code. Tests check that Keras gives the same answers, and
so does the registration of every version.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float32]


def _sigmoid(x: Floats) -> Floats:
    return special.expit(x)


# Keras's activation functions, by their names there.
ACTIVATIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * _sigmoid(x),
}


@dataclass(frozen=True)
class Dense:
    """One dense layer: kernel (a, b), bias (b,). In folds.py, both have axes more, for many layers at once."""

    kernel: Floats
    bias: Floats
    activation: str

    def __call__(self, x: Floats) -> Floats:
        """(n, a) -> (n, b)."""
        return ACTIVATIONS[self.activation](x @ self.kernel + self.bias)


@dataclass(frozen=True)
class StoredNetwork:
    """A network whose answer is the mean of its members' answers; each member is a chain of dense layers."""

    members: tuple[tuple[Dense, ...], ...]

    def __call__(self, inputs: Floats) -> Floats:
        """(n, 29) -> (n, 1)."""
        found = []
        for layers in self.members:
            x = inputs
            for layer in layers:
                x = layer(x)
            found.append(x)
        return found[0] if len(found) == 1 else np.mean(found, axis=0, dtype=np.float32)


def read(path: Path) -> StoredNetwork:
    """The network in a .keras file: one from `network.build`, or the `network.average` of several.

    Raises:
        ValueError: it is not such a file, or it has a layer or an activation that is not known here.
    """
    try:
        with zipfile.ZipFile(path) as parts, h5py.File(io.BytesIO(parts.read("model.weights.h5")), "r") as weights:
            model = json.loads(parts.read("config.json"))
            if _kind(model) == "Sequential":
                return StoredNetwork((_chain(model, weights),))
            _expect(model, "Functional")
            first, *members, last = model["config"]["layers"]
            _expect(first, "InputLayer")
            _expect(last, "Average")
            groups = _by_name(weights)
            return StoredNetwork(tuple(_chain(member, groups[_name(member)]) for member in members))
    except (zipfile.BadZipFile, KeyError, TypeError, OSError) as error:  # h5py's errors are OSErrors
        raise ValueError(f"'{path.name}' is no Keras model of this project: {error}") from error


def _chain(model: Any, weights: h5py.Group) -> tuple[Dense, ...]:
    _expect(model, "Sequential")
    groups = _by_name(weights)
    layers = []
    for layer in model["config"]["layers"]:
        _expect(layer, "InputLayer", "Dense", "Dropout")
        if _kind(layer) == "Dense":  # the others do nothing when a patient is scored
            activation = layer["config"]["activation"]
            if activation not in ACTIVATIONS:
                raise ValueError(f"activation {activation!r}; expected one of {', '.join(ACTIVATIONS)}")
            values = groups[_name(layer)]["vars"]
            layers.append(Dense(values["0"][()], values["1"][()], activation))
    return tuple(layers)


def _by_name(weights: h5py.Group) -> dict[str, h5py.Group]:
    """The groups of a model's layers by layer name; the file has them by class and number."""
    return {group["vars"].attrs["name"]: group for group in weights["layers"].values()}


def _expect(layer: Any, *kinds: str) -> None:
    if _kind(layer) not in kinds:
        raise ValueError(f"a layer of class {_kind(layer)!r}; expected {' or '.join(kinds)}. It was not loaded")


def _kind(layer: Any) -> str:
    return str(layer["class_name"])


def _name(layer: Any) -> str:
    return str(layer["config"]["name"])
