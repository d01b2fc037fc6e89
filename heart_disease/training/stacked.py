"""Trained networks of one shape, each with a matrix of its own, as layers that all take the inputs of one matrix."""

from __future__ import annotations

import numpy as np

from heart_disease.model.folds import Folds
from heart_disease.model.keras_file import Dense
from heart_disease.training.engine import Networks
from heart_disease.training.inputs import Inputs


def stacked(networks: Networks, inputs: Inputs, matrix: int) -> Folds:
    """The F M networks, in the order of fold and member, as model/folds.py has them.

    Their inputs are those of `matrix`, the encoder's. A patient x of that matrix is x a + b in a network's own, as
    both shift and scale the same rows. So the kernel a K and the bias b K + c give for x what K and c gave for x a + b.
    """
    means, factors = inputs.means.astype(np.float64), inputs.factors.astype(np.float64)
    found = []
    for k, job in enumerate(networks.jobs):
        kernel, bias, *rest = networks.layers(k, inputs.width)
        scale = factors[job.matrix] / factors[matrix]
        shift = (means[matrix] - means[job.matrix]) * factors[job.matrix]
        found.append([scale[:, None] * kernel, shift @ kernel + bias, *rest])
    recipe, members = networks.jobs[0].recipe, 1 + max(job.member for job in networks.jobs)
    arrays = [np.stack(parts).astype(np.float32) for parts in zip(*found, strict=True)]
    arrays = [array.reshape(-1, members, *array.shape[1:]) for array in arrays]
    activations = [recipe.activation] * len(recipe.hidden) + ["sigmoid"]
    return tuple(
        Dense(kernel, bias[:, :, None], activation)
        for kernel, bias, activation in zip(arrays[::2], arrays[1::2], activations, strict=True)
    )
