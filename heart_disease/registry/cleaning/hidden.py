"""Removes for good what has been hidden in MLflow for a month and is not needed: its files, then its records.

    python -m heart_disease.registry.cleaning.hidden    # MLFLOW_BACKEND_STORE_URI is the database of the MLflow server

Through a server, pruning can delete a run's files and hide the run, but its records stay in the database. This program
also talks to the database. `mlflow gc` would remove more: a champion's run that somebody has hidden, the history of
champions, and whole experiments, whose models would leave their files behind.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta

import mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking._tracking_service.utils import _get_store

from heart_disease.model.words import count
from heart_disease.processes.told import told
from heart_disease.registry.access.store import MODEL, experiment_ids, reachable
from heart_disease.registry.cleaning.prune import select

AGE = timedelta(days=30)  # until then, MLflow can restore what it hides
FILES = "mlflow-artifacts:/"  # where the server keeps them; without it, MLflow would make a folder here


@reachable()
def remove(age: timedelta = AGE) -> tuple[int, int]:
    """Remove what has been hidden for this long; returns how many runs and models. Only this project's experiments.

    Raises:
        UnavailableError: the store does not answer, or refuses.
    """
    store, least = _get_store(os.environ["MLFLOW_BACKEND_STORE_URI"], FILES), int(age.total_seconds() * 1000)
    runs, _, _ = select(int(datetime.now(UTC).timestamp() * 1000))
    runs = {run_id: runs[run_id] for run_id in store._get_deleted_runs(least) if run_id in runs}
    versions = mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}'")
    registered, ours = " ".join(version.source for version in versions), experiment_ids()
    hidden = [store.get_logged_model(model, allow_deleted=True) for model in store._get_deleted_logged_models(least)]
    models = [one for one in hidden if one.experiment_id in ours and one.model_id not in registered]
    for model in models:
        get_artifact_repository(model.artifact_location).delete_artifacts()
        store._hard_delete_logged_model(model.model_id)
    for run_id, run in runs.items():
        get_artifact_repository(run.info.artifact_uri).delete_artifacts()
        store._hard_delete_run(run_id)
    return len(runs), len(models)


def main() -> None:
    """Remove it, and say how much it was."""
    runs, models = remove()
    print(f"hidden for {AGE.days} days and not needed: {count(runs, 'run')} and {count(models, 'model')}, now removed")


if __name__ == "__main__":
    sys.exit(told(main))
