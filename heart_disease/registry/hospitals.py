"""A version judged on the patients of a hospital: a run of its own, with the version as its input.

Its metrics name the data set, so the model's page in MLflow shows those of all hospitals side by side.
"""

from __future__ import annotations

from collections.abc import Mapping

import mlflow
from mlflow.entities import LoggedModelInput, Metric
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE as NOTE

from heart_disease.data.sources import Table
from heart_disease.registry.access.store import HOSPITALS, JUDGED, ModelRef, Run, reachable
from heart_disease.registry.origins import source_tags
from heart_disease.registry.runs import dataset_input, log_metrics, open_run

ABOUT = "A run for each `heart evaluate`: a version of the model, judged on the patients of a hospital."


def log_hospital(
    ref: ModelRef,
    table: Table,
    hospital: str,
    metrics: Mapping[str, float],
    description: str,
    declared: str | None = None,
) -> Run:
    """Record how good a version is on the patients of `table`. declared: the copy that they were said to be.

    Raises:
        UnavailableError: the store cannot be written, or the version is gone.
    """
    tags = {"version": ref.version, JUDGED: ref.run_id} | source_tags(table, declared)
    with open_run(f"{hospital}: version {ref.version}", tags, experiment=HOSPITALS, about=ABOUT) as run, reachable():
        client = mlflow.MlflowClient()
        model = client.get_model_version(ref.name, ref.version).source.removeprefix("models:/")
        client.log_inputs(run.run_id, [dataset_input(table, hospital, "evaluation")], [LoggedModelInput(model)])
        about = {"model_id": model, "dataset_name": hospital, "dataset_digest": table.digest}
        log_metrics(run, [Metric(name, value, run.started, 0, **about) for name, value in metrics.items()])
        client.set_tag(run.run_id, NOTE, description, synchronous=True)
    return run
