"""Figures with intervals: the metrics of probabilities, and the difference between two models.

Every model gives each test row a probability that was made without that row: by repeated cross-validation, R
probabilities per patient, or by one held-out part, R = 1. A metric is the mean over the repeats; its 95 % interval
comes from resampling patients (percentile bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
ch. 13) or, if they are many, from the standard error. It says how far the figure would move with other patients, for
the models as they were trained. Everything costs n log n for n patients.

A difference between two models is taken patient by patient, and judges their recipes, so its interval must also cover
the models that other training rows would make. Folds share training rows, and repeats share all of them, so their
results are not independent; the deviations of the resamples are widened to allow for that, see `Splits.widening`.
benchmarks/statistics/error_rates.py simulates how often such an interval errs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
# Above this many patients, intervals are computed. At this number both kinds agree within a fifth of a standard error.
BOOTSTRAP_ROWS = 5000
HALF = 0.5  # the probability from which on the answer is yes, if nobody chose another
Z = 1.959964  # 95 % of a normal distribution lie within this many standard deviations

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
        """A difference: ``+0.002 [-0.014, +0.016]``. What rounds to 0 is +0.000, on every machine."""
        return f"{self.value:+z.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    def named(self, name: str) -> dict[str, float]:
        """The figures that a tracker keeps, by name: the value, and both ends of its interval."""
        return dict(zip(names_of(name), (self.value, self.low, self.high), strict=True))

    @classmethod
    def find(cls, name: str, values: Mapping[str, float]) -> Estimate | None:
        """What `named` wrote among `values`; None if a part is missing."""
        found = [values.get(one) for one in names_of(name)]
        return None if None in found else cls(*found)  # type: ignore[arg-type]


MINUS = "log_loss_minus"  # a difference in log loss is called this, a slash and what was subtracted


def names_of(name: str) -> tuple[str, str, str]:
    """What a figure and the ends of its interval are called."""
    return name, f"{name}_low", f"{name}_high"


def resamples(n: int, seed: int) -> Numbers | None:
    """How often each patient is drawn in each resample: (RESAMPLES + 1, n); the first row is the sample itself.

    None if there are more than `BOOTSTRAP_ROWS` patients; intervals are then computed and not drawn.
    """
    if n > BOOTSTRAP_ROWS:
        return None
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return np.vstack([np.ones(n), drawn]).astype(np.float64)


def measure(
    labels: Numbers, probabilities: Numbers, weights: Numbers | None, threshold: float = HALF
) -> dict[str, Estimate]:
    """All metrics of probabilities (R, n) for labels (n,), with intervals from `resamples` (W, n) or computed.

    threshold: the probability from which on the answer is yes, for accuracy, sensitivity and specificity.
    """
    found = {
        metric: estimate(values[of], None if weights is None else weights[:, of])
        for metric, (values, of) in _by_patient(labels, probabilities, threshold).items()
    }
    found["roc_auc"] = roc_auc(labels, probabilities, weights)
    return {metric: found[metric] for metric in METRICS}


def differences(
    labels: Numbers,
    ours: Numbers,
    theirs: Numbers,
    weights: Numbers | None,
    widening: float,
    thresholds: tuple[float, float] = (HALF, HALF),
) -> dict[str, Estimate]:
    """All metrics of probabilities `ours` minus `theirs`, each (R, n) with its own R, paired patient by patient.

    widening: see `Splits.widening`. thresholds: those of `ours` and `theirs`, as in `measure`.
    """
    own, other = (_by_patient(labels, *one) for one in zip((ours, theirs), thresholds, strict=True))
    found = {
        metric: estimate((values - other[metric][0])[of], None if weights is None else weights[:, of], widening)
        for metric, (values, of) in own.items()
    }
    found["roc_auc"] = _roc_auc_difference(labels, ours, theirs, weights, widening)
    return {metric: found[metric] for metric in METRICS}


def gaps(labels: Numbers, ours: Numbers, theirs: Numbers, thresholds: tuple[float, float]) -> dict[str, list[Numbers]]:
    """Every metric of `ours` minus `theirs`, as a number for each patient; the arguments are those of `differences`.

    The mean of these numbers is the difference. ROC AUC has one list for the sick and one for the healthy, each with
    that mean; the squared standard errors of both add up.
    """
    own, other = (_by_patient(labels, *one) for one in zip((ours, theirs), thresholds, strict=True))
    found = {metric: [(values - other[metric][0])[of]] for metric, (values, of) in own.items()}
    areas = (_rightly(labels > 0.5, p) for p in (ours, theirs))
    found["roc_auc"] = [mine - its for mine, its in zip(*areas, strict=True)]
    return {metric: found[metric] for metric in METRICS}


def _by_patient(labels: Numbers, probabilities: Numbers, threshold: float) -> dict[str, tuple[Numbers, Any]]:
    """The metrics that are means over patients: a number for each (n,), the mean over the repeats, and whose count."""
    sick, everyone = labels > 0.5, slice(None)
    hits = ((probabilities >= threshold) == sick).mean(axis=0)
    return {
        "log_loss": (losses(labels, probabilities), everyone),
        "brier": (((probabilities - labels) ** 2).mean(axis=0), everyone),
        "accuracy": (hits, everyone),
        "sensitivity": (hits, sick),
        "specificity": (hits, ~sick),
    }


def roc_auc(labels: Numbers, probabilities: Numbers, weights: Numbers | None) -> Estimate:
    """The area under the ROC curve, the mean over the repeats, in n log n.

    It is the share of pairs of a sick and a healthy patient that are in the right order, ties counting half (Hanley and
    McNeil, Radiology 143, 1982). Without resamples its interval is that of DeLong, DeLong and Clarke-Pearson
    (Biometrics 44, 1988): the variance of how many of the other class each patient is ordered rightly against.
    """
    sick = labels > 0.5
    if weights is None:
        return _delong(*_rightly(sick, probabilities))
    return _percentiles(_areas(sick, probabilities, weights))


def _roc_auc_difference(
    labels: Numbers, ours: Numbers, theirs: Numbers, weights: Numbers | None, widening: float
) -> Estimate:
    sick = labels > 0.5
    if weights is None:
        (above, below), (other_above, other_below) = (_rightly(sick, p) for p in (ours, theirs))
        return _delong(above - other_above, below - other_below, widening)
    gaps = _areas(sick, ours, weights) - _areas(sick, theirs, weights)
    return _percentiles(gaps[0] + widening * (gaps - gaps[0]))


def _delong(above: Numbers, below: Numbers, widening: float = 1.0) -> Estimate:
    error = np.sqrt(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))
    return _normal(above.mean(), widening * error)


def _rightly(sick: NDArray[np.bool_], probabilities: Numbers) -> tuple[Numbers, Numbers]:
    """Against what share of the other class each sick (s,) and each healthy (n - s,) patient is ordered rightly."""
    above = np.mean([_share_below(p[sick], p[~sick]) for p in probabilities], axis=0)
    below = np.mean([1 - _share_below(p[~sick], p[sick]) for p in probabilities], axis=0)
    return above, below


def _areas(sick: NDArray[np.bool_], probabilities: Numbers, weights: Numbers) -> Numbers:
    """The area in each resample (W,), the mean over the repeats; NaN without one of the classes."""
    w_sick, w_healthy = (np.ascontiguousarray(weights[:, rows].T) for rows in (sick, ~sick))  # (sick, W), (healthy, W)
    right = np.zeros(len(weights))
    for p in probabilities:
        order = np.argsort(p[~sick])
        total = np.vstack([np.zeros(len(weights)), np.cumsum(w_healthy[order], axis=0)])  # weight of the k lowest
        first, last = (np.searchsorted(p[~sick], p[sick], side, sorter=order) for side in ("left", "right"))
        right += np.einsum("sw,sw->w", w_sick, total[first] + total[last]) / 2 / len(probabilities)
    with np.errstate(invalid="ignore"):
        return np.asarray(right / (w_sick.sum(axis=0) * w_healthy.sum(axis=0)))


def _share_below(values: Numbers, others: Numbers) -> Numbers:
    """The share of `others` that is below each of `values`; equal ones count half."""
    others = np.sort(others)
    return (np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")) / 2 / len(others)


def difference(
    labels: Numbers, ours: Numbers, theirs: Numbers, weights: Numbers | None, widening: float = 1.0
) -> Estimate:
    """Log loss of probabilities `ours` minus `theirs`, each (R, n), paired patient by patient.

    The repeats of a patient are averaged first: the unit is the patient. widening: see `Splits.widening`.
    """
    return estimate(losses(labels, ours) - losses(labels, theirs), weights, widening)


def estimate(values: Numbers, weights: Numbers | None, widening: float = 1.0) -> Estimate:
    """The mean of one number per patient (n,), with its interval from `resamples` (W, n) or computed."""
    if weights is None:
        return _normal(values.mean(), widening * values.std(ddof=1) / np.sqrt(len(values)))
    with np.errstate(invalid="ignore"):  # a resample without any of these patients has no mean
        means = weights @ values / weights.sum(axis=1)
    return _percentiles(means[0] + widening * (means - means[0]))


def losses(labels: Numbers, probabilities: Numbers) -> Numbers:
    """The binary cross-entropy of each patient (n,), the mean over the repeats of (R, n)."""
    # Clipped as scikit-learn's log_loss clips: a probability of exactly 0 or 1 must not cost infinity.
    eps = np.finfo(np.float64).eps
    p = np.clip(probabilities, eps, 1 - eps)
    return -(labels * np.log(p) + (1 - labels) * np.log1p(-p)).mean(axis=0)


def _percentiles(values: Numbers) -> Estimate:
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return Estimate(float(values[0]), float(low), float(high))


def _normal(value: float, error: float) -> Estimate:
    """The value and 1.96 standard errors to both sides."""
    return Estimate(float(value), float(value - Z * error), float(value + Z * error))
