"""Training on a table of a real PostgreSQL: the run says where it came from, not by which password, and is repeated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from prefect.client.orchestration import get_client

from heart_disease.data import sources
from heart_disease.data.remote import snapshots
from heart_disease.evaluation.settings import Evaluation
from heart_disease.training.recipe import Recipe
from tests.harness.command import one_line, speaking
from tests.harness.models.trainings import checked_here, undrawn
from tests.harness.servers import postgres
from tests.harness.servers.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, Path, Any]]:
    """A database with the bundled patients, a folder with the store, and the outcome of a training on that table."""
    from flows.train import train

    folder = tmp_path_factory.mktemp("elsewhere")
    with postgres.server() as server, pytest.MonkeyPatch.context() as patch, checked_here(), undrawn():
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("HEART_SOURCE_PASSWORD", server.password)
        server.keep("patients", pd.read_csv(sources.BUNDLED))
        outcome = train(server.address("patients"), Recipe(epochs=20), Evaluation(folds=2, repeats=1))
        yield server, folder, outcome


def test_the_run_says_where_its_patients_came_from(site: tuple[Postgres, Path, Any]) -> None:
    server, _, outcome = site
    run = mlflow.get_run(outcome.run.run_id)
    [snapshot] = snapshots.every()
    assert run.data.tags["source"] == server.address("patients")
    assert run.data.tags["snapshot"] == snapshot.digest
    assert run.data.params["data_digest"] == sources.load().digest
    [logged] = run.inputs.dataset_inputs
    assert logged.dataset.name == "patients"
    assert json.loads(logged.dataset.source)["tags"] == {
        "mlflow.source.name": server.address("patients"),
        "taken": snapshot.taken,
        "snapshot": snapshot.digest,
        "rows": "303",
    }
    with get_client(sync_client=True) as client:
        assert (
            client.read_flow_run(outcome.flow_run_id).name == "patients: 20 epochs, 29-16-1, decay 1, adam 0.001, relu"
        )


def test_the_password_is_nowhere(site: tuple[Postgres, Path, Any]) -> None:
    server, folder, outcome = site
    with get_client(sync_client=True) as client:
        told = str(client.read_flow_run(outcome.flow_run_id).model_dump()) + str(client.read_logs())
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert server.password.encode() not in path.read_bytes(), path
        assert server.password[:16].encode() not in path.read_bytes(), path
    assert server.password[:16] not in told


def test_the_same_model_comes_out_though_the_table_has_changed(
    site: tuple[Postgres, Path, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    server, _, outcome = site
    heart = speaking(capsys)
    server.run("UPDATE patients SET age = age + 1 WHERE age < 77")
    code, out, _ = heart("reproduce", outcome.model.version)
    assert "reproduced: 303 probabilities agree, largest gap 0" in one_line(out)
    assert code == 0
    snapshots.empty()  # now the table itself is read
    code, out, _ = heart("reproduce", outcome.model.version)
    assert "other data: digest" in one_line(out)
    assert code == 6
