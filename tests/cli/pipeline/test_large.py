"""Large files need the memory of a part of them and leave nothing half-written, and one patient needs no MLflow.

Whole programs on a real store.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import ExitCode
from heart_disease.model.patient_model import PatientModel
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.command import ROOT, one_line
from tests.harness.data import crowd, patients
from tests.harness.faults.disk import small_disk
from tests.harness.waiting import PATIENCE, wait_for

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


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Python with these arguments, on the folder's store."""
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
        | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & would have children ignore it
    )  # fmt: skip


def run(folder: Path, code: str, *arguments: str) -> str:
    """What `heart` says with these arguments, and then this code in the same process."""
    heart = "import sys; from heart_disease.cli.main import main; code = main(sys.argv[1:])"
    process = start(folder, "-c", f"{heart}; {code}; sys.exit(code)", *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def peak(folder: Path, *arguments: str) -> float:
    """MiB that a command needs at its peak."""
    said = run(folder, "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)", *arguments)
    return int(said.split()[-1]) * (1 if sys.platform == "darwin" else 1024) / 2**20


def test_checking_200000_patients_needs_little_more_memory_than_checking_2000(folder: Path) -> None:
    assert peak(folder, "check", "many.parquet") - peak(folder, "check", "few.parquet") < 300


def test_scoring_200000_patients_needs_little_more_memory_than_scoring_2000(folder: Path) -> None:
    few = peak(folder, "predict", "few.parquet", "-o", "few-out.parquet")
    assert peak(folder, "predict", "many.parquet", "-o", "many-out.parquet") - few < 300
    assert pq.read_metadata(folder / "many-out.parquet").num_rows == 200_000


# A batch takes about 0.1 s, so that there is a middle.
SLOWLY = (
    "import sys; from heart_disease.cli.main import main; from heart_disease.data.formats import parquet; "
    "parquet.BATCH_ROWS = 2000; sys.exit(main(sys.argv[1:]))"
)


def stopped(process: subprocess.Popen[str], number: int, reading: str) -> str:
    """What a program says that gets a signal when it has `reading` open."""
    started = psutil.Process(process.pid)

    def is_open() -> bool:
        return any(Path(file.path).name.endswith(reading) for file in started.open_files())

    def is_read() -> bool:  # before, the file is opened for a moment, to see what it is
        if not is_open():
            return False
        time.sleep(0.5)
        return is_open()

    wait_for(is_read)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number, said
    return said


@pytest.mark.parametrize(("number", "output"), [(signal.SIGINT, "out.parquet"), (signal.SIGTERM, "out.csv")])
def test_scoring_that_is_stopped_in_the_middle_leaves_no_file_and_what_was_there(
    number: int, output: str, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / output).write_text("before")
    process = start(folder, "-c", SLOWLY, "predict", "many.parquet", "-o", str(tmp_path / output))
    assert stopped(process, number, ".part") == "heart: stopped\n"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_check_that_is_stopped_in_the_middle_leaves_no_page(folder: Path, tmp_path: Path) -> None:
    process = start(folder, "-c", SLOWLY, "check", "many.parquet", "--page", str(tmp_path / "page.html"))
    assert stopped(process, signal.SIGTERM, "many.parquet") == "heart: stopped\n"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_in_one_message_and_leaves_what_was_there(folder: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as mounted:
        if not mounted:
            pytest.skip("only root may mount a small disk")
        commands = {
            name: ("predict", "many.parquet", "-o", str(tmp_path / "disk" / name)) for name in ("a.parquet", "b.csv")
        }
        commands["c.html"] = ("check", "few.parquet", "--page", str(tmp_path / "disk" / "c.html"))
        for name in commands:
            (tmp_path / "disk" / name).write_text("before")
        with suppress(OSError), (tmp_path / "disk" / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(4096))
        for name, arguments in commands.items():
            process = start(folder, "-m", "heart_disease", *arguments)
            _, said = process.communicate(timeout=PATIENCE)
            assert process.returncode == ExitCode.UNAVAILABLE
            assert one_line(said).startswith(f"heart: '{tmp_path / 'disk' / name}' cannot be written: No space left")
            assert one_line(said).count("heart: ") == 1
        (tmp_path / "disk" / "filler").unlink()
        assert {path.name: path.read_text() for path in (tmp_path / "disk").iterdir()} == dict.fromkeys(
            commands, "before"
        )


def test_one_patient_needs_mlflow_once_and_gets_the_answer_of_the_file(folder: Path) -> None:
    shutil.rmtree(folder / "cache", ignore_errors=True)  # another test may have been here
    patient = [word for name, value in patients.FIRST.items() for word in (f"--{name}", str(value))]
    imported = "print('mlflow' in sys.modules, 'pandas' in sys.modules)"
    first, second = (run(folder, imported, "predict", *patient).splitlines() for _ in range(2))
    assert (first[-1], second[-1]) == ("True True", "False False")
    assert first[0] == second[0]
    pd.DataFrame([patients.FIRST]).to_csv(folder / "one.csv", index=False)
    run(folder, "pass", "predict", "one.csv", "-o", "one-out.csv")
    [row] = pd.read_csv(folder / "one-out.csv").to_dict("records")
    assert first[0] == f"probability {row['probability']:.3f}, disease {row['disease']}"
