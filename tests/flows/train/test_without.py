"""A recipe that leaves columns out, from the training to the answer about a patient who lacks them."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pandas as pd
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.evaluation.settings import Evaluation
from heart_disease.training.recipe import RecipeOptions
from tests.harness.command import speaking

pytestmark = pytest.mark.slow

WITHOUT = ("slope", "ca", "thal")


def test_it_is_trained_judged_registered_promoted_used_and_reproduced(
    prefect: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.train import Outcome, Unchanged, train

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    recipe, evaluation = RecipeOptions(without=WITHOUT), Evaluation(folds=5, repeats=1)
    found = train(recipe=recipe, evaluation=evaluation)
    assert isinstance(found, Outcome)
    cost = found.decision.all_columns
    assert cost
    assert f"without slope, ca, thal it is {cost.words('the same recipe with all columns')}" in found.decision.reason
    run = mlflow.MlflowClient().get_run(found.run.run_id).data
    assert run.params["without"] == "slope ca thal"
    assert run.tags["verdict/all_columns"] == cost.kind
    assert run.metrics["log_loss_minus/all_columns"] == pytest.approx(cost.difference.value)
    assert run.metrics["log_loss"] - run.metrics["all_columns/log_loss"] == pytest.approx(cost.difference.value)

    heart = speaking(capsys)
    if not found.decision.promote:
        assert heart("promote", found.model.version, "--because", "nobody here has a scanner")[0] == 0
    assert isinstance(train(recipe=recipe, evaluation=evaluation), Unchanged)
    patients = pd.read_csv(sources.BUNDLED).drop(columns=[*WITHOUT, "num"]).assign(chol=250).head(20)
    patients.to_csv(tmp_path / "ward.csv", index=False)
    code, _, err = heart("predict", str(tmp_path / "ward.csv"))
    assert (code, "20 rows scored" in err) == (0, True)
    code, out, _ = heart("reproduce", registry.CHAMPION)
    assert (code, "303 probabilities agree" in out) == (0, True)
