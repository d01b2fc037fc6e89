"""A flow run that is tried again continues its MLflow run: one run, one history, one version."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.registry import Origin
from heart_disease.training.recipe import Recipe
from tasks import register

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect", "quickly_trained")]
QUICK = {
    "recipe": Recipe(epochs=2),
    "evaluation": Evaluation(folds=2, repeats=1),
    "promotion": Promotion(promote_if="not-worse"),
    "force": True,
}


def runs_of(flow_run_id: object) -> list[Any]:
    experiment = mlflow.get_experiment_by_name(registry.EXPERIMENT)
    assert experiment
    tag = f"tags.`{registry.FLOW_RUN}` = '{flow_run_id}'"
    return mlflow.MlflowClient().search_runs([experiment.experiment_id], tag)


def history_of(run_id: str) -> dict[str, list[tuple[int, float]]]:
    client = mlflow.MlflowClient()
    names = client.get_run(run_id).data.metrics
    return {name: [(it.step, it.value) for it in client.get_metric_history(run_id, name)] for name in names}


def failing_first(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, then: Any = lambda: None) -> None:
    """Let one call fail after it has done its work, as if its answer were lost."""
    work, calls = getattr(where, name), []

    def fail(*given: Any, **named: Any) -> Any:
        found = work(*given, **named)
        calls.append(name)
        if len(calls) == 1:
            then()
            raise ConnectionResetError("the answer was lost")
        return found

    monkeypatch.setattr(where, name, fail)


def tried_twice(train: Any, **given: Any) -> Any:
    """The flow's result, taken from its state: a plain call always raises the error of the first try."""
    return train.with_options(retries=1)(**given, return_state=True).result()


@pytest.mark.parametrize("name", ["log_evaluation", "log_files", "log_model", "log_version_tags"])
def test_a_second_try_writes_nothing_twice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.train import train

    failing_first(monkeypatch, registry, name)
    done = tried_twice(train, **QUICK)
    [run] = runs_of(done.flow_run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_id == done.run.run_id == done.model.run_id
    for metric, points in history_of(run.info.run_id).items():
        assert max(Counter(step for step, _ in points).values()) == 1, metric
    assert len(mlflow.MlflowClient().search_model_versions(f"run_id = '{run.info.run_id}'")) == 1
    assert registry.load_model(done.model)


def test_a_try_that_died_after_the_alias_moved_has_nothing_left_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.train import Unchanged, train

    promoted = {**QUICK, "recipe": Recipe(), "promotion": Promotion(promote_if="not-worse", margin=0.5)}
    failing_first(monkeypatch, register, "_decision_artifacts")
    state: Any = train.with_options(retries=1)(**promoted, return_state=True)
    done = state.result()
    assert isinstance(done, Unchanged)
    assert done.end == "Promoted"
    [run] = runs_of(done.flow_run_id)
    assert registry.champion() == done.champion
    assert (done.champion.run_id, run.info.status) == (run.info.run_id, "FINISHED")
    assert run.data.tags["promoted"] == "yes"


def test_a_file_that_changed_between_two_tries_starts_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.train import train

    path = tmp_path / "patients.csv"
    shutil.copy(sources.BUNDLED, path)

    def change() -> None:
        pd.read_csv(path).iloc[:-3].to_csv(path, index=False)

    failing_first(monkeypatch, registry, "log_evaluation", change)
    done = tried_twice(train, source=str(path), **QUICK)
    second, first = runs_of(done.flow_run_id)
    assert (first.info.status, second.info.status) == ("FAILED", "FINISHED")
    assert first.data.params["data_digest"] != second.data.params["data_digest"]


def origin(data: str = "d", code: str = "c") -> Origin:
    return Origin(Recipe(), {"folds": "2"}, data, code, {"keras": "3"})


def test_only_a_try_of_the_same_flow_run_with_the_same_origin_continues() -> None:
    with registry.open_run("first", {registry.FLOW_RUN: "a"}) as bare:
        pass
    assert registry.find_try("a", origin()) == bare.run_id  # it died before it could record its origin
    table = sources.load()
    with registry.open_run("second", {registry.FLOW_RUN: "b"}) as run:
        registry.log_start(run, table, origin())
    assert registry.find_try("b", origin()) == run.run_id
    for other in (("c", origin()), ("", origin()), ("b", origin(data="e")), ("b", origin(code="e"))):
        assert registry.find_try(*other) is None
