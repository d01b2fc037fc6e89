"""Finds and deletes what is no longer needed: old runs with all they made, and models that never became a version.

Needed are: every version that is or was champion or has an alias, with its run; the history; every run that says
RUNNING; a search and its configurations as long as one of them is needed; a version and its figures for hospitals
likewise. In MLflow a deleted run is only hidden. Here its files are deleted too, and also its record if the database
can be reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import mlflow
from mlflow.entities import LoggedModel, ViewType
from mlflow.entities import Run as Stored
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from heart_disease.registry.access.store import (
    CHAMPION,
    FORMER,
    JUDGED,
    MODEL,
    ModelRef,
    check_embedded_store,
    experiment_ids,
    reachable,
    uri,
)
from heart_disease.registry.champions import history


@dataclass(frozen=True)
class Unneeded:
    """What can be deleted, by ID and number. bytes: the size of all their files."""

    runs: Sequence[str]
    versions: Sequence[str]
    models: Sequence[str]
    bytes: int


@reachable()
def find_unneeded(before: int) -> Unneeded:
    """Runs that ended before a time (in milliseconds since 1970), and models without a version, however old.

    Raises:
        UnavailableError: the store does not answer.
    """
    check_embedded_store()
    gone, versions, models = select(before)
    places = [run.info.artifact_uri for run in gone.values()] + [model.artifact_location for model in models]
    return Unneeded(list(gone), versions, [model.model_id for model in models], sum(_size(place) for place in places))


def select(before: int) -> tuple[dict[str, Stored], list[str], list[LoggedModel]]:
    """The same as runs by ID, numbers of versions, and models; hidden runs are among them, hidden models are not."""
    client = mlflow.MlflowClient()
    champions = {move.champion for move in history()}
    versions = client.search_model_versions(f"name = '{MODEL}'")
    aliased = client.get_registered_model(MODEL).aliases.values() if versions else ()
    kept = set(map(str, aliased))  # MLflow gives version numbers sometimes as text, sometimes as int
    experiments = experiment_ids()
    runs = {run.info.run_id: run for run in _runs(client, experiments)}
    above = {run_id: _above(run.data.tags) or run_id for run_id, run in runs.items()}
    needed = {it.run_id for it in versions if str(it.version) in kept or it.tags.get("promotion") in (CHAMPION, FORMER)}
    needed |= {it.run_id for it in versions if ModelRef(MODEL, str(it.version), it.run_id or "") in champions}
    needed |= {run_id for run_id, run in runs.items() if _young(run, before)}
    needed |= {above[run_id] for run_id in needed & above.keys()}  # a search is needed if one of its configurations is
    # ... and its configurations are needed with it, except those that are hidden.
    gone = {
        run_id: run
        for run_id, run in runs.items()
        if run_id not in needed and (above[run_id] not in needed or run.info.lifecycle_stage == "deleted")
    }
    registered = " ".join(version.source for version in versions if version.run_id not in gone)  # models:/ID, or a path
    models = [
        model
        for model in _models(client, experiments)
        if model.source_run_id in gone or (model.model_id not in registered and not _at_work(runs, model))
    ]
    return gone, [str(version.version) for version in versions if version.run_id in gone], models


def _above(tags: Mapping[str, str]) -> str | None:
    return tags.get(MLFLOW_PARENT_RUN_ID) or tags.get(JUDGED)


def _runs(client: mlflow.MlflowClient, experiments: Sequence[str]) -> Iterator[Stored]:
    token: str | None = ""
    while experiments and token is not None:
        page = client.search_runs(experiments, "", ViewType.ALL, page_token=token or None)
        yield from page
        token = page.token or None


def _models(client: mlflow.MlflowClient, experiments: Sequence[str]) -> Iterator[LoggedModel]:
    token: str | None = ""
    while experiments and token is not None:
        page = client.search_logged_models(experiments, page_token=token or None)
        yield from page
        token = page.token or None


def _young(run: Stored, before: int) -> bool:
    return run.info.status == "RUNNING" or (run.info.end_time or run.info.start_time) >= before


def _at_work(runs: dict[str, Stored], model: LoggedModel) -> bool:
    """Whether the run that uploaded the model may still register it."""
    run = runs.get(model.source_run_id or "")
    return bool(run and run.info.status == "RUNNING")


def _size(place: str) -> int:
    """Bytes of all files below an address; 0 if there is nothing left."""
    try:
        files = mlflow.artifacts.list_artifacts(place)
    except (MlflowException, OSError):
        return 0
    return sum(
        _size(f"{place.rstrip('/')}/{file.path.rsplit('/', 1)[-1]}") if file.is_dir else file.file_size or 0
        for file in files
    )


@reachable()
def delete(unneeded: Unneeded) -> bool:
    """Delete them, versions first, so that an interrupted call can be repeated. True if they are gone for good.

    MLflow's own `mlflow gc` is not used, because it also removes everything that anyone has deleted and might restore,
    even whole experiments. On a server only the files can be reached, not the database.

    Raises:
        UnavailableError: the store does not answer, or refuses.
    """
    client = mlflow.MlflowClient()
    for version in unneeded.versions:
        client.delete_model_version(MODEL, version)
    store = None if uri().startswith("http") else _get_store()
    for model in unneeded.models:
        place = client.get_logged_model(model).artifact_location
        client.delete_logged_model(model)
        get_artifact_repository(place).delete_artifacts()
        if store:
            store._hard_delete_logged_model(model)
    for run in unneeded.runs:
        info = client.get_run(run).info
        if info.lifecycle_stage == "active":
            client.delete_run(run)
        get_artifact_repository(info.artifact_uri).delete_artifacts()
        if store:
            store._hard_delete_run(run)
    return store is not None
