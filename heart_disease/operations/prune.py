"""`heart prune`: deletes old runs that are no longer needed, in both stores; registry/prune.py says what is needed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.objects import StateType

from heart_disease import registry
from heart_disease.model.words import count
from heart_disease.operations.reconciliation import FLOWS
from heart_disease.reporting.terminal import wrapped

ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]


def run(age: timedelta, yes: bool) -> None:
    """List what is older than `age` and not needed; with `yes`, delete it.

    Raises:
        UnavailableError: a store does not answer.
    """
    before = datetime.now(UTC) - age
    unneeded = registry.find_unneeded(int(before.timestamp() * 1000))
    with get_client(sync_client=True) as client:
        flow_runs = _flow_runs(client, before)
        print(f"older than {count(age.days, 'day')}, and not needed:" if age.days else "not needed:")
        print(f"  {count(len(unneeded.runs), 'MLflow run')}")
        print(f"  {count(len(unneeded.versions), 'version')}, never champion and without an alias")
        print(f"  {count(len(unneeded.models), 'model')}, made by these runs or left over from before registration")
        print(f"  {unneeded.bytes / 1e6:.1f} MB of files")
        print(f"  {count(len(flow_runs), 'Prefect flow run')}")
        if not yes:
            print("nothing was deleted; --yes deletes them")
            return
        for_good = registry.delete(unneeded)
        for flow_run in flow_runs:
            client.delete_flow_run(flow_run)
    print("deleted")
    if not for_good and unneeded.runs:
        print(
            wrapped(
                "Their records are hidden in the database of the MLflow server. On its machine, `mlflow gc` removes "
                "them, and everything else that anyone has deleted in MLflow."
            )
        )


def _flow_runs(client: SyncPrefectClient, before: datetime) -> Sequence[UUID]:
    """This project's flow runs that ended before that time."""
    found: list[UUID] = []
    while True:
        page = client.read_flow_runs(
            flow_filter=filters.FlowFilter(name=filters.FlowFilterName(any_=FLOWS)),
            flow_run_filter=filters.FlowRunFilter(
                state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=ENDED)),
                end_time=filters.FlowRunFilterEndTime(before_=before),  # type: ignore[arg-type]
            ),
            offset=len(found),
        )
        if not page:
            return found
        found += [flow_run.id for flow_run in page]
