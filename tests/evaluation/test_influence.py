"""Importance and dependence, beside networks that are asked one after another, as Keras models."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from heart_disease.evaluation import influence
from heart_disease.evaluation.contest import NETWORK, Contest
from heart_disease.evaluation.influence import Influence
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.training.engine import Networks
from heart_disease.training.network import initial_weights
from heart_disease.training.recipe import Recipe
from tests.harness.data import patients

FRAME = patients.make(48, seed=5)
CONTEST = Contest.on(FRAME, Recipe(hidden=(3,), members=2), Evaluation(folds=3, repeats=2))
FEWER = Contest.on(FRAME, Recipe(hidden=(3,), without=("age", "ca")), Evaluation(folds=2, repeats=1))
HELD_OUT = Contest.on(FRAME, Recipe(hidden=(3,)), Evaluation(holdout=0.4))


def untrained(contest: Contest) -> Networks:
    """Networks with random weights, different ones for each job, so that every column matters."""
    starts = [initial_weights(job.recipe, job.recipe.widths[0]) for job in contest.jobs]
    weights = [np.concatenate([part.ravel() for part in parts]) for parts in starts]
    return Networks(contest.jobs, tuple(1.5 * part[None] for part in weights), {}, "none")


def plainly(contest: Contest, name: str, values: np.ndarray) -> np.ndarray:
    """Out-of-fold probabilities (G, R, tested) if everybody had each value, network by network."""
    networks, splits = untrained(contest), contest.splits
    members = contest.recipe.members
    out = np.zeros((len(values), splits.repeats, len(FRAME)))
    for k, job in enumerate(networks.jobs):
        if job.fold is None or job.side != NETWORK:
            continue
        train, test = splits.pairs[job.fold]
        copies = pd.concat([FRAME.iloc[test].assign(**{name: value}) for value in values])
        encoder = Encoder.fit(FRAME, train).leaving_out(contest.recipe.without)
        answers = networks.keras(k, encoder.width)(encoder.transform(copies)).numpy().reshape(len(values), -1)
        out[:, job.fold // (len(splits.pairs) // splits.repeats), test] += answers / members
    return out[:, :, splits.test_rows]


@cache
def found(contest: Contest) -> dict[str, Influence]:
    return {one.column: one for one in contest.influences(untrained(contest), contest.recipe.members)}


@pytest.mark.parametrize("contest", [CONTEST, HELD_OUT, FEWER], ids=["folds", "holdout", "fewer columns"])
@pytest.mark.parametrize("name", ["thal", "sex"])
def test_importance_is_the_mean_rise_of_the_loss_with_each_others_value(contest: Contest, name: str) -> None:
    rows, labels = contest.splits.test_rows, contest.labels[contest.splits.test_rows]
    others = FRAME[name].to_numpy()[rows]
    changed, weight = plainly(contest, name, others), len(others) * contest.splits.repeats
    risen = sum(log_loss(labels, p) for one in changed for p in one) / weight
    # Each patient with their own value: the diagonal of the same table.
    own = np.stack([changed[k, :, k] for k in range(len(rows))], axis=1)
    usual = np.mean([log_loss(labels, p) for p in own])
    got = found(contest)[name].importance
    assert got.value == pytest.approx(risen - usual, abs=1e-5)
    assert got.low < got.value < got.high


def test_the_mean_line_is_the_mean_probability_if_everybody_has_the_value() -> None:
    one = found(CONTEST)["oldpeak"]
    assert len(one.grid) <= influence.POINTS
    assert (np.diff(one.grid) > 0).all()
    p = plainly(CONTEST, "oldpeak", one.grid).mean(axis=1)  # (G, n)
    np.testing.assert_allclose(one.mean, p.mean(axis=1), atol=1e-5)
    shown = [np.isclose(p, line[:, None], atol=1e-5).all(axis=0).any() for line in one.lines.T]
    assert len(shown) == influence.LINES
    assert all(shown)


def test_every_column_is_there_and_the_most_important_comes_first() -> None:
    values = [one.importance.value for one in found(CONTEST).values()]
    assert values == sorted(values, reverse=True)
    assert set(found(CONTEST)) == set(schema.INPUT_NAMES)
    assert set(found(FEWER)) == set(schema.INPUT_NAMES) - {"age", "ca"}


def test_columns_that_the_networks_do_not_use_have_no_importance() -> None:
    networks = untrained(CONTEST)
    silent = Networks(networks.jobs, tuple(0 * part for part in networks.weights), {}, "none")
    for one in CONTEST.influences(silent, 2):
        assert one.importance.value == pytest.approx(0, abs=1e-7)
        np.testing.assert_allclose(one.mean, 0.5)


def test_very_many_patients_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influence, "MOST_ROWS", 20)
    [first, *_] = CONTEST.influences(untrained(CONTEST), 2)
    assert first.lines.shape[1] == 16  # every third of 48


def test_a_column_is_given_its_own_values_in_their_shares_and_a_blank_last() -> None:
    grid, shares = influence.spread(np.array([7, np.nan, 3, 7, np.nan, 7, 7, 7]))
    np.testing.assert_array_equal(grid, [3, 7, np.nan])
    assert shares.tolist() == [1 / 8, 5 / 8, 2 / 8]


def test_of_many_values_as_many_as_points_are_drawn_evenly() -> None:
    grid, shares = influence.spread(np.random.default_rng(0).permutation(1000).astype(float))
    np.testing.assert_array_equal(grid, 25 + 50 * np.arange(20))
    assert set(shares.tolist()) == {1 / 20}


def test_the_rivals_networks_are_not_asked() -> None:
    rivalled = Contest.on(FRAME, CONTEST.recipe, Evaluation(folds=3, repeats=2), rival=Recipe(hidden=(2,)))
    own = untrained(rivalled).pick(lambda job: job.side == NETWORK)
    assert rivalled.influences(untrained(rivalled), 2)[0].importance == CONTEST.influences(own, 2)[0].importance
