"""A small search for tests: three batches of two configurations; and a trainer that counts, or stops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import ViewType

from heart_disease.evaluation.settings import Evaluation
from heart_disease.registry.sweeps import SWEEPS
from heart_disease.search.study import Choice, Result, Study, simplicity
from heart_disease.training.recipe import Recipe

SPACE = {"hidden": [[2]], "learning_rate": [0.01, 0.03, 0.1], "weight_decay": [0.0, 1.0], "epochs": [1, 3]}
EVALUATION = Evaluation(folds=2, repeats=2)
ARGUMENTS = ["--grid", "--folds", "2", "--repeats", "2", "--inner-folds", "2"]
FITS = 4 + 2 * 2
BATCHES = 3  # each has two configurations


def search(**changes: Any) -> Any:
    """The search that the tests share."""
    from flows import sweep

    given = {"space": SPACE, "method": "grid", "evaluation": EVALUATION, "inner_folds": 2, "device": "cpu"}
    return sweep.search(**given | changes)


def children(run_id: str, view: int = ViewType.ACTIVE_ONLY) -> list[mlflow.entities.Run]:
    """The child runs of a search's run, in the order of the configurations."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(SWEEPS).experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'", view)
    return sorted(found, key=lambda one: int(one.data.tags["configuration"]))


def artifacts(run_id: str, folder: str) -> list[str]:
    return [Path(file.path).name for file in mlflow.MlflowClient().list_artifacts(run_id, folder)]


class Trainer:
    """Stands in for the training: it answers with what was found before, and notes what it was asked for.

    stop: a batch's number, counted from 1, and the exception to raise at it.
    """

    def __init__(self, known: Sequence[Result], stop: tuple[int, BaseException] | None = None) -> None:
        self.known = {result.recipe: result for result in known}
        self.stop = stop
        self.asked: list[Recipe] = []

    def __call__(self, study: Study, recipes: Sequence[Recipe], **_: Any) -> list[Result]:
        if self.stop and len(self.asked) == 2 * (self.stop[0] - 1):
            raise self.stop[1]
        self.asked += recipes
        return [self.known[recipe] for recipe in recipes]


def slow_choice(
    losses: np.ndarray, recipes: Sequence[Recipe], epochs: Sequence[int], widening: float
) -> tuple[Choice, Choice]:
    """`choose` as plain loops over configurations and patients."""
    means = {}
    for t in range(len(recipes)):
        for e in range(len(epochs)):
            means[t, e] = sum(losses[t, e]) / len(losses[t, e])
    best = min(means, key=lambda one: means[one])
    good = []
    for t, e in means:
        apart = [ours - theirs for ours, theirs in zip(losses[t, e], losses[best], strict=True)]
        mean = sum(apart) / len(apart)
        variance = sum((one - mean) ** 2 for one in apart) / (len(apart) - 1)
        if mean <= widening * (variance / len(apart)) ** 0.5:
            good.append((t, e))
    simplest = min(good, key=lambda one: (*simplicity(recipes[one[0]], epochs[one[1]]), means[one]))
    return Choice(*best), Choice(*simplest)
