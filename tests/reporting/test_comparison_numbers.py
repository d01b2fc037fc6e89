"""Every number on the page about two runs, computed in another way than the page does; and that there is no other.

The ends of the intervals of metrics and of their differences are those that evaluation/test_estimates.py compares with
a plain loop over the same resamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from heart_disease.evaluation import estimates, groups
from heart_disease.evaluation.estimates import METRICS, Estimate
from heart_disease.reporting.report import comparison_page
from heart_disease.reporting.report.comparison_page import Duel
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


def calibrations() -> Iterator[str]:
    each = [numbers.calibration(LABELS, p) for p in SIDES]
    gaps = numbers.calibration_gap(LABELS, OTHER, FIRST, DUEL.widening)
    for k, title in enumerate(("slope (1 is right)", "intercept (0 is right)")):
        yield f"{title} {each[0][k]} {each[1][k]} {gaps[k].signed}"


def judged(duel: Duel, thresholds: tuple[float, float]) -> Iterator[str]:
    given = [f"{100 * side.target:g} %" for side in duel.sides if side.target]
    if len(given) == 2:
        yield f"version 1 was made to find {given[0]} of the patients with disease, and version 2 {given[1]}."
    else:
        yield f"finds {given[0] if given else '90 %'} of the patients with disease"
    for p, t in zip(SIDES, thresholds, strict=True):
        table = pd.DataFrame(p)
        each = (table - table.mean()).abs().mean(), ((table >= t) != (table.mean() >= t)).mean()
        moved, flips = (numbers.interval(one.to_numpy(), numbers.drawn(len(LABELS))) for one in each)
        yield (
            f"yes from {t:.2f} on. {numbers.people(LABELS, p, t)} From one repeat to the next, a patient's probability "
            f"is {moved} away from the patient's mean, and a share of {flips} of the answers changes sides."
        )
    each = [numbers.answered(LABELS, p, t) for p, t in zip(SIDES, thresholds, strict=True)]
    gaps = numbers.answers_gap(LABELS, OTHER, FIRST, thresholds[::-1], DUEL.widening)
    for k, title in enumerate(("sensitivity", "specificity")):
        yield f"{title} {each[0][k]} {each[1][k]} {gaps[k].signed} {called(title, gaps[k]) or 'not shown to differ'}"


def called(metric: str, gap: Estimate) -> str:
    """What a page calls a difference that does not include 0."""
    if gap.low <= 0 <= gap.high:
        return ""
    return "better" if (gap.value > 0) == (metric not in ("log_loss", "brier")) else "worse"


def group_rows(thresholds: tuple[float, float]) -> Iterator[str]:
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
        mine, its = OTHER[:, mask], FIRST[:, mask]
        gaps = numbers.group_gaps(y, mine, its, thresholds[::-1], DUEL.widening, len(large))
        plain = [plainly(y, p, t) for p, t in zip((mine, its), thresholds[::-1], strict=True)]
        for metric, gap in gaps.items():
            assert gap.value == pytest.approx(plain[0][metric] - plain[1][metric])
        words = {metric: f"{gap.signed} {called(metric, gap)}".strip() for metric, gap in gaps.items()}
        yield f"{start} {losses[0]} {losses[1]} {words.pop('log_loss')}"
        yield f"{name} {' '.join(words[metric] for metric in METRICS if metric in words)}"


def apart() -> Iterator[str]:
    means = pd.DataFrame({"first": FIRST.mean(axis=0), "other": OTHER.mean(axis=0)}, index=FRAME.index)
    for row in (means["other"] - means["first"]).abs().nlargest(10).index:
        sick = "yes" if FRAME["num"][row] > 0 else "no"
        yield f"{row} {sick} {means['first'][row]:.2f} {means['other'][row]:.2f}"


@pytest.mark.parametrize("targets", [(None, None), (0.8, 0.95), (None, 0.75)])
def test_every_number_on_the_page_is_computed_here_in_another_way_or_stands_in_its_template(
    targets: tuple[float | None, float | None],
) -> None:
    sides = (replace(side, target=target) for side, target in zip(DUEL.sides, targets, strict=True))
    duel = Duel(*sides, *(getattr(DUEL, field.name) for field in fields(Duel)[2:]))
    t1, t2 = (numbers.threshold(LABELS, p, share or max(map(float, filter(None, targets)), default=0.9))
              for p, share in zip(SIDES, targets, strict=True))  # fmt: skip
    expected = [*results(), *calibrations(), *judged(duel, (t1, t2)), *group_rows((t1, t2)), *apart()]
    assert any("too few to judge" in words for words in expected)
    page = comparison_page.render(duel)
    shown = numbers.text(page).count("version 1"), numbers.text(page).count("version 2")
    given = "29-16-1 29-32-1 hidden 16 32 digest 1234 -> 5678 " + "1 " * shown[0] + "2 " * shown[1]
    assert not numbers.unexplained(page, expected, f"{numbers.fixed('comparison_page.html')} {given}")
