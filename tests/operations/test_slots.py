"""No run that was stranded keeps others out: places that nobody holds are freed, and the clean-up needs no place."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.states import Cancelling, Completed, Crashed, Pending, Running, State

from flows.reconcile import reconcile
from flows.train import train
from heart_disease.operations import deployments, kept, reconciliation, slots
from heart_disease.operations.deployments import RECONCILE, RETRAIN, When
from heart_disease.processes import process

pytestmark = pytest.mark.slow


@pytest.fixture
def client(prefect: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as made:
        yield made
        for name in (RETRAIN, RECONCILE):
            if found := kept.find(made, name):
                made.delete_deployment(found.id)
        for run in reconciliation._ours(made, *reconciliation.StateType):
            made.delete_flow_run(run.id)


@pytest.fixture
def retrain(client: SyncPrefectClient) -> UUID:
    found = deployments.retrain(train, When(), {}).apply()
    assert isinstance(found, UUID)
    return found


def begin(client: SyncPrefectClient, deployment: UUID, who: str | None = None) -> UUID:
    """A run that a worker has started; if `who` is given, it is RUNNING in that process."""
    run = client.create_flow_run_from_deployment(deployment).id
    client.set_flow_run_state(run, Pending())
    if who:
        client.set_flow_run_state(run, Running())
        count = client.read_flow_run(run).run_count
        client.update_flow_run_labels(run, {reconciliation.WHO: who, reconciliation.ATTEMPT: count})
    return UUID(str(run))


def name_of(client: SyncPrefectClient, run: UUID) -> str:
    return str(client.read_flow_run(run).state_name)


def taken(client: SyncPrefectClient, **change: int) -> int:
    """How many places Prefect counts as taken; `active_slots` changes that."""
    limit = client.read_deployment_by_name(RETRAIN).global_concurrency_limit
    assert limit
    if change:
        client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(**change))
    return limit.active_slots


def test_a_reconciliation_that_never_started_keeps_no_other_out(client: SyncPrefectClient) -> None:
    limit = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    reconcile.to_deployment("reconcile", concurrency_limit=limit).apply()  # as earlier versions made it
    stranded = begin(client, client.read_deployment_by_name(RECONCILE).id)
    assert name_of(client, begin(client, client.read_deployment_by_name(RECONCILE).id)) == "Cancelled"
    deployment = deployments.reconcile(reconcile).apply()
    assert isinstance(deployment, UUID)
    assert name_of(client, begin(client, deployment)) == "Pending"
    assert name_of(client, stranded) == "Pending"


def test_a_place_that_nobody_holds_is_freed(client: SyncPrefectClient, retrain: UUID) -> None:
    taken(client, active_slots=1)
    assert name_of(client, begin(client, retrain)) == "AwaitingConcurrencySlot"
    assert slots.mend(client, [RETRAIN]) == [f"{RETRAIN}: 0 of 1 places are taken; Prefect had counted 1"]
    assert slots.mend(client, [RETRAIN]) == []
    assert name_of(client, begin(client, retrain)) == "Pending"


@pytest.mark.parametrize("state", [None, Running(), Cancelling()])
def test_a_place_that_a_run_may_hold_stays_taken(
    client: SyncPrefectClient, retrain: UUID, state: State[None] | None
) -> None:
    run = begin(client, retrain)
    if state:
        client.set_flow_run_state(run, state, force=True)
    assert slots.mend(client, [RETRAIN]) == []
    assert taken(client) == 1


def test_closing_a_run_whose_lease_ran_out_lets_nobody_in_beside_the_next(
    client: SyncPrefectClient, retrain: UUID
) -> None:
    dead = begin(client, retrain, "another-machine/boot/1/1/1")
    taken(client, active_slots=0)  # the lease has run out, and Prefect has freed the place
    living = begin(client, retrain, process.identity())
    client.set_flow_run_state(dead, Crashed())
    assert taken(client) == 0  # Prefect has freed the place of the run that lives
    reconciliation.free_slots(client)
    assert taken(client) == 1
    assert name_of(client, begin(client, retrain)) == "AwaitingConcurrencySlot"
    client.set_flow_run_state(living, Completed())
    assert taken(client) == 0


def test_without_a_deployment_there_is_nothing_to_mend(client: SyncPrefectClient) -> None:
    assert slots.mend(client, ["nobody/nothing"]) == []
