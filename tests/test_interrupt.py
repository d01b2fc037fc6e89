"""Ctrl-C and SIGTERM in the middle of training: both stores say so, and nothing is left RUNNING."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from flows import cli
from tasks import registry


def rows(database: Path, query: str) -> list[str]:
    with sqlite3.connect(database) as connection:
        return [row[0] for row in connection.execute(query)]


@pytest.mark.parametrize(
    ("number", "to_group"),
    [pytest.param(signal.SIGINT, True, id="Ctrl-C"), pytest.param(signal.SIGTERM, False, id="SIGTERM")],
)
def test_an_interrupted_training_ends_killed_and_not_running(
    number: signal.Signals, to_group: bool, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PYTHONPATH": str(Path(cli.__file__).parent.parent),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "train", "--epochs", "100000"],
        env=environment, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,  # a terminal sends Ctrl-C to the whole group
    )  # fmt: skip
    assert process.stderr
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith("train") and "%" in line:  # under way: it says how far it is
            break
    else:
        pytest.fail("".join(seen))
    if to_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 128 + number, rest
    assert "Traceback" not in rest

    client = mlflow.MlflowClient(tracking_uri=environment["MLFLOW_TRACKING_URI"])
    [run] = client.search_runs([client.get_experiment_by_name(registry.EXPERIMENT).experiment_id])
    assert run.info.status == "KILLED"
    assert client.search_registered_models() == []
    database = tmp_path / "prefect" / "prefect.db"
    assert rows(database, "SELECT state_type FROM flow_run") in (["CRASHED"], ["CANCELLED"])
    assert not set(rows(database, "SELECT state_type FROM task_run")) & {"RUNNING", "PENDING"}
