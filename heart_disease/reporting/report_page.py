"""Report -> one HTML page for people, in one file: can this model be trusted, for whom, and from which threshold on."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from heart_disease.evaluation import clinical
from heart_disease.evaluation.clinical import Threshold
from heart_disease.evaluation.contest import NETWORK, Report
from heart_disease.evaluation.verdict import Decision
from heart_disease.model import schema
from heart_disease.reporting import pages, report_figures, tables
from heart_disease.training.batches import Ints

FOLDER, FILE = "report", "report.html"  # among the artifacts of a run
TARGET = 0.9  # the share of sick patients that the page's threshold finds
SEED = 0  # of the intervals, and of the rows that are looked at if there are very many
MOST_ROWS = 20_000  # more patients would cost time and show the same
LISTED = 5


@dataclass(frozen=True)
class _Figure:
    """A picture as an address that holds it, and what it shows in words."""

    address: str
    alt: str


@dataclass(frozen=True)
class _Patient:
    """A patient of a list: the row in the file, what they have, and the figures in words."""

    row: object
    sick: bool
    probability: float
    figure: str


def render(
    frame: pd.DataFrame, source: str, report: Report, decision: Decision, title: str, changed: Mapping[str, str] | None
) -> str:
    """The complete page; everything that came from the table is escaped.

    frame: the patients, of which `report.rows` were tested. title: the version in words. changed: what differs from
    the champion, by part; None if there is no champion to compare with. From `MOST_ROWS` patients on, the figures that
    are made here, unlike the metrics, come from a sample of that size, and the page says so.
    """
    looked, all_tested = _sample(report), len(report.rows)
    labels, p = looked.labels, looked.probabilities[NETWORK]
    tested = frame.iloc[looked.rows]
    threshold = clinical.threshold_for(TARGET, labels, p, SEED)
    stable = clinical.stability(p, threshold.value)
    header, *body = tables.rows(report)
    mean = p.mean(axis=0)

    def patients(order: Ints, figures: list[str]) -> list[_Patient]:
        return [
            _Patient(tested.index[k], bool(labels[k]), float(mean[k]), text)
            for k, text in zip(order.tolist(), figures, strict=True)
        ]

    wrong = clinical.farthest(np.abs(labels - mean), LISTED)
    unstable = clinical.farthest(stable.error, LISTED) if stable else wrong[:0]
    return pages.fill(
        "heart_disease.reporting",
        "report_page.html",
        title=title,
        source=source,
        rows=len(frame),
        sampled=len(labels) if len(labels) < all_tested else 0,
        description=report.description,
        decision=decision,
        changed=changed,
        described=described(frame),
        header=header,
        body=body,
        figures=_figures(looked, stable),
        calibration=clinical.calibration(labels, p),
        threshold=threshold,
        people=people(threshold),
        slices=clinical.slices(clinical.groups(tested), labels, p, threshold.value, SEED),
        enough=clinical.ENOUGH,
        stable=stable,
        mape=float(stable.error.mean()) if stable else 0.0,
        flips=float(stable.flips.mean()) if stable else 0.0,
        wrong=patients(wrong, [f"{abs(labels[k] - mean[k]):.2f}" for k in wrong]),
        unstable=patients(unstable, [f"{p[:, k].min():.2f} to {p[:, k].max():.2f}" for k in unstable]),
        items=TRIPOD,
    )


def _sample(report: Report) -> Report:
    """The report on at most `MOST_ROWS` of its patients; its metrics are left as they are."""
    if len(report.rows) <= MOST_ROWS:
        return report
    which = np.sort(np.random.default_rng(SEED).choice(len(report.rows), MOST_ROWS, replace=False))
    return replace(
        report,
        rows=report.rows[which],
        labels=report.labels[which],
        probabilities={model: p[:, which] for model, p in report.probabilities.items()},
    )


def described(frame: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Describe the patients ("Table 1"): what, the healthy, the diseased, and blank cells, column by column.

    A number has its median and the middle half of the patients; a code has its patients and their share.
    """
    sick = schema.label(frame).to_numpy() > 0.5
    found = []
    for column in schema.COLUMNS:
        cells = frame[column.name].to_numpy("float64")
        blank = str(int(np.isnan(cells).sum()))
        if column.codes:
            found.append((column.meaning, "", "", blank))
            for code, meaning in column.codes.items():
                if (cells == code).any():
                    held = cells == code
                    found.append((f"— {meaning}", _share(held[~sick]), _share(held[sick]), ""))
        else:
            name = f"{column.meaning}, {column.unit}"
            found.append((name, _middle(cells[~sick]), _middle(cells[sick]), blank))
    return found


def _share(held: np.ndarray) -> str:
    return f"{int(held.sum())} ({held.mean():.0%})" if len(held) else "0"


def _middle(cells: np.ndarray) -> str:
    known = cells[~np.isnan(cells)]
    if not len(known):
        return "none"
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    return f"{middle:g} ({low:g} to {high:g})"


def people(threshold: Threshold) -> str:
    """A threshold's figures as whole patients."""
    found, alarmed = round(100 * threshold.sensitivity.value), round(100 * (1 - threshold.specificity.value))
    return (
        f"Of 100 patients with disease, it finds {found} and misses {100 - found}. "
        f"Of 100 without, {alarmed} are alarmed needlessly."
    )


def _figures(report: Report, stable: clinical.Stability | None) -> dict[str, _Figure]:
    network = report.metrics[NETWORK]
    drawn = {
        "losses": (report_figures.losses(report), "Loss against epochs on training and on test rows."),
        "roc": (report_figures.roc(report), f"ROC curves. Area of the network: {network['roc_auc']}."),
        "precision_recall": (report_figures.precision_recall(report), "Precision against sensitivity."),
        "calibration": (report_figures.calibration(report), "Share with disease against predicted probability."),
        "decision": (report_figures.decision(report), "Net benefit against the threshold, with treat all and none."),
    }
    if stable:
        svg = report_figures.stability(stable, report.probabilities[NETWORK])
        drawn["stability"] = (svg, "Probabilities of the repeats against their mean, patient by patient.")
    return {
        name: _Figure(f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}", alt)
        for name, (svg, alt) in drawn.items()
    }


# Topics of TRIPOD+AI (Collins et al., BMJ 385, e078378, 2024), and where the page has them.
TRIPOD = (
    ("Source of data, participants", "Patients; the data set's own page says how they were recruited"),
    ("Outcome and predictors", "Patients: disease is over 50 % narrowing of a major vessel"),
    ("Sample size", "Patients; the number was not planned"),
    ("Missing data", "Patients: blanks are counted, and are an input of their own"),
    ("Analytical methods", "How it was judged; the run's parameters hold the recipe"),
    ("Fairness", "Groups of patients"),
    ("Model performance, with intervals", "Results, Calibration, Groups of patients"),
    ("Model updating", "Verdict: what changed against the champion"),
    ("Limitations, usability", "Use and limits"),
    ("Protocol, registration, patient involvement", "Not reported: this is software for learning, not a study"),
)
