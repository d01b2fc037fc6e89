"""After each fault, once services are back, orphans closed and a retry made: nothing lost, duplicated or left."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import faults
from tests.harness.aftermath import Checked
from tests.harness.compose import Stack, postgres_programs
from tests.harness.faults import POINTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed")
    # Not in pytest's folder, because another pytest that starts meanwhile closes it to PostgreSQL's user.
    with tempfile.TemporaryDirectory() as folder, faults.servers(Path(folder, "stack")) as started:
        yield started


def test_one_flow_run_killed_at_every_point_in_turn_until_the_alias_moves(stack: Stack) -> None:
    *points, last = POINTS
    assert faults.killed(stack, points) == Checked()
    # Killed separately, because a retry after the previous point does not pass this one.
    assert faults.killed(stack, [last]) == Checked()


def test_the_mlflow_server_killed_between_upload_and_registration(stack: Stack) -> None:
    assert faults.server_killed(stack, "mlflow", ["registration"]) == Checked()


def test_the_prefect_server_killed_before_the_last_stages(stack: Stack) -> None:
    assert faults.server_killed(stack, "prefect", ["evaluate"]) == Checked()


def test_postgresql_killed_under_both_servers(stack: Stack) -> None:
    assert faults.server_killed(stack, "postgres", ["metrics"]) == Checked()


def test_two_trainings_at_once_on_postgresql(stack: Stack) -> None:
    assert faults.two_at_once(stack.client_environment) == Checked()


def test_a_network_that_stalls(stack: Stack) -> None:
    assert faults.stalled_network(stack, ["evaluate"]) == Checked()


def test_a_full_disk(stack: Stack) -> None:
    if not faults.artifacts(stack).is_mount():
        pytest.skip("a small disk can only be mounted by root")
    assert faults.full_disk(stack) == Checked()


def test_a_worker_killed_with_its_flow_run(stack: Stack) -> None:
    assert faults.worker_killed(stack) == Checked()


def test_a_worker_stopped_during_its_flow_run(stack: Stack) -> None:
    assert faults.worker_stopped(stack) == Checked()


def test_killed_with_an_embedded_server(tmp_path: Path) -> None:
    assert faults.killed_embedded(tmp_path / "stores", ["load", "train", "loading back"]) == Checked()


def test_two_trainings_at_once_on_sqlite(tmp_path: Path) -> None:
    assert faults.two_at_once_embedded(tmp_path / "stores") == Checked()


@pytest.mark.skipif(faults.FAKETIME is None, reason="libfaketime is not installed")
@pytest.mark.parametrize(("point", "offset"), [("train", "-1d"), ("registration", "+1d")])
def test_the_clock_steps(point: str, offset: str, tmp_path: Path) -> None:
    assert faults.clock_steps(tmp_path / "stores", point, offset) == Checked()
