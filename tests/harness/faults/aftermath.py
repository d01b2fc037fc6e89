"""What is wrong with the stores after a fault: what was lost, duplicated, left RUNNING or left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import mlflow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType

from heart_disease import registry
from heart_disease.operations import reconciliation


@dataclass(frozen=True)
class Checked:
    """What is wrong with the stores after a fault; all counts are 0 if nothing is wrong.

    lost: champions and versions that were reported but are incomplete; flow runs that did not complete.
    duplicated: MLflow runs and versions beyond one per flow run; points of a curve beyond one per step.
    running: runs left RUNNING in one of the stores by a process that died. left: processes that outlived their parent.
    """

    lost: int = 0
    duplicated: int = 0
    running: int = 0
    left: int = 0


def count(flow_runs: Sequence[str]) -> Checked:
    """Look at the stores of this process while nothing runs; every one of `flow_runs` should have completed."""
    lost = _incomplete() + sum(not _completed(one) for one in flow_runs)
    duplicated = sum(duplicates(one) for one in flow_runs)
    return Checked(lost, duplicated, running=len(registry.open_runs()) + running_flows())


def _completed(flow_run_id: str) -> bool:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(flow_run_id)).state
    return bool(state and state.is_completed())


def running_flows() -> int:
    """How many of this project's flow runs have not ended."""
    with get_client(sync_client=True) as client:
        return len(reconciliation._ours(client, StateType.RUNNING, StateType.CANCELLING, StateType.PENDING))


def _incomplete() -> int:
    """Count gaps in the history, a last move that disagrees with the alias, and champions whose files are missing."""
    moves = registry.history()
    gaps = [move.number for move in moves] != list(range(1, len(moves) + 1))
    gaps = gaps or [move.before for move in moves] != [None, *[move.after for move in moves[:-1]]][: len(moves)]
    present = registry.by_alias(registry.CHAMPION)
    astray = (present.version if present else None) != (moves[-1].after if moves else None)
    missing = 0
    for version in {move.after for move in moves if move.after}:
        files = mlflow.artifacts.list_artifacts(f"models:/{registry.MODEL}/{version}")
        missing += not any(file.path.endswith("MLmodel") for file in files)
    return int(gaps) + int(astray) + missing


def runs_of(flow_run_id: str) -> list[Any]:
    """The MLflow runs of a flow run."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(registry.EXPERIMENT)
    assert experiment
    return client.search_runs([experiment.experiment_id], f"tags.`{registry.FLOW_RUN}` = '{flow_run_id}'")


def duplicates(flow_run_id: str) -> int:
    """MLflow runs and versions of a flow run beyond one, and points of a curve beyond one per step."""
    client, runs = mlflow.MlflowClient(), runs_of(flow_run_id)
    found = max(len(runs) - 1, 0)
    for run in runs:
        found += max(len(client.search_model_versions(f"run_id = '{run.info.run_id}'")) - 1, 0)
        for name in run.data.metrics:
            steps = Counter(point.step for point in client.get_metric_history(run.info.run_id, name))
            found += sum(times - 1 for times in steps.values())
    return found
