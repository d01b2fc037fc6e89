"""Report -> one HTML page for people, in one file: can this model be trusted, for whom, and from which threshold on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from heart_disease.evaluation import clinical
from heart_disease.evaluation.contest import NETWORK
from heart_disease.evaluation.estimates import Numbers
from heart_disease.evaluation.groups import ENOUGH
from heart_disease.evaluation.influence import Influence
from heart_disease.evaluation.verdict import Decision
from heart_disease.model import schema
from heart_disease.reporting import pages, tables
from heart_disease.reporting.report import report_figures, tripod
from heart_disease.reporting.report.facts import Facts
from heart_disease.reporting.report.report_figures import Picture
from heart_disease.training.batches import Ints

FOLDER, FILE = "report", "report.html"  # among the artifacts of a run
LISTED = 5
DRAWN = 6  # columns whose influence is a picture; that of the others is a sentence


@dataclass(frozen=True)
class _Patient:
    """A patient of a list: the row in the file, what they have, a probability, and another figure in words."""

    row: object
    sick: bool
    probability: float
    figure: str


@dataclass(frozen=True)
class _Column:
    """A column whose influence is shown, and what the picture shows in words."""

    column: str
    words: str


def render(facts: Facts, decision: Decision, made: Mapping[str, str], changed: Mapping[str, str] | None) -> str:
    """The complete page; everything that came from the table is escaped.

    made: what the version was made from, by part. changed: what differs from the champion, by part; None if there is
    no champion to compare with. From `facts.MOST_ROWS` patients on, the figures that are made for the page, unlike the
    metrics, come from a sample of that size, and the page says so.
    """
    report, stable, mean = facts.report, facts.stable, facts.probabilities.mean(axis=0)
    header, *body = tables.rows(report)

    def listed(order: Ints, probabilities: Numbers, figures: list[str]) -> list[_Patient]:
        return [
            _Patient(facts.tested.index[k], bool(report.labels[k]), float(probabilities[k]), text)
            for k, text in zip(order.tolist(), figures, strict=True)
        ]

    distance = np.abs(report.labels - mean)
    wrong = clinical.farthest(distance, LISTED)
    unstable = []
    if stable:
        moved = clinical.farthest(stable.error, LISTED)
        ranges = [f"{others.min():.2f} to {others.max():.2f}" for others in stable.others[:, moved].T]
        unstable = listed(moved, stable.own, ranges)
    return pages.fill(
        "heart_disease.reporting",
        "report_page.html",
        facts=facts,
        decision=decision,
        made=made,
        changed=changed,
        described=described(facts.frame),
        header=header,
        body=body,
        figures=_figures(facts),
        influences=[_Column(one.column, _direction(one)) for one in report.influences],
        drawn=DRAWN,
        enough=ENOUGH,
        against={one.group: one for one in report.groups},
        wrong=listed(wrong, mean, [f"{distance[k]:.2f}" for k in wrong]),
        unstable=unstable,
        items=tripod.ITEMS,
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
    return f"{int(held.sum())} ({100 * held.mean():.0f}\u00a0%)" if len(held) else "0"


def _middle(cells: np.ndarray) -> str:
    known = cells[~np.isnan(cells)]
    if not len(known):
        return "none"
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    return f"{_short(middle)} ({_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    """A quartile, with no more digits than it was measured with by much."""
    return f"{round(float(value), 1):g}"


def _direction(one: Influence) -> str:
    """From where to where a column moves the mean probability, in words."""
    column, low, high = schema.BY_NAME[one.column], int(one.mean.argmin()), int(one.mean.argmax())
    found, at = one.mean[[low, high]], one.grid[[low, high]].tolist()
    ends = [f"{p:.2f} at {column.in_words(value)}" for p, value in zip(found, at, strict=True)]
    return f"{column.meaning}: on average from {ends[0]} to {ends[1]}"


def _figures(facts: Facts) -> dict[str, Picture]:
    report, stable, threshold = facts.report, facts.stable, facts.threshold
    labels, lines = report.labels, report_figures.lines(report)
    area = report.metrics[NETWORK]["roc_auc"]
    drawn = {
        "losses": (report_figures.losses(report), "Loss against epochs on training and on test rows."),
        "roc": (report_figures.roc(labels, lines, threshold), f"ROC curves. Area of the network: {area}."),
        "precision_recall": (report_figures.precision_recall(labels, lines), "Precision against sensitivity."),
        "calibration": (report_figures.calibration(labels, lines), "Share with disease against probability."),
        "decision": (
            report_figures.decision(labels, lines, threshold),
            "Net benefit against the threshold.",
        ),
    }
    if stable:
        alt = "Range of the networks' probabilities against the version's, patient by patient."
        drawn["stability"] = (report_figures.stability(stable), alt)
    if report.influences:
        first = ", ".join(schema.BY_NAME[one.column].meaning for one in report.influences[:3])
        drawn["importance"] = (report_figures.importance(report.influences), f"The most important columns: {first}.")
    for one in report.influences[:DRAWN]:
        drawn[one.column] = (report_figures.dependence(one), f"Probability against {_direction(one)}.")
    found = {name: Picture.of(svg, alt) for name, (svg, alt) in drawn.items()}
    if report.landscape:
        found["landscape"] = Picture.of_png(report.landscape, "The loss around the trained network, in two slices.")
    return found
