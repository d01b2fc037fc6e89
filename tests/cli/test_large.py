"""Large files: memory is bounded by a part of the file, not by its length."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model.encoding import Encoder
from heart_disease.model.patient_model import PatientModel
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness import crowd
from tests.harness.command import root

pytestmark = pytest.mark.slow
PEAK = "import resource, sys; from heart_disease.cli.main import main; code = main(sys.argv[1:]); "
PEAK += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a champion; few.parquet with 2,000 patients, and many.parquet with 200,000."""
    path = tmp_path_factory.mktemp("large")
    patients = sources.load().frame
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path / 'mlflow.db'}")
        with registry.open_run("large", {}) as run:
            model = PatientModel(Encoder.fit(patients), network.build(Recipe(), 29))
            ref = registry.log_model(run, model, patients.head())
            registry.move_champion(ref, expected=None, kind="promotion", why="the first")
    crowd.write(path / "few.parquet", 2_000)
    crowd.write(path / "many.parquet", 200_000)
    return path


def peak(folder: Path, *arguments: str) -> float:
    """MiB that a command needs at its peak."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}", "PYTHONPATH": root()},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    return int(done.stderr.split()[-1]) * unit / 2**20


def test_checking_200000_patients_needs_little_more_memory_than_checking_2000(folder: Path) -> None:
    assert peak(folder, "check", "many.parquet") - peak(folder, "check", "few.parquet") < 300


def test_scoring_200000_patients_needs_little_more_memory_than_scoring_2000(folder: Path) -> None:
    few = peak(folder, "predict", "few.parquet", "-o", "few-out.parquet")
    assert peak(folder, "predict", "many.parquet", "-o", "many-out.parquet") - few < 300
    assert pq.read_metadata(folder / "many-out.parquet").num_rows == 200_000
