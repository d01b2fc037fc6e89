"""What the report page and the model card say about a version, computed once for both."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from heart_disease.data.remote import addresses
from heart_disease.evaluation import clinical, groups
from heart_disease.evaluation.clinical import Calibration, Slice, Stability, Threshold
from heart_disease.evaluation.contest import NETWORK, Report
from heart_disease.evaluation.estimates import Numbers
from heart_disease.model import folds
from heart_disease.model.patient_model import PatientModel
from heart_disease.model.support import Support
from heart_disease.training.batches import Ints

TARGET = 0.9  # the share of sick patients that the threshold finds, if nobody asked for another
SEED = 0  # of the intervals, and of the rows that are looked at if there are very many
MOST_ROWS = 20_000  # more patients would cost time and show the same


@dataclass(frozen=True)
class Facts:
    """What was found about one version.

    title: the version in words. source: the name of the file. frame: all patients. report: of at most `MOST_ROWS` of
    the tested ones, its metrics and influences of all. tested: these patients. sampled: their number if it is not all,
    else 0. stable: the version among the networks of its cross-validation. usual: which patients it flags as unlike
    those of its training, if it does.
    """

    title: str
    source: str
    frame: pd.DataFrame
    report: Report
    tested: pd.DataFrame
    sampled: int
    calibration: Calibration | None
    threshold: Threshold
    slices: list[Slice]
    stable: Stability | None
    usual: Support | None

    @property
    def probabilities(self) -> Numbers:
        """The network's, out of fold: (R, n)."""
        return self.report.probabilities[NETWORK]

    @property
    def people(self) -> str:
        """The threshold's figures as whole patients."""
        return people(self.threshold)


def collect(frame: pd.DataFrame, source: str, report: Report, title: str, model: PatientModel | None = None) -> Facts:
    """The facts about a version that was made from the patients of `frame`, of which `report.rows` were tested.

    model: the version itself, without which nothing is said of stability and of unusual patients.
    """
    looked = _sample(report)
    labels, p, tested = looked.labels, looked.probabilities[NETWORK], frame.iloc[looked.rows]
    if looked.sensitivity is None:
        threshold = clinical.threshold_for(TARGET, labels, p, SEED)
    else:
        threshold = clinical.threshold_at(looked.threshold, looked.sensitivity, labels, p, SEED)
    return Facts(
        title,
        addresses.name(source),
        frame,
        looked,
        tested,
        len(labels) if len(labels) < len(report.rows) else 0,
        clinical.calibration(labels, p),
        threshold,
        clinical.slices(groups.members(tested), labels, p, threshold.value, SEED),
        _stability(model, tested, threshold.value) if model and model.folds else None,
        model.support if model else None,
    )


def _stability(model: PatientModel, tested: pd.DataFrame, threshold: float) -> Stability | None:
    cells = model.cells(tested)
    parts = np.array_split(cells, max(1, len(cells) // 1000))  # of all at once, hidden layers would take gigabytes
    others = np.concatenate([folds.answers(model.folds, model.encoder.encode(part)) for part in parts], axis=1)
    return clinical.stability(model.score(cells).probability, others, threshold, SEED)


def people(threshold: Threshold) -> str:
    """A threshold's figures as whole patients."""
    found = round(100 * threshold.sensitivity.value)
    alarmed = round(100 * (1 - threshold.specificity.value))
    return (
        f"It finds {found} of 100 patients with disease and misses {100 - found}. "
        f"It alarms {alarmed} of 100 without disease needlessly."
    )


def sampled(n: int) -> Ints:
    """Which of n patients are looked at: all, or `MOST_ROWS` at random, ascending."""
    if n <= MOST_ROWS:
        return np.arange(n)
    return np.sort(np.random.default_rng(SEED).choice(n, MOST_ROWS, replace=False))


def _sample(report: Report) -> Report:
    """The report on at most `MOST_ROWS` of its patients; its metrics are left as they are."""
    if len(report.rows) <= MOST_ROWS:
        return report
    which = sampled(len(report.rows))
    return replace(
        report,
        rows=report.rows[which],
        labels=report.labels[which],
        probabilities={model: p[:, which] for model, p in report.probabilities.items()},
    )
