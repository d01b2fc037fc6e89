"""Figures with intervals: the metrics of probabilities, and the difference between two models.

Every model gives each test row a probability that was made without that row: by repeated cross-validation, R
probabilities per patient, or by one held-out part, R = 1. A metric is the mean over the repeats; its 95 % interval
comes from resampling patients (percentile bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
ch. 13). It says how far the figure would move with other patients, for the models as they were trained.

A difference between two models is taken patient by patient, and judges their recipes, so its interval must also cover
the models that other training rows would make. Folds share training rows, and repeats share all of them, so their
results are not independent; the deviations of the resamples are widened to allow for that, see `Splits.widening`.
benchmarks/error_rates.py simulates how often such an interval errs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The metrics, and their names for people.
METRICS: Mapping[str, str] = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "roc_auc": "ROC AUC",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
RESAMPLES = 2000

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """``0.377 [0.331, 0.425]``."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def signed(self) -> str:
        """A difference: ``+0.002 [-0.014, +0.016]``."""
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    def named(self, name: str) -> dict[str, float]:
        """The figures that a tracker keeps, by name: the value, and both ends of its interval."""
        return dict(zip(names_of(name), (self.value, self.low, self.high), strict=True))

    @classmethod
    def find(cls, name: str, values: Mapping[str, float]) -> Estimate | None:
        """What `named` wrote among `values`; None if a part is missing."""
        found = [values.get(one) for one in names_of(name)]
        return None if None in found else cls(*found)  # type: ignore[arg-type]


def names_of(name: str) -> tuple[str, str, str]:
    """What a figure and the ends of its interval are called."""
    return name, f"{name}_low", f"{name}_high"


def bootstrap_weights(n: int, seed: int) -> Numbers:
    """How often each patient is drawn in each resample: (RESAMPLES + 1, n); the first row is the sample itself."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return np.vstack([np.ones(n), drawn]).astype(np.float64)


def measure(labels: Numbers, probabilities: Numbers, weights: Numbers) -> dict[str, Estimate]:
    """All metrics of probabilities (R, n) for labels (n,), with intervals from `bootstrap_weights` (W, n).

    Accuracy, sensitivity and specificity are at the threshold 0.5. The area under the ROC curve is the share of pairs
    of a sick and a healthy patient that are in the right order, ties counting half (Hanley and McNeil, 1982).
    """
    sick = labels > 0.5
    hits = ((probabilities >= 0.5) == sick).mean(axis=0)  # (n,) over the repeats
    a, b = probabilities[:, sick, None], probabilities[:, None, ~sick]
    ordered = ((a > b) + 0.5 * (a == b)).mean(axis=0)  # (sick, healthy)
    w_sick, w_healthy = weights[:, sick], weights[:, ~sick]
    with np.errstate(invalid="ignore"):  # a resample without one of the classes has no rate; nanquantile leaves it out
        found = {
            "log_loss": _mean(losses(labels, probabilities), weights),
            "brier": _mean(((probabilities - labels) ** 2).mean(axis=0), weights),
            "roc_auc": np.einsum("ws,sh,wh->w", w_sick, ordered, w_healthy, optimize=True)
            / (w_sick.sum(axis=1) * w_healthy.sum(axis=1)),
            "accuracy": _mean(hits, weights),
            "sensitivity": _mean(hits[sick], w_sick),
            "specificity": _mean(hits[~sick], w_healthy),
        }
    return {metric: _estimate(found[metric]) for metric in METRICS}


def difference(labels: Numbers, ours: Numbers, theirs: Numbers, weights: Numbers, widening: float = 1.0) -> Estimate:
    """Log loss of probabilities `ours` minus `theirs`, each (R, n), paired patient by patient.

    The repeats of a patient are averaged first: the unit is the patient. widening: see `Splits.widening`.
    """
    return estimate(losses(labels, ours) - losses(labels, theirs), weights, widening)


def estimate(values: Numbers, weights: Numbers, widening: float = 1.0) -> Estimate:
    """The mean of one number per patient (n,), with its interval from `bootstrap_weights` (W, n)."""
    means = _mean(values, weights)
    return _estimate(means[0] + widening * (means - means[0]))


def losses(labels: Numbers, probabilities: Numbers) -> Numbers:
    """The binary cross-entropy of each patient (n,), the mean over the repeats of (R, n)."""
    # Clipped as scikit-learn's log_loss clips: a probability of exactly 0 or 1 must not cost infinity.
    eps = np.finfo(np.float64).eps
    p = np.clip(probabilities, eps, 1 - eps)
    return -(labels * np.log(p) + (1 - labels) * np.log1p(-p)).mean(axis=0)


def _mean(values: Numbers, weights: Numbers) -> Numbers:
    return weights @ values / weights.sum(axis=1)


def _estimate(values: Numbers) -> Estimate:
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return Estimate(float(values[0]), float(low), float(high))
