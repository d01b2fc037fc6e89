"""The four verdicts at their edges, and which model becomes champion."""

from __future__ import annotations

import numpy as np
import pytest

from heart_disease.evaluation import verdict
from heart_disease.evaluation.contest import ALL_COLUMNS, CHAMPION, LOGISTIC, PREVALENCE, Report, averaging_helps
from heart_disease.evaluation.estimates import Estimate
from heart_disease.evaluation.groups import GroupDifference
from heart_disease.evaluation.settings import Promotion

CLEARLY_LESS = Estimate(-0.3, -0.4, -0.2)
CLEARLY_MORE = Estimate(0.15, 0.09, 0.21)
ABOUT_EQUAL = Estimate(0.002, -0.014, 0.016)
CANNOT_TELL = Estimate(0.01, -0.03, 0.05)


def decide(
    *,
    prevalence: Estimate = CLEARLY_LESS,
    logistic: Estimate = ABOUT_EQUAL,
    champion: Estimate | None = None,
    data_changed: bool = False,
    promotion: Promotion = Promotion(),  # noqa: B008
    groups: tuple[GroupDifference, ...] = (),
) -> verdict.Decision:
    """The decision on a report with these differences: network minus each other model, in log loss."""
    differences = {LOGISTIC: logistic, PREVALENCE: prevalence} | ({CHAMPION: champion} if champion else {})
    report = Report("", np.zeros(0, np.int64), np.zeros(0), {}, {}, differences, {}, groups=groups)
    return verdict.decide(
        report, promotion, champion="champion version 7" if champion else None, data_changed=data_changed
    )


def test_a_champion_whose_recipe_is_gone_is_replaced_by_a_good_network_and_named() -> None:
    differences = {LOGISTIC: CLEARLY_LESS, PREVALENCE: CLEARLY_LESS}
    report = Report("", np.zeros(0, np.int64), np.zeros(0), {}, {}, differences, {})
    decision = verdict.decide(report, Promotion(), champion="champion version 7")
    assert decision.promote
    assert decision.reason.startswith("champion version 7 cannot be compared with, as its recipe is gone; better than")


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        (-0.05, -1e-9, "better"),
        (-0.05, 0.0, "not worse"),
        (0.0, 0.0, "not worse"),
        (-0.05, 0.02, "not worse"),
        (0.0, 0.02, "not worse"),
        (-0.05, 0.02 + 1e-9, "inconclusive"),
        (0.0, 0.03, "inconclusive"),
        (1e-9, 0.01, "worse"),  # certainly worse, if only by a little
        (1e-9, 0.5, "worse"),
    ],
)
def test_the_verdict_follows_from_the_interval_and_the_margin(low: float, high: float, kind: str) -> None:
    assert verdict.compare(Estimate((low + high) / 2, low, high), 0.02).kind == kind


@pytest.mark.parametrize("value", [-0.02, 0.0, 0.019])
def test_the_interval_counts_and_not_the_value(value: float) -> None:
    assert verdict.compare(Estimate(value, -0.03, 0.02), 0.02).kind == "not worse"


@pytest.mark.parametrize(("margin", "kind"), [(0.0, "inconclusive"), (0.01, "inconclusive"), (0.05, "not worse")])
def test_the_margin_is_a_parameter(margin: float, kind: str) -> None:
    assert verdict.compare(ABOUT_EQUAL, margin).kind == kind


# --- the gate: prevalence and logistic regression


def test_the_first_good_network_is_champion() -> None:
    decision = decide()
    assert decision.promote
    assert decision.champion is None
    assert decision.reason == (
        "the first champion; not worse than logistic regression (margin 0.02): "
        "difference in log loss +0.002 [-0.014, +0.016]"
    )


@pytest.mark.parametrize(("high", "promote"), [(-1e-9, True), (0.0, False), (1e-9, False)])
def test_the_whole_interval_against_the_prevalence_must_be_below_0(high: float, promote: bool) -> None:
    assert decide(prevalence=Estimate(-0.3, -0.4, high)).promote is promote


@pytest.mark.parametrize(
    ("logistic", "promote"),
    [(CLEARLY_LESS, True), (ABOUT_EQUAL, True), (CANNOT_TELL, False), (CLEARLY_MORE, False)],
)
def test_it_must_be_better_or_not_worse_than_logistic_regression(logistic: Estimate, promote: bool) -> None:
    assert decide(logistic=logistic).promote is promote
    # It is held back even if it is better than the champion, promotion is asked for, or the data is new.
    eager = decide(
        logistic=logistic, champion=CLEARLY_LESS, data_changed=True, promotion=Promotion(promote_if="not-worse")
    )
    assert eager.promote is promote


def test_a_held_back_network_gets_a_reason_and_keeps_its_verdict_on_the_champion() -> None:
    decision = decide(logistic=CLEARLY_MORE, champion=CANNOT_TELL)
    assert decision.reason == "worse than logistic regression: difference in log loss +0.150 [+0.090, +0.210]"
    assert decision.logistic.kind == "worse"
    assert decision.champion
    assert decision.champion.kind == "inconclusive"


def test_the_prevalence_comes_first_if_both_rules_fail() -> None:
    decision = decide(prevalence=Estimate(0.01, -0.02, 0.04), logistic=CLEARLY_MORE)
    assert decision.reason == (
        "does not beat the prevalence: difference in log loss +0.010 [-0.020, +0.040], not below 0"
    )


# --- the champion


@pytest.mark.parametrize(
    ("champion", "data_changed", "promote_if", "promote"),
    [
        (CLEARLY_LESS, False, "better", True),
        (CLEARLY_LESS, True, "better", True),
        (ABOUT_EQUAL, False, "better", False),
        (ABOUT_EQUAL, True, "better", True),
        (ABOUT_EQUAL, False, "not-worse", True),
        (CANNOT_TELL, False, "better", False),
        (CANNOT_TELL, True, "not-worse", False),
        (CLEARLY_MORE, False, "better", False),
        (CLEARLY_MORE, True, "not-worse", False),
    ],
)
def test_which_model_becomes_champion(champion: Estimate, data_changed: bool, promote_if: str, promote: bool) -> None:
    decision = decide(champion=champion, data_changed=data_changed, promotion=Promotion(promote_if=promote_if))  # type: ignore[arg-type]
    assert decision.promote is promote


@pytest.mark.parametrize(
    ("champion", "data_changed", "reason"),
    [
        (CLEARLY_LESS, False, "better than champion version 7: difference in log loss -0.300 [-0.400, -0.200]"),
        (CLEARLY_MORE, False, "worse than champion version 7: difference in log loss +0.150 [+0.090, +0.210]"),
        (
            CANNOT_TELL,
            False,
            "inconclusive against champion version 7 (margin 0.02): difference in log loss +0.010 [-0.030, +0.050]",
        ),
        (
            ABOUT_EQUAL,
            True,
            "refit on other data, not worse than champion version 7 (margin 0.02): "
            "difference in log loss +0.002 [-0.014, +0.016]",
        ),
        (
            ABOUT_EQUAL,
            False,
            "not worse than champion version 7 (margin 0.02): difference in log loss +0.002 [-0.014, +0.016]; "
            "on the same data only a better one takes its place (see --promote-if)",
        ),
    ],
)
def test_the_reason_names_the_verdict_the_rival_and_the_interval(
    champion: Estimate, data_changed: bool, reason: str
) -> None:
    assert decide(champion=champion, data_changed=data_changed).reason == reason


@pytest.mark.parametrize(("high", "helps"), [(-0.0011, True), (-0.001, False), (0.0, False)])
def test_averaging_must_certainly_gain_a_thousandth(high: float, helps: bool) -> None:
    assert averaging_helps(Estimate(-0.002, -0.003, high)) is helps


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Estimate(0.002, -0.014, 0.016), "+0.002 [-0.014, +0.016]"),
        (Estimate(-0.25, -0.3456, -0.2), "-0.250 [-0.346, -0.200]"),
        (Estimate(0.0, 0.0, 0.0), "+0.000 [+0.000, +0.000]"),
    ],
)
def test_in_words(difference: Estimate, words: str) -> None:
    assert difference.signed == words


@pytest.mark.parametrize(("cost", "kind"), [(CLEARLY_MORE, "worse"), (ABOUT_EQUAL, "not worse")])
def test_what_leaving_columns_out_costs_is_said_and_decides_nothing(cost: Estimate, kind: str) -> None:
    differences = {LOGISTIC: ABOUT_EQUAL, PREVALENCE: CLEARLY_LESS, ALL_COLUMNS: cost}
    report = Report("", np.zeros(0, np.int64), np.zeros(0), {}, {}, differences, {}, without=("ca", "thal"))
    decision = verdict.decide(report, Promotion())
    assert decision.promote
    assert decision.all_columns == verdict.compare(cost, 0.02)
    assert f"; without ca, thal it is {kind} than the same recipe with all columns" in decision.reason
    assert decision.reason.endswith(f"difference in log loss {cost.signed}")


# --- groups of patients

WORSE, EQUAL = GroupDifference("female", 97, CLEARLY_MORE), GroupDifference("male", 206, ABOUT_EQUAL)


@pytest.mark.parametrize("champion", [CLEARLY_LESS, ABOUT_EQUAL])
def test_a_challenger_that_is_worse_in_a_group_is_held_back(champion: Estimate) -> None:
    decision = decide(champion=champion, data_changed=True, groups=(WORSE, EQUAL))
    assert not decision.promote
    assert decision.worse_in == [WORSE]
    assert decision.reason.endswith(
        f"{champion.signed}; but worse in 1 of 2 groups of patients: female +0.150 [+0.090, +0.210]"
    )


def test_groups_that_are_not_certainly_worse_change_nothing() -> None:
    with_groups = decide(champion=CLEARLY_LESS, groups=(EQUAL, GroupDifference("60 years and over", 91, CANNOT_TELL)))
    assert with_groups.promote
    assert with_groups.reason == decide(champion=CLEARLY_LESS).reason


def test_a_challenger_that_stays_one_anyway_keeps_its_reason() -> None:
    worse = decide(champion=CANNOT_TELL, groups=(WORSE,))
    assert not worse.promote
    assert worse.reason == decide(champion=CANNOT_TELL).reason
