"""Large files need the memory of a part of them, and one patient needs no MLflow: whole programs on a real store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model.encoding import Encoder
from heart_disease.model.patient_model import PatientModel
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness import crowd, patients
from tests.harness.command import root

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a champion; few.parquet with 2,000 patients, and many.parquet with 200,000."""
    path = tmp_path_factory.mktemp("large")
    known = sources.load().frame
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path / 'mlflow.db'}")
        with registry.open_run("large", {}) as run:
            model = PatientModel(Encoder.fit(known), network.build(Recipe(), 29))
            ref = registry.log_model(run, model, known.head())
            registry.move_champion(ref, expected=None, kind="promotion", why="the first")
    crowd.write(path / "few.parquet", 2_000)
    crowd.write(path / "many.parquet", 200_000)
    return path


def run(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`heart` with these arguments, then this code in the same process."""
    heart = "import sys; from heart_disease.cli.main import main; code = main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", f"{heart}; {code}; sys.exit(code)", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": root(), "XDG_CACHE_HOME": str(folder / "cache")}
        | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def peak(folder: Path, *arguments: str) -> float:
    """MiB that a command needs at its peak."""
    said = run(folder, "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)", *arguments).stdout
    return int(said.split()[-1]) * (1 if sys.platform == "darwin" else 1024) / 2**20


def test_checking_200000_patients_needs_little_more_memory_than_checking_2000(folder: Path) -> None:
    assert peak(folder, "check", "many.parquet") - peak(folder, "check", "few.parquet") < 300


def test_scoring_200000_patients_needs_little_more_memory_than_scoring_2000(folder: Path) -> None:
    few = peak(folder, "predict", "few.parquet", "-o", "few-out.parquet")
    assert peak(folder, "predict", "many.parquet", "-o", "many-out.parquet") - few < 300
    assert pq.read_metadata(folder / "many-out.parquet").num_rows == 200_000


def test_one_patient_needs_mlflow_once_and_gets_the_answer_of_the_file(folder: Path) -> None:
    shutil.rmtree(folder / "cache", ignore_errors=True)  # another test may have been here
    patient = [word for name, value in patients.FIRST.items() for word in (f"--{name}", str(value))]
    imported = "print('mlflow' in sys.modules, 'pandas' in sys.modules)"
    first, second = (run(folder, imported, "predict", *patient).stdout.splitlines() for _ in range(2))
    assert (first[-1], second[-1]) == ("True True", "False False")
    assert first[0] == second[0]
    pd.DataFrame([patients.FIRST]).to_csv(folder / "one.csv", index=False)
    run(folder, "pass", "predict", "one.csv", "-o", "one-out.csv")
    [row] = pd.read_csv(folder / "one-out.csv").to_dict("records")
    assert first[0] == f"probability {row['probability']:.3f}, disease {row['disease']}"
