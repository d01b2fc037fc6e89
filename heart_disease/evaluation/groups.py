"""Groups of patients: who belongs to them, which can be judged, and in which one model is worse than another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from heart_disease.evaluation.estimates import Estimate, Numbers, gaps, losses
from heart_disease.model import schema

# Patients of each class that a group needs: with fewer, an interval is too wide to act on.
ENOUGH = 20
AGE_BANDS = (50, 60)  # years at which the next band begins
ERROR = 0.025  # how often at most, over all groups together, equal models are called worse somewhere

Members = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class GroupDifference:
    """The log loss of one model minus another's among the n patients of a group; below 0 the first is better.

    The intervals of all groups hold together: see `differences`.
    """

    group: str
    n: int
    difference: Estimate

    @property
    def worse(self) -> bool:
        """Whether the first model is certainly worse, however little; as `verdict.WORSE`."""
        return self.difference.low > 0

    def __str__(self) -> str:
        """``female +0.060 [+0.010, +0.110]``."""
        return f"{self.group} {self.difference.signed}"


def members(frame: pd.DataFrame) -> Members:
    """The groups that are looked at, each a mask of the rows: age in three bands, sex, chest pain type, if declared."""
    found: dict[str, NDArray[np.bool_]] = {}
    if "age" in frame:
        age, (middle, old) = frame["age"].to_numpy(), AGE_BANDS
        found[f"under {middle} years"] = age < middle
        found[f"{middle} to {old - 1} years"] = (age >= middle) & (age < old)
        found[f"{old} years and over"] = age >= old
    for name in (name for name in ("sex", "cp") if name in frame):
        held = {code: (frame[name] == code).to_numpy() for code in schema.BY_NAME[name].codes}
        found |= {schema.BY_NAME[name].codes[code]: mask for code, mask in held.items() if mask.any()}
    return found


def can_be_judged(labels: Numbers) -> bool:
    """Whether a group with these labels (n,) has `ENOUGH` patients of both classes."""
    sick = int(labels.sum())
    return min(sick, len(labels) - sick) >= ENOUGH


def differences(
    groups: Members, labels: Numbers, ours: Numbers, theirs: Numbers, widening: float
) -> tuple[GroupDifference, ...]:
    """Log loss of `ours` minus `theirs` (R, n), patient by patient, in each of `groups` that can be judged.

    The intervals are those of Student's t with Bonferroni's correction, so that all of them hold together in 95 % of
    cases: if two recipes are equal, the first is called worse in any group in at most `ERROR` of them. Whether one is
    called worse somewhere would be the same with Holm's procedure. (The bootstrap of estimates.py has too few resamples
    so far out.) widening: see `Splits.widening`, whose ratio of variances is that of a group as well.
    """
    gap, judged = losses(labels, ours) - losses(labels, theirs), _judged(groups, labels)
    return tuple(
        GroupDifference(name, int(mask.sum()), _student([gap[mask]], len(judged), widening))
        for name, mask in judged.items()
    )


def metric_differences(
    groups: Members,
    labels: Numbers,
    ours: Numbers,
    theirs: Numbers,
    widening: float,
    thresholds: tuple[float, float],
) -> dict[str, dict[str, Estimate]]:
    """The same for every metric, by group and then by its name; the intervals of one metric hold together.

    thresholds: the probabilities from which on `ours` and `theirs` answer yes.
    """
    judged = _judged(groups, labels)
    return {
        name: {
            metric: _student(each, len(judged), widening)
            for metric, each in gaps(labels[mask], ours[:, mask], theirs[:, mask], thresholds).items()
        }
        for name, mask in judged.items()
    }


def _judged(groups: Members, labels: Numbers) -> Members:
    return {name: mask for name, mask in groups.items() if can_be_judged(labels[mask])}


def _student(each: Sequence[Numbers], looks: int, widening: float) -> Estimate:
    """The mean of each of some numbers, see `estimates.gaps`, with an interval that allows for so many looks."""
    far = stdtrit(min(map(len, each)) - 1, 1 - ERROR / looks)
    error = np.sqrt(sum(own.var(ddof=1) / len(own) for own in each))
    value, half = float(each[0].mean()), float(far * widening * error)
    return Estimate(value, value - half, value + half)
