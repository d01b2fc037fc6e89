"""Fixtures that the tests of trainings share, and those that the tests of a search share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlflow
import pytest

from heart_disease import registry
from heart_disease.search import space
from heart_disease.search.study import Result
from tests.harness.models.searches import FITS, SPACE, Trainer, search
from tests.harness.models.trainings import QUICK, checked_here, undrawn


@pytest.fixture(scope="module")
def trained(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The outcome of a small training on the bundled patients, in its own store."""
    from flows.train import train

    with pytest.MonkeyPatch.context() as patch, checked_here():
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.mktemp('train') / 'mlflow.db'}")
        yield train(**QUICK)


@pytest.fixture
def quickly_trained() -> Iterator[None]:
    with checked_here(), undrawn():
        yield


@pytest.fixture
def as_it_was(trained: Any) -> Iterator[None]:
    """Whatever a test makes champion, the version of `trained` is champion again for the next test."""
    yield
    # MLflow sets the alias, because a move of ours would write another reason into the version.
    mlflow.MlflowClient().set_registered_model_alias(registry.MODEL, registry.CHAMPION, trained.model.version)


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
