"""After a fault under servers, once they are back, orphans closed and a retry made: nothing lost, doubled or left.

benchmarks/servers/faults.py kills a training at every point of the flow; here only where a retry finds something new.
Faults under runs of the deployment, and at random moments, take too long for a test, and are only there.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.faults import faults, work
from tests.harness.faults.aftermath import Checked
from tests.harness.servers.compose import Stack, postgres_programs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Servers with a champion, which the faults of a file share."""
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed")
    # Not in pytest's folder, because another pytest that starts meanwhile closes it to PostgreSQL's user.
    with tempfile.TemporaryDirectory() as folder, faults.servers(Path(folder, "stack")) as started:
        yield started


@pytest.fixture
def checked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault has nothing to do with the processes in which a version is checked, which take long to start."""
    monkeypatch.setattr(work, "CHECKED_HERE", True)


def test_one_flow_run_killed_in_turn_where_each_retry_finds_more(stack: Stack) -> None:
    # Before "registration" a retry begins anew, as after the worker is killed (below). A version without an alias
    # ("loading back") is left by the training that is killed in test_faults_embedded.py.
    assert faults.killed(stack, ["registration", "moving the alias"]) == Checked()


def test_one_killed_when_only_words_are_missing(stack: Stack, checked_here: None) -> None:
    assert faults.killed(stack, ["saying so"]) == Checked()


def test_the_mlflow_server_killed_between_upload_and_registration(stack: Stack, checked_here: None) -> None:
    assert faults.server_killed(stack, "mlflow", ["registration"]) == Checked()


def test_the_prefect_server_killed_before_the_last_stages(stack: Stack, checked_here: None) -> None:
    assert faults.server_killed(stack, "prefect", ["evaluate"]) == Checked()


def test_postgresql_killed_under_both_servers(stack: Stack, checked_here: None) -> None:
    assert faults.server_killed(stack, "postgres", ["metrics"]) == Checked()


def test_two_trainings_at_once_on_postgresql(stack: Stack, checked_here: None) -> None:
    assert faults.two_at_once(stack.client_environment) == Checked()


def test_a_network_that_stalls(stack: Stack, checked_here: None) -> None:
    assert faults.stalled_network(stack, ["evaluate"]) == Checked()


def test_a_full_disk(stack: Stack, checked_here: None) -> None:
    if not faults.artifacts(stack).is_mount():
        pytest.skip("a small disk can only be mounted by root")
    assert faults.full_disk(stack) == Checked()


def test_a_worker_stopped_during_its_flow_run_and_the_next_one_killed_with_it(stack: Stack) -> None:
    assert faults.worker_ended(stack, [signal.SIGTERM, signal.SIGKILL]) == Checked()
