"""What a clinician asks of probabilities: calibration, net benefit, a threshold, groups of patients, and stability.

Every function takes labels (n,) of 0 and 1, and out-of-fold probabilities (R, n): R per patient, each from a network
that did not learn from that patient. A figure is the mean over the repeats. All cost at most R n log n.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import logit
from statsmodels.genmod.families import Binomial  # statsmodels.api would import all of it
from statsmodels.genmod.generalized_linear_model import GLM

from heart_disease.evaluation.estimates import Estimate, Numbers, Z, estimate, losses, resamples
from heart_disease.evaluation.groups import Members, can_be_judged
from heart_disease.training.batches import Ints

GRID = 50  # points of a smooth curve
ROUNDING = 1e-6  # how far a probability may move if the model is stored and computed elsewhere


@dataclass(frozen=True)
class Calibration:
    """slope: of the log odds; below 1 the probabilities are too extreme. intercept: 0 if their mean is right."""

    slope: Estimate
    intercept: Estimate


@dataclass(frozen=True)
class Smooth:
    """A smooth calibration curve: the share with disease at each probability of `grid`, and its 95 % band; all (G,)."""

    grid: Numbers
    share: Numbers
    low: Numbers
    high: Numbers


@dataclass(frozen=True)
class Threshold:
    """The highest probability from which on to say yes, so that at least `target` of the sick are found."""

    target: float
    value: float
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True)
class Slice:
    """A group of n patients, `sick` of them with disease. predicted: the mean probability.

    log_loss, sensitivity and specificity, at the page's threshold, are None if the group is too small to judge.
    """

    name: str
    n: int
    sick: int
    predicted: float
    log_loss: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None


@dataclass(frozen=True)
class Stability:
    """How far the probabilities of other networks lie from one's own, patient by patient.

    own: (n,). others: (F, n). error: (n,) the mean distance of the others. flips: (n,) the share of the others that
    answer otherwise. mean_error, mean_flips: over the patients, with 95 % intervals for other patients. (Riley and
    Collins, Stability of clinical prediction models, Biometrical Journal 65, 2023: mean absolute prediction error and
    classification instability. Their other models learned from bootstrap samples.)
    """

    own: Numbers
    others: Numbers
    error: Numbers
    flips: Numbers
    mean_error: Estimate
    mean_flips: Estimate


def calibration(labels: Numbers, probabilities: Numbers) -> Calibration | None:
    """Slope and intercept with 95 % Wald intervals; None if they cannot be fitted, as when all log odds are equal.

    Cox, Two further applications of a model for binary regression, Biometrika 45, 1958. The intercept is that of a
    model in which the slope is 1 (calibration in the large). Values and standard errors are means over the repeats.
    """
    found = _fitted(labels, probabilities)
    return Calibration(*map(_wald, found.values, found.errors)) if found else None


def calibrations(
    labels: Numbers, ours: Numbers, theirs: Numbers, widening: float
) -> tuple[Calibration, Calibration, Calibration] | None:
    """Slope and intercept of `ours`, of `theirs`, and of the first minus the second; None if one has no fit.

    The standard errors of the difference are those of the sandwich with patients as clusters (Liang and Zeger,
    Biometrika 73, 1986): what each patient moves in one model is subtracted from what they move in the other. widening:
    see `Splits.widening`.
    """
    one, other = _fitted(labels, ours), _fitted(labels, theirs)
    if not (one and other):
        return None
    errors = widening * np.sqrt(((one.moved - other.moved) ** 2).sum(axis=1))
    parts = (one.values, one.errors), (other.values, other.errors), (one.values - other.values, errors)
    first, second, minus = (Calibration(*map(_wald, values, its)) for values, its in parts)
    return first, second, minus


@dataclass(frozen=True)
class _Fitted:
    """Slope and intercept, their standard errors, both (2,), and how far each patient moves them: (2, n)."""

    values: Numbers
    errors: Numbers
    moved: Numbers


def _fitted(labels: Numbers, probabilities: Numbers) -> _Fitted | None:
    fits, moved = [], np.zeros((2, len(labels)))
    for p in probabilities:
        odds = logit(np.clip(p, 1e-6, 1 - 1e-6))
        if np.ptp(odds) == 0:
            return None
        x = np.column_stack([np.ones(len(labels)), odds])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # perfect separation; the result is checked below
            sloped = GLM(labels, x, family=Binomial()).fit()
            level = GLM(labels, x[:, 0], family=Binomial(), offset=odds).fit()
        fits.append([[sloped.params[1], level.params[0]], [sloped.bse[1], level.bse[0]]])
        for row, fit in enumerate((sloped, level)):
            push = fit.model.exog.T * fit.resid_response  # (parameters, n)
            moved[row] += (fit.normalized_cov_params @ push)[-1] / len(probabilities)
    values, errors = np.mean(fits, axis=0)
    return _Fitted(values, errors, moved) if np.isfinite(fits).all() and errors[0] < 10 else None


def smooth(labels: Numbers, probabilities: Numbers) -> Smooth | None:
    """The share with disease at each probability, smoothed; None if (nearly) all probabilities are equal.

    A local linear regression with a Gaussian kernel (Fan and Gijbels, Local Polynomial Modelling and Its Applications,
    1996), whose bandwidth is the rule of thumb 1.06 s n^(-1/5). The band is 1.96 standard errors, which count the
    repeats of a patient as one (the sandwich with clusters). `GRID` times R n steps.
    """
    low, high = np.quantile(probabilities, [0.01, 0.99])
    width = 1.06 * probabilities.std() * len(labels) ** -0.2
    if high - low < 0.01:
        return None
    grid = np.linspace(low, high, GRID)
    weights = np.stack([_local_linear(probabilities - at, width) for at in grid])  # (G, R, n)
    share = np.clip((weights * labels).sum(axis=(1, 2)), 0, 1)  # cut first: the band lies around the cut curve
    residuals = labels - np.interp(probabilities, grid, share)  # (R, n)
    error = np.sqrt(((weights * residuals).sum(axis=1) ** 2).sum(axis=1))
    return Smooth(grid, *(np.clip(share + side * Z * error, 0, 1) for side in (0, -1, 1)))


def _local_linear(distances: Numbers, width: float) -> Numbers:
    """The weight of each observation, at these distances, in the regression's value at distance 0; their sum is 1."""
    kernel = np.exp(-0.5 * (distances / width) ** 2)
    s0, s1, s2 = (float((kernel * distances**power).sum()) for power in range(3))
    return np.asarray(kernel * (s2 - s1 * distances) / (s0 * s2 - s1**2))


def _wald(value: float, error: float) -> Estimate:
    return Estimate(float(value), float(value - Z * error), float(value + Z * error))


def net_benefit(labels: Numbers, probabilities: Numbers, thresholds: Numbers) -> Numbers:
    """The net benefit (T,) of treating from each threshold (T,) on, in true positives per patient.

    True positives minus false positives weighed by the odds of the threshold (Vickers and Elkin, Medical Decision
    Making 26, 2006).
    """
    sick = labels > 0.5
    hits, alarms = (np.sort(probabilities[:, rows].ravel()) for rows in (sick, ~sick))
    true = len(hits) - np.searchsorted(hits, thresholds, "left")
    false = len(alarms) - np.searchsorted(alarms, thresholds, "left")
    found: Numbers = (true - false * thresholds / (1 - thresholds)) / probabilities.size
    return found


def threshold_for(target: float, labels: Numbers, probabilities: Numbers, seed: int) -> Threshold:
    """The highest threshold at which the mean sensitivity over the repeats is at least `target` (0 to 1).

    It is `ROUNDING` below the probability of a patient, who must not change sides when the model is stored. It is
    chosen on the same patients as its figures, so on others the sensitivity may come out a little lower.
    """
    sick = labels > 0.5
    found = np.sort(probabilities[:, sick].ravel())[::-1]
    value = max(float(found[max(int(np.ceil(target * len(found) - 1e-9)), 1) - 1]) - ROUNDING, 0.0)
    return threshold_at(value, target, labels, probabilities, seed)


def threshold_at(value: float, target: float, labels: Numbers, probabilities: Numbers, seed: int) -> Threshold:
    """A threshold that was chosen for `target`, with what it gives on these patients."""
    return Threshold(target, value, *_at(value, labels, probabilities, resamples(len(labels), seed)))


def _at(
    threshold: float, labels: Numbers, probabilities: Numbers, weights: Numbers | None
) -> tuple[Estimate, Estimate]:
    """Sensitivity and specificity at a threshold, with intervals from `resamples` (W, n) or computed."""
    sick, yes = labels > 0.5, (probabilities >= threshold).mean(axis=0)
    w = (None, None) if weights is None else (weights[:, sick], weights[:, ~sick])
    return estimate(yes[sick], w[0]), estimate(1 - yes[~sick], w[1])


def slices(groups: Members, labels: Numbers, probabilities: Numbers, threshold: float, seed: int) -> list[Slice]:
    """Each of `groups` (masks of the n patients), judged if it has enough patients of both classes."""
    found = []
    for name, mask in groups.items():
        y, p = labels[mask], probabilities[:, mask]
        sick = int(y.sum())
        judged: tuple[Estimate | None, ...] = (None, None, None)
        if can_be_judged(y):
            weights = resamples(len(y), seed)
            judged = (estimate(losses(y, p), weights), *_at(threshold, y, p, weights))
        found.append(Slice(name, len(y), sick, float(p.mean()) if len(y) else 0.0, *judged))
    return found


def stability(own: Numbers, others: Numbers, threshold: float, seed: int) -> Stability | None:
    """How stable the probabilities `own` (n,) are among `others` (F, n); None with fewer than two of these."""
    if len(others) < 2:
        return None
    error, flips = np.abs(others - own).mean(axis=0), ((others >= threshold) != (own >= threshold)).mean(axis=0)
    weights = resamples(len(own), seed)
    mean_error, mean_flips = (estimate(each, weights) for each in (error, flips))
    return Stability(own, others, error, flips, mean_error, mean_flips)


def farthest(values: Numbers, most: int) -> Ints:
    """The positions of the greatest values, the greatest first; of equal ones, the first comes first."""
    return np.argsort(-values, kind="stable")[:most]
