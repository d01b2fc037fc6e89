"""Two runs, or two models, side by side on one HTML page: the report's sections, with paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from heart_disease.evaluation import clinical, estimates, groups, verdict
from heart_disease.evaluation.clinical import Slice, Stability, Threshold
from heart_disease.evaluation.estimates import METRICS, Estimate, Numbers
from heart_disease.evaluation.groups import ENOUGH
from heart_disease.reporting import pages, tables
from heart_disease.reporting.figures import BLUE, ORANGE, Curve
from heart_disease.reporting.report import facts, report_figures
from heart_disease.reporting.report.report_figures import Line, Picture
from heart_disease.reporting.side_by_side import Cells
from heart_disease.training.batches import Ints
from heart_disease.training.engine import TEST_LOSS, TRAIN_LOSS

LISTED = 10
LOWER_IS_BETTER = ("log_loss", "brier")
STYLES = ((ORANGE, "--"), (BLUE, "-"))  # of the first and of the other
# A run's curves: name, in words, weight of the line, and its spread over the folds, which four bands would hide.
LOSSES = ((TRAIN_LOSS, "training rows", 0.5, ""), (TEST_LOSS, "test rows", 1.0, tables.spread_of(TEST_LOSS)))


@dataclass(frozen=True)
class Side:
    """One of the two. title: its recipe. probabilities: (R, n). curves: those that it recorded, by name (epochs,).

    threshold: the probability from which on it answers yes. landscape: a picture (PNG) of the loss around its network;
    empty if it has none. target: the share of the sick that it was made to find; None if nobody asked for one.
    """

    name: str
    title: str
    probabilities: Numbers
    curves: Mapping[str, Numbers]
    threshold: float = estimates.HALF
    landscape: bytes = b""
    target: float | None = None


@dataclass(frozen=True)
class Duel:
    """Two runs or models on the same n patients; differences are `other` minus `first`.

    labels: (n,). frame: the patients' columns; None if they could not be found. names: of the patients (n,), their rows
    in the file, or their digests if there is no frame. notes: what to keep in mind.
    widening: of an interval of a difference, see `Splits.widening`; 1 for two models as they are. recipes: a header,
    and the settings that differ. changed: what else differs, by part.
    """

    first: Side
    other: Side
    labels: Numbers
    frame: pd.DataFrame | None
    names: Sequence[object] | pd.Index
    notes: Sequence[str]
    widening: float
    margin: float
    seed: int
    recipes: Cells
    changed: Mapping[str, str]

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both, in order."""
        return self.first, self.other

    def at(self, rows: Ints) -> Duel:
        """Only these patients."""
        first, other = (replace(side, probabilities=side.probabilities[:, rows]) for side in self.sides)
        frame = None if self.frame is None else self.frame.iloc[rows]
        names = [self.names[k] for k in rows.tolist()]
        return replace(self, first=first, other=other, labels=self.labels[rows], frame=frame, names=names)


@dataclass(frozen=True)
class _Judged:
    """What is said about one side. slices: by group."""

    name: str
    threshold: Threshold
    people: str
    stable: Stability | None
    slices: Mapping[str, Slice]


@dataclass(frozen=True)
class _Difference:
    """A row of a table: both figures, the difference, and ``better``, ``worse`` or nothing."""

    title: str
    figures: tuple[Estimate, ...]
    difference: Estimate
    kind: str = ""


@dataclass(frozen=True)
class _Patient:
    name: object
    sick: bool
    probabilities: tuple[float, ...]


def render(duel: Duel) -> str:
    """The complete page, in one file; everything that came from outside is escaped.

    The table of results is about all patients. If they are more than `facts.MOST_ROWS`, the rest is about a sample of
    that size, and the page says so.
    """
    weights = estimates.resamples(len(duel.labels), duel.seed)
    measured = [estimates.measure(duel.labels, side.probabilities, weights, side.threshold) for side in duel.sides]
    ours, theirs = duel.other.probabilities, duel.first.probabilities
    thresholds = duel.other.threshold, duel.first.threshold
    differences = estimates.differences(duel.labels, ours, theirs, weights, duel.widening, thresholds)
    looked = duel.at(facts.sampled(len(duel.labels)))
    masks = {} if looked.frame is None else groups.members(looked.frame)
    judged = [_judge(looked, side, target, masks) for side, target in zip(looked.sides, targets(duel), strict=True)]
    return pages.fill(
        "heart_disease.reporting",
        "comparison_page.html",
        duel=duel,
        sampled=len(looked.labels) if len(looked.labels) < len(duel.labels) else 0,
        verdict=verdict.compare(differences["log_loss"], duel.margin).words(duel.first.name),
        results=[
            _Difference(
                title, tuple(m[metric] for m in measured), differences[metric], kind(metric, differences[metric])
            )
            for metric, title in METRICS.items()
        ],
        calibrations=_calibrations(looked),
        answers=_answers(looked, [one.threshold for one in judged]),
        judged=judged,
        against=_against(looked, masks, [one.threshold for one in judged]),
        metrics=METRICS,
        kind=kind,
        enough=ENOUGH,
        figures=_figures(looked, [m["roc_auc"] for m in measured]),
        landscapes=[side.name for side in duel.sides if side.landscape],
        apart=_apart(looked),
    )


def targets(duel: Duel) -> tuple[float, float]:
    """The share of the sick that the threshold of each finds: its own, or else that of the other side."""
    first, other = (side.target for side in duel.sides)
    return first or other or facts.TARGET, other or first or facts.TARGET


def _judge(duel: Duel, side: Side, target: float, masks: groups.Members) -> _Judged:
    labels, p = duel.labels, side.probabilities
    threshold = clinical.threshold_for(target, labels, p, duel.seed)
    return _Judged(
        side.name,
        threshold,
        facts.people(threshold),
        clinical.stability(p.mean(axis=0), p, threshold.value, duel.seed),
        {one.name: one for one in clinical.slices(masks, labels, p, threshold.value, duel.seed)},
    )


def _calibrations(duel: Duel) -> list[_Difference]:
    """Slope and intercept; none if they cannot be estimated for both."""
    found = clinical.calibrations(duel.labels, duel.other.probabilities, duel.first.probabilities, duel.widening)
    if not found:
        return []
    ours, theirs, gap = found
    return [
        _Difference("slope (1 is right)", (theirs.slope, ours.slope), gap.slope),
        _Difference("intercept (0 is right)", (theirs.intercept, ours.intercept), gap.intercept),
    ]


def _answers(duel: Duel, thresholds: Sequence[Threshold]) -> list[_Difference]:
    """Sensitivity and specificity of each at its own threshold."""
    theirs, ours = (one.value for one in thresholds)
    weights = estimates.resamples(len(duel.labels), duel.seed)
    p = duel.other.probabilities, duel.first.probabilities
    gaps = estimates.differences(duel.labels, *p, weights, duel.widening, (ours, theirs))
    figures = {
        "sensitivity": tuple(one.sensitivity for one in thresholds),
        "specificity": tuple(one.specificity for one in thresholds),
    }
    return [_Difference(METRICS[name], both, gaps[name], kind(name, gaps[name])) for name, both in figures.items()]


def kind(metric: str, found: Estimate) -> str:
    """Whether a difference shows that the other side is ``better`` or ``worse``; empty if it shows neither."""
    if found.low <= 0 <= found.high:
        return ""
    return "better" if (found.high < 0) == (metric in LOWER_IS_BETTER) else "worse"


def _against(duel: Duel, masks: groups.Members, thresholds: Sequence[Threshold]) -> dict[str, dict[str, Estimate]]:
    theirs, ours = (one.value for one in thresholds)
    p = duel.other.probabilities, duel.first.probabilities
    return groups.metric_differences(masks, duel.labels, *p, duel.widening, (ours, theirs))


def _apart(duel: Duel) -> list[_Patient]:
    """The patients about whom the two disagree most, in their mean probabilities."""
    means = [side.probabilities.mean(axis=0) for side in duel.sides]
    order = clinical.farthest(np.abs(means[1] - means[0]), LISTED)
    return [
        _Patient(duel.names[k], bool(duel.labels[k]), tuple(float(mean[k]) for mean in means)) for k in order.tolist()
    ]


def _figures(duel: Duel, areas: Sequence[Estimate]) -> dict[str, Picture]:
    labels = duel.labels
    lines = [
        Line(side.name, side.probabilities, area, *style)
        for side, area, style in zip(duel.sides, areas, STYLES, strict=True)
    ]
    drawn = {
        "roc": (report_figures.roc(labels, lines), f"ROC curves. Areas: {areas[0]} and {areas[1]}."),
        "precision_recall": (report_figures.precision_recall(labels, lines), "Precision against sensitivity."),
        "calibration": (report_figures.calibration(labels, lines, 2), "Share with disease against probability."),
        "decision": (report_figures.decision(labels, lines), "Net benefit against the threshold."),
    }
    curves = [
        Curve(f"{side.name}, {words}", side.curves[name], side.curves.get(spread), color, style, weight)
        for side, (color, style) in zip(duel.sides, STYLES, strict=True)
        for name, words, weight, spread in LOSSES
        if name in side.curves
    ]
    if curves:
        drawn["losses"] = (report_figures.recorded_losses(curves), "Loss against epochs.")
    pictures = {name: Picture.of(svg, alt) for name, (svg, alt) in drawn.items()}
    return pictures | {
        side.name: Picture.of_png(side.landscape, f"The loss around the network of {side.name}, in two slices.")
        for side in duel.sides
        if side.landscape
    }
