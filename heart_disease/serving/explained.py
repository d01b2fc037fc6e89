"""One patient's answer, explained: what drives it, how far networks differ, what is unusual about the patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from heart_disease.model import schema
from heart_disease.model.patient_model import PatientModel, Scores
from heart_disease.serving.follower import Loaded


class Driver(BaseModel):
    """What a column adds to the probability. says: the column and its value in words."""

    column: str
    says: str
    adds: float


class Range(BaseModel):
    """The lowest and the highest probability that the networks of the cross-validation give."""

    lowest: float
    highest: float
    networks: int


class Explained(BaseModel):
    """As an answer of /predict, with what is behind it.

    average: the mean probability of patients put together from the training data; it and what all drivers add are the
    probability. drivers: the strongest first. Both, and the range, are missing if the version does not know them.
    remarks: what is unusual about the patient, in words: `unusual`, and values that hardly anybody has.
    """

    probability: float | None
    disease: str
    problem: str
    range: Range | None = None
    average: float | None = None
    drivers: list[Driver] = []
    unusual: str = ""
    remarks: list[str] = []


class Explanations(BaseModel):
    """One explained answer per patient, in their order, and the version that gave them."""

    model: str
    version: str
    threshold: float
    answers: list[Explained]


def explain(loaded: Loaded, cells: NDArray[np.float64]) -> Explanations:
    """What the version says about patients (n, 13), as `PatientModel.score` takes them."""
    model, scores = loaded.model, loaded.model.score(cells)
    answers = [
        Explained(probability=None, disease="", problem=scores.problem[k])
        if scores.problem[k]
        else _one(model, row, scores, k)
        for k, row in enumerate(cells)
    ]
    return Explanations(model=loaded.ref.name, version=loaded.ref.version, threshold=model.threshold, answers=answers)


def _one(model: PatientModel, cells: NDArray[np.float64], scores: Scores, k: int) -> Explained:
    """Explain the answer to patient k of those that were scored, with these values (13,)."""
    spread, found = model.spread(cells), model.drivers(cells)
    held = dict(zip(schema.INPUT_NAMES, cells.tolist(), strict=True))
    each = sorted(found.each.items(), key=lambda item: -abs(item[1])) if found else []
    return Explained(
        probability=float(scores.probability[k]),
        disease=scores.disease[k],
        problem="",
        range=Range(lowest=spread.lowest, highest=spread.highest, networks=spread.networks) if spread else None,
        average=found.average if found else None,
        drivers=[Driver(column=name, says=schema.BY_NAME[name].says(held[name]), adds=by) for name, by in each],
        unusual=scores.unusual[k],
        remarks=[f"This patient is {scores.unusual[k]}"] * bool(scores.unusual[k]) + rare_values(model, held),
    )


def rare_values(model: PatientModel, held: dict[str, float]) -> list[str]:
    """The values of a patient who can be scored that hardly anybody has, in words."""
    found = []
    for column in model.encoder.columns:
        value = held[column.name]
        if column.usual and not column.usual[0] <= value <= column.usual[1]:
            low, high = column.usual
            found.append(f"{column.says(value)}; usual are {low:g} to {high:g}")
    return found
