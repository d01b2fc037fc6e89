"""A complete Prefect server for tests, with its services, and the `heart` command that uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heart_disease.operations.server.server import problem_of
from heart_disease.processes.loopback import free_port
from tests.harness.command import ROOT
from tests.harness.models.stores import empty_prefect_database
from tests.harness.waiting import PATIENCE, wait_for

QUICK = ("--folds", "2", "--repeats", "1", "--epochs", "2")


@dataclass(frozen=True)
class Site:
    """Where the server is, and the environment of the programs that use it."""

    folder: Path
    url: str
    environment: dict[str, str]

    def start(self, *command: str, **more: Any) -> subprocess.Popen[str]:
        """Start `python -m ...` in the folder."""
        return subprocess.Popen(
            [sys.executable, "-m", *command], env=self.environment, cwd=self.folder, text=True, **more
        )

    def heart(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command until it ends."""
        return subprocess.run(
            [sys.executable, "-m", "heart_disease", *arguments],
            env=self.environment, cwd=self.folder, text=True, capture_output=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    @contextmanager
    def schedule(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start `heart schedule`, yield once it serves, and end it with SIGTERM."""
        process = self.start("heart_disease", "schedule", *QUICK, *arguments, stdout=subprocess.PIPE)
        try:
            assert process.stdout
            said = [process.stdout.readline()]
            while said[-1] and not said[-1].startswith("Ctrl-C"):
                said.append(process.stdout.readline())
            assert said[-1], "".join(said)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def site(folder: Path, port: int) -> Site:
    """The site of a server that the caller starts."""
    url = f"http://127.0.0.1:{port}/api"
    empty_prefect_database(folder / "prefect" / "prefect.db")
    stores = {"PREFECT_HOME": str(folder / "prefect"), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    return Site(folder, url, {**os.environ, **stores, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": url})


@contextmanager
def server(folder: Path) -> Iterator[Site]:
    """Start `prefect server start`, and yield once it answers."""
    port = free_port()
    it = site(folder, port)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = it.start("prefect", "server", "start", "--port", str(port), **quiet)
    try:
        wait_for(lambda: not problem_of(f"{it.url}/health"))
        yield it
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
