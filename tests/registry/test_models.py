"""Registered models: registered once per run, and refused if their files are not those that were registered."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import mlflow
import pandas as pd
import pytest

from heart_disease import registry
from heart_disease.cli import main
from heart_disease.data import sources
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import RejectedError, UnavailableError
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import Run
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tasks import stages
from tests.harness.data import copies, patients
from tests.harness.faults.damage import (
    files_of,
    flip_a_byte,
    make_it_a_pickled_model,
    plant_a_joblib,
    plant_a_pickle,
    plant_a_pickle_in_pythons_cache,
    plant_a_pickle_under_another_name,
    remove_a_file,
    rename_a_file,
    replace_the_code,
    replace_the_script,
)
from tests.harness.models.stores import copy_store, delete_for_good, store_in

TABLE = patients.make(60)
EXAMPLE = TABLE.head(3)


def a_model(seed: int = 0) -> PatientModel:
    return PatientModel(Encoder.fit(TABLE), network.build(Recipe(hidden=(2,), seed=seed), 29))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which version 1 is champion and 2 is not; made only once, because it takes seconds."""
    folder = tmp_path_factory.mktemp("made")
    with store_in(folder):
        for seed in (1, 2):
            with registry.open_run(f"recipe {seed}", {}) as run:
                ref = registry.log_model(run, a_model(seed), EXAMPLE)
            registry.set_challenger(ref, "a test")
        registry.move_champion(registry.by_version("1"), expected=None, kind="by hand", why="a test")
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that store, whose addresses point to the copied files."""
    copy_store(made, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def versions_of(run: Run) -> list[str]:
    found = mlflow.MlflowClient().search_model_versions(f"run_id='{run.run_id}'")
    return [str(version.version) for version in found]


def swap_the_network(folder: Path, trace: Path) -> None:
    a_model(9).save(folder / "artifacts" / "model")


DAMAGES = [
    plant_a_pickle, plant_a_pickle_under_another_name, plant_a_pickle_in_pythons_cache, plant_a_joblib,
    make_it_a_pickled_model, replace_the_script, replace_the_code, flip_a_byte,
    swap_the_network, rename_a_file, remove_a_file,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_predict_and_promote_refuse_files_that_were_not_registered_and_execute_none(
    damage: Callable[[Path, Path], None], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = store / "executed"
    for version in ("1", "2"):
        damage(files_of(version), trace)
    for command in (["predict", str(sources.BUNDLED)], ["promote", "2", "--because", "a test"]):
        assert main.main(command) == 4
        said = " ".join(capsys.readouterr().err.split())
        assert f"heart-disease version {'1' if command[0] == 'predict' else '2'} was not loaded: " in said
        assert "has no business in a model" in said or "have the digest" in said
        assert "heart promote VERSION" in said
    assert not trace.exists()
    assert registry.champion().version == "1"


def test_the_malicious_files_would_work_without_the_check(store: Path) -> None:
    trace = store / "executed"
    make_it_a_pickled_model(files_of("1"), trace)
    pickle.loads((files_of("1") / "python_model.pkl").read_bytes())  # noqa: S301
    assert trace.exists()


def test_the_refusal_names_the_file_that_does_not_belong_there(store: Path) -> None:
    plant_a_pickle(files_of("1"), store / "executed")
    with pytest.raises(UnavailableError, match=r"'artifacts/model/encoder.pkl' in .* has no business in a model"):
        registry.load_model(registry.champion())


def test_a_layer_that_carries_code_is_refused_even_if_it_was_registered(store: Path) -> None:
    layers = [keras.Input((29,)), keras.layers.Dense(1, "sigmoid"), keras.layers.Lambda(lambda x: x)]
    with registry.open_run("lambda", {}) as run:
        ref = registry.log_model(run, PatientModel(Encoder.fit(TABLE), keras.Sequential(layers)), EXAMPLE)
    with pytest.raises(UnavailableError, match="version 3 cannot be used: a layer of class 'Lambda'"):
        registry.load_model(ref)


def test_a_version_without_a_digest_is_refused_with_the_command_to_type(store: Path) -> None:
    mlflow.MlflowClient().delete_model_version_tag(registry.MODEL, "1", "artifact_digest")
    with pytest.raises(UnavailableError, match="no tag 'artifact_digest'.* heart train --force"):
        registry.load_model(registry.champion())


def test_loading_through_mlflow_does_not_change_the_digest(store: Path) -> None:
    mlflow.pyfunc.load_model("models:/heart-disease@champion")  # leaves a file in a local store
    registry.load_model(registry.champion())


def test_a_model_damaged_by_the_store_is_not_registered(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = mlflow.MlflowClient.log_model_artifacts

    def lossy(client: mlflow.MlflowClient, model_id: str, folder: str) -> None:
        upload(client, model_id, folder)
        flip_a_byte(Path(client.get_logged_model(model_id).artifact_location), store)

    monkeypatch.setattr(mlflow.MlflowClient, "log_model_artifacts", lossy)
    with registry.open_run("lossy", {}) as run, pytest.raises(UnavailableError, match="gave back other files"):
        registry.log_model(run, a_model(3), EXAMPLE)
    assert registry.versions() == ["2", "1"]


# Once per run.


def test_one_run_registers_its_model_only_once(store: Path) -> None:
    with registry.open_run("again", {}) as run:
        first = registry.log_model(run, a_model(3), EXAMPLE)
        assert registry.log_model(run, a_model(3), EXAMPLE) == first
    assert versions_of(run) == [first.version]
    with registry.open_run("another", {}) as other:
        assert registry.log_model(other, a_model(3), EXAMPLE) != first


@pytest.mark.parametrize("died", ["create_model_version", "create_registered_model"])
def test_a_try_that_died_between_upload_and_registration_leaves_one_version(
    died: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise SystemExit

    with registry.open_run("again", {}) as run:
        with monkeypatch.context() as patch:
            patch.setattr(mlflow.MlflowClient, died, dies)
            with pytest.raises(SystemExit):
                registry.log_model(run, a_model(3), EXAMPLE)
        ref = registry.log_model(run, a_model(3), EXAMPLE)
    assert versions_of(run) == [ref.version]


def test_a_try_whose_answer_was_lost_leaves_one_version(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create = mlflow.MlflowClient.create_model_version

    def creates_and_dies(*given: Any, **named: Any) -> None:
        create(*given, **named)
        raise SystemExit

    with registry.open_run("again", {}) as run:
        with monkeypatch.context() as patch:
            patch.setattr(mlflow.MlflowClient, "create_model_version", creates_and_dies)
            with pytest.raises(SystemExit):
                registry.log_model(run, a_model(3), EXAMPLE)
        ref = registry.log_model(run, a_model(3), EXAMPLE)
    assert versions_of(run) == [ref.version]


@pytest.mark.parametrize("why", ["it is damaged", "it is another model"])
def test_a_version_of_the_run_that_is_not_this_model_is_left_alone(why: str, store: Path) -> None:
    with registry.open_run("again", {}) as run:
        first = registry.log_model(run, a_model(4 if why == "it is another model" else 3), EXAMPLE)
        if why == "it is damaged":
            shutil.rmtree(files_of(first.version))
        second = registry.log_model(run, a_model(3), EXAMPLE)
    assert second != first
    assert registry.load_model(second).encoder == a_model(3).encoder


def test_what_a_version_was_made_from_outlives_its_run(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = sources.load()
    here = registry.origin_here(Recipe(hidden=(2,)), Evaluation(folds=3), table.digest)
    with registry.open_run("made", {"source": table.source, registry.DECLARED: "uci"}) as run:
        registry.log_start(run, table, here)
        registry.log_tags(run, {registry.DEVICE: "cpu", registry.MEMBERS: "1"})
        ref = registry.log_model(run, a_model(3), EXAMPLE)
    before = registry.origin_of(ref)
    delete_for_good(run.run_id)
    assert registry.origin_of(ref) == before
    assert (before.device, before.source, before.copy) == ("cpu", table.source, "uci")
    assert before.differences(here) == {}
    assert registry.load_model(ref).encoder == a_model(3).encoder
    registry.move_champion(ref, expected=registry.champion(), kind="by hand", why="a test")
    assert main.main(["champion"]) == 0
    assert f"recipe     {here.recipe.title}" in capsys.readouterr().out


def test_other_patients_are_told_by_their_sources_too_if_both_are_known() -> None:
    here = registry.origin_here(Recipe(), Evaluation(), "0123456789")
    one = replace(here, source="/home/me/january.csv")
    other = replace(here, source="https://user:word@example.org/february.csv", data="abcdefghij")
    assert one.differences(other) == {"data": "digest 01234567 -> abcdefgh, source january.csv -> february.csv"}
    assert here.differences(other) == {"data": "digest 01234567 -> abcdefgh"}
    assert one.differences(replace(one, source="a-copy.csv")) == {}


@pytest.mark.parametrize("frame", [copies.kaggle(), copies.renamed(copies.strangers(copies.kaggle()))])
def test_patients_that_were_read_as_a_copy_are_read_as_that_copy_again(frame: pd.DataFrame, tmp_path: Path) -> None:
    path, other = tmp_path / "ward.csv", tmp_path / "elsewhere.csv"
    for each in (path, other):
        frame.to_csv(each, index=False)
    data = sources.load(path, copy="kaggle").digest
    here = replace(registry.origin_here(Recipe(), Evaluation(), data), source=str(path), copy="kaggle")
    assert registry.patients_of("version 1", here, "put them back").digest == data
    assert registry.read_again(str(other), here).digest == data


def test_a_file_that_was_converted_since_is_not_read_as_the_copy_that_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    copies.renamed(copies.strangers(copies.kaggle())).to_csv(path, index=False)
    table = sources.load(path, copy="kaggle")
    here = replace(registry.origin_here(Recipe(), Evaluation(), table.digest), source=str(path), copy="kaggle")
    table.frame.sort_index().to_csv(path, index=False)
    assert registry.read_again(str(path), here).digest == table.digest
    table.frame.sort_index().head(200).to_csv(path, index=False)
    with pytest.raises(RejectedError, match="is not in Kaggle's heart.csv"):
        registry.read_again(str(path), here)


# Retries if the store is a server.


class Ended:
    """The state of a task that failed."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def result(self, raise_on_failure: bool) -> Exception:
        return self.error


@pytest.mark.parametrize(
    ("store_uri", "error", "again"),
    [
        ("http://127.0.0.1:5000", UnavailableError("it does not answer"), True),
        ("https://mlflow.example", UnavailableError("it does not answer"), True),
        ("http://127.0.0.1:5000", RuntimeError("a fault of our own"), False),
        ("sqlite:///mlflow.db", UnavailableError("it cannot be written"), False),
    ],
)
def test_register_is_retried_only_if_a_server_did_not_answer(
    store_uri: str, error: Exception, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: store_uri)
    register: Any = stages.register
    assert register.retry_delay_seconds == [10, 60, 300]
    assert register.retries == 3
    assert register.retry_condition_fn(register, None, Ended(error)) is again


# No password is shown.


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://heart:s3cr3t@mlflow:5000", "http://heart:***@mlflow:5000"),
        ("postgresql+psycopg2://heart:s3:cr@db/mlflow", "postgresql+psycopg2://heart:***@db/mlflow"),
        ("http://:s3cr3t@mlflow:5000/x:y@z", "http://:***@mlflow:5000/x:y@z"),
        ("http://mlflow:5000", "http://mlflow:5000"),
        ("sqlite:////a/b:c@d.db", "sqlite:////a/b:c@d.db"),
    ],
)
def test_a_stores_address_is_shown_without_its_password(
    address: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: address)
    assert registry.uri() == told


def test_a_clients_error_about_a_server_is_shown_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://heart:s3cr3t@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UnavailableError, match=r"heart:\*\*\*@127.0.0.1") as caught:
        registry.by_alias("champion")
    assert "s3cr3t" not in str(caught.value)


# MLflow's page.


def test_the_page_of_the_trainings_is_that_of_their_experiment(store: Path) -> None:
    experiment = mlflow.get_experiment_by_name(registry.EXPERIMENT)
    at = f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    assert registry.training_url("http://127.0.0.1:5000") == at
    run = registry.champion().run_id
    registry.save_trainings_view(Run(run, experiment.experiment_id, 0))
    assert registry.training_url("http://127.0.0.1:5000") == f"{at}&viewStateShareKey=trainings"
