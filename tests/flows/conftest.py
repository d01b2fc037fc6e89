"""Fixtures that the tests of a search share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlflow
import pytest

from heart_disease import registry
from heart_disease.search import space
from heart_disease.search.study import Result
from tests.harness.searches import FITS, SPACE, Trainer, search


@pytest.fixture(scope="module")
def small_batches() -> Iterator[None]:
    from flows import sweep

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "BATCH_NETWORKS", 2 * FITS)
        yield


@pytest.fixture(scope="module")
def outcome(prefect: None, small_batches: None) -> Any:
    return search()


@pytest.fixture(scope="module")
def run(outcome: Any) -> mlflow.entities.Run:
    return mlflow.get_run(outcome.run.run_id)


@pytest.fixture
def trainer(outcome: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    from tasks import stages

    known = []
    for number, arrays in registry.read_batches(outcome.run).items():
        recipes = space.grid(space.make_space(SPACE))[2 * number : 2 * number + 2]
        known += Result.from_arrays(recipes, arrays)

    def install(stop: tuple[int, BaseException] | None = None) -> Trainer:
        made = Trainer(known, stop)
        monkeypatch.setattr(stages, "cross_validate", made)
        return made

    return install
