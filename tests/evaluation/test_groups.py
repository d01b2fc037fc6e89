"""In which groups of patients one model is worse than another, beside a plain computation and a simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss

from heart_disease.evaluation import folds, groups
from heart_disease.evaluation.contest import CHAMPION, NETWORK
from heart_disease.model import schema
from heart_disease.training.recipe import Recipe
from tests.evaluation.test_contest import Y, on, untrained
from tests.harness.data import patients
from tests.harness.models.metrics import plainly

N = 160
RNG = np.random.default_rng(3)
LABELS = (RNG.permutation(N) < 70).astype(float)
OURS, THEIRS = RNG.uniform(0.05, 0.95, (2, 3, N))
FIRST, REST = np.arange(N) < 100, np.arange(N) >= 60


def test_every_patient_is_in_one_age_band_one_sex_and_one_type_of_pain() -> None:
    masks = groups.members(patients.make(N))
    assert (np.sum(list(masks.values()), axis=0) == 3).all()


def test_groups_of_columns_that_are_not_declared_are_left_out() -> None:
    frame = patients.make(60).drop(columns=["age", "cp"])
    assert list(groups.members(frame)) == ["female", "male"]


def test_a_difference_is_the_mean_over_the_groups_own_patients() -> None:
    first, rest = groups.differences({"first": FIRST, "rest": REST}, LABELS, OURS, THEIRS, 1.0)
    assert (first.group, first.n, rest.group, rest.n) == ("first", 100, "rest", 100)
    ours, theirs = (np.mean([log_loss(LABELS[:100], p[:100]) for p in each]) for each in (OURS, THEIRS))
    assert first.difference.value == pytest.approx(ours - theirs)


def test_the_interval_is_students_widened_and_corrected_for_the_number_of_groups() -> None:
    def gaps(y: float, ours: np.ndarray, theirs: np.ndarray) -> float:
        return float(np.mean([log_loss([y], [p], labels=[0, 1]) for p in ours])) - float(
            np.mean([log_loss([y], [p], labels=[0, 1]) for p in theirs])
        )

    own = [gaps(LABELS[k], OURS[:, k], THEIRS[:, k]) for k in range(100)]
    masks = {"first": FIRST, "rest": REST, "too small": np.arange(N) < 30}
    found = groups.differences(masks, LABELS, OURS, THEIRS, 1.14)
    expected = stats.t.interval(1 - 0.05 / 2, 99, np.mean(own), 1.14 * stats.sem(own))
    assert (found[0].difference.low, found[0].difference.high) == pytest.approx(expected)
    assert [one.group for one in found] == ["first", "rest"]


def test_every_metric_of_a_group_has_a_difference_and_an_interval_of_the_same_kind() -> None:
    masks = {"first": FIRST, "rest": REST, "too small": np.arange(N) < 30}
    found = groups.metric_differences(masks, LABELS, OURS, THEIRS, 1.14, (0.6, 0.4))
    assert list(found) == ["first", "rest"]
    for one in groups.differences(masks, LABELS, OURS, THEIRS, 1.14):
        assert vars(found[one.group]["log_loss"]) == pytest.approx(vars(one.difference))
    y = LABELS[:100]
    ours, theirs = (plainly(y, p[:, :100], at) for p, at in ((OURS, 0.6), (THEIRS, 0.4)))
    for metric, estimate in found["first"].items():
        assert estimate.value == pytest.approx(ours[metric] - theirs[metric])
    sick = y > 0.5
    gap = (OURS[:, :100][:, sick] >= 0.6).mean(axis=0) - (THEIRS[:, :100][:, sick] >= 0.4).mean(axis=0)
    expected = stats.t.interval(1 - 0.05 / 2, sick.sum() - 1, gap.mean(), 1.14 * stats.sem(gap))
    assert (found["first"]["sensitivity"].low, found["first"]["sensitivity"].high) == pytest.approx(expected)


def test_the_area_of_a_group_has_the_interval_of_delong_with_every_pair_of_patients_counted() -> None:
    found = groups.metric_differences({"first": FIRST}, LABELS, OURS, THEIRS, 1.14, (0.5, 0.5))["first"]["roc_auc"]
    y, p = LABELS[:100] > 0.5, (OURS[:, :100], THEIRS[:, :100])
    right = [np.mean([a[y][:, None] > a[~y] for a in each], axis=0) for each in p]  # (sick, healthy)
    gap = right[0] - right[1]
    error = np.hypot(stats.sem(gap.mean(axis=1)), stats.sem(gap.mean(axis=0)))
    expected = stats.t.interval(0.95, min(gap.shape) - 1, gap.mean(), 1.14 * error)
    assert (found.low, found.high) == pytest.approx(expected)


def test_the_same_answers_are_worse_nowhere() -> None:
    assert not any(one.worse for one in groups.differences({"first": FIRST}, LABELS, OURS, OURS, 1.0))


def test_equal_models_are_called_worse_somewhere_in_at_most_one_of_forty_cases() -> None:
    rng, trials = np.random.default_rng(0), 1000
    masks = {f"band {k}": np.arange(600) // 100 == k for k in range(6)}
    labels = np.tile([0.0, 1.0], 300)
    wrong = 0
    for _ in range(trials):
        base = rng.uniform(0.1, 0.9, 600)
        ours, theirs = (np.clip(base + rng.normal(0, 0.05, (1, 600)), 0.01, 0.99) for _ in range(2))
        wrong += any(one.worse for one in groups.differences(masks, labels, ours, theirs, 1.0))
    assert wrong / trials <= groups.ERROR + 2 * np.sqrt(groups.ERROR / trials)


def test_in_words() -> None:
    [found] = groups.differences({"female": FIRST}, LABELS, OURS, THEIRS, 1.0)
    assert str(found) == f"female {found.difference.signed}"


def test_a_contest_compares_groups_on_the_patients_that_were_tested() -> None:
    frame = patients.make(400)
    labels = schema.label(frame).to_numpy()
    splits = folds.holdout(labels, 0.5, seed=1)
    contest = on(splits, frame=frame, labels=labels, rival=Recipe(epochs=4))
    found = contest.report(untrained(contest))
    tested = frame.iloc[splits.test_rows]
    judged = {name: mask for name, mask in groups.members(tested).items() if groups.can_be_judged(found.labels[mask])}
    assert 2 <= len(judged) < 9
    assert {one.group: one.n for one in found.groups} == {name: int(mask.sum()) for name, mask in judged.items()}
    female = next(one for one in found.groups if one.group == "female")
    ours, theirs = (log_loss(found.labels[judged["female"]], found.probabilities[m][0][judged["female"]])
                    for m in (NETWORK, CHAMPION))  # fmt: skip
    assert female.difference.value == pytest.approx(ours - theirs)


def test_without_a_champion_no_groups_are_compared() -> None:
    contest = on(folds.holdout(Y, 0.3, seed=1))
    assert contest.report(untrained(contest)).groups == ()
