"""A store that can be read and not written, and what is said about one that fails."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from heart_disease import registry
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import UnavailableError
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry.access import failures, store
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.command import heart, one_line
from tests.harness.data import patients
from tests.harness.models.champions import move

TABLE = patients.make(60)


@pytest.fixture(scope="module")
def made(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a store with a champion and a challenger."""
    folder = tmp_path_factory.mktemp("made")
    file = folder / "mlflow.db"
    file.write_bytes(database.read_bytes())
    TABLE.to_csv(folder / "patients.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
        patch.chdir(folder)
        for seed in (1, 2):
            model = PatientModel(Encoder.fit(TABLE), network.build(Recipe(hidden=(2,), seed=seed), 29))
            with registry.open_run(f"recipe {seed}", {}) as run:
                params = {**Recipe(hidden=(2,), seed=seed).as_text(), "folds": 2, "repeats": 1, "data_digest": "0" * 64}
                registry.log_values(run, params, {"log_loss": 0.4}, {})
                ref = registry.log_model(run, model, TABLE.head(2)[list(schema.INPUT_NAMES)])
            registry.set_challenger(ref, "a test")
        move(1, None)
    return file


@pytest.fixture
def read_only(made: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """That store, opened so that SQLite refuses to write it; file permissions would not stop root."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///file:{made}?mode=ro&uri=true")
    monkeypatch.chdir(made.parent)
    return mlflow.MlflowClient(f"sqlite:///{made}")


@pytest.mark.parametrize("command", ["champion", "history", "compare", "predict patients.csv"])
def test_who_only_reads_needs_no_store_that_can_be_written(
    command: str, read_only: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heart(*command.split()) == 0
    assert "1" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["promote 2 --because x", "rollback"])
def test_who_writes_says_that_the_store_cannot_be_written(
    command: str, read_only: mlflow.MlflowClient, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read_only.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "2" if command == "rollback" else "1")
    try:
        assert heart(*command.split()) == 4
        assert f"'{made}' may be read, but not written" in one_line(capsys.readouterr().err)
    finally:
        read_only.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "1")


def test_an_alias_moved_in_mlflow_itself_is_shown_where_it_cannot_be_recorded(
    read_only: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    read_only.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "2")
    try:
        for command in ("champion", "history"):
            assert heart(command) == 0
            assert "moved in MLflow itself" in capsys.readouterr().out
    finally:
        read_only.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "1")
    assert len(registry.history()) == 1


def test_a_run_needs_a_store_that_can_be_written(read_only: mlflow.MlflowClient) -> None:
    with pytest.raises(UnavailableError, match="may be read, but not written"), registry.open_run("a run", {}):
        pass


@pytest.mark.parametrize(
    ("address", "denied", "problem"),
    [
        ("nowhere/mlflow.db", None, "there is no folder '{}/nowhere'"),
        ("mlflow.db", "", "there is no file '{}/mlflow.db', and none can be made there"),
        ("there.db", "", ""),
        ("there.db", "there.db", ""),
    ],
)
def test_only_what_is_missing_stops_a_reader(
    address: str, denied: str | None, problem: str, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.db").write_bytes(database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / address}")
    denies = denied is not None and tmp_path / denied
    monkeypatch.setattr(store.os, "access", lambda path, mode: Path(path) != denies)
    if problem:
        with pytest.raises(UnavailableError, match=problem.format(tmp_path)):
            store.check_embedded_store()
    else:
        store.check_embedded_store()
        with pytest.raises(UnavailableError, match="may be read, but not written"):
            store.check_embedded_store(to_write=True)


REFUSED = MlflowException("x")
REFUSED.error_code = "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("error", "said", "advised"),
    [
        (MlflowException("API request to endpoint /x failed with error code 403 != 200. Response body: 'Permission "
                         "denied'"), "error code 403", "MLFLOW_TRACKING_USERNAME"),
        (REFUSED, "x.", "MLFLOW_TRACKING_USERNAME"),
        (MlflowException("API request to http://m:1/ failed with exception HTTPConnectionPool(host='m', port=1): Max "
                         "retries exceeded with url: / (Caused by NewConnectionError('" + "x" * 200 + " refused'))"),
         "refused'))", "a server that answers"),
        (sqlite3.OperationalError("database is locked"), "is locked.", "Run again when that is done."),
        (OSError(28, "No space left on device", "mlflow.db"), "No space left on device", "Make room"),
        (MlflowException("Detected out-of-date database schema (found version x, but expected y)." + " x" * 90 + " run "
                         "'mlflow db upgrade <database_uri>' to migrate."), "mlflow db upgrade <database_uri>", ""),
        (MlflowException("x" * 5000), "x ...", ""),
        (MlflowException(""), "MlflowException", ""),
    ],
)  # fmt: skip
def test_each_failure_has_its_own_advice_and_no_remedy_is_cut(error: Exception, said: str, advised: str) -> None:
    assert said in failures.in_words(error)
    assert len(failures.in_words(error)) <= failures.LONGEST + 10
    assert advised in failures.advice(error)
    assert bool(failures.advice(error)) is bool(advised)


def test_the_remedy_of_an_old_database_reaches_the_user(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "old.db"
    file.write_bytes(database.read_bytes())
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '181f10493468'")
    connection.close()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    with pytest.raises(UnavailableError, match="'mlflow db upgrade <database_uri>'") as caught:
        registry.champion()
    assert "permissions" not in str(caught.value)
