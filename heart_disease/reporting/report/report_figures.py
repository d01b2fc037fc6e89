"""The figures of the report page, each an SVG: readable in black and white, on a white ground in light and dark."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from heart_disease.evaluation import clinical
from heart_disease.evaluation.clinical import Stability, Threshold
from heart_disease.evaluation.contest import CHAMPION, LOGISTIC, NETWORK, Report
from heart_disease.evaluation.estimates import Estimate, Numbers
from heart_disease.evaluation.influence import Influence
from heart_disease.model import schema
from heart_disease.reporting import figures
from heart_disease.reporting.figures import BLUE, GREY, ORANGE
from heart_disease.reporting.tables import MODEL_NAMES

GREEN = "#009E73"
# Line styles differ too, for those who print in black and white.
STYLES = {NETWORK: (BLUE, "-"), CHAMPION: (GREEN, "--"), LOGISTIC: (ORANGE, ":")}
POINTS = 200  # of a line on a page; more cannot be seen
GRID = np.linspace(0.01, 0.99, 99)
TOO_FINE = re.compile(r"(?<=\.\d\d)\d+(?=[\s\"])")  # digits of a coordinate beyond hundredths of a point


@dataclass(frozen=True)
class Line:
    """A model in the figures. probabilities: (R, n), out of fold. area: under its ROC curve."""

    name: str
    probabilities: Numbers
    area: Estimate
    color: str
    style: str

    def pooled(self, labels: Numbers) -> tuple[Numbers, Numbers]:
        """The labels and probabilities (R n,) of all repeats, one after another."""
        return np.tile(labels, len(self.probabilities)), self.probabilities.ravel()


def lines(report: Report) -> list[Line]:
    """The models of a report that have a line."""
    return [
        Line(MODEL_NAMES[model], report.probabilities[model], report.metrics[model]["roc_auc"], *style)
        for model, style in STYLES.items()
        if model in report.probabilities
    ]


@dataclass(frozen=True)
class Picture:
    """A picture as an address that holds it, and what it shows in words."""

    address: str
    alt: str

    @classmethod
    def of(cls, svg: str, alt: str) -> Picture:
        """An SVG that stands in the page itself."""
        return cls(f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}", alt)

    @classmethod
    def of_png(cls, png: bytes, alt: str) -> Picture:
        """Likewise, a picture of points."""
        return cls(f"data:image/png;base64,{base64.b64encode(png).decode()}", alt)


def losses(report: Report) -> str:
    """Loss against epochs, with the spread over the folds."""
    return _svg(lambda axes: figures.loss_curves(axes, report))


def recorded_losses(curves: Sequence[figures.Curve]) -> str:
    """Likewise, from curves that runs recorded."""
    return _svg(lambda axes: figures.draw_curves(axes, curves))


def roc(labels: Numbers, shown: Sequence[Line], threshold: Threshold | None = None) -> str:
    """Sensitivity against 1 - specificity, all repeats pooled; a threshold is a point."""
    return _svg(lambda axes: _roc(axes, labels, shown, threshold))


def _roc(axes: Axes, labels: Numbers, shown: Sequence[Line], threshold: Threshold | None) -> None:
    for line in shown:
        x, sensitivity, _ = roc_curve(*line.pooled(labels))
        axes.plot(*_thin(x, sensitivity), color=line.color, linestyle=line.style, label=f"{line.name}: {line.area}")
    if threshold:
        at, words = (1 - threshold.specificity.value, threshold.sensitivity.value), _words(threshold)
        axes.plot(*at, "o", color="black", markersize=6, label=words)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    axes.set(xlabel="healthy patients alarmed (1 - specificity)", ylabel="sick patients found (sensitivity)")
    axes.legend(title="area under the curve", loc="lower right", fontsize=8)


def precision_recall(labels: Numbers, shown: Sequence[Line]) -> str:
    """How many of those who are alarmed are sick, against how many of the sick are found."""
    return _svg(lambda axes: _precision_recall(axes, labels, shown))


def _precision_recall(axes: Axes, labels: Numbers, shown: Sequence[Line]) -> None:
    for line in shown:
        precision, recall, _ = precision_recall_curve(*line.pooled(labels))
        axes.plot(*_thin(recall, precision), color=line.color, linestyle=line.style, label=line.name)
    axes.axhline(labels.mean(), color=GREY, linewidth=0.8, label="everybody alarmed")
    axes.set(
        xlabel="sick patients found (sensitivity)",
        ylabel="share of the alarmed who are sick (precision)",
        ylim=(0, 1.01),
    )
    axes.legend(loc="lower left", fontsize=8)


def calibration(labels: Numbers, shown: Sequence[Line], banded: int = 1) -> str:
    """Share with disease against probability, smoothed; the first `banded` lines have their 95 % bands."""
    return _svg(lambda axes: _calibration(axes, labels, shown, banded))


def _calibration(axes: Axes, labels: Numbers, shown: Sequence[Line], banded: int) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, label="right")
    for k, line in enumerate(shown):
        found = clinical.smooth(labels, line.probabilities)
        if found:
            axes.plot(found.grid, found.share, color=line.color, linestyle=line.style, label=line.name)
            if k < banded:
                axes.fill_between(found.grid, found.low, found.high, color=line.color, alpha=0.15, linewidth=0)
    axes.set(xlabel="predicted probability", ylabel="share with heart disease", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", fontsize=8)


def _words(threshold: Threshold) -> str:
    return f"threshold {threshold.value:.2f}"


def decision(labels: Numbers, shown: Sequence[Line], threshold: Threshold | None = None) -> str:
    """Net benefit against the threshold, beside treating everybody and nobody; one threshold is a line."""
    return _svg(lambda axes: _decision(axes, labels, shown, threshold))


def _decision(axes: Axes, labels: Numbers, shown: Sequence[Line], threshold: Threshold | None) -> None:
    for line in shown:
        found = clinical.net_benefit(labels, line.probabilities, GRID)
        axes.plot(GRID, found, color=line.color, linestyle=line.style, label=line.name)
    everybody = clinical.net_benefit(labels, np.ones((1, len(labels))), GRID)
    axes.plot(GRID, everybody, color=GREY, linewidth=0.8, linestyle="-.", label="treat everybody")
    axes.axhline(0, color=GREY, linewidth=0.8, label="treat nobody")
    if threshold:
        axes.axvline(threshold.value, color="black", linewidth=1.2, linestyle=(0, (1, 2)), label=_words(threshold))
    share = labels.mean()
    axes.set(xlabel="probability from which to treat", ylabel="net benefit (true positives per patient)", xlim=(0, 1))
    axes.set_ylim(-0.1 * share, 1.05 * share)
    axes.legend(loc="lower left", fontsize=8)


def stability(found: Stability) -> str:
    """Each patient's range over the other networks, against the probability that the version gives."""
    return _svg(lambda axes: _stability(axes, found))


def _stability(axes: Axes, found: Stability) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    shown = np.linspace(0, len(found.own) - 1, min(len(found.own), 500)).astype(int)
    x, gap, others = found.own[shown], np.full(len(shown), np.nan), found.others[:, shown]
    ends = others.min(axis=0), others.max(axis=0)
    # All patients are one path, which takes a tenth of the bytes that as many lines take.
    lines = [np.column_stack(part).ravel() for part in ((x, x, gap), (*ends, gap))]
    axes.plot(*lines, color=BLUE, alpha=0.5, linewidth=1.2)
    axes.set(xlabel="probability by this version", ylabel="lowest to highest of the networks", xlim=(0, 1), ylim=(0, 1))


def importance(found: Sequence[Influence]) -> str:
    """How much log loss rises without each column, with intervals; the most important on top."""
    return _svg(lambda axes: _importance(axes, found), left=0.4)


def _importance(axes: Axes, found: Sequence[Influence]) -> None:
    names = [fill(schema.BY_NAME[one.column].meaning, 28) for one in found]
    y = range(len(found))
    axes.hlines(y, [it.importance.low for it in found], [it.importance.high for it in found], color=BLUE, linewidth=1.2)
    axes.plot([it.importance.value for it in found], y, "o", color=BLUE, markersize=5)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(y, names, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="log loss rises by")


def dependence(found: Influence) -> str:
    """The probability against a column's value: a line for each of some patients, and the mean of all."""
    return _svg(lambda axes: _dependence(axes, found), size=(4.2, 3.0), left=0.13, bottom=0.19)


def _dependence(axes: Axes, found: Influence) -> None:
    column = schema.BY_NAME[found.column]
    x = np.arange(len(found.grid)) if column.codes else found.grid
    lines = [np.column_stack([x, line]) for line in found.lines.T]
    axes.add_collection(LineCollection(lines, colors=GREY, linewidths=0.5, alpha=0.5))
    axes.plot(x, found.mean, color=BLUE, linewidth=2.5, marker="o" if column.codes else "", markersize=5)
    if column.codes:
        axes.set_xticks(
            x, [fill(column.in_words(value), 12, break_long_words=False) for value in found.grid], fontsize=8
        )
        axes.margins(x=0.14)
    else:
        axes.set_xlabel(column.unit)
    axes.set(ylabel="probability", ylim=(0, 1))


def _thin(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    which = np.unique(np.linspace(0, len(x) - 1, POINTS).astype(int))
    return x[which], y[which]


def _svg(
    draw: Callable[[Axes], None], size: tuple[float, float] = (5.2, 4.2), left: float = 0.13, bottom: float = 0.12
) -> str:
    """A figure of a size in inches; left, bottom: the margins for the labels, as shares of it."""
    # Without a date and with a fixed salt, the same report gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "heart-disease", "svg.fonttype": "path"}):
        figure = Figure(figsize=size)
        axes = figure.add_axes(
            (left, bottom, 0.96 - left, 0.97 - bottom)
        )  # a layout engine would draw everything twice
        draw(axes)
        axes.set_title("")  # the page has a heading
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return TOO_FINE.sub("", out.getvalue())
