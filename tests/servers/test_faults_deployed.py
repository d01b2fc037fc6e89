"""After a fault under a run of the deployment, which a real worker starts: nothing lost, doubled or left."""

from __future__ import annotations

import pytest

from tests.harness import deployed
from tests.harness.aftermath import Checked
from tests.harness.compose import Stack

pytestmark = pytest.mark.slow


def test_the_prefect_server_killed_under_a_deployed_run_that_outlasts_its_lease(fault_stack: Stack) -> None:
    assert deployed.server_killed(fault_stack) == Checked()


def test_a_worker_killed_between_taking_a_run_and_beginning_it(fault_stack: Stack) -> None:
    assert deployed.stranded(fault_stack) == Checked()
