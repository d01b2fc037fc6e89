"""Adding columns as docs/own-columns.md says: a copy of the project with two more columns does the whole job."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heart_disease.data import sources
from tests.harness.command import ROOT
from tests.harness.models.stores import empty_prefect_database

pytestmark = pytest.mark.slow

OPTIONS = ("--folds=2", "--repeats=1", "--epochs=75", "--promote-if=not-worse", "--margin=0.5")
PATIENTS = "patients %41 #?.csv"
PAGE = ROOT / "docs" / "own-columns.md"


def declarations() -> str:
    """The two columns that the page declares."""
    lines = PAGE.read_text().splitlines()
    return "".join(f"{line[3:]}\n" for line in lines if line.startswith("       Column("))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that declares the page's columns, with patients who have them.

    Its folder and files have names that need care in addresses, and it uses the default stores.
    """
    folder = tmp_path / "a%20b #1 & ü"
    for room in ("heart_disease", "flows", "tasks", "expectations"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    schema = folder / "heart_disease" / "model" / "schema.py"
    before = schema.read_text()
    after = before.replace("COLUMNS: tuple[Column, ...] = (\n", f"COLUMNS: tuple[Column, ...] = (\n{declarations()}")
    assert after != before
    schema.write_text(after)
    draw = np.random.default_rng(0)
    patients = pd.read_csv(sources.BUNDLED)
    patients["bmi"] = draw.uniform(18, 40, len(patients)).round(1)
    patients["smoker"] = draw.choice([0, 1], len(patients))
    patients.loc[[3, 5], "smoker"] = np.nan
    patients.to_csv(folder / PATIENTS, index=False)
    empty_prefect_database(folder / "prefect" / "prefect.db")
    return folder


def heart(project: Path, *arguments: str) -> str:
    """Run the copy's command and return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(project), "PREFECT_HOME": str(project / "prefect")}
    del environment["MLFLOW_TRACKING_URI"]
    done = subprocess.run(
        [sys.executable, "-m", "heart_disease", *arguments], cwd=project, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def test_the_whole_job_runs_with_them_the_champion_scores_and_another_is_promoted(project: Path) -> None:
    said = heart(project, "train", "--source", PATIENTS, *OPTIONS)
    assert "15 columns -> 33 inputs" in said
    assert "33-16-1" in heart(project, "champion")
    assert "303 rows scored" in heart(project, "predict", PATIENTS, "-o", "scored %41?.csv")
    scored = pd.read_csv(project / "scored %41?.csv")
    assert scored["probability"].between(0, 1).all()
    assert "version 2: champion" in heart(project, "train", "--source", PATIENTS, *OPTIONS, "--force")
    assert "version 1: champion" in heart(project, "promote", "1", "--because", "a test")
