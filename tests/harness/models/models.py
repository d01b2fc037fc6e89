"""Models of random weights, made without Keras, that answer differently about different patients."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from heart_disease.model import drivers
from heart_disease.model.encoding import Encoder
from heart_disease.model.folds import Folds
from heart_disease.model.keras_file import Dense, StoredNetwork
from heart_disease.model.patient_model import PatientModel

HIDDEN = 5


def make(frame: pd.DataFrame, without: Collection[str] = (), folds: int = 7, seed: int = 0) -> PatientModel:
    """A model fitted on `frame`, with references and networks of so many folds."""
    encoder, rng = Encoder.fit(frame).leaving_out(without), np.random.default_rng(seed)
    answering = tuple(
        Dense(layer.kernel[0, 0], layer.bias[0, 0, 0], layer.activation) for layer in stack(encoder.width, 1, 1, rng)
    )
    return PatientModel(
        encoder,
        StoredNetwork((answering,)),
        references=drivers.references(frame, np.arange(len(frame))),
        folds=stack(encoder.width, folds, 1, rng) if folds else (),
    )


def stack(inputs: int, folds: int, members: int, rng: np.random.Generator) -> Folds:
    """Networks as model/folds.py has them."""

    def draw(*shape: int) -> np.ndarray:
        return (rng.standard_normal((folds, members, *shape)) / np.sqrt(shape[0])).astype(np.float32)

    first = Dense(draw(inputs, HIDDEN), draw(1, HIDDEN), "tanh")
    return first, Dense(3 * draw(HIDDEN, 1), draw(1, 1), "sigmoid")
