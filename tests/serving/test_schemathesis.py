"""The API asked by a program that knows nothing but its description: Schemathesis, over HTTP.

It makes valid and invalid requests from the OpenAPI document and checks each answer against it: status, content type,
headers and body, that valid requests are accepted, that invalid ones and other methods are refused, and that nothing
answers without the token.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef
from heart_disease.serving import limits
from heart_disease.serving.follower import Follower, Loaded
from tests.harness.command import ROOT
from tests.harness.data import patients
from tests.harness.models import models
from tests.harness.servers.running import running
from tests.harness.waiting import PATIENCE

pytestmark = pytest.mark.slow

HOOKS = "tests.harness.data.csv_bodies"
TOKEN = "correct horse"  # noqa: S105


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no failure."""
    monkeypatch.setattr(limits, "HEADER_SECONDS", PATIENCE)
    monkeypatch.setattr(limits, "REQUEST_SECONDS", PATIENCE)


@contextmanager
def served(model: PatientModel | None, token: str) -> Iterator[str]:
    """The address of a server in this process."""
    follower = Follower("champion")
    if model:
        follower.now = Loaded(ModelRef("heart-disease", "7", "a run"), model, "2026-01-01T00:00:00+00:00")
    with running(follower, token) as port:
        yield f"http://127.0.0.1:{port}"


def ask(folder: Path, address: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Let Schemathesis ask; the same requests each time."""
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    command = [sys.executable, "-c", program, "--no-color", "run", f"{address}/openapi.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": HOOKS}
    return subprocess.run(
        [*command, "--generation-deterministic", "--continue-on-failure", f"--request-timeout={PATIENCE}",
         "--suppress-health-check=too_slow", *options],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_finds_nothing(tmp_path: Path) -> None:
    with served(models.make(patients.make(60)), "") as address:
        found = ask(tmp_path, address, "--max-examples", "15")
    assert found.returncode == 0, found.stdout + found.stderr


def test_it_finds_nothing_if_a_token_is_needed_and_a_version_takes_fewer_columns(tmp_path: Path) -> None:
    with served(models.make(patients.make(60), without=["slope", "ca"]), TOKEN) as address:
        found = ask(tmp_path, address, "--max-examples", "10", "--header", f"Authorization: Bearer {TOKEN}")
    assert found.returncode == 0, found.stdout + found.stderr


def test_it_finds_nothing_while_there_is_no_model(tmp_path: Path) -> None:
    with served(None, "") as address:
        # Every request about patients is answered with a 503, as the description says.
        found = ask(tmp_path, address, "--max-examples", "5", "--exclude-checks", "not_a_server_error")
    assert found.returncode == 0, found.stdout + found.stderr
