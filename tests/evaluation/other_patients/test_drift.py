"""Whether new patients differ from those that a model learned from, with few false alarms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from heart_disease.data import sources
from heart_disease.evaluation.other_patients import drift
from heart_disease.evaluation.other_patients.drift import Drift, Scored
from heart_disease.model import schema
from tests.harness.models.metrics import plainly


@pytest.fixture(scope="module")
def before() -> pd.DataFrame:
    return sources.load().frame


def drawn(before: pd.DataFrame, n: int, seed: int = 1) -> pd.DataFrame:
    return before.sample(n, replace=True, random_state=seed).reset_index(drop=True)


def scores(frame: pd.DataFrame, seed: int = 2) -> Scored:
    """Labels, and probabilities that are right about them on average."""
    labels = schema.label(frame).to_numpy()
    sure = np.random.default_rng(seed).uniform(0.55, 0.95, len(labels))
    right = np.random.default_rng(seed + 1).random(len(labels)) < sure
    return Scored(np.where((labels > 0.5) == right, sure, 1 - sure), labels)


def compared(before: pd.DataFrame, now: pd.DataFrame) -> Drift:
    """Compared by their columns alone."""
    return drift.compare(before, now, None, Scored(np.empty(0), None))


def names(found: Drift) -> set[str]:
    return {test.what for test in found.shifted}


def test_patients_from_the_same_source_do_not_differ(before: pd.DataFrame) -> None:
    now = drawn(before, 150)
    found = drift.compare(before, now, scores(before), scores(now))
    assert not found.shifted
    assert {test.what for test in found.tests} == {
        *schema.INPUT_NAMES,
        "probability",
        "disease",
        "calibration",
        "log loss",
    }


def test_patients_are_judged_by_the_answers_of_the_version(before: pd.DataFrame) -> None:
    now = drawn(before, 150)
    found = drift.compare(before, now, None, scores(now), threshold=0.2)
    expected = plainly(scores(now).labels, scores(now).probabilities[None], 0.2)
    assert found.judgement
    assert {name: one.value for name, one in found.judgement.metrics.items()} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda frame: frame.assign(age=frame["age"] + 10), "age"),
        (lambda frame: frame.assign(chol=frame["chol"] * 1.3), "chol"),
        (lambda frame: frame.assign(sex=1 - frame["sex"]), "sex"),
        (lambda frame: frame.assign(thal=frame["thal"].where(frame.index % 4 > 0)), "thal"),
        (lambda frame: frame.assign(cp=frame["cp"].replace(4, 1)), "cp"),
    ],
)
def test_a_column_that_changed_is_named_and_no_other(before: pd.DataFrame, change: Any, column: str) -> None:
    assert names(compared(before, change(drawn(before, 150)))) == {column}


def test_what_was_seen_is_told_in_words(before: pd.DataFrame) -> None:
    found = {test.what: test for test in compared(before, drawn(before, 150).assign(fbs=1.0, age=60.0)).tests}
    assert (found["fbs"].before, found["fbs"].now) == ("no 85%, yes 15%", "no 0%, yes 100%")
    assert found["age"].now == "median 60, half of them 60 to 60 years"


def test_inverted_labels_show_in_the_log_loss_alone_of_the_columns(before: pd.DataFrame) -> None:
    now = drawn(before, 150)
    right = scores(now)
    assert right.labels is not None
    found = drift.compare(before, now, scores(before), Scored(right.probabilities, 1 - right.labels))
    assert "log loss" in names(found)
    assert not names(found) & set(schema.INPUT_NAMES)


def test_probabilities_that_are_all_too_high_show_in_the_calibration(before: pd.DataFrame) -> None:
    now = drawn(before, 200)
    high = scores(now)
    found = drift.compare(before, now, scores(before), Scored(np.minimum(high.probabilities + 0.25, 0.99), high.labels))
    assert {"probability", "calibration"} <= names(found)


def test_without_labels_the_model_is_not_judged(before: pd.DataFrame) -> None:
    now = drawn(before, 150)
    found = drift.compare(before, now, scores(before), Scored(scores(now).probabilities, None))
    assert found.judgement is None
    assert {test.what for test in found.tests} == {*schema.INPUT_NAMES, "probability"}


def test_cells_that_break_a_rule_are_not_compared(before: pd.DataFrame) -> None:
    now = drawn(before, 100)
    now.loc[:60, "chol"] = 9999.0
    found = {test.what: test for test in compared(before, now).tests}
    assert "9" not in found["chol"].now.split()[1][:1]
    assert not found["chol"].shifted


def test_a_column_in_which_every_cell_breaks_a_rule_is_no_error(before: pd.DataFrame) -> None:
    found = {test.what: test for test in compared(before, drawn(before, 50).assign(chol=np.nan)).tests}
    assert (found["chol"].now, found["chol"].p) == ("no value", 1.0)


def test_holms_correction_agrees_with_statsmodels() -> None:
    p = np.random.default_rng(0).random(17) ** 3
    np.testing.assert_allclose(drift.holm(list(p)), multipletests(p, method="holm")[1])


def test_p_values_are_those_of_plain_permutations(before: pd.DataFrame) -> None:
    now = drawn(before, 60).assign(chol=lambda frame: frame["chol"] + 12)
    known, scored = scores(before), scores(now)
    found = {test.what: test.p for test in drift.compare(before, now, known, scored).tests}
    assert known.labels is not None
    assert scored.labels is not None
    pairs = {name: (before[name].to_numpy(), now[name].to_numpy()) for name in ("chol", "age", "cp", "restecg")}
    pairs["probability"] = (known.probabilities, scored.probabilities)
    pairs["calibration"] = (known.labels - known.probabilities, scored.labels - scored.probabilities)

    def far(one: np.ndarray, other: np.ndarray, what: str) -> float:
        if what == "calibration":
            return abs(one.mean() - other.mean())
        values = np.unique([*one, *other])
        if what in ("chol", "age", "probability"):
            return float(max(abs((one <= value).mean() - (other <= value).mean()) for value in values))
        table = np.array([[(part == value).sum() for value in values] for part in (one, other)])
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
        return float(((table - expected) ** 2 / expected).sum())

    rng, tries = np.random.default_rng(5), 600
    for what, (one, other) in pairs.items():
        seen, together = far(one, other, what), np.concatenate([one, other])
        shuffled = (rng.permutation(together) for _ in range(tries))
        p = np.mean([far(mixed[: len(one)], mixed[len(one) :], what) >= seen - 1e-9 for mixed in shuffled])
        # A share of some hundred tries is that far off in one of a thousand cases.
        off = 3.3 * np.sqrt(p * (1 - p) / tries) + 1 / tries
        if what in ("chol", "age"):  # with equal numbers, the p of Kolmogorov-Smirnov is only ever too high
            assert found[what] >= p - off, what
        else:
            assert found[what] == pytest.approx(p, abs=off), what


def test_false_alarms_are_as_rare_as_promised(before: pd.DataFrame) -> None:
    alarms = sum(bool(compared(before, drawn(before, 20, seed)).shifted) for seed in range(60))
    assert alarms <= stats.binom.isf(0.001, 60, drift.ALPHA)


@pytest.mark.parametrize("n", [50, 300])
def test_the_smallest_change_that_is_found_is_found_four_times_in_five(n: int) -> None:
    shift, share = drift.detectable(303, n, 1)
    rng, tries = np.random.default_rng(3), 400
    numbers = [stats.ks_2samp(rng.normal(size=303), rng.normal(shift, size=n)).pvalue for _ in range(tries)]
    counts = [
        stats.chi2_contingency([[a, 303 - a], [b, n - b]], correction=False).pvalue
        for a, b in zip(rng.binomial(303, 0.5, tries), rng.binomial(n, 0.5 + share, tries), strict=True)
    ]
    for p in (numbers, counts):
        assert np.mean(np.array(p) <= drift.ALPHA) == pytest.approx(drift.POWER, abs=0.1)
