"""The networks of the cross-validation, shipped beside the one that answers: how far do they differ about one patient?

Each learned without some of the patients, with a seed of its own, so their range shows how much a probability owes to
who happened to be there to learn from (the instability plots of Riley and Collins, Biometrical Journal 2023, show the
same for all patients at once). It is no interval for the patient: all of them can be wrong in the same way.

They have one shape, so they are kept as dense layers whose arrays have two axes more: fold and member. Their first
layers are made to take the inputs of the shipped encoder, although each was trained on those of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .keras_file import Dense, Floats, StoredNetwork

Folds = tuple[Dense, ...]  # kernels (F, M, a, b) and biases (F, M, 1, b), layer by layer; empty if there are none


@dataclass(frozen=True)
class Spread:
    """The lowest and the highest probability of one patient among so many networks."""

    lowest: float
    highest: float
    networks: int


def answers(folds: Folds, inputs: Floats) -> NDArray[np.float64]:
    """Each fold's probabilities, the means over its members: inputs (n, d) -> (F, n)."""
    x = inputs
    for layer in folds:
        x = layer(x)
    found: NDArray[np.float64] = x[..., 0].mean(axis=1, dtype=np.float64)
    return found


def spread(folds: Folds, inputs: Floats) -> Spread | None:
    """What the folds say about one patient with these inputs (1, d); None if there are none."""
    if not folds:
        return None
    found = answers(folds, inputs)
    return Spread(float(found.min()), float(found.max()), len(found))


def same(one: Folds, other: Folds) -> bool:
    """Whether two models have equal ones."""
    return len(one) == len(other) and all(
        a.activation == b.activation and np.array_equal(a.kernel, b.kernel) and np.array_equal(a.bias, b.bias)
        for a, b in zip(one, other, strict=True)
    )


def save(folds: Folds, path: Path) -> None:
    """Write all weights (F, M, P), layer by layer, without pickle; their shapes are those of the shipped network."""
    arrays = [part.reshape(*part.shape[:2], -1) for layer in folds for part in (layer.kernel, layer.bias)]
    np.save(path, np.concatenate(arrays, axis=2) if arrays else np.empty((0, 1, 0), np.float32), allow_pickle=False)


def load(path: Path, shipped: StoredNetwork) -> Folds:
    """Read what `save` wrote for networks like the shipped one; empty if there is no file, as in older versions.

    Raises:
        ValueError, OSError: `save` did not write this, or it did for other networks.
    """
    weights = np.load(path, allow_pickle=False) if path.exists() else np.empty((0, 1, 0), np.float32)
    layers = shipped.members[0]
    size = sum(layer.kernel.size + layer.bias.size for layer in layers)
    if weights.dtype != np.float32 or weights.ndim != 3 or (len(weights) and weights.shape[2] != size):
        raise ValueError(f"{path.name} has {weights.dtype} {weights.shape}; expected float32 (F, M, {size})")
    if not len(weights):
        return ()
    folds, at = [], 0
    for layer in layers:
        (a, b), middle = layer.kernel.shape, at + layer.kernel.size
        kernel = weights[..., at:middle].reshape(*weights.shape[:2], a, b)
        folds.append(Dense(kernel, weights[..., None, middle : middle + b], layer.activation))
        at = middle + b
    return tuple(folds)
