"""Patients whose true probabilities are known, as many as are wanted.

Covariates are rows of the 303 patients, drawn with replacement; their measured columns are jittered by a fifth of the
column's spread, and blank cells stay. Labels are drawn anew with known probabilities: the mean of 20 networks of the
default recipe fitted to the 303, with the log odds times 1.15. With that factor both presets lose on drawn patients
about what they lose on the real ones. The weakness: the truth is as smooth as a network makes it, so nothing in it is
beyond the recipes, and every patient comes from one clinic and one year.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from heart_disease.data import sources
from heart_disease.evaluation.estimates import Numbers
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.training.batches import Ints, Job
from heart_disease.training.engine import train
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import Recipe

MEMBERS, SHARPENING, JITTER = 20, 1.15, 0.2
NOBODY: Ints = np.arange(0)


class Population:
    """An unlimited supply of patients whose probability of disease is known."""

    def __init__(self) -> None:
        self.frame = sources.load().frame
        self.encoder = Encoder.fit(self.frame)
        everyone, labels = np.arange(len(self.frame)), schema.label(self.frame).to_numpy()
        inputs = Inputs.of(self.frame, [self.encoder])
        self.model = train(inputs, labels, [Job(Recipe(seed=seed), everyone, NOBODY) for seed in range(MEMBERS)])

    def draw(self, n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, Numbers, Numbers]:
        """`n` patients, the label of each (n,), and the probability with which it was drawn (n,)."""
        frame = self.frame.iloc[rng.integers(0, len(self.frame), n)].reset_index(drop=True)
        for name in (column.name for column in schema.COLUMNS if column.limits is not None):
            own, drawn = self.frame[name], frame[name]
            moved = drawn + JITTER * own.std() * rng.standard_normal(n)
            frame[name] = moved.clip(own.min(), own.max()).where(drawn != 0, 0.0)  # no ST depression (0) stays 0
        p = self.model.probabilities(Inputs.of(frame, [self.encoder])).mean(axis=0).astype(np.float64)
        truth = 1 / (1 + ((1 - p) / p) ** SHARPENING)
        return frame, (rng.random(n) < truth).astype(np.float64), truth
