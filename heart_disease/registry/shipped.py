"""Loads a version as other programs do: with MLflow, from the code shipped with it, in a process of its own.

That process cannot import this project, wherever it is installed, so it can run only the shipped copy. It starts while
there is other work, is told which files to load once they are registered, and ends with the process that started it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pandas as pd

from heart_disease.model.errors import UnavailableError
from heart_disease.processes.process import last_words

SECONDS = 120  # to start, load and answer on a busy machine
# The process runs this. It reads the patients as MLflow's users do; what MLflow prints goes to standard error.
SCRIPT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("heart_disease", "flows", "tasks", "expectations"):
            raise ModuleNotFoundError(f"No module named {name!r}: a version must not need this project", name=name)

sys.meta_path.insert(0, Blocker())
import os
answers, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
os.dup2(2, 1)
import json, logging
import mlflow.pyfunc, pandas
logging.disable(logging.WARNING)
order = sys.stdin.readline()
if order:
    order = json.loads(order)
    scored = mlflow.pyfunc.load_model(order["model"]).predict(pandas.read_csv(order["patients"]))
    json.dump({name: scored[name].tolist() for name in scored}, answers)
"""


class Stranger:
    """A process that imports MLflow, cannot see this project, and waits for a version."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        self.process, self._said = process, said

    def predict(self, folder: Path, patients: pd.DataFrame) -> pd.DataFrame:
        """What the model in `folder` says about `patients`, to be called once: see `PatientModel.predict`.

        This runs the code in `folder`, so use it only for files that this process just wrote and found unchanged.

        Raises:
            UnavailableError: the model does not load, or does not answer in time.
        """
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            patients.to_csv(file, index=False)
            file.flush()
            order = json.dumps({"model": str(folder), "patients": file.name}) + "\n"
            try:
                answers, _ = self.process.communicate(order.encode(), timeout=SECONDS)
            except subprocess.TimeoutExpired as error:
                raise UnavailableError(f"it gave no answer within {SECONDS} seconds") from error
        if self.process.returncode:
            raise UnavailableError(last_words(self._said, self.process.returncode))
        return pd.DataFrame(json.load(io.BytesIO(answers))).astype({"probability": "float64"})


@contextmanager
def stranger() -> Iterator[Stranger]:
    """A process that is starting; it is killed at the end of the block."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryDirectory() as empty:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", SCRIPT],
            cwd=empty,  # an empty folder, so that it sees none of the user's files and modules
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
            start_new_session=True,  # Ctrl-C must reach only the process that started it
        )  # fmt: skip
        try:
            yield Stranger(process, said)
        finally:
            process.kill()  # it has nothing to lose
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
