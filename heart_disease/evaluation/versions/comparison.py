"""Two or more runs side by side: where their recipes differ, their metrics, and the paired difference in log loss.

Between runs the difference judges recipes: it is taken from their out-of-fold probabilities, and widened as in an
evaluation (`folds.Splits.widening`). Between models, on patients that neither of them learned from, it judges those
two as they are, and is not widened.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heart_disease.data import digests
from heart_disease.data.sources import Table
from heart_disease.evaluation import estimates, verdict
from heart_disease.evaluation.estimates import Numbers
from heart_disease.evaluation.settings import Evaluation
from heart_disease.evaluation.verdict import Comparison
from heart_disease.model import schema
from heart_disease.model.errors import DataError
from heart_disease.training.batches import Ints

LEAST, LEAST_OF_CLASS = 30, 10  # fewest patients on which two models are compared
DATA = "data_digest"
EVALUATION = tuple(field.name for field in fields(Evaluation))
TEST = ("folds", "repeats", "holdout", "seed", DATA)  # what decides which patients are tested by which network


@dataclass(frozen=True)
class OutOfFold:
    """patients: n digests, as text. labels: (n,) of 0 and 1. probabilities: (R, n), one row per repeat."""

    patients: tuple[str, ...]
    labels: Numbers
    probabilities: Numbers

    def at(self, rows: Ints) -> OutOfFold:
        """Only these patients, in this order."""
        return OutOfFold(tuple(self.patients[k] for k in rows.tolist()), self.labels[rows], self.probabilities[:, rows])


def read_out_of_fold(text: str) -> OutOfFold:
    """Read what `reporting.tables.out_of_fold` wrote.

    Raises:
        ValueError: `text` is something else.
    """
    frame = pd.read_csv(io.StringIO(text), dtype={"patient": str})
    names = [name for name in frame if str(name).startswith("probability_")]
    if not {"patient", "label"} <= set(frame) or not names:
        raise ValueError("expected the columns patient, label, probability_1, ...")
    if frame.drop_duplicates(["patient", "label"])["patient"].duplicated().any():
        raise ValueError("expected one label for each patient")
    labels, probabilities = frame["label"].to_numpy("float64"), frame[names].to_numpy("float64").T
    if not (np.isin(labels, (0, 1)).all() and ((probabilities >= 0) & (probabilities <= 1)).all()):
        raise ValueError("expected labels of 0 and 1, and probabilities")
    return OutOfFold(tuple(frame["patient"]), labels, probabilities)


def widening(params: Mapping[str, str]) -> float:
    """`folds.Splits.widening` from a run's recorded parameters: sqrt(1 / R + k / (k - 1)), or sqrt(1 + n2 / n1).

    Raises:
        ValueError: neither holdout nor folds and repeats are recorded.
    """
    if "holdout" in params:
        share = float(params["holdout"])
        return float(np.sqrt(1 + share / (1 - share)))
    if not {"folds", "repeats"} <= set(params):
        raise ValueError("expected folds and repeats, or holdout, among its parameters")
    folds, repeats = int(params["folds"]), int(params["repeats"])
    return float(np.sqrt(1 / repeats + folds / (folds - 1)))


def paired(ours: OutOfFold, theirs: OutOfFold, *, widen: float, margin: float, seed: int) -> tuple[Comparison, int]:
    """Log loss of `ours` minus `theirs` on the patients that both have, and how many these are.

    Raises:
        ValueError: they have none in common.
    """
    ours, theirs = shared(ours, theirs)
    n = len(ours.labels)
    found = estimates.difference(
        ours.labels, ours.probabilities, theirs.probabilities, estimates.resamples(n, seed), widen
    )
    return verdict.compare(found, margin), n


def shared(ours: OutOfFold, theirs: OutOfFold) -> tuple[OutOfFold, OutOfFold]:
    """Both on the patients that both have, in one order.

    Raises:
        ValueError: they have none in common.
    """
    mine, other = same(ours.patients, theirs.patients)
    if not len(mine):
        raise ValueError("no patient in common")
    return ours.at(mine), theirs.at(other)


def find(patients: Sequence[str], table: Table) -> Ints | None:
    """The rows (n,) of `table` that are these n patients, by digest; None if some are not there."""
    rows, order = same(digests.as_text(table.row_ids), patients)
    if len(order) < len(patients):
        return None
    return rows[np.argsort(order)]


def same(ours: Sequence[str], theirs: Sequence[str]) -> tuple[Ints, Ints]:
    """The positions in each of the patients that both have. By chance, large data repeat one: the k-th is the k-th."""
    frames = []
    for patients in (ours, theirs):
        frame = pd.DataFrame({"patient": patients, "row": np.arange(len(patients))})
        frames.append(frame.assign(time=frame.groupby("patient").cumcount()))
    both = frames[0].merge(frames[1], on=["patient", "time"])
    return both["row_x"].to_numpy(), both["row_y"].to_numpy()


def other_test(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """How the tests of two runs differ, ``seed 3, not 0; data 2f1e..., not 1bce...``; empty if they do not."""
    return "; ".join(
        f"{title_of(name)} {setting_of(name, ours, 'none')}, not {setting_of(name, theirs, 'none')}"
        for name in TEST
        if ours.get(name) != theirs.get(name)
    )


def unseen(
    table: Table, trained: Mapping[str, NDArray[np.bool_]], scored: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], str]:
    """Which rows of `table` no model learned from (n,), and in words how many of them each model did learn from.

    trained: for each model, the rows that it learned from (n,); see `identities.rows_learned`.
    scored: the rows that every model can score (n,); the others are left out.

    Raises:
        DataError: too few are left to compare on.
    """
    fresh = scored & ~np.any(list(trained.values()), axis=0)
    sick = int(schema.label(table.frame)[fresh].sum())
    counts = ", ".join(f"{rows.sum()} of {name}" for name, rows in trained.items())
    left, smaller = int(fresh.sum()), min(sick, int(fresh.sum()) - sick)
    if left < LEAST or smaller < LEAST_OF_CLASS:
        unknown = "" if scored.all() else f"; {(~scored).sum()} have codes that a model never saw"
        raise DataError(
            f"'{table.source}' has {left} rows that no model learned from, {smaller} of the smaller class; expected at "
            f"least {LEAST} and {LEAST_OF_CLASS}. Training rows among its {len(table)}: {counts}{unknown}. "
            "Compare on patients that the models have not seen, or compare the runs, without --on."
        )
    return fresh, counts


def on_rows(
    labels: Numbers, probabilities: Mapping[str, Numbers], thresholds: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """The metrics of each model on the same patients, named as a run records them; probabilities (n,) by model.

    thresholds: the probability from which on each model answers yes.
    """
    weights = estimates.resamples(len(labels), 0)
    found = {name: estimates.measure(labels, p[None], weights, thresholds[name]) for name, p in probabilities.items()}
    return {
        name: {key: value for metric, one in figures.items() for key, value in one.named(metric).items()}
        for name, figures in found.items()
    }


def on_rows_minus(labels: Numbers, ours: Numbers, theirs: Numbers, margin: float) -> Comparison:
    """Log loss of one model minus another's, probabilities (n,); the interval covers the choice of patients alone."""
    weights = estimates.resamples(len(labels), 0)
    return verdict.compare(estimates.difference(labels, ours[None], theirs[None], weights), margin)


def title_of(name: str) -> str:
    """A parameter of a run, for people."""
    return "data" if name == DATA else name


def setting_of(name: str, params: Mapping[str, str], nothing: str) -> str:
    """The value of a run's parameter, for people."""
    value = params.get(name, nothing)
    return value[:8] if name == DATA else value
