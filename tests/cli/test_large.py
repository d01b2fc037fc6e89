"""Large files: memory is bounded by a part of the file, not by its length."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import crowd

pytestmark = pytest.mark.slow
PEAK = "import resource, sys; from heart_disease.cli.main import main; code = main(sys.argv[1:]); "
PEAK += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds few.parquet with 2,000 patients and many.parquet with 200,000."""
    path = tmp_path_factory.mktemp("large")
    crowd.write(path / "few.parquet", 2_000)
    crowd.write(path / "many.parquet", 200_000)
    return path


def peak(folder: Path, *arguments: str) -> float:
    """MiB that a command needs at its peak."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    return int(done.stderr.split()[-1]) * unit / 2**20


def test_checking_200000_patients_needs_little_more_memory_than_checking_2000(folder: Path) -> None:
    assert peak(folder, "check", "many.parquet") - peak(folder, "check", "few.parquet") < 300
