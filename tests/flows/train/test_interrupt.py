"""Ctrl-C and SIGTERM in the middle of training: both stores record the end, and nothing is left RUNNING."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest

from heart_disease import registry
from tests.harness.command import ROOT
from tests.harness.models.stores import empty_prefect_database


@dataclass
class Training:
    """A training that takes forever, in its own process and with its own stores."""

    folder: Path
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, folder: Path) -> Training:
        empty_prefect_database(folder / "prefect" / "prefect.db")
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "PREFECT_HOME": str(folder / "prefect"),
            "PYTHONPATH": str(ROOT),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "heart_disease", "train", "--epochs", "100000"],
            env=environment, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            start_new_session=True,  # a terminal sends Ctrl-C to the whole group
            # If a shell starts the tests with &, children would ignore SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        return cls(folder, process)

    def wait_until_it_trains(self) -> None:
        """Wait until it reports its progress."""
        assert self.process.stderr
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if line.startswith("train") and "%" in line:
                return
        pytest.fail("".join(seen))

    def rows(self, query: str) -> list[str]:
        with sqlite3.connect(self.folder / "prefect" / "prefect.db") as connection:
            return [row[0] for row in connection.execute(query)]


@pytest.mark.slow
def test_an_interrupted_training_ends_killed_and_not_running(tmp_path: Path) -> None:
    # Both run at once, because a start takes long and there is more than one core.
    by_ctrl_c, by_sigterm = Training.start(tmp_path / "int"), Training.start(tmp_path / "term")
    by_ctrl_c.wait_until_it_trains()
    os.killpg(by_ctrl_c.process.pid, signal.SIGINT)
    by_sigterm.wait_until_it_trains()
    by_sigterm.process.send_signal(signal.SIGTERM)
    for training, number in ((by_ctrl_c, signal.SIGINT), (by_sigterm, signal.SIGTERM)):
        _, said = training.process.communicate(timeout=300)
        assert training.process.returncode == 128 + number, said
        assert "Traceback" not in said

        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{training.folder / 'mlflow.db'}")
        [run] = client.search_runs([client.get_experiment_by_name(registry.EXPERIMENT).experiment_id])
        assert run.info.status == "KILLED"
        assert run.data.tags["mlflow.note.content"].startswith("Stopped by ")
        assert run.data.params["epochs"] == "100000"
        assert client.search_registered_models() == []
        assert training.rows("SELECT state_type FROM flow_run") in (["CRASHED"], ["CANCELLED"])
        assert not set(training.rows("SELECT state_type FROM task_run")) & {"RUNNING", "PENDING"}
