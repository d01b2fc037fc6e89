"""The figures of a run: loss curves, ROC, calibration, confusion matrix, each a PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from heart_disease.evaluation.contest import LOGISTIC, NETWORK, Report
from heart_disease.evaluation.estimates import Numbers
from heart_disease.reporting.tables import MODEL_NAMES
from heart_disease.training.batches import Floats
from heart_disease.training.engine import TEST_LOSS, TRAIN_LOSS

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"  # colour-blind readers can tell them apart (Okabe and Ito)
# A falling loss leaves this corner free. If matplotlib has to look for one, it may warn in the middle of a training.
FREE: Final = "lower left"
FOLDER = "figures"  # the folder among a run's artifacts
COLORS = {NETWORK: BLUE, LOGISTIC: ORANGE}
LINES, MARKERS = {NETWORK: "-", LOGISTIC: "--"}, {NETWORK: "o", LOGISTIC: "s"}  # also printed in black and white


def draw_all(report: Report, version: str) -> dict[str, bytes]:
    """The figures by file name. version: what they are about, in words."""
    drawings: dict[str, Callable[[Axes, Report], None]] = {
        "loss_curves": loss_curves,
        "roc_curve": roc,
        "calibration": calibration,
        "confusion_matrix": confusion,
    }
    return {f"{name}.png": _png(draw, report, version) for name, draw in drawings.items()}


def loss_curves(axes: Axes, report: Report) -> None:
    """Loss on training and on test rows at each epoch: mean over the folds, and the band of one standard deviation."""
    train, test = (report.curves[name] for name in (TRAIN_LOSS, TEST_LOSS))  # (folds, epochs)
    draw_curves(
        axes,
        [
            Curve("training rows", train.mean(axis=0), train.std(axis=0), GREY, "--"),
            Curve("test rows", test.mean(axis=0), test.std(axis=0), BLUE),
        ],
    )
    if len(train) > 1:
        axes.legend(title=f"mean of {len(train)} folds, band: 1 SD", loc=FREE)


@dataclass(frozen=True)
class Curve:
    """A loss at each epoch, from 1 on: the mean over the folds (epochs,), and their standard deviation or nothing."""

    label: str
    mean: Numbers | Floats
    spread: Numbers | Floats | None
    color: str
    style: str = "-"
    weight: float = 1.0  # how strong the line is


def draw_curves(axes: Axes, curves: Sequence[Curve]) -> None:
    """Each curve with a band of one standard deviation."""
    for one in curves:
        epochs = np.arange(1, len(one.mean) + 1)
        label = f"{one.label}: {one.mean[-1]:.3f} at the end"
        axes.plot(epochs, one.mean, color=one.color, linestyle=one.style, alpha=one.weight, label=label)
        if one.spread is not None:
            low, high = one.mean - one.spread, one.mean + one.spread
            axes.fill_between(epochs, low, high, color=one.color, alpha=0.15, linewidth=0)
    axes.set(xlabel="epoch", ylabel="binary cross-entropy", title="Loss")
    axes.set_ylim(bottom=0)
    axes.legend(loc=FREE)


def roc(axes: Axes, report: Report) -> None:
    """The ROC curve of each repeat, network and logistic regression; the network's threshold is marked."""
    for model, color in COLORS.items():
        area = str(report.metrics[model]["roc_auc"])
        repeats = report.probabilities[model]
        for i, probabilities in enumerate(repeats):
            fpr, tpr, _ = roc_curve(report.labels, probabilities)
            label = f"{MODEL_NAMES[model]}: {area}" if i == 0 else None
            alpha = 0.9 if len(repeats) == 1 else 0.5
            axes.plot(fpr, tpr, LINES[model], color=color, alpha=alpha, linewidth=1.2, label=label)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    found, alarmed = _answers(report)
    axes.scatter(alarmed, found, s=40, color="black", zorder=3, label=f"network: yes from {report.threshold:.2f} on")
    axes.set(
        xlabel="1 - specificity", ylabel="sensitivity", title="ROC, one line per repeat", aspect="equal",
        xlim=(0, 1), ylim=(0, 1.005),
    )  # fmt: skip
    axes.legend(title="area under the curve", loc="lower right")


def calibration(axes: Axes, report: Report) -> None:
    """Share of sick patients against mean probability, in groups of equal size; bars: 95 % intervals (Wilson, 1927)."""
    groups = max(2, min(10, len(report.labels) // 20))
    for model, color in COLORS.items():
        probability = report.probabilities[model].mean(axis=0)
        parts = np.array_split(np.argsort(probability, kind="stable"), groups)
        x = np.array([probability[part].mean() for part in parts])
        k, n = np.array([report.labels[part].sum() for part in parts]), np.array([len(part) for part in parts])
        ends = [binomtest(int(hits), int(of)).proportion_ci(0.95, "wilson") for hits, of in zip(k, n, strict=True)]
        low, high = np.array(ends).T
        # Rounding may put an end of the interval slightly on the wrong side of the point.
        bars = [np.maximum(k / n - low, 0), np.maximum(high - k / n, 0)]
        shift = 0.006 if model == LOGISTIC else 0.0  # beside, not on top of, the other model's bars
        axes.errorbar(
            x + shift, k / n, yerr=bars, color=color, marker=MARKERS[model], linestyle=LINES[model], markersize=4,
            linewidth=1, elinewidth=0.8, label=MODEL_NAMES[model],
        )  # fmt: skip
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    axes.set(
        xlabel="mean predicted probability", ylabel="share with heart disease", aspect="equal",
        title=f"Calibration, {groups} groups of patients", xlim=(0, 1), ylim=(0, 1),
    )  # fmt: skip
    axes.legend(loc="upper left")


def confusion(axes: Axes, report: Report) -> None:
    """Patients by truth and by the network's answer, the mean over the repeats in whole patients."""
    sick = int((report.labels > 0.5).sum())
    totals = np.array([len(report.labels) - sick, sick])
    shares = np.array([[1 - share, share] for share in reversed(_answers(report))])
    yes = np.rint(totals * shares[:, 1])
    counts = np.column_stack([totals - yes, yes])
    axes.imshow(counts, cmap="Blues", vmin=0)
    repeats = len(report.probabilities[NETWORK])
    for i in range(2):
        for j in range(2):
            share = f"{shares[i, j]:.0%} of row"
            color = "white" if counts[i, j] > counts.max() / 2 else "black"
            axes.text(j, i, f"{counts[i, j]:.0f}\n{share}", ha="center", va="center", color=color, fontsize=13)
    axes.set_xticks([0, 1], ["no", "yes"])
    axes.set_yticks([0, 1], ["no", "yes"])
    mean = ", mean of the repeats" if repeats > 1 else ""
    title = f"Patients: yes from {report.threshold:.2f} on{mean}"
    axes.set(xlabel="network says heart disease", ylabel="has heart disease", title=title)


def _answers(report: Report) -> tuple[float, float]:
    """The shares of the sick and of the healthy to whom the network says yes, the means over the repeats."""
    sick, yes = report.labels > 0.5, (report.probabilities[NETWORK] >= report.threshold).mean(axis=0)
    return float(yes[sick].mean()), float(yes[~sick].mean())


def _png(draw: Callable[[Axes, Report], None], report: Report, version: str) -> bytes:
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.add_subplot()
    draw(axes, report)
    figure.suptitle(axes.get_title())
    axes.set_title(f"{version}: {report.description}", fontsize=8, color=GREY)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()
