"""Six versions to compare, and the command that compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from heart_disease import registry
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.training.recipe import Recipe
from tests.harness.command import speaking
from tests.harness.data import patients
from tests.harness.models.trainings import checked_here, undrawn

EVALUATION = Evaluation(folds=4, repeats=2)


@pytest.fixture(scope="module")
def store(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store: version 1 is champion and 2 challenger, both on the same folds; 3 has other folds, 4 a holdout.

    5 and 6 learned from the folder's files ours.csv and theirs.csv; new.csv has patients of neither.
    """
    from flows.train import train

    folder = tmp_path_factory.mktemp("compare")
    made = patients.make(400, seed=5)
    for name, rows in (("ours", slice(0, 150)), ("theirs", slice(150, 300)), ("new", slice(300, 400))):
        made.iloc[rows].to_csv(folder / f"{name}.csv", index=False)
    with pytest.MonkeyPatch.context() as patch, checked_here():
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        with undrawn():
            assert train(evaluation=EVALUATION, promotion=Promotion(margin=0.2)).decision.promote
            train(recipe=Recipe(weight_decay=0, epochs=300), evaluation=EVALUATION)
            train(recipe=Recipe(seed=1), evaluation=EVALUATION)
            train(evaluation=Evaluation(holdout=0.2))
            for name in ("ours", "theirs"):
                train(
                    source=str(folder / f"{name}.csv"),
                    recipe=Recipe(epochs=20),
                    evaluation=Evaluation(folds=2, repeats=1),
                )
        client = mlflow.MlflowClient()
        client.set_registered_model_alias(registry.MODEL, registry.CHALLENGER, "2")
        yield folder


@pytest.fixture
def heart(store: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command on the store: its exit code, what it printed, and its errors on one line."""
    return speaking(capsys)
