"""What surrounds the process does not change what is recorded: MLflow's variables, its active run, a uv project."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from sklearn.linear_model import LogisticRegression

from heart_disease import registry
from heart_disease.model.encoding import Encoder
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef, Run, champions, moves
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.command import ROOT
from tests.harness.data import patients
from tests.harness.models.champions import alias, move, path

TABLE = patients.make(60)
MODEL = PatientModel(Encoder.fit(TABLE), network.build(Recipe(hidden=(2,)), 29))
WRITES = {"log_batch", "log_metric", "log_param", "set_tag"}  # of MLflow's client, those that may return too early
sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def folder(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty store in the working directory; afterwards no run is active and no experiment is set."""
    (tmp_path / "mlflow.db").write_bytes(database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    while mlflow.active_run():
        mlflow.end_run()


def train() -> tuple[Run, ModelRef]:
    """What a training does to MLflow: a run with parameters, tags and metrics, and a version."""
    with registry.open_run("a run", {"source": "somewhere"}) as run:
        registry.log_values(run, {"epochs": 3}, {"seconds": 1.0}, {"loss": [3.0, 2.0]})
        ref = registry.log_model(run, MODEL, TABLE.head(2))
        registry.log_evaluation(run, ref, {"log_loss": 0.4}, [], "a title", "a description")
    return run, ref


def test_a_training_within_somebodys_run_leaves_that_run_alone(folder: Path) -> None:
    mlflow.set_experiment("somebody's")
    with mlflow.start_run() as theirs:
        run, ref = train()
        active = mlflow.active_run()
        assert active
        assert active.info.run_id == theirs.info.run_id
    client = mlflow.MlflowClient()
    assert client.get_run(theirs.info.run_id).data.params == {}
    assert len(client.search_runs([theirs.info.experiment_id])) == 1
    assert client.search_logged_models([theirs.info.experiment_id]) == []
    [model] = client.search_logged_models([run.experiment_id])
    assert (model.source_run_id, model.status.value) == (run.run_id, "READY")
    assert [output.model_id for output in client.get_run(run.run_id).outputs.model_outputs] == [model.model_id]
    assert registry.load_model(ref).threshold == MODEL.threshold


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_RUN_ID", "0" * 32),
        ("MLFLOW_EXPERIMENT_ID", "77"),
        ("MLFLOW_EXPERIMENT_NAME", "somebody's"),
        ("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true"),
        ("MLFLOW_ENABLE_ASYNC_LOGGING", "true"),
        ("MLFLOW_ACTIVE_MODEL_ID", "m-" + "0" * 32),
    ],
)
def test_mlflows_variables_for_other_programs_change_nothing(
    name: str, value: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    run, ref = train()
    client = mlflow.MlflowClient()
    data = client.get_run(run.run_id).data
    assert (data.params, data.metrics) == ({"epochs": "3"}, {"seconds": 1.0, "loss": 2.0, "log_loss": 0.4})
    assert data.tags["evaluation"] == "a title"
    assert client.get_experiment_by_name("somebody's") is None
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert not [it.name for it in threading.enumerate() if it.name.startswith(("SystemMetrics", "MLflowAsync"))]
    assert registry.load_model(ref).threshold == MODEL.threshold


def test_a_uv_project_in_the_working_directory_is_not_shipped(folder: Path) -> None:
    for name in ("uv.lock", "pyproject.toml", ".python-version"):
        (folder / name).write_text("")
    assert registry.load_model(train()[1]).threshold == MODEL.threshold


def test_automatic_logging_that_somebody_switched_on_logs_nothing(
    folder: Path,
) -> None:
    mlflow.sklearn.autolog(silent=True)
    try:
        with registry.open_run("a run", {}) as run:
            LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    finally:
        mlflow.sklearn.autolog(disable=True)
    assert [it.info.run_id for it in mlflow.MlflowClient().search_runs(["0", run.experiment_id])] == [run.run_id]


@sqlite
def test_of_two_writers_one_is_refused_although_mlflow_writes_later(
    client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    move(1, None)
    found = champions.settle()
    one, other = (found.next(registry.by_version(version), "by hand", "at once", "me") for version in ("2", "3"))
    assert [moves.append(found, one), moves.append(found, other)] == [True, False]
    assert champions.settle(patience=0).moves[1:] == [one]
    assert path(registry.history()) == ["1", "2"]
    assert alias() == "2"


def test_every_write_is_done_when_it_returns() -> None:
    """Whatever MLFLOW_ENABLE_ASYNC_LOGGING says. The registry's own functions have other names or take a Run."""
    late = []
    for file in (ROOT / "heart_disease" / "registry").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if given.get("synchronous") != "True":
                    late.append(f"{file.name}:{node.lineno}")
    assert late == []


def test_nothing_uses_mlflows_active_run_or_experiment() -> None:
    """Every one of `mlflow.log_...`, `mlflow.start_run` and the like; a run and a client are named instead."""
    fluent = {name for name in dir(mlflow.tracking.fluent) if not name.startswith("_")} & set(dir(mlflow))
    used = []
    for folder in ("heart_disease", "flows", "tasks", "expectations"):
        for file in (ROOT / folder).rglob("*.py"):
            used += [
                f"{file.name}:{node.lineno} {ast.unparse(node)}"
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("mlflow", "mlflow.tracking.fluent")
                if node.attr in fluent - {"MlflowClient"} or ast.unparse(node.value) == "mlflow.tracking.fluent"
            ]
    assert used == []
