"""A model judged on the patients of a hospital: who can be judged, and how good the probabilities are there.

Only patients count that the model did not learn from. On its own training data a model is therefore judged by the
out-of-fold probabilities of its training: networks gave them that had not seen the patient. Intervals cover the choice
of patients, not that of the training rows: it is this model that is judged, not its recipe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heart_disease.data import identities
from heart_disease.data.sources import Table
from heart_disease.evaluation import clinical, estimates
from heart_disease.evaluation.clinical import Calibration
from heart_disease.evaluation.estimates import Estimate, Numbers
from heart_disease.model import schema
from heart_disease.model.errors import RejectedError
from heart_disease.model.patient_model import PatientModel
from heart_disease.model.schema import Column

LEAST, LEAST_OF_CLASS = 30, 5  # fewest patients, and of each class, on which a model is judged
CHANCE = 0.5  # the area under the ROC curve of a model that orders patients at random


@dataclass(frozen=True)
class Obstacle:
    """Why patients cannot be judged: what their cells in a column are. A patient may have several obstacles."""

    column: str
    what: str
    patients: int


@dataclass(frozen=True)
class Judgement:
    """How good the probabilities of these patients are, `sick` of them with heart disease.

    predicted: the mean probability. metrics: by the names in `METRICS`, at the `threshold` from which on the model
    answers yes. calibration: None if it cannot be fitted.
    """

    patients: int
    sick: int
    predicted: float
    metrics: Mapping[str, Estimate]
    calibration: Calibration | None
    threshold: float = estimates.HALF

    @property
    def share(self) -> float:
        """The share of patients with heart disease."""
        return self.sick / self.patients

    @property
    def constant_loss(self) -> float:
        """The log loss of giving each of these patients that share as the probability."""
        return float(-np.log([1 - self.share, self.share]) @ [1 - self.share, self.share])

    @property
    def is_backwards(self) -> bool:
        """Whether the model surely orders these patients worse than chance, as it does if their label is inverted."""
        return self.metrics["roc_auc"].high < CHANCE


@dataclass(frozen=True)
class Hospital:
    """A model on all patients of a table: the judgement, and how many patients are left out and why.

    learned: how many of those who could be judged the model learned from. unusual: how many of the judged it flags as
    unlike the patients of its training.
    """

    judgement: Judgement
    learned: int
    obstacles: tuple[Obstacle, ...]
    unusual: int = 0


def judge(labels: Numbers, probabilities: Numbers, seed: int, threshold: float = estimates.HALF) -> Judgement:
    """Judge probabilities (R, n) of patients with labels (n,).

    seed: of the resamples. threshold: the probability from which on the model answers yes.
    """
    metrics = estimates.measure(labels, probabilities, estimates.resamples(len(labels), seed), threshold)
    calibration = clinical.calibration(labels, probabilities)
    return Judgement(len(labels), int(labels.sum()), float(probabilities.mean()), metrics, calibration, threshold)


def judge_there(model: PatientModel, table: Table, seed: int) -> Hospital:
    """Judge `model` on the patients of `table`, which has the model's columns and the label.

    Raises:
        RejectedError: too few of them can be judged.
    """
    rows, obstacles = fit_to_judge(model, table)
    fresh = rows & ~identities.rows_learned(table.frame, model)
    labels = (schema.numbers(table.frame[schema.LABEL.name])[fresh] > 0).astype("float64")
    learned, sick = int(rows.sum() - fresh.sum()), int(labels.sum())
    if len(labels) < LEAST or min(sick, len(labels) - sick) < LEAST_OF_CLASS:
        why = [f"  {one.column}: {one.patients} {one.what}" for one in obstacles]
        why += [f"  the model learned from {learned}"] * bool(learned)
        raise RejectedError(
            f"'{table.source}' was not judged: {len(labels)} of its {len(table)} patients can be, {sick} of them "
            f"with heart disease; expected at least {LEAST}, and {LEAST_OF_CLASS} of each class.\n" + "\n".join(why)
        )
    found = model.predict(table.frame[fresh])
    unusual = int((found["unusual"] != "").sum())
    judgement = judge(labels, found["probability"].to_numpy()[None], seed, model.threshold)
    return Hospital(judgement, learned, tuple(obstacles), unusual)


def fit_to_judge(model: PatientModel, table: Table) -> tuple[NDArray[np.bool_], list[Obstacle]]:
    """The rows (n,) that `model` can score and that have a label, and what is wrong with the others, frequent first."""
    cells = model.cells(table.frame)  # (n, 13)
    bad, new = model.refused(cells)
    label = schema.numbers(table.frame[schema.LABEL.name])
    unlabelled = schema.outside(label, schema.LABEL)
    columns = [*zip(schema.COLUMNS, cells.T, bad.T, new.T, strict=True)]
    columns.append((schema.LABEL, label, unlabelled, np.zeros_like(unlabelled)))
    found = [obstacle for column in columns for obstacle in _obstacles(*column)]
    fit = ~((bad | new).any(axis=1) | unlabelled)
    return fit, sorted(found, key=lambda one: -one.patients)


def _obstacles(column: Column, cells: Numbers, bad: NDArray[np.bool_], new: NDArray[np.bool_]) -> Iterator[Obstacle]:
    """Each kind of obstacle in a column of n cells; bad, new: as in `PatientModel.refused`."""
    blank, text = np.isnan(cells), np.isinf(cells)
    # Nobody has a cholesterol or a blood pressure of 0: some hospitals write it for what they did not measure.
    zero = (cells == 0) & (column.limits is not None)
    kinds = {
        "blank": bad & blank,
        "0, so not measured": bad & zero,
        "not a number": bad & text,
        f"not {column.expected}": bad & ~(blank | zero | text),
        "a code that no patient of the training had": new,
    }
    return (Obstacle(column.name, what, int(rows.sum())) for what, rows in kinds.items() if rows.any())
