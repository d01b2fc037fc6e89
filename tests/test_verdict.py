"""Promotion at the edges of its two rules, and the reason in words."""

from __future__ import annotations

import numpy as np
import pytest

from tasks import verdict
from tasks.evaluate import LOGISTIC, PREVALENCE, Estimate, Report

BEATS = Estimate(-0.3, -0.4, -0.2)
EQUAL = Estimate(0.002, -0.014, 0.016)


def decide(*, prevalence: Estimate = BEATS, logistic: Estimate = EQUAL) -> verdict.Decision:
    """The decision on a report with these differences: network minus baseline, in log loss."""
    differences = {LOGISTIC: logistic, PREVALENCE: prevalence}
    return verdict.decide(Report("", np.zeros(0), {}, {}, differences, {}))


def test_a_network_as_good_as_logistic_regression_is_promoted() -> None:
    decision = decide()
    assert decision.promote
    assert decision.reason == (
        "beats the prevalence and is not worse than logistic regression: difference in log loss +0.002 [-0.014, +0.016]"
    )


def test_a_network_better_than_logistic_regression_is_promoted() -> None:
    assert decide(logistic=Estimate(-0.03, -0.05, -0.01)).promote


@pytest.mark.parametrize("value", [-0.02, 0.0, 0.02])
def test_what_counts_is_the_interval_and_not_the_value(value: float) -> None:
    assert decide(logistic=Estimate(value, -0.03, 0.03)).promote


@pytest.mark.parametrize(("high", "promote"), [(-1e-9, True), (0.0, False), (1e-9, False)])
def test_the_whole_interval_against_the_prevalence_must_be_below_0(high: float, promote: bool) -> None:
    assert decide(prevalence=Estimate(-0.3, -0.4, high)).promote is promote


@pytest.mark.parametrize(("low", "promote"), [(-1e-9, True), (0.0, True), (1e-9, False)])
def test_worse_than_logistic_regression_is_an_interval_all_above_0(low: float, promote: bool) -> None:
    assert decide(logistic=Estimate(0.1, low, 0.2)).promote is promote


def test_a_network_that_does_not_beat_the_prevalence_is_told_so() -> None:
    decision = decide(prevalence=Estimate(0.01, -0.02, 0.04))
    assert not decision.promote
    assert decision.reason == (
        "does not beat the prevalence: difference in log loss +0.010 [-0.020, +0.040], not below 0"
    )


def test_a_network_that_is_worse_than_logistic_regression_is_told_so() -> None:
    decision = decide(logistic=Estimate(0.15, 0.091, 0.213))
    assert not decision.promote
    assert decision.reason == (
        "worse than logistic regression: difference in log loss +0.150 [+0.091, +0.213], all above 0"
    )


def test_the_prevalence_comes_first_where_both_rules_fail() -> None:
    decision = decide(prevalence=Estimate(0.1, 0.05, 0.2), logistic=Estimate(0.1, 0.05, 0.2))
    assert decision.reason.startswith("does not beat the prevalence")


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Estimate(0.002, -0.014, 0.016), "+0.002 [-0.014, +0.016]"),
        (Estimate(-0.25, -0.3456, -0.2), "-0.250 [-0.346, -0.200]"),
        (Estimate(0.0, 0.0, 0.0), "+0.000 [+0.000, +0.000]"),
    ],
)
def test_in_words(difference: Estimate, words: str) -> None:
    assert verdict.in_words(difference) == words
