"""May the network become champion? Decided on intervals, with the reason in words."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.evaluate import LOGISTIC, PREVALENCE, Estimate, Report


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and why."""

    promote: bool
    reason: str


def decide(report: Report) -> Decision:
    """Promote a network that beats the prevalence and is not clearly worse than logistic regression.

    It beats the prevalence if the whole interval of the paired difference in log loss is below 0, and it is clearly
    worse than logistic regression if the whole interval is above 0.
    """
    prevalence, logistic = report.differences[PREVALENCE], report.differences[LOGISTIC]
    if prevalence.high >= 0:
        return Decision(
            False, f"does not beat the prevalence: difference in log loss {in_words(prevalence)}, not below 0"
        )
    if logistic.low > 0:
        return Decision(
            False, f"worse than logistic regression: difference in log loss {in_words(logistic)}, all above 0"
        )
    return Decision(
        True,
        f"beats the prevalence and is not worse than logistic regression: difference in log loss {in_words(logistic)}",
    )


def in_words(difference: Estimate) -> str:
    """``+0.002 [-0.014, +0.016]``."""
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
