"""The lesson `descent` against TensorFlow's tape, SciPy, central differences and a calculation by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.optimize import brentq

from heart_disease.lessons import descent
from heart_disease.lessons.descent import BOUND, Settings

MINIMUM = brentq(lambda w: 4 * w**3 + 2 * w + 10, -3, 0, xtol=1e-14)  # where 50 g' = 0


def walk(step: float, steps: int = 25, start: float = 2.5) -> np.ndarray:
    return descent.descend(descent.derivative, [start], step, steps)


def test_the_derivative_by_hand_equals_the_tapes_and_central_differences() -> None:
    points = np.linspace(-20, 20, 401)
    np.testing.assert_allclose(descent.derivative(points), descent.by_tape(descent.g, points), rtol=1e-12, atol=1e-12)
    central = (descent.g(points + 1e-5) - descent.g(points - 1e-5)) / 2e-5
    np.testing.assert_allclose(descent.derivative(points), central, rtol=1e-6, atol=1e-6)


def test_the_first_steps_of_the_courses_walk_are_as_worked_out_by_hand() -> None:
    # g'(2.5) = 0.08 x 15.625 + 0.04 x 2.5 + 0.2 = 1.25 + 0.1 + 0.2 = 1.55, so w becomes 0.95;
    # g'(0.95) = 0.08 x 0.857375 + 0.038 + 0.2 = 0.30659, so w becomes 0.64341.
    np.testing.assert_allclose(walk(1.0, 2)[:, 0], [2.5, 0.95, 0.64341], atol=1e-12)
    assert descent.g(2.5) == pytest.approx((39.0625 + 6.25 + 25) / 50)


def test_a_good_step_size_ends_at_the_minimum_and_never_rises() -> None:
    path = walk(1.0, 60)
    assert path[-1, 0] == pytest.approx(MINIMUM, abs=1e-6)
    assert (np.diff(descent.g(path[:, 0])) <= 0).all()
    assert descent.outcome(path, 60) == f"arrives at step {descent.arrival(path)}"


def test_arrival_is_the_step_from_which_on_the_derivative_stays_near_0() -> None:
    path = walk(1.0, 60)
    at = descent.arrival(path)
    assert at
    assert (np.abs(descent.derivative(path[at:, 0])) < 1e-3).all()
    assert abs(descent.derivative(path[at - 1, 0])) >= 1e-3
    passing = np.array([[2.0], [MINIMUM], [2.0]])
    assert descent.arrival(passing) is None
    assert descent.arrival(np.array([[MINIMUM]])) == 0


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (0.05, "is still on its way after 25 steps"),
        (4.95, "still jumps from side to side after 25 steps"),
        (1.0, "arrives at step 21"),
        (4.0, "diverges: beyond 1000 at step 4"),
    ],
)
def test_the_fate_of_a_walk_is_reported(step: float, words: str) -> None:
    start = -1.5 if step == 4.95 else 2.5
    assert descent.outcome(walk(step, start=start), 25) == words


@pytest.mark.parametrize("step", [4.0, 100.0])
@pytest.mark.parametrize("start", [2.5, -100.0, 100.0])
def test_a_diverging_walk_ends_inside_the_bound_and_overflows_nowhere(step: float, start: float) -> None:
    with np.errstate(all="raise"):
        path = walk(step, 1000, start)
    assert len(path) < 10
    assert np.abs(path).max() < BOUND
    assert abs(path[-1, 0] - step * descent.derivative(path[-1, 0])) >= BOUND


def test_each_rule_is_illustrated_by_a_point_where_it_holds() -> None:
    rows = descent.rule_rows({1.0: walk(1.0), 4.0: walk(4.0)})
    assert [row[0] for row in rows] == ["positive", "negative", "about 0"]
    positive, negative, flat = rows
    assert positive[2:] == ("w = 2.5 (step size 1, step 0)", "1.55, so w becomes 0.95")
    # 2.5 - 4 x 1.55 = -3.7; g'(-3.7) = 0.08 x -50.653 - 0.148 + 0.2 = -4.00024; -3.7 + 16.00096 = 12.30096
    assert negative[2:] == ("w = -3.7 (step size 4, step 1)", "-4, so w becomes 12.3")
    assert flat[2] == "w = -1.233 (step size 1, step 21)"


def test_a_rule_that_no_point_illustrates_says_so() -> None:
    rows = descent.rule_rows({1.0: walk(1.0, 2)})
    assert [row[2] for row in rows][1:] == ["not met in this run"] * 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": 101}, "start\n  Input should be less than or equal to 100"),
        ({"start": math.nan}, "start\n  Input should be"),
        ({"step": 0}, "step\n  Input should be greater than 0"),
        ({"step": -1}, "step\n  Input should be greater than 0"),
        ({"steps": 0}, "steps\n  Input should be greater than or equal to 1"),
        ({"compare": ()}, "compare\n  Tuple should have at least 1 item"),
        ({"compare": (1, 0)}, "compare.1\n  Input should be greater than 0"),
        ({"pace": 1}, "pace\n  Unexpected keyword argument"),
    ],
)
def test_nonsense_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**given)  # type: ignore[arg-type]
    assert message in str(refused.value)


def test_the_lesson_tells_its_numbers_and_draws_them() -> None:
    lesson = descent.run(Settings())
    for told in ("w = -1.23477", "g = -0.16997", "arrives at step 21", "diverges: beyond 1000 at step 4", "1.55"):
        assert told in lesson.text
    assert lesson.metrics["minimum w"] == pytest.approx(MINIMUM, abs=1e-6)
    assert lesson.metrics["distance to minimum"] == pytest.approx(abs(lesson.curves["w"][-1] - MINIMUM), abs=1e-6)
    assert lesson.metrics["largest difference to the tape"] < 1e-12
    assert lesson.curves["w"] == walk(1.0)[:, 0].tolist()
    assert len(lesson.figure.axes) == 5
    assert all(axes.get_xlabel() and axes.get_ylabel() and axes.get_title() for axes in lesson.figure.axes)
    assert "step size 4:\ndiverges: beyond 1000 at step 4" in [axes.get_title() for axes in lesson.figure.axes]
    assert lesson.png.startswith(b"\x89PNG")


@pytest.mark.parametrize("given", [{"step": 50, "start": 90, "steps": 1000}, {"steps": 1}, {"start": -1.23477}])
def test_at_extreme_settings_every_number_is_finite_and_the_figure_is_drawn(given: dict[str, float]) -> None:
    lesson = descent.run(Settings(compare=(100.0,), **given))  # type: ignore[arg-type]
    assert np.isfinite([*lesson.metrics.values(), *(v for curve in lesson.curves.values() for v in curve)]).all()
    assert "nan" not in lesson.text
    assert lesson.png


def test_a_lesson_whose_own_walk_diverges_says_so() -> None:
    text = descent.run(Settings(step=4.0, compare=(1.0,))).text
    assert "This walk\ndiverges: beyond 1000 at step 4" in text
    assert "get shorter" not in text
