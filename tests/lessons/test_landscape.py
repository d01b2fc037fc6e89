"""The lesson `landscape`: values against plain NumPy and Keras, and what the directions are."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heart_disease.evaluation.contest import Contest
from heart_disease.evaluation.settings import Evaluation
from heart_disease.lessons.landscape import Settings, plainly, run
from heart_disease.lessons.lesson import Lesson
from heart_disease.reporting import landscape
from heart_disease.reporting.figures import ORANGE
from heart_disease.training import engine, network
from heart_disease.training.recipe import Recipe
from tests.harness.data import patients

WIDTHS = (29, 8, 1)
RNG = np.random.default_rng(0)
SIZE = 29 * 8 + 8 + 8 + 1
WEIGHTS = 0.3 * RNG.standard_normal(SIZE)
X, Y = RNG.standard_normal((40, 29)), (RNG.random(40) < 0.5).astype(float)
WAYS = RNG.standard_normal((2, SIZE))
LOSS = landscape.Loss(X, Y, WIDTHS)
GRID, OTHER = np.linspace(-1, 1, 7), np.linspace(-0.5, 1, 4)


def test_every_point_is_the_loss_of_the_network_there() -> None:
    found = LOSS.on_grid(WEIGHTS, WAYS, GRID, OTHER)
    assert found.shape == (4, 7)
    for i, b in enumerate(OTHER):
        for j, a in enumerate(GRID):
            expected = plainly(WEIGHTS + a * WAYS[0] + b * WAYS[1], LOSS)
            assert found[i, j] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("hidden", [(8,), (5, 3)])
def test_the_plain_loss_is_kerass(hidden: tuple[int, ...]) -> None:
    made = network.build(Recipe(hidden=hidden), 29)
    made.compile(loss="binary_crossentropy")
    flat = np.concatenate([part.ravel() for part in made.get_weights()])
    expected = made.evaluate(X, Y[:, None], verbose=0)
    assert plainly(flat, landscape.Loss(X, Y, (29, *hidden, 1))) == pytest.approx(expected, rel=1e-5)


def test_a_normalised_direction_moves_each_units_weights_by_their_own_length_and_no_bias() -> None:
    parts = landscape.split(landscape.normalised(WAYS[0], WEIGHTS, WIDTHS), WIDTHS)
    own = landscape.split(WEIGHTS, WIDTHS)
    for k in (0, 2):
        np.testing.assert_allclose(np.linalg.norm(parts[k], axis=0), np.linalg.norm(own[k], axis=0))
    assert not parts[1].any()
    assert not parts[3].any()


def test_twice_the_weights_in_one_layer_and_half_in_the_next_make_the_same_picture() -> None:
    scale = np.concatenate([np.full(29 * 8 + 8, 2.0), np.full(8, 0.5), [1.0]])
    pictures = [
        LOSS.on_grid(w, np.stack([landscape.normalised(way, w, WIDTHS) for way in WAYS]), GRID, GRID)
        for w in (WEIGHTS, scale * WEIGHTS)
    ]
    np.testing.assert_allclose(*pictures, rtol=1e-4)


def test_the_main_directions_of_a_path_in_a_plane_hold_all_of_it() -> None:
    path = RNG.standard_normal((20, 2)) @ WAYS + WEIGHTS
    main = landscape.of_the_path(path)
    np.testing.assert_allclose(main @ main.T, np.eye(2), atol=1e-9)
    found = landscape.plane(path, main, GRID, GRID, LOSS)
    assert found.share == pytest.approx(1)
    np.testing.assert_allclose(found.path @ main + path[-1], path, atol=1e-9)
    random = landscape.plane(path, RNG.standard_normal((2, SIZE)), GRID, GRID, LOSS)
    assert random.share < 0.2


def test_a_point_has_the_loss_of_the_recipes_activation() -> None:
    made = network.build(Recipe(hidden=(8,), activation="tanh"), 29)
    made.compile(loss="binary_crossentropy")
    flat = np.concatenate([part.ravel() for part in made.get_weights()]).astype(float)
    [[found]] = replace(LOSS, activation="tanh").on_grid(flat, WAYS, np.zeros(1), np.zeros(1))
    assert found == pytest.approx(made.evaluate(X, Y[:, None], verbose=0), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "evaluation"),
    [
        (Recipe(hidden=(3,), epochs=4, members=2, without=("ca",)), Evaluation(folds=2, repeats=1)),
        (Recipe(hidden=(), epochs=4), Evaluation(holdout=0.2)),
    ],
)
def test_a_training_has_the_landscape_of_the_network_that_it_ships(
    recipe: Recipe, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def look(path: Any, loss: landscape.Loss, **more: Any) -> Any:
        seen.update(path=path, y=loss.y)
        return planes(path, loss, **more, points=5)

    planes = landscape.planes
    monkeypatch.setattr(landscape, "planes", look)
    contest = Contest.on(patients.make(60), recipe, evaluation)
    networks = engine.train(contest.inputs, contest.labels, contest.jobs)
    picture = np.asarray(
        Image.open(io.BytesIO(landscape.of_training(contest, "cpu", "run 1a2b3c4d: 3 units"))).convert("RGB")
    )
    orange = [int(ORANGE[k : k + 2], 16) for k in (1, 3, 5)]
    assert np.abs(picture.astype(int) - orange).max(axis=2).min() < 30  # the start keeps its colour
    model = contest.model(networks, 1)
    assert len(seen["path"]) == 1 + 4
    learned = contest.labels[next(job for job in contest.jobs if job.fold == contest.shipped_fold).rows]
    np.testing.assert_array_equal(seen["y"], learned)
    shipped = np.concatenate([part.ravel() for part in model.network.get_weights()])
    np.testing.assert_allclose(seen["path"][-1], shipped, atol=1e-5)


@pytest.mark.parametrize("loss", [[[0.0, 0.5], [0.2, 90.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.7, 0.7], [0.7, 0.7]]])
def test_a_loss_of_0_and_one_that_is_the_same_everywhere_are_drawn(loss: list[list[float]]) -> None:
    ends, path = np.array([-1.0, 1.0]), np.zeros((3, 2))
    one = landscape.Plane(np.eye(2), ends, ends, np.array(loss), path, 1.0)
    drawn = landscape.figure(one, one, "run 1a2b3c4d: 3 units")
    assert drawn.get_suptitle() == "run 1a2b3c4d: 3 units"
    surface, above, *_ = drawn.axes
    assert all(np.isfinite(surface.get_zlim()))
    assert above.get_xlim() == (-1, 1)


def test_a_training_that_moves_nothing_lies_in_any_plane() -> None:
    still = landscape.plane(np.tile(WEIGHTS, (3, 1)), WAYS, GRID, GRID, LOSS)
    assert (still.share, np.abs(still.path).max()) == (1, 0)


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return run(Settings(epochs=20, points=21, units=4))


def test_the_lesson_trains_looks_around_and_checks_itself(lesson: Lesson) -> None:
    assert lesson.metrics["largest difference to NumPy"] < 1e-4
    assert lesson.metrics["loss at the end"] < lesson.metrics["loss at the start"]
    assert len(lesson.curves["loss"]) == 21
    assert lesson.metrics["share of the way in the random plane"] < 0.2
    assert lesson.metrics["share of the way in its main plane"] > 0.9
    assert "Li et al. 2018" in lesson.text
    assert lesson.png.startswith(b"\x89PNG")
