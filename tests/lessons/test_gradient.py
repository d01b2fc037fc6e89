"""The lesson `gradient` against TensorFlow's tape, central differences, SciPy, and calculations by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pydantic import ValidationError

from heart_disease.lessons import gradient
from heart_disease.lessons.descent import by_tape, descend
from heart_disease.lessons.gradient import SURFACES, Settings

BOWL, SADDLE, VALLEYS = SURFACES.values()
# Where 4 w1 (w1^2 - 1) + 1/4 = 0: the left minimum, the saddle between, the right minimum.
LEFT, BETWEEN, RIGHT = np.sort(np.roots([4, 0, -4, 0.25]).real)


@pytest.mark.parametrize("name", SURFACES)
def test_gradients_by_hand_equal_the_tapes_and_central_differences(name: str) -> None:
    surface, points = SURFACES[name], np.random.default_rng(1).uniform(-4, 4, (300, 2))
    by_hand = surface.gradient(points)
    assert by_hand.shape == (300, 2)
    np.testing.assert_allclose(by_hand, by_tape(surface.value, points), rtol=1e-11, atol=1e-11)
    for i, unit in enumerate(np.eye(2)):
        central = (surface.value(points + 1e-5 * unit) - surface.value(points - 1e-5 * unit)) / 2e-5
        np.testing.assert_allclose(by_hand[:, i], central, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SURFACES)
def test_the_formulas_shown_are_those_of_the_functions(name: str) -> None:
    surface, (w1, w2) = SURFACES[name], (0.7, -1.3)

    def worked_out(text: str) -> object:
        python = re.sub(r"(?<=[\d)]) (?=[w(])", " * ", text.replace("^", "**"))  # 4 w1 (w1^2 - 1)
        return eval(python, {"w1": w1, "w2": w2})  # noqa: S307

    assert worked_out(surface.formula) == pytest.approx(surface.value(np.array([w1, w2])))
    assert worked_out(surface.slopes) == pytest.approx(surface.gradient(np.array([w1, w2])).tolist())


def test_values_worked_out_by_hand() -> None:
    point = np.array([2.0, -1.0])
    assert BOWL.value(point) == 4 + 1 + 2
    assert SADDLE.value(point) == 4 - 1
    assert VALLEYS.value(point) == 9 + 1 + 0.5
    assert VALLEYS.gradient(point).tolist() == [24.25, -2.0]  # 4 x 2 x 3 + 1/4


def test_in_the_bowl_every_step_takes_the_same_share_off_both_weights() -> None:
    path = descend(BOWL.gradient, (2.5, -2.0), 0.1, 30)
    np.testing.assert_allclose(path, 0.8 ** np.arange(31)[:, None] * [2.5, -2.0], rtol=1e-12)


def test_a_walk_on_the_saddles_ridge_stops_in_the_middle_and_one_beside_it_falls_off() -> None:
    on_it = descend(SADDLE.gradient, (1.8, 0.0), 0.05, 200)
    assert np.abs(on_it[-1]).max() < 1e-8
    for side in (1, -1):
        beside = descend(SADDLE.gradient, (1.8, side * 0.01), 0.05, 60)
        np.testing.assert_allclose(beside[-1], [1.8 * 0.9**60, side * 0.01 * 1.1**60], rtol=1e-9)
    # The second derivatives there are 2 and -2: up in one direction, down in the other.
    assert SADDLE.value(np.array([0.1, 0.0])) > SADDLE.value(np.zeros(2)) > SADDLE.value(np.array([0.0, 0.1]))


@pytest.mark.parametrize(("side", "where"), [(-1.0, LEFT), (1.0, RIGHT)])
def test_scipys_minima_of_the_valleys_are_roots_of_the_gradient(side: float, where: float) -> None:
    np.testing.assert_allclose(gradient.minimum(VALLEYS, np.array([side, 0.0])), [where, 0], atol=1e-6)


@pytest.mark.parametrize("height", [-1.5, 0.0, 1.5])
@pytest.mark.parametrize("beside", [-0.3, -0.02, 0.02, 0.3])
def test_the_side_of_the_watershed_decides_the_valley(beside: float, height: float) -> None:
    end = descend(VALLEYS.gradient, (BETWEEN + beside, height), 0.05, 400)[-1]
    np.testing.assert_allclose(end, [LEFT if beside < 0 else RIGHT, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": (1, 11)}, "start.1\n  Input should be less than or equal to 10"),
        ({"start": (1,)}, "start.1\n  Field required"),
        ({"step": 0}, "step\n  Input should be greater than 0"),
        ({"steps": 0}, "steps\n  Input should be greater than or equal to 1"),
        ({"nudge": 0}, "nudge\n  Input should be greater than 0"),
        ({"starts": 0}, "starts\n  Input should be greater than or equal to 1"),
        ({"seed": -1}, "seed\n  Input should be greater than or equal to 0"),
        ({"valley": 1}, "valley\n  Unexpected keyword argument"),
    ],
)
def test_nonsense_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**given)  # type: ignore[arg-type]
    assert message in str(refused.value)


def test_the_lesson_tells_its_numbers_and_draws_them() -> None:
    lesson = gradient.run(Settings())
    assert "over 497 weights" in lesson.text  # of the default network
    for told in ("(-1.03, 0) with g = -0.2538", "(0.967, 0) with\ng = 0.246", "1 - 2 x 0.05 = 0.9"):
        assert told in lesson.text
    ends = np.array([lesson.curves[f"two valleys g start {k}"][-1] for k in range(8)])
    deep, shallow = (VALLEYS.value(np.array([w1, 0.0])) for w1 in (LEFT, RIGHT))
    left, right = (int(np.isclose(ends, value, atol=1e-3).sum()) for value in (deep, shallow))
    assert (lesson.metrics["left valley"], lesson.metrics["right valley"]) == (left, right)
    assert left > 0 < right
    assert left + right == 8
    assert f"{left} end in the left valley" in lesson.text
    assert lesson.metrics["bowl distance to minimum"] == pytest.approx(np.hypot(2.5, 2) * 0.9**100, abs=1e-6)
    assert len(lesson.figure.axes) == 4
    assert all(axes.get_xlabel() and axes.get_ylabel() and axes.get_title() for axes in lesson.figure.axes)
    assert sum(axes.name == "3d" for axes in lesson.figure.axes) == 1
    assert lesson.png.startswith(b"\x89PNG")


def test_other_seeds_start_elsewhere_and_the_same_seed_does_not() -> None:
    one, again, other = (gradient.run(Settings(steps=2, starts=3, seed=seed)) for seed in (0, 0, 1))
    assert one.curves == again.curves
    assert one.curves["two valleys g start 0"] != other.curves["two valleys g start 0"]


def test_walks_that_have_not_arrived_are_counted_apart() -> None:
    assert "In neither valley after 2 steps: 3." in gradient.run(Settings(steps=2, starts=3)).text
    assert "In neither valley" not in gradient.run(Settings()).text


def test_diverging_walks_are_reported_and_do_not_overflow() -> None:
    with np.errstate(over="raise", invalid="raise"):
        lesson = gradient.run(Settings(step=10, steps=1000, start=(0, 10), starts=20))
    assert "beyond 1000 at step 2" in lesson.text  # 10 x -19 = -190, and then 3610
    assert np.isfinite([*lesson.metrics.values(), *(v for curve in lesson.curves.values() for v in curve)]).all()
    assert lesson.png
