"""After a fault under servers, once they are back, orphans closed and a retry made: nothing lost, doubled or left.

benchmarks/faults.py kills a training at every point of the flow; here only where a retry finds something new. Kills at
random moments take too long for a test, and are only there.
"""

from __future__ import annotations

import pytest

from tests.harness import faults
from tests.harness.aftermath import Checked
from tests.harness.compose import Stack

pytestmark = pytest.mark.slow


def test_one_flow_run_killed_in_turn_where_each_retry_finds_more(fault_stack: Stack) -> None:
    assert faults.killed(fault_stack, ["train", "registration", "loading back", "moving the alias"]) == Checked()
    # Killed separately, because a retry after the previous point does not pass this one.
    assert faults.killed(fault_stack, ["saying so"]) == Checked()


def test_the_mlflow_server_killed_between_upload_and_registration(fault_stack: Stack) -> None:
    assert faults.server_killed(fault_stack, "mlflow", ["registration"]) == Checked()


def test_the_prefect_server_killed_before_the_last_stages(fault_stack: Stack) -> None:
    assert faults.server_killed(fault_stack, "prefect", ["evaluate"]) == Checked()


def test_postgresql_killed_under_both_servers(fault_stack: Stack) -> None:
    assert faults.server_killed(fault_stack, "postgres", ["metrics"]) == Checked()


def test_two_trainings_at_once_on_postgresql(fault_stack: Stack) -> None:
    assert faults.two_at_once(fault_stack.client_environment) == Checked()


def test_a_network_that_stalls(fault_stack: Stack) -> None:
    assert faults.stalled_network(fault_stack, ["evaluate"]) == Checked()


def test_a_full_disk(fault_stack: Stack) -> None:
    if not faults.artifacts(fault_stack).is_mount():
        pytest.skip("a small disk can only be mounted by root")
    assert faults.full_disk(fault_stack) == Checked()


def test_a_worker_killed_with_its_flow_run(fault_stack: Stack) -> None:
    assert faults.worker_killed(fault_stack) == Checked()


def test_a_worker_stopped_during_its_flow_run(fault_stack: Stack) -> None:
    assert faults.worker_stopped(fault_stack) == Checked()
