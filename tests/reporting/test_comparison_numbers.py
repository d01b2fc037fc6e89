"""Every number on the page about two runs, computed in another way than the page does; and that there is no other.

The ends of the intervals of metrics and of their differences are those that evaluation/test_estimates.py compares with
a plain loop over the same resamples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import log_loss

from heart_disease.evaluation import estimates, groups
from heart_disease.evaluation.estimates import METRICS
from heart_disease.reporting.report import comparison_page
from tests.harness.models.metrics import plainly
from tests.harness.pages import numbers
from tests.reporting.test_comparison_page import DUEL, FIRST, FRAME, LABELS, OTHER

SIDES = (FIRST, OTHER)
TIMES = numbers.drawn(len(LABELS))


def results() -> Iterator[str]:
    first, other = (plainly(LABELS, p) for p in SIDES)
    ends = [estimates.measure(LABELS, p, TIMES) for p in SIDES]
    gaps = estimates.differences(LABELS, OTHER, FIRST, TIMES, DUEL.widening)
    for metric, title in METRICS.items():
        figures = [
            f"{values[metric]:.3f} [{one[metric].low:.3f}, {one[metric].high:.3f}]"
            for values, one in zip((first, other), ends, strict=True)
        ]
        gap = f"{other[metric] - first[metric]:+.3f} [{gaps[metric].low:+.3f}, {gaps[metric].high:+.3f}]"
        yield f"{title} {figures[0]} {figures[1]} {gap} worse"  # for some metrics that is higher, for others lower
        if metric == "log_loss":
            yield f"is worse than version 1: difference in log loss {gap}, on {len(LABELS)} patients."
        if metric == "roc_auc":
            yield f"Areas: {figures[0]} and {figures[1]}."
    yield "are at a probability of 0.5"


def judged() -> Iterator[str]:
    yield "finds 90 % of the patients with disease"
    for p in SIDES:
        slope, intercept = numbers.calibration(LABELS, p)
        yield f"slope {slope} (1 is right), intercept {intercept} (0 is right)"
        t = numbers.threshold(LABELS, p)
        _, specificity = numbers.answered(LABELS, p, t)
        table = pd.DataFrame(p)
        moved, flips = (table - table.mean()).abs().mean(), (table >= t) != (table.mean() >= t)
        yield (
            f"yes from {t:.2f} on. {numbers.people(LABELS, p, t)} Specificity {specificity}. From one repeat to the "
            f"next, a patient's probability is {moved.mean():.3f} away from the patient's mean, and "
            f"{100 * flips.to_numpy().mean():.1f} % of the answers change sides."
        )


def group_rows() -> Iterator[str]:
    yield "at least 20 patients with and 20 without disease"
    masks = groups.members(FRAME)
    large = [name for name, mask in masks.items() if min(LABELS[mask].sum(), (1 - LABELS[mask]).sum()) >= 20]
    for name, mask in masks.items():
        y = LABELS[mask]
        start = f"{name} {len(y)} {y.sum():.0f} ({100 * y.mean():.0f} %)"
        if name not in large:
            yield f"{start} too few to judge"
            continue
        losses = [numbers.loss(y, p[:, mask]) for p in SIDES]
        for one, p in zip(losses, SIDES, strict=True):
            assert one.startswith(f"{np.mean([log_loss(y, q) for q in p[:, mask]]):.3f} ")
        each = [np.where(y > 0.5, -np.log(p[:, mask]), -np.log(1 - p[:, mask])).mean(axis=0) for p in SIDES]
        gap = stats.ttest_rel(each[1], each[0])
        low, high = gap.confidence_interval(1 - 0.05 / len(large))  # Bonferroni's correction
        value = (low + high) / 2
        low, high = (value + DUEL.widening * (end - value) for end in (low, high))
        yield f"{start} {losses[0]} {losses[1]} {value:+.3f} [{low:+.3f}, {high:+.3f}]{' worse' if low > 0 else ''}"


def apart() -> Iterator[str]:
    means = pd.DataFrame({"first": FIRST.mean(axis=0), "other": OTHER.mean(axis=0)}, index=FRAME.index)
    for row in (means["other"] - means["first"]).abs().nlargest(10).index:
        sick = "yes" if FRAME["num"][row] > 0 else "no"
        yield f"{row} {sick} {means['first'][row]:.2f} {means['other'][row]:.2f}"


def test_every_number_on_the_page_is_computed_here_in_another_way_or_stands_in_its_template() -> None:
    expected = [words for part in (results, judged, group_rows, apart) for words in part()]
    assert any("too few to judge" in words for words in expected)
    page = comparison_page.render(DUEL)
    shown = numbers.text(page).count("version 1"), numbers.text(page).count("version 2")
    given = "29-16-1 29-32-1 hidden 16 32 digest 1234 -> 5678 " + "1 " * shown[0] + "2 " * shown[1]
    assert not numbers.unexplained(page, expected, "comparison_page.html", given)
