"""Deletes old runs that are no longer needed, in both stores; registry/cleaning/prune.py says what is needed.

`heart prune` does it, and the deployment of the flow `heart-disease-prune` on a schedule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.objects import Artifact, StateType
from prefect.exceptions import ObjectNotFound

from heart_disease import registry
from heart_disease.model.words import count
from heart_disease.operations.reconciliation import FLOWS

ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]


@dataclass(frozen=True)
class Found:
    """What can be deleted in MLflow, and the IDs of the flow runs that can be deleted in Prefect."""

    unneeded: registry.Unneeded
    flow_runs: Sequence[UUID]

    def lines(self) -> list[str]:
        """What and how much it is, for people."""
        return [
            count(len(self.unneeded.runs), "MLflow run"),
            f"{count(len(self.unneeded.versions), 'version')}, never champion and without an alias",
            f"{count(len(self.unneeded.models), 'model')}, made by these runs or left over from before registration",
            f"{self.unneeded.bytes / 1e6:.1f} MB of files",
            count(len(self.flow_runs), "Prefect flow run"),
        ]


def find(age: timedelta) -> Found:
    """What is older than `age` and not needed.

    Raises:
        UnavailableError: the MLflow store does not answer.
    """
    before = datetime.now(UTC) - age
    unneeded = registry.find_unneeded(int(before.timestamp() * 1000))
    with get_client(sync_client=True) as client:
        return Found(unneeded, _flow_runs(client, before))


def delete(found: Found) -> bool:
    """Delete it; an interrupted call can be repeated. True if it is gone for good in MLflow, and not only hidden.

    Raises:
        UnavailableError: the MLflow store does not answer, or refuses.
    """
    for_good = registry.delete(found.unneeded)
    with get_client(sync_client=True) as client:
        for flow_run in found.flow_runs:
            _delete_flow_run(client, flow_run)
    return for_good


def _delete_flow_run(client: SyncPrefectClient, flow_run: UUID) -> None:
    """Delete the run and its artifacts, which Prefect (3.8) would leave; the server deletes its tasks, states and logs.

    The server deletes events by itself when they are a week old (PREFECT_SERVER_EVENTS_RETENTION_PERIOD).
    """
    for artifact in list(_artifacts(client, flow_run)):
        try:
            client.delete_artifact(artifact.id)
        except ObjectNotFound:  # another pruning was faster
            continue
    try:
        client.delete_flow_run(flow_run)
    except ObjectNotFound:
        return


def _artifacts(client: SyncPrefectClient, flow_run: UUID) -> Iterator[Artifact]:
    its = filters.ArtifactFilter(flow_run_id=filters.ArtifactFilterFlowRunId(any_=[flow_run]))
    offset = 0
    while page := client.read_artifacts(artifact_filter=its, offset=offset):
        yield from page
        offset += len(page)


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
