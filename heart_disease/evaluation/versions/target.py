"""What another target sensitivity does: it moves the threshold, so other patients get the answer yes."""

from __future__ import annotations

from dataclasses import dataclass

from heart_disease.evaluation import clinical
from heart_disease.evaluation.clinical import Threshold
from heart_disease.evaluation.estimates import HALF
from heart_disease.evaluation.versions.comparison import OutOfFold


@dataclass(frozen=True)
class Retargeted:
    """The later version's answers, out of fold, under both targets. A target of 0 means yes from 0.5 on.

    before: under the earlier version's target. after: under its own. earlier: from which probability on the earlier
    version answers yes; None if that is not known.
    """

    before: Threshold
    after: Threshold
    earlier: float | None

    def words(self, earlier: str, later: str) -> str:
        """The thresholds, and what the new target does to 100 patients. earlier, later: the versions' names."""
        found = [round(100 * one.sensitivity.value) for one in (self.before, self.after)]
        alarmed = [round(100 * (1 - one.specificity.value)) for one in (self.before, self.after)]
        does = "" if self.earlier is None else f" The threshold of {earlier} is {self.earlier:.3f}."
        return (
            f"target sensitivity {_percent(self.before.target)} -> {_percent(self.after.target)}: {later} answers yes "
            f"from a probability of {self.after.value:.3f} on; under the earlier target that would be "
            f"{self.before.value:.3f}.{does} Out of 100 patients with disease, {later} finds {_instead(*found)}; "
            f"out of 100 without disease, it alarms {_instead(*alarmed)}."
        )


def retargeted(
    recorded: OutOfFold, before: float | None, after: float | None, seed: int, *, earlier: OutOfFold | None
) -> Retargeted:
    """What the later version does under both targets; None is no target.

    recorded, earlier: what the networks of the later and of the earlier version said about patients that they did not
    learn from; earlier is None if that is not known. seed: of the intervals.
    """
    return Retargeted(
        threshold(recorded, before, seed),
        threshold(recorded, after, seed),
        threshold(earlier, before, seed).value if earlier else None,
    )


def threshold(recorded: OutOfFold, target: float | None, seed: int) -> Threshold:
    """From which probability on a version with this target answers yes, and what that gives."""
    labels, p = recorded.labels, recorded.probabilities
    if target is None:
        return clinical.threshold_at(HALF, 0.0, labels, p, seed)
    return clinical.threshold_for(target, labels, p, seed)


def _instead(before: int, after: int) -> str:
    return f"{after}, as before" if before == after else f"{after} instead of {before}"


def _percent(target: float) -> str:
    return f"{100 * target:g} %" if target else "none"
