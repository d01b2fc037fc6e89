"""Whether a batch of patients differs from those that a model learned from.

There is a test for each column and one for the model's probabilities, and three more if the batch has labels. Holm's
correction over all of them (Scandinavian Journal of Statistics 6, 1979) keeps false alarms to 5 % of the batches that
do not differ, however many tests there are. The probabilities of the patients that the model learned from must be
out-of-fold ones: a model is surer of patients that it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from heart_disease.evaluation import estimates
from heart_disease.evaluation.estimates import Numbers
from heart_disease.evaluation.groups import ENOUGH
from heart_disease.evaluation.other_patients.hospital import Judgement, judge
from heart_disease.model import schema
from heart_disease.model.schema import Column

ALPHA = 0.05  # the share of batches that raise a false alarm, at most
POWER = 0.8
LEAST_ROWS = 20
DRAWS = 1999
MOST_DRAWN = 5000  # with more patients, p-values are computed and not drawn
Names = NDArray[Any]  # (n,) text
BLANK, OTHER = "blank", "another value"
PROBABILITY, DISEASE, CALIBRATION, LOG_LOSS = "probability", "disease", "calibration", "log loss"


@dataclass(frozen=True, eq=False)
class Scored:
    """What a model says of n patients. probabilities: (n,). labels: (n,) of 0 and 1; None if nobody knows them."""

    probabilities: Numbers
    labels: Numbers | None


@dataclass(frozen=True)
class Test:
    """One comparison. p: its own p-value; adjusted: after Holm's correction. before, now: what was seen, in words."""

    what: str
    how: str
    p: float
    adjusted: float
    before: str
    now: str

    @property
    def shifted(self) -> bool:
        """Whether there is a difference, beyond what chance explains."""
        return self.adjusted <= ALPHA


@dataclass(frozen=True)
class Drift:
    """How `rows` patients differ from those that the model learned from.

    tests: the smallest p-value first. shift, share: the smallest change that would have been found four times in five,
    of a number in standard deviations, and of a share of one half. judgement: of the model on the batch; None without
    labels, or with too few of either class.
    """

    rows: int
    tests: tuple[Test, ...]
    shift: float
    share: float
    judgement: Judgement | None

    @property
    def shifted(self) -> tuple[Test, ...]:
        """The differences that were found."""
        return tuple(test for test in self.tests if test.shifted)


@dataclass(frozen=True)
class _Raw:
    what: str
    how: str
    p: float
    before: str
    now: str


def compare(
    before: pd.DataFrame,
    now: pd.DataFrame,
    known: Scored | None,
    scored: Scored,
    seed: int = 0,
    threshold: float = estimates.HALF,
) -> Drift:
    """Compare the patients `now` with those from `before`, which the model learned from, in the columns of `before`.

    known: out-of-fold probabilities of the latter, one per patient, and their labels; None if they are gone, and then
    only the columns are compared. scored: what the model says of those of the former that it can score. seed: of the
    draws. threshold: the probability from which on the model answers yes.
    """
    rng = np.random.default_rng(seed)
    compared = [column for column in schema.COLUMNS if column.name in before]
    found = [_column(column, before[column.name], now[column.name], rng) for column in compared]
    if known and len(scored.probabilities):
        found += _model(known, scored, rng)
    judgement = None
    if scored.labels is not None and min(scored.labels.sum(), (1 - scored.labels).sum()) >= ENOUGH:
        judgement = judge(scored.labels, scored.probabilities[None], seed, threshold)
    shift, share = detectable(len(before), len(now), len(found))
    adjusted = holm([one.p for one in found])
    tests = [Test(one.what, one.how, one.p, its, one.before, one.now) for one, its in zip(found, adjusted, strict=True)]
    return Drift(len(now), tuple(sorted(tests, key=lambda test: test.p)), shift, share, judgement)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order of `p`: of families without a difference, 5 % have one below 0.05."""
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(one) for one in adjusted]


def detectable(before: int, now: int, tests: int) -> tuple[float, float]:
    """The smallest changes that are found with a chance of `POWER`, even if only one of the `tests` shows a change.

    The first is that of a normally distributed number, in standard deviations: with it, the distance of the two
    distributions is the critical one of the test of Kolmogorov and Smirnov. The distance that is seen is larger, being
    the largest of many, so the chance is 0.79 to 0.87 (simulated). The second is that of a share of one half.
    """
    spread = np.sqrt(1 / before + 1 / now)
    distance = min(stats.kstwobign.isf(ALPHA / tests) * spread, 0.999)
    share = (stats.norm.isf(ALPHA / tests / 2) + stats.norm.ppf(POWER)) * spread / 2
    return float(2 * stats.norm.ppf((1 + distance) / 2)), float(min(share, 0.5))


def _column(column: Column, before: pd.Series, now: pd.Series, rng: np.random.Generator) -> _Raw:
    if column.codes:
        return _shares(
            column.name, _coded(column, before), _coded(column, now), (*column.codes.values(), BLANK, OTHER), rng
        )
    return _distributions(column.name, _measured(column, before), _measured(column, now), column.unit)


def _model(known: Scored, scored: Scored, rng: np.random.Generator) -> list[_Raw]:
    p, q = known.probabilities, scored.probabilities
    found = [_distributions(PROBABILITY, p, q)]
    if known.labels is None or scored.labels is None:
        return found
    y, z = known.labels, scored.labels
    sick = [np.where(labels > 0.5, "yes", "no") for labels in (y, z)]
    losses = [estimates.losses(labels, one[None]) for labels, one in ((y, p), (z, q))]
    return [
        *found,
        _shares(DISEASE, sick[0], sick[1], ("no", "yes"), rng),
        _means(CALIBRATION, y - p, z - q, "disease minus probability: mean {:+.3f}", rng),
        _means(LOG_LOSS, losses[0], losses[1], "mean {:.3f}", rng),
    ]


def _measured(column: Column, cells: pd.Series) -> Numbers:
    values = schema.numbers(cells)
    return values[np.isfinite(values) & ~schema.outside(values, column)]  # validation names the others


def _coded(column: Column, cells: pd.Series) -> Names:
    values = schema.numbers(cells)
    names = {float(code): meaning for code, meaning in column.codes.items()}
    return np.array([BLANK if np.isnan(value) else names.get(float(value), OTHER) for value in values], dtype=object)


def _distributions(what: str, before: Numbers, now: Numbers, unit: str = "") -> _Raw:
    if min(len(before), len(now)) == 0:
        return _Raw(what, "no value", 1.0, _middle(before, unit), _middle(now, unit))
    method = "auto" if max(len(before), len(now)) <= MOST_DRAWN else "asymp"
    p = stats.ks_2samp(before, now, method=method).pvalue
    return _Raw(what, "Kolmogorov-Smirnov", float(p), _middle(before, unit), _middle(now, unit))


def _middle(values: Numbers, unit: str) -> str:
    if not len(values):
        return "no value"
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"median {middle:.3g}, half of them {low:.3g} to {high:.3g} {unit}".rstrip()


def _shares(what: str, before: Names, now: Names, order: Sequence[str], rng: np.random.Generator) -> _Raw:
    names = [name for name in order if name in {*before, *now}]
    table = np.array([[(values == name).sum() for name in names] for values in (before, now)])
    p = 1.0
    if len(names) > 1:
        # Rare codes have too few patients for the chi-square distribution, so the tables are drawn.
        drawn = stats.MonteCarloMethod(n_resamples=DRAWS, rng=rng) if table.sum() <= MOST_DRAWN else None
        p = float(stats.chi2_contingency(table, correction=False, method=drawn).pvalue)
    words = [
        ", ".join(f"{name} {n / max(row.sum(), 1):.0%}" for name, n in zip(names, row, strict=True)) for row in table
    ]
    return _Raw(what, "chi-square", p, *words)


def _means(what: str, before: Numbers, now: Numbers, words: str, rng: np.random.Generator) -> _Raw:
    if len(before) + len(now) <= MOST_DRAWN:
        found = stats.permutation_test(
            (before, now), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis), vectorized=True,
            n_resamples=DRAWS, batch=500, rng=rng,
        )  # fmt: skip
    else:
        found = stats.ttest_ind(before, now, equal_var=False)
    return _Raw(what, "difference of means", float(found.pvalue), words.format(before.mean()), words.format(now.mean()))
