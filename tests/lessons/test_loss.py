"""Losses against Keras and scikit-learn, slopes against the tape and finite differences, and tables by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import brier_score_loss, log_loss

from heart_disease.data import sources
from heart_disease.evaluation import estimates, folds
from heart_disease.lessons import loss
from heart_disease.lessons.lesson import Lesson
from heart_disease.model import schema

RNG = np.random.default_rng(0)
Y = (RNG.random(40) < 0.45).astype(float)
Z = RNG.normal(0, 3, 40)
P = 1 / (1 + np.exp(-Z))


def test_the_lecture_tables_are_logarithms_to_base_2() -> None:
    # 1000 is a little below 2^10, and 10 is between 2^3 and 2^4.
    sick = loss.cross_entropy(np.ones(4), np.array(loss.LECTURE)) / np.log(2)
    assert sick == pytest.approx([9.96578, 3.32193, 1, 0], abs=1e-5)
    healthy = loss.cross_entropy(np.zeros(4), np.array(loss.LECTURE)) / np.log(2)
    assert healthy == pytest.approx([0.0014434, 0.1520031, 1, np.inf], abs=1e-6)


def test_both_means_equal_scikit_learn_and_keras() -> None:
    entropy, error = loss.cross_entropy(Y, P).mean(), loss.squared_error(Y, P).mean()
    assert entropy == pytest.approx(log_loss(Y, P))
    assert error == pytest.approx(brier_score_loss(Y, P))
    assert loss.keras_means(Y, P) == pytest.approx((entropy, error), rel=1e-5)


def test_each_patient_costs_what_the_evaluation_says() -> None:
    np.testing.assert_allclose(loss.cross_entropy(Y, P), estimates.losses(Y, P[None]))


def test_a_certain_answer_costs_nothing_or_infinitely_much() -> None:
    certain = np.array([0.0, 1.0])
    assert loss.cross_entropy(certain, certain).tolist() == [0, 0]
    assert loss.cross_entropy(1 - certain, certain).tolist() == [np.inf, np.inf]
    assert loss.squared_error(1 - certain, certain).tolist() == [1, 1]


@pytest.mark.parametrize("which", ["cross_entropy", "squared_error"])
def test_slopes_equal_finite_differences(which: str) -> None:
    value, slope = getattr(loss, which), getattr(loss, f"{which}_slope")
    h = 1e-5
    up, down = (value(Y, 1 / (1 + np.exp(-(Z + step)))) for step in (h, -h))
    np.testing.assert_allclose(slope(Y, Z), (up - down) / (2 * h), atol=1e-8)


def test_slopes_equal_those_of_the_tape() -> None:
    for ours, tape in zip(
        (loss.cross_entropy_slope(Y, Z), loss.squared_error_slope(Y, Z)), loss.tape_slopes(Y, Z), strict=True
    ):
        np.testing.assert_allclose(ours, tape, atol=1e-12)


def test_a_confident_mistake_moves_cross_entropy_fully_and_squared_error_hardly() -> None:
    sick, sure = np.ones(1), np.array([-20.0])
    assert loss.cross_entropy_slope(sick, sure)[0] == pytest.approx(-1)
    assert -1e-8 < loss.squared_error_slope(sick, sure)[0] < 0


def test_descent_follows_the_slope() -> None:
    settings = loss.Settings(start=-2, learning_rate=0.5, steps=2)
    first = 1 / (1 + np.exp(2))
    z = -2 + 0.5 * (1 - first)
    second = 1 / (1 + np.exp(-z))
    third = 1 / (1 + np.exp(-(z + 0.5 * (1 - second))))
    assert loss.descend(loss.cross_entropy_slope, settings) == pytest.approx([first, second, third])


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return loss.run(loss.Settings(patients=3, steps=20, seed=1))


def test_the_patients_are_held_out_and_the_trainer_measured_their_loss() -> None:
    answers, by_trainer = loss.unseen(seed=1)
    patients = sources.load().frame
    labels = schema.label(patients)
    test = folds.holdout(labels.to_numpy(), loss.HELD_OUT, 1).test_rows
    assert sorted(answers.index) == sorted(patients.index[test])
    assert (answers.y == labels.loc[answers.index]).all()
    assert log_loss(answers.y, answers.p) == pytest.approx(by_trainer, rel=1e-5)
    assert (answers.p - answers.y).abs().is_monotonic_increasing


def test_the_lesson_names_the_base_and_its_numbers(lesson: Lesson) -> None:
    text = " ".join(lesson.text.split())
    assert "logarithms to base 2" in text
    assert "| 0.001 | 9.97 | 6.91 | 0.998 |" in text
    assert f"The mean of these 3 is {lesson.metrics['cross_entropy']:.4f} by hand" in text
    assert "squared error `p` passes 1/2 not by step 20" in text


def test_the_lesson_agrees_with_keras_the_tape_and_the_trainer(lesson: Lesson) -> None:
    assert lesson.metrics["largest_difference_to_keras"] < 1e-6
    assert lesson.metrics["largest_difference_to_tape"] < 1e-12
    assert lesson.metrics["largest_difference_to_trainer"] < 1e-5
    assert np.isfinite(list(lesson.metrics.values())).all()
    assert {name: len(curve) for name, curve in lesson.curves.items()} == {
        "probability/cross-entropy": 21,
        "probability/squared error": 21,
    }


def test_the_figure_has_labels_and_legends(lesson: Lesson) -> None:
    assert len(lesson.figure.axes) == 4
    for axes in lesson.figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_legend() is not None
    assert lesson.png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patients": 1}, "greater than or equal to 2"),
        ({"start": 0.5}, "less than 0"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"patience": 3}, "Unexpected keyword argument"),
    ],
)
def test_nonsense_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        loss.Settings(**change)
