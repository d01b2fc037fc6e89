"""Runs that say RUNNING: finds which process works on each, and ends those whose process is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from heart_disease.registry.access.store import (
    CLOSED,
    FLOW_API,
    FLOW_RUN,
    PROCESS,
    check_embedded_store,
    experiment_ids,
    is_missing,
    reachable,
)
from heart_disease.registry.runs import explain


@dataclass(frozen=True)
class Open:
    """A run that says RUNNING. A string is empty if the run's tags do not say."""

    run_id: str
    process: str  # see heart_disease/processes/process.py
    flow_run_id: str
    flow_api: str  # the Prefect server that knows this flow run


@reachable()
def open_runs() -> list[Open]:
    """The open runs of all of this project's experiments.

    Raises:
        UnavailableError: the store does not answer.
    """
    check_embedded_store()
    return list(_open_runs())


def _open_runs() -> Iterator[Open]:
    client = mlflow.MlflowClient()
    ids = experiment_ids()
    page: str | None = ""
    while ids and page is not None:
        found = client.search_runs(ids, "attributes.status = 'RUNNING'", page_token=page or None)
        for run in found:
            tags = run.data.tags
            above = tags.get(MLFLOW_PARENT_RUN_ID)
            if above:  # a configuration of a sweep, whose flow run is the sweep's
                tags = {**client.get_run(above).data.tags, **tags}
            yield Open(run.info.run_id, *(tags.get(name, "") for name in (PROCESS, FLOW_RUN, FLOW_API)))
        page = found.token or None


@reachable()
def close_run(run_id: str, status: Literal["FAILED", "KILLED"], why: str) -> bool:
    """End a run whose process died, and say why in a tag and its description; False if it has ended or was deleted."""
    client = mlflow.MlflowClient()
    try:
        if client.get_run(run_id).info.status != "RUNNING":
            return False
        client.set_tag(run_id, CLOSED, why, synchronous=True)
        explain(run_id, f"Closed: {why}")
        client.set_terminated(run_id, status)
    except MlflowException as error:
        if is_missing(error):
            return False
        raise
    return True
