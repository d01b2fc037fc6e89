"""Stores with versions of the model that hold no files: enough for everything about their aliases."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import mlflow
import pytest

from heart_disease import registry
from heart_disease.processes.loopback import free_port
from heart_disease.registry.moves import HISTORY
from tests.harness.waiting import wait_for

VERSIONS = 6


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them, to be copied."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def used(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy for all tests of the alias, because MLflow takes a second to open another."""
    return Path(shutil.copy(database, tmp_path_factory.mktemp("used")))


@pytest.fixture(scope="session")
def server(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server with its own database."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(database, folder)
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder), "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/health") or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return bool(page.status == 200)
    except OSError:
        return False


@pytest.fixture(params=["sqlite", pytest.param("server", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, used: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a store with six versions, none of them champion, and no history."""
    uri: str = request.getfixturevalue("server") if request.param == "server" else f"sqlite:///{used}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = mlflow.MlflowClient()
    for used in client.search_experiments(filter_string=f"name LIKE '{HISTORY}%'"):
        client.rename_experiment(used.experiment_id, uuid4().hex)
    for left in client.search_registered_models(f"name='{registry.MODEL}'"):
        client.delete_registered_model(left.name)
    client.create_registered_model(registry.MODEL)
    run = client.create_run("0").info
    for _ in range(VERSIONS):
        client.create_model_version(registry.MODEL, f"{run.artifact_uri}/model", run.run_id)
    return uri


@pytest.fixture
def client(store: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient()
