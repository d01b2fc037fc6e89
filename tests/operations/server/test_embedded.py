"""Prefect's embedded server, if it does not start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest

from heart_disease.model.errors import UnavailableError
from heart_disease.operations.server import server
from heart_disease.processes.loopback import free_port

LOG = b"INFO: all is well\nOperationalError: the disk is full\n"


@contextmanager
def started(script: str, log: bytes) -> Iterator[server.Server]:
    """A server whose process runs this script, and wrote this."""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        yield server.Server(f"http://127.0.0.1:{free_port()}/api", process, BytesIO(log))
        process.kill()


def test_one_that_ends_is_reported_at_once_with_its_last_error() -> None:
    said = r"ended with code 3: OperationalError: the disk is full\. Check its database"
    with started("raise SystemExit(3)", LOG) as ended, pytest.raises(UnavailableError, match=said):
        ended.wait()


@pytest.mark.parametrize(("log", "wrote"), [(LOG, "OperationalError: the disk is full"), (b"", "no error")])
def test_one_that_runs_but_does_not_answer_may_be_on_a_busy_machine(
    log: bytes, wrote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "START_SECONDS", 0)
    said = f"although it runs: .*; it wrote: {wrote}. On a busy machine"
    with started("input()", log) as slow, pytest.raises(UnavailableError, match=said):
        slow.wait()
