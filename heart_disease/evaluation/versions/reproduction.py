"""Train the model of a version again, from its recipe, seed and data, and compare what the two say.

The whole set of networks of that day is trained, not the shipped one alone: how a compiled program rounds depends on
its shape, and a recipe that amplifies the last bit (rate 0.01 for 300 epochs, two hidden layers) then ends up to 0.001
away. The same set on the same machine gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heart_disease.data.sources import Table
from heart_disease.evaluation.contest import Contest
from heart_disease.evaluation.estimates import Numbers
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.patient_model import PatientModel
from heart_disease.training.engine import train
from heart_disease.training.recipe import Recipe

TOLERANCE = 1e-6  # how much storing a model may change a probability


@dataclass(frozen=True)
class Agreement:
    """patients: how many were compared. apart: for how many the probabilities differ by more than `TOLERANCE`."""

    patients: int
    apart: int
    gap: float

    def __str__(self) -> str:
        apart = f"{self.apart} of {self.patients} probabilities differ by more than {TOLERANCE:g}"
        agree = f"{self.patients} probabilities agree"
        return f"{apart if self.apart else agree}, largest gap {self.gap:.2g}"


def agreement(ours: Numbers, theirs: Numbers) -> Agreement:
    """Compare two models' probabilities for the same patients, each (n,)."""
    gaps = np.abs(ours - theirs)
    return Agreement(len(gaps), int((~(gaps <= TOLERANCE)).sum()), float(gaps.max()))


def train_again(
    table: Table, recipe: Recipe, evaluation: Evaluation, members: int, rival: Recipe | None, device: str
) -> tuple[PatientModel, str]:
    """The model that `flows.train` ships for `recipe`, and the name of the device.

    members: how many the model has, which may be fewer than the recipe asked for. rival: the recipe of the champion of
    that day, whose networks were trained beside these: in another batch some networks round differently, and a few
    recipes amplify that.

    Raises:
        UsageError: the data is too small for the folds.
        UnavailableError: the device is missing.
    """
    contest = Contest.on(table.frame, recipe, evaluation, rival)
    networks = train(contest.inputs, contest.labels, contest.jobs, device=device)
    return contest.model(networks, members, contest.threshold(networks, members)), networks.device
