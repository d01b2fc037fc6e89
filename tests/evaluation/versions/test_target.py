"""What another target sensitivity does, against a search over all thresholds, patient by patient."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from heart_disease.evaluation.versions.comparison import OutOfFold
from heart_disease.evaluation.versions.target import retargeted

RNG = np.random.default_rng(2)
N = 60
LABELS = (RNG.random(N) < 0.4).astype(float)
PATIENTS = tuple(f"{k}" for k in range(N))
LATER, EARLIER = (
    OutOfFold(PATIENTS, LABELS, expit(2 * LABELS - 1 + RNG.standard_normal((3, N)) - shift)) for shift in (0.0, 0.7)
)


def by_search(recorded: OutOfFold, target: float | None) -> tuple[float, float, float]:
    """The highest probability that finds enough, and the shares of the sick and the healthy who get a yes there."""
    found = []
    for value in [0.5] if target is None else recorded.probabilities.ravel():
        yes = recorded.probabilities >= value
        hits, alarms = yes[:, LABELS == 1].mean(), yes[:, LABELS == 0].mean()
        if target is None or hits >= target - 1e-9:
            found.append((float(value), float(hits), float(alarms)))
    return max(found)


@pytest.mark.parametrize(("before", "after"), [(0.9, 0.8), (0.8, 0.95), (None, 0.9), (0.9, None), (0.9, 1.0)])
def test_both_sides_are_what_a_search_over_all_thresholds_finds(before: float | None, after: float | None) -> None:
    found = retargeted(LATER, before, after, 0, earlier=EARLIER)
    for side, target in ((found.before, before), (found.after, after)):
        value, hits, alarms = by_search(LATER, target)
        assert side.value == pytest.approx(value, abs=2e-6)
        assert (side.sensitivity.value, 1 - side.specificity.value) == pytest.approx((hits, alarms))
    assert found.earlier == pytest.approx(by_search(EARLIER, before)[0], abs=2e-6)


def test_the_words_count_whole_patients() -> None:
    found = retargeted(LATER, None, 0.9, 0, earlier=EARLIER)
    (start, *shares), (end, *later) = by_search(LATER, None), by_search(LATER, 0.9)
    before, after = ([round(100 * share) for share in side] for side in (shares, later))
    assert found.words("version 1", "version 2") == (
        f"target sensitivity none -> 90 %: version 2 answers yes from a probability of {end:.3f} on; under the earlier "
        f"target that would be {start:.3f}. The threshold of version 1 is 0.500. Out of 100 patients with disease, "
        f"version 2 finds {after[0]} instead of {before[0]}; out of 100 without disease, it alarms {after[1]} instead "
        f"of {before[1]}."
    )


def test_an_unknown_earlier_threshold_is_left_out_and_equal_numbers_are_said_to_be_so() -> None:
    words = retargeted(LATER, 0.905, 0.906, 0, earlier=None).words("version 1", "version 2")
    assert "version 1" not in words
    assert ", as before; out of 100 without disease, it alarms " in words
