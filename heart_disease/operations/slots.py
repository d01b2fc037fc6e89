"""Places in a deployment's limit: as many are counted as taken as runs hold one.

Prefect keeps the count in its database, and the runs' leases beside it. After a crash the count can be wrong in two
ways. A place whose lease was lost is never freed: every later run waits for it. And a run whose lease has run out frees
its place twice, the second time when it is closed: then a second run starts beside the one that holds the place.

Prefect (3.8) renews a lease of 300 seconds after 225 of them. If the server is away then, the lease may run out before
the next tries, and Prefect ends the run. So a run under way also renews its lease here, and more often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException, PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from heart_disease.operations import kept

HOLDING = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
TRIES = 5  # other runs may start and end meanwhile
LEASE_SECONDS = 300.0  # Prefect's own renewals ask for as much
RENEW_SECONDS, AGAIN_SECONDS = 30.0, 2.0  # from one renewal to the next: if it succeeded, if it failed


@contextmanager
def renewed() -> Iterator[None]:
    """Until the end of the block, renew the lease of the current flow run's place, if it has one."""
    context = FlowRunContext.get()
    state = context.flow_run.state if context and context.flow_run else None
    lease = state.state_details.deployment_concurrency_lease_id if state else None
    ended = threading.Event()
    if lease:
        threading.Thread(target=copy_context().run, args=(_renew, lease, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _renew(lease: UUID, ended: threading.Event) -> None:
    pause = 0.0
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), get_client(sync_client=True) as client:
        while not ended.wait(pause):
            try:
                client.renew_concurrency_lease(lease, LEASE_SECONDS)
                pause = RENEW_SECONDS
            except (httpx.HTTPError, PrefectException) as error:
                if isinstance(error, PrefectHTTPStatusError) and error.response.status_code == httpx.codes.GONE:
                    return  # Prefect's own renewal ends the run
                pause = AGAIN_SECONDS


def mend(
    client: SyncPrefectClient, deployments: Iterable[str], lives: Callable[[FlowRun], bool | None] = lambda _: None
) -> list[str]:
    """Correct the counts; returns a line for each deployment whose count was wrong.

    deployments: their full names. lives: whether the run's process lives, None if that is not known. No place is taken
    for a run that may be dead, and none is freed that it may hold.
    """
    return [line for name in deployments if (line := _mend(client, name, lives))]


def _mend(client: SyncPrefectClient, name: str, lives: Callable[[FlowRun], bool | None]) -> str:
    said = ""
    for _ in range(TRIES):
        deployment = kept.find(client, name)
        limit = deployment and deployment.global_concurrency_limit
        if not deployment or not limit:
            return said
        holders = _holders(client, name)
        alive = sum(run.state_type != StateType.PENDING and lives(run) is True for run in holders)
        wanted = min(max(limit.active_slots, alive), len(holders))
        if wanted == limit.active_slots:
            return said
        if [run.state_id for run in _holders(client, name)] == [run.state_id for run in holders]:
            client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=wanted))
            said = f"{name}: {wanted} of {limit.limit} places are taken; Prefect had counted {limit.active_slots}"
    return said


def _holders(client: SyncPrefectClient, name: str) -> list[FlowRun]:
    """The deployment's runs that hold a place, in the order of their IDs."""
    flow, _, deployment = name.partition("/")
    found = client.read_flow_runs(
        flow_filter=filters.FlowFilter(name=filters.FlowFilterName(any_=[flow])),
        deployment_filter=filters.DeploymentFilter(name=filters.DeploymentFilterName(any_=[deployment])),
        flow_run_filter=filters.FlowRunFilter(
            state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=list(HOLDING)))
        ),
    )
    return sorted(found, key=lambda run: str(run.id))
