"""Challenger against champion: better, not worse, worse or inconclusive, and what follows from it.

The question is one of non-inferiority: a difference d in log loss (challenger minus champion, patient by patient) with
its 95 % interval, and a margin that was set before anyone looked:

    better        the whole interval is below 0
    worse         the whole interval is above 0, however little: small losses add up over many retrains
    not worse     neither, and the whole interval is below the margin
    inconclusive  the interval reaches from below 0 to above the margin: these patients cannot tell

A log loss of 0.38 means that a model gives the true outcome a probability of 0.684, in the geometric mean; with the
default margin of 0.02 that may fall to 0.670. The margin is also just above the half width that 303 patients give
the comparison of two good models: a smaller one would leave nearly all of them inconclusive. (On such margins: Piaggio
et al., Reporting of noninferiority and equivalence randomized trials, JAMA 308, 2012.)

A challenger that is worse in a group of patients is held back, however good it is on average; see groups.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from heart_disease.evaluation.contest import ALL_COLUMNS, CHAMPION, LOGISTIC, PREVALENCE, Report
from heart_disease.evaluation.estimates import Estimate
from heart_disease.evaluation.groups import GroupDifference
from heart_disease.evaluation.settings import Promotion

BETTER, NOT_WORSE, WORSE, INCONCLUSIVE = "better", "not worse", "worse", "inconclusive"


@dataclass(frozen=True)
class Comparison:
    """A difference in log loss with its interval, the margin, and which of the four kinds it is."""

    kind: str
    difference: Estimate
    margin: float

    def words(self, rival: str) -> str:
        """``better than RIVAL: difference in log loss -0.160 [-0.230, -0.098]``."""
        start = {
            BETTER: f"better than {rival}",
            NOT_WORSE: f"not worse than {rival} (margin {self.margin:g})",
            WORSE: f"worse than {rival}",
            INCONCLUSIVE: f"inconclusive against {rival} (margin {self.margin:g})",
        }[self.kind]
        return f"{start}: difference in log loss {self.difference.signed}"


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and why; with the comparisons to logistic regression and, if there is one, the champion.

    all_columns: if the network does not get some columns, the comparison to the same recipe with all of them.
    groups: network minus champion in each group of patients that can be judged.
    """

    promote: bool
    reason: str
    logistic: Comparison
    champion: Comparison | None = None
    all_columns: Comparison | None = None
    groups: tuple[GroupDifference, ...] = ()

    @property
    def words(self) -> str:
        """``becomes champion: REASON``."""
        return f"{'becomes champion' if self.promote else 'does not become champion'}: {self.reason}"

    @property
    def worse_in(self) -> list[GroupDifference]:
        """The groups in which the network is certainly worse than the champion."""
        return [one for one in self.groups if one.worse]


def compare(difference: Estimate, margin: float) -> Comparison:
    """Which of the four kinds a difference (challenger minus the other) is."""
    if difference.high < 0:
        kind = BETTER
    elif difference.low > 0:
        kind = WORSE
    else:
        kind = NOT_WORSE if difference.high <= margin else INCONCLUSIVE
    return Comparison(kind, difference, margin)


def decide(
    report: Report, promotion: Promotion, *, champion: str | None = None, data_changed: bool = False
) -> Decision:
    """Whether the challenger takes the champion's place; `champion` is the name of the present one in words.

    It never does if it does not beat the prevalence, or if it is worse than logistic regression, or inconclusive
    against it. Otherwise the first model does, and one whose report has no champion to compare with; later ones do if
    they are better than the champion, or if they are not worse and either refit on other data or `promotion` says so,
    unless they are worse than the champion in a group of patients.
    What a network loses because it does not get some columns is said, and decides nothing.
    """
    found = replace(_decided(report, promotion, champion, data_changed), groups=report.groups)
    if found.promote and (worse := found.worse_in):
        where = f"{len(worse)} of {len(found.groups)} groups of patients: {', '.join(map(str, worse))}"
        found = replace(found, promote=False, reason=f"{found.reason}; but worse in {where}")
    if ALL_COLUMNS not in report.differences:
        return found
    lost = compare(report.differences[ALL_COLUMNS], promotion.margin)
    words = f"without {', '.join(report.without)} it is {lost.words('the same recipe with all columns')}"
    return replace(found, reason=f"{found.reason}; {words}", all_columns=lost)


def _decided(report: Report, promotion: Promotion, champion: str | None, data_changed: bool) -> Decision:
    logistic = compare(report.differences[LOGISTIC], promotion.margin)
    rival = compare(report.differences[CHAMPION], promotion.margin) if CHAMPION in report.differences else None
    prevalence = compare(report.differences[PREVALENCE], promotion.margin)
    if prevalence.kind != BETTER:
        reason = f"does not beat the prevalence: difference in log loss {prevalence.difference.signed}, not below 0"
        return Decision(False, reason, logistic, rival)
    if logistic.kind not in (BETTER, NOT_WORSE):
        return Decision(False, logistic.words("logistic regression"), logistic, rival)
    if rival is None or champion is None:
        first = f"{champion} cannot be compared with, as its recipe is gone" if champion else "the first champion"
        return Decision(True, f"{first}; {logistic.words('logistic regression')}", logistic)
    reason = rival.words(champion)
    if rival.kind == BETTER:
        return Decision(True, reason, logistic, rival)
    if rival.kind == NOT_WORSE and data_changed:
        return Decision(True, f"refit on other data, {reason}", logistic, rival)
    if rival.kind == NOT_WORSE and promotion.promote_if == "better":
        reason += "; on the same data only a better one takes its place (see --promote-if)"
    return Decision(rival.kind == NOT_WORSE and promotion.promote_if == "not-worse", reason, logistic, rival)
