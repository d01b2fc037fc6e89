"""A report as a tracker wants it (names and numbers) and as people read it (tables)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tasks.evaluate import LOGISTIC, METRICS, NETWORK, PREVALENCE, Estimate, Report
from tasks.training import CURVES

MODEL_NAMES = {NETWORK: "network", LOGISTIC: "logistic regression", PREVALENCE: "prevalence"}
METRIC_NAMES = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "roc_auc": "ROC AUC",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}


def metrics(report: Report) -> dict[str, float]:
    """All figures by name, a name each for value, `_low` and `_high`.

    The network's are plain (``log_loss``, ``log_loss_low``); a baseline's have its name in front
    (``logistic_regression/log_loss``); the paired differences are ``log_loss_minus/logistic_regression``.
    """
    out: dict[str, float] = {}
    for model, estimates in report.metrics.items():
        prefix = "" if model == NETWORK else f"{model}/"
        for metric in METRICS:
            out.update(_ends(f"{prefix}{metric}", estimates[metric]))
    for baseline, estimate in report.differences.items():
        out.update(_ends(f"log_loss_minus/{baseline}", estimate))
    return out


def curves(report: Report) -> Iterator[tuple[str, int, float]]:
    """Name, epoch (from 1) and value of every curve: the mean over the folds, and their standard deviation.

    ``loss/train``, ``loss/validation``, ``loss_std/train`` ...: MLflow's page groups charts by what stands first.
    """
    for name in CURVES:
        values = report.curves[name]  # (folds, epochs)
        part, kind = name.split("_")
        for suffix, line in (("", values.mean(axis=0)), ("_std", values.std(axis=0))):
            if suffix and len(values) == 1:
                continue
            for epoch, value in enumerate(line, start=1):
                if np.isfinite(value):
                    yield f"{kind}{suffix}/{part}", epoch, float(value)


def rows(report: Report) -> list[tuple[str, ...]]:
    """A header, then metric, network, logistic regression and prevalence, each with its interval."""
    models = (NETWORK, LOGISTIC, PREVALENCE)
    header = ("metric", *(MODEL_NAMES[model] for model in models))
    body = [
        (METRIC_NAMES[metric], *(in_brackets(report.metrics[model][metric]) for model in models)) for metric in METRICS
    ]
    return [header, *body]


def text(report: Report) -> str:
    """The table for a terminal, under 80 columns."""
    table = [row[:3] for row in rows(report)]
    widths = [max(len(row[i]) for row in table) for i in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def markdown(report: Report) -> str:
    """The table with all models, for Prefect's artifact and MLflow's description."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows(report)]
    return "\n".join([head, "|---" * 4 + "|", *body])


def in_brackets(estimate: Estimate) -> str:
    """``0.377 [0.331, 0.425]``."""
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
