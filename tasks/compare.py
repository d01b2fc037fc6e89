"""Two or more runs side by side: where their recipes differ, their metrics, and the paired difference in log loss.

Between runs the difference judges recipes: it is taken from their out-of-fold probabilities, and widened as in an
evaluation (`evaluate.Splits.widening`). Between models, on patients that neither of them learned from, it judges those
two as they are, and is not widened.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import evaluate, report, schema, sources, verdict
from tasks.errors import DataError
from tasks.evaluate import METRICS, Estimate, Numbers
from tasks.params import Evaluation, Params
from tasks.sources import Table
from tasks.verdict import Comparison

LEAST, LEAST_OF_CLASS = 30, 10  # patients on which two models are compared
NONE = "-"  # a cell without a value
DATA = "data_digest"
RECIPE, EVALUATION = ([field.name for field in fields(kind)] for kind in (Params, Evaluation))
TEST = (*EVALUATION, "seed", DATA)  # what decides which patients are tested by which network

Cells = list[tuple[str, ...]]


@dataclass(frozen=True)
class OutOfFold:
    """patients: n digests. labels: (n,) of 0 and 1. probabilities: (R, n), a row a repeat."""

    patients: tuple[str, ...]
    labels: Numbers
    probabilities: Numbers


def read_out_of_fold(text: str) -> OutOfFold:
    """What `report.out_of_fold` wrote.

    Raises:
        ValueError: it is something else.
    """
    frame = pd.read_csv(io.StringIO(text), dtype={"patient": str})
    names = [name for name in frame if str(name).startswith("probability_")]
    if not {"patient", "label"} <= set(frame) or not names or frame["patient"].duplicated().any():
        raise ValueError("expected the columns patient (each once), label, probability_1, ...")
    labels, probabilities = frame["label"].to_numpy("float64"), frame[names].to_numpy("float64").T
    if not (np.isin(labels, (0, 1)).all() and ((probabilities >= 0) & (probabilities <= 1)).all()):
        raise ValueError("expected labels of 0 and 1, and probabilities")
    return OutOfFold(tuple(frame["patient"]), labels, probabilities)


def widening(params: Mapping[str, str]) -> float:
    """`evaluate.Splits.widening` from what a run recorded: sqrt(1 / R + k / (k - 1)), or sqrt(1 + n2 / n1).

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
    at = {patient: i for i, patient in enumerate(theirs.patients)}
    both = np.array([(i, at[p]) for i, p in enumerate(ours.patients) if p in at], np.int64).reshape(-1, 2)
    if not len(both):
        raise ValueError("no patient in common")
    mine, other = both.T
    found = evaluate.difference(
        ours.labels[mine], ours.probabilities[:, mine], theirs.probabilities[:, other],
        evaluate.bootstrap_weights(len(both), seed), widen,
    )  # fmt: skip
    return verdict.compare(found, margin), len(both)


def other_test(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """How the tests of two runs differ, ``seed 3, not 0; data 2f1e..., not 1bce...``; empty where they do not."""
    return "; ".join(
        f"{_title(name)} {_cell(name, ours, 'none')}, not {_cell(name, theirs, 'none')}"
        for name in TEST
        if ours.get(name) != theirs.get(name)
    )


def settings(params: Mapping[str, Mapping[str, str]]) -> Cells:
    """A header, and each part of recipe, evaluation and data in which not all runs agree; `params` by run."""
    names = [*RECIPE, *EVALUATION, DATA]
    rows = [(_title(name), *(_cell(name, one) for one in params.values())) for name in names]
    return [("recipe", *params), *(row for row in rows if len(set(row[1:])) > 1)]


def metrics(found: Mapping[str, Mapping[str, float]]) -> Cells:
    """A header, and each metric with its interval as the runs recorded it; `found` by run."""
    return [
        ("metric", *found),
        *((report.METRIC_NAMES[name], *(_figure(name, one) for one in found.values())) for name in METRICS),
    ]


def pairs(rows: Sequence[tuple[str, Comparison | None, int]], first: str) -> Cells:
    """A header, and for each run its difference from the first one, the verdict, and how many patients it is of."""
    header = ("run", f"log loss minus {first}", "verdict", "patients")
    nothing = ("not available", NONE, NONE)
    return [
        header,
        *((name, *((verdict.in_words(d.difference), d.kind, str(n)) if d else nothing)) for name, d, n in rows),
    ]


def transposed(table: Cells) -> Cells:
    """Runs in rows."""
    corner = ("run", *(row[0] for row in table[1:]))
    return [corner, *((name, *(row[i] for row in table[1:])) for i, name in enumerate(table[0]) if i)]


def blocks(table: Cells, width: int) -> list[str]:
    """The table as text, in as many parts as it takes to stay within `width`; each has the first column."""
    widths = [max(map(len, column)) + 2 for column in zip(*table, strict=True)]
    parts: list[list[int]] = [[]]
    for i in range(1, len(widths)):
        if parts[-1] and sum(widths[j] for j in [0, *parts[-1], i]) - 2 > width:
            parts.append([])
        parts[-1].append(i)
    return [report.aligned([[row[j] for j in [0, *part]] for row in table]) for part in parts]


def unseen(table: Table, learned: Mapping[str, frozenset[str]]) -> tuple[NDArray[np.bool_], str]:
    """Which rows of `table` no model learned from (n,), and in words how many each of them did learn from.

    learned: the digests of a model's patients, by model.

    A patient is known by the 13 inputs, however the file is written.

    Raises:
        DataError: too few are left to compare on.
    """
    ids = sources.patient_ids(table.frame)
    trained = {name: np.array([one in digests for one in ids]) for name, digests in learned.items()}
    fresh = ~np.any(list(trained.values()), axis=0)
    sick = int(schema.label(table.frame)[fresh].sum())
    counts = ", ".join(f"{rows.sum()} of {name}" for name, rows in trained.items())
    left, smaller = int(fresh.sum()), min(sick, int(fresh.sum()) - sick)
    if left < LEAST or smaller < LEAST_OF_CLASS:
        raise DataError(
            f"'{table.source}' has {left} rows that no model learned from, {smaller} of the smaller class; expected at "
            f"least {LEAST} and {LEAST_OF_CLASS}. Of its {len(ids)} rows these are training rows: {counts}. Compare on "
            "patients that the models have not seen, or compare the runs, without --on."
        )
    return fresh, counts


def on_rows(labels: Numbers, probabilities: Mapping[str, Numbers]) -> dict[str, dict[str, float]]:
    """The metrics of each model on the same patients, named as a run records them; probabilities (n,) by model."""
    weights = evaluate.bootstrap_weights(len(labels), 0)
    found = {name: evaluate.measure(labels, p[None], weights) for name, p in probabilities.items()}
    return {name: _ends(one) for name, one in found.items()}


def on_rows_minus(labels: Numbers, ours: Numbers, theirs: Numbers, margin: float) -> Comparison:
    """Log loss of one model minus another's, probabilities (n,); the interval is of patients alone."""
    weights = evaluate.bootstrap_weights(len(labels), 0)
    return verdict.compare(evaluate.difference(labels, ours[None], theirs[None], weights), margin)


def _ends(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    return {
        f"{name}{end}": value
        for name, one in estimates.items()
        for end, value in (("", one.value), ("_low", one.low), ("_high", one.high))
    }


def _figure(name: str, found: Mapping[str, float]) -> str:
    ends = [found.get(f"{name}{end}") for end in ("", "_low", "_high")]
    if ends[0] is None:
        return NONE
    if ends[1] is None or ends[2] is None:
        return f"{ends[0]:.3f}"
    return report.in_brackets(Estimate(ends[0], ends[1], ends[2]))


def _title(name: str) -> str:
    return "data" if name == DATA else name


def _cell(name: str, params: Mapping[str, str], nothing: str = NONE) -> str:
    value = params.get(name, nothing)
    return value[:8] if name == DATA else value
