"""Sweeps on real clusters of processes: the numbers are those of one process, even if a worker is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heart_disease import registry
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import UnavailableError
from heart_disease.processes.loopback import free_port
from tests.harness.command import ROOT
from tests.harness.models.clusters import dask_cluster, kill_a_worker_at_work

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect")]

SPACE = {"hidden": [[4]], "learning_rate": {"low": 0.001, "high": 0.01}, "epochs": [5, 400]}
ARGUMENTS = (None, SPACE, "random", 6, Evaluation(folds=4, repeats=2), 2, 0, "cpu")


@pytest.fixture(scope="module")
def dask() -> Iterator[str]:
    pytest.importorskip("prefect_dask", reason="the extra [dask] is not installed")
    with dask_cluster() as address:
        yield address


def numbers(outcome: Any) -> dict[int, dict[str, np.ndarray]]:
    """The results of a search's batches, as its run stores them."""
    return {number: dict(arrays) for number, arrays in registry.read_batches(outcome.run).items()}


@pytest.fixture(scope="module")
def alone(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The search in this process, on its own store."""
    return run(tmp_path_factory.mktemp("alone"))


def run(folder: Path, **cluster: str) -> Any:
    """Run the search in batches of two configurations on a new store; returns the outcome and its numbers."""
    from flows import sweep

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setattr("flows.sweep.BATCH_NETWORKS", 32)
        outcome = sweep.run(*ARGUMENTS, **{"dask": None, "ray": None, **cluster})
        return outcome, numbers(outcome)


def assert_equal(ours: Any, theirs: Any) -> None:
    """Check that two searches found the same, to the last bit."""
    assert list(ours[1]) == list(theirs[1])
    assert len(ours[1]) > 1
    for number, arrays in ours[1].items():
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, theirs[1][number][name], err_msg=name)
    assert ours[0].summary.chosen == theirs[0].summary.chosen
    assert ours[0].summary.nested == theirs[0].summary.nested


def test_a_worker_killed_in_the_middle_of_a_batch_changes_nothing(alone: Any, dask: str, tmp_path: Path) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker_at_work, args=(dask, "_train_batch", killed), daemon=True)
    killer.start()
    outcome = run(tmp_path, dask=dask)
    killer.join(timeout=60)
    assert killed
    assert_equal(alone, outcome)


def test_ray_finds_the_same(alone: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    pytest.importorskip("prefect_ray", reason="the extra [ray] is not installed")
    # Ray's workers are nice to other programs: beside other tests they would take ten minutes.
    port, environment = free_port(), {**os.environ, "PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"}
    program = str(Path(sys.executable).with_name("ray"))
    start = [program, "start", "--head", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    subprocess.run(start, env=environment, check=True, capture_output=True, timeout=120)
    try:
        assert_equal(alone, run(tmp_path, ray=f"127.0.0.1:{port}"))
    finally:
        subprocess.run([program, "stop", "--force"], check=False, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("cluster", "message"),
    [({"dask": "tcp://127.0.0.1:1"}, "no Dask scheduler"), ({"ray": "127.0.0.1:1"}, "no Ray cluster")],
)
def test_an_address_that_does_not_answer_is_a_clear_error(
    cluster: dict[str, str], message: str, tmp_path: Path
) -> None:
    pytest.importorskip("prefect_dask", reason="the extra [dask] is not installed")
    pytest.importorskip("prefect_ray", reason="the extra [ray] is not installed")
    with pytest.raises(UnavailableError, match=message):
        run(tmp_path, **cluster)
