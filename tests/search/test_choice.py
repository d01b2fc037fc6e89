"""The rule that chooses among configurations: the simplest within one standard error of the best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from heart_disease.search.study import Choice, choose, simplicity
from heart_disease.training.recipe import Recipe
from tests.harness.models.searches import slow_choice


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_equals_that_of_the_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    recipes = [
        Recipe(
            hidden=(int(rng.integers(1, 4)),), weight_decay=float(rng.integers(0, 3)), dropout=rng.integers(0, 2) / 2
        )
        for _ in range(12)
    ]
    patient, epochs = rng.gamma(1, 0.4, 40), (5, 10, 20)
    losses = patient + rng.normal(0, 0.1, (12, 3, 1)) + rng.normal(0, 0.3, (12, 3, 40))
    assert choose(losses, recipes, epochs, 1.2) == slow_choice(losses, recipes, epochs, 1.2)


def pair(apart: Sequence[float], widening: float = 1.0, *, spread: float = 0.0) -> tuple[Choice, Choice]:
    """The choice between 16 units and 4, which are worse by `apart` per patient; patients differ by `spread`."""
    patient = 0.4 + spread * np.arange(len(apart))
    losses = np.stack([patient, patient + apart])[:, None]
    return choose(losses, [Recipe(hidden=(16,)), Recipe(hidden=(4,))], [75], widening)


LARGE, SMALL = Choice(0, 0), Choice(1, 0)


def test_the_simpler_one_is_chosen_within_one_standard_error_of_the_difference() -> None:
    # 4 patients with mean 0.1 and standard deviation 0.2: the standard error is exactly 0.1 times sqrt(4 / 3).
    assert pair([0.3, -0.1, 0.3, -0.1]) == (LARGE, SMALL)
    assert pair([0.25, 0.05, 0.25, 0.05]) == (LARGE, LARGE)


def test_the_spread_of_patients_is_no_error_of_the_difference() -> None:
    assert pair([0.25, 0.05, 0.25, 0.05], spread=5.0) == (LARGE, LARGE)


def test_overlapping_folds_widen_the_standard_error() -> None:
    # The mean is 0.15, and the standard error 0.1 / sqrt(3) = 0.0577.
    apart = [0.25, 0.05, 0.25, 0.05]
    assert pair(apart, 2.5) == (LARGE, LARGE)
    assert pair(apart, 2.7) == (LARGE, SMALL)


def test_the_best_is_always_good_enough() -> None:
    assert pair([0.2, 0.2, 0.2]) == (LARGE, LARGE)
    assert pair([-0.2, -0.2, -0.2]) == (SMALL, SMALL)


def test_if_losses_are_equal_the_simpler_one_is_chosen() -> None:
    assert pair([0.0, 0.0, 0.0])[1] == SMALL


def test_if_both_are_equally_simple_the_better_one_is_chosen() -> None:
    recipes = [Recipe(learning_rate=rate) for rate in (0.001, 0.002, 0.003)]
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (3, 1, 30))
    noise -= noise.mean(axis=2, keepdims=True)
    losses = 1 + noise + np.array([0.02, 0.01, 0.015])[:, None, None]
    assert choose(losses, recipes, [75], 1.0)[1] == Choice(1, 0)


def test_simpler_means_fewer_weights_then_more_decay_then_more_dropout_then_fewer_epochs() -> None:
    in_order = [
        (Recipe(hidden=()), 200),
        (Recipe(hidden=(8,), weight_decay=0), 200),
        (Recipe(hidden=(16,), weight_decay=3), 200),
        (Recipe(hidden=(16,), weight_decay=1, dropout=0.5), 200),
        (Recipe(hidden=(16,), weight_decay=1, dropout=0.2), 50),
        (Recipe(hidden=(16,), weight_decay=1, dropout=0.2), 100),
        (Recipe(hidden=(16, 8), weight_decay=3), 10),
    ]
    assert sorted(in_order, key=lambda one: simplicity(*one)) == in_order


def test_epochs_are_chosen_like_the_rest() -> None:
    noise = np.array([0.3, -0.3, 0.3, -0.3])
    losses = np.stack([[0.5 + noise, 0.45 - noise, 0.44 + 0 * noise]])  # one recipe at 10, 20, 40 epochs
    assert choose(losses, [Recipe()], [10, 20, 40], 1.0) == (Choice(0, 2), Choice(0, 0))
