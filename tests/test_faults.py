"""After every fault, with the services back, a look for orphans and a second try: nothing lost, doubled or left."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests import faults
from tests.compose import Stack, postgres_programs
from tests.faults import POINTS, Checked, Work

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(postgres_programs() is None, reason="PostgreSQL is not installed"),
]
GOOD = Checked(lost=0, duplicated=0, running=0)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with faults.servers(tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest.fixture
def stores(stack: Stack) -> dict[str, str]:
    return stack.client_environment


def after_reconciling_and_a_second_try(stores: dict[str, str], flow_run: str) -> Checked:
    assert Work(stores, faults.close_orphans).join() == 0
    assert Work(stores, faults.rerun, flow_run).join() == 0
    return faults.check(stores, [flow_run])


@pytest.mark.parametrize("point", POINTS)
def test_a_training_that_is_killed(point: str, stores: dict[str, str]) -> None:
    killed = Work(stores, point=point, action="kill")
    flow_run = killed.reached()
    assert killed.join() == -signal.SIGKILL
    assert after_reconciling_and_a_second_try(stores, flow_run) == GOOD
