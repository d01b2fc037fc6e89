"""The figures of the report page, each an SVG: readable in black and white, on a white ground in light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from textwrap import fill

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from heart_disease.evaluation import clinical
from heart_disease.evaluation.clinical import Stability
from heart_disease.evaluation.contest import CHAMPION, LOGISTIC, NETWORK, Report
from heart_disease.evaluation.estimates import Numbers
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


def losses(report: Report) -> str:
    """Loss against epochs, with the spread over the folds."""
    return _svg(lambda axes: figures.loss_curves(axes, report))


def roc(report: Report) -> str:
    """Sensitivity against 1 - specificity, all repeats pooled."""
    return _svg(lambda axes: _roc(axes, report))


def _roc(axes: Axes, report: Report) -> None:
    for model, y, p, (color, style) in _pooled(report):
        x, sensitivity, _ = roc_curve(y, p)
        area = f"{MODEL_NAMES[model]}: {report.metrics[model]['roc_auc']}"
        axes.plot(*_thin(x, sensitivity), color=color, linestyle=style, label=area)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    axes.set(xlabel="healthy patients alarmed (1 - specificity)", ylabel="sick patients found (sensitivity)")
    axes.legend(title="area under the curve", loc="lower right", fontsize=8)


def precision_recall(report: Report) -> str:
    """How many of those who are alarmed are sick, against how many of the sick are found."""
    return _svg(lambda axes: _precision_recall(axes, report))


def _precision_recall(axes: Axes, report: Report) -> None:
    for model, y, p, (color, style) in _pooled(report):
        precision, recall, _ = precision_recall_curve(y, p)
        axes.plot(*_thin(recall, precision), color=color, linestyle=style, label=MODEL_NAMES[model])
    axes.axhline(report.labels.mean(), color=GREY, linewidth=0.8, label="everybody alarmed")
    axes.set(
        xlabel="sick patients found (sensitivity)", ylabel="of the alarmed, share sick (precision)", ylim=(0, 1.01)
    )
    axes.legend(loc="lower left", fontsize=8)


def calibration(report: Report) -> str:
    """Share with disease against probability, in groups of equal size with 95 % intervals."""
    return _svg(lambda axes: figures.calibration(axes, report))


def decision(report: Report) -> str:
    """Net benefit against the threshold, beside treating everybody and nobody."""
    return _svg(lambda axes: _decision(axes, report))


def _decision(axes: Axes, report: Report) -> None:
    for model, (color, style) in STYLES.items():
        if model in report.probabilities:
            found = clinical.net_benefit(report.labels, report.probabilities[model], GRID)
            axes.plot(GRID, found, color=color, linestyle=style, label=MODEL_NAMES[model])
    everybody = clinical.net_benefit(report.labels, np.ones((1, len(report.labels))), GRID)
    axes.plot(GRID, everybody, color=GREY, linewidth=0.8, linestyle="-.", label="treat everybody")
    axes.axhline(0, color=GREY, linewidth=0.8, label="treat nobody")
    share = report.labels.mean()
    axes.set(xlabel="probability from which to treat", ylabel="net benefit (true positives per patient)", xlim=(0, 1))
    axes.set_ylim(-0.1 * share, 1.05 * share)
    axes.legend(loc="lower left", fontsize=8)


def stability(found: Stability, probabilities: Numbers) -> str:
    """Each patient's probabilities in the repeats, against their mean."""
    return _svg(lambda axes: _stability(axes, found, probabilities))


def _stability(axes: Axes, found: Stability, probabilities: Numbers) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    shown = np.linspace(0, len(found.mean) - 1, min(len(found.mean), 500)).astype(int)
    # One path of tiny lines with round ends, which an SVG holds in a quarter of the bytes that as many markers take.
    x = np.tile(found.mean[shown], len(probabilities))
    y, gap = probabilities[:, shown].ravel(), np.full(len(x), np.nan)
    dots = [np.column_stack([part, part + 1e-4, gap]).ravel() for part in (x, y)]
    axes.plot(*dots, color=BLUE, alpha=0.7, linewidth=2.5, solid_capstyle="round")
    axes.set(xlabel="mean probability of a patient", ylabel="the repeats' probabilities", xlim=(0, 1), ylim=(0, 1))


def importance(found: Sequence[Influence]) -> str:
    """How much log loss rises without each column, with intervals; the most important on top."""
    return _svg(lambda axes: _importance(axes, found), left=0.4)


def _importance(axes: Axes, found: Sequence[Influence]) -> None:
    names = [fill(schema.BY_NAME[one.column].meaning, 28) for one in found]
    for y, one in enumerate(found):
        axes.plot([one.importance.low, one.importance.high], [y, y], color=BLUE, linewidth=1.2)
        axes.plot(one.importance.value, y, "o", color=BLUE, markersize=5)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(range(len(found)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="log loss rises by")


def dependence(found: Influence) -> str:
    """The probability against a column's value: a line for each of some patients, and the mean of all."""
    return _svg(lambda axes: _dependence(axes, found), size=(4.2, 3.0), left=0.13, bottom=0.19)


def _dependence(axes: Axes, found: Influence) -> None:
    column = schema.BY_NAME[found.column]
    x = np.arange(len(found.grid)) if column.codes else found.grid
    axes.plot(x, found.lines, color=GREY, linewidth=0.5, alpha=0.5)
    axes.plot(x, found.mean, color=BLUE, linewidth=2.5, marker="o" if column.codes else "", markersize=5)
    if column.codes:
        axes.set_xticks(
            x, [fill(column.in_words(value), 12, break_long_words=False) for value in found.grid], fontsize=8
        )
        axes.margins(x=0.1)
    else:
        axes.set_xlabel(column.unit)
    axes.set(ylabel="probability", ylim=(0, 1))


def _pooled(report: Report) -> list[tuple[str, Numbers, Numbers, tuple[str, str]]]:
    """Labels and probabilities of all repeats, one after another, for each model that has a curve."""
    return [
        (model, np.tile(report.labels, len(report.probabilities[model])), report.probabilities[model].ravel(), style)
        for model, style in STYLES.items()
        if model in report.probabilities
    ]


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
            (left, bottom, 0.97 - left, 0.97 - bottom)
        )  # a layout engine would draw everything twice
        draw(axes)
        axes.set_title("")  # the page has a heading
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return TOO_FINE.sub("", out.getvalue())
