"""Runs: opened and ended, and what a training and a lesson write into them.

Every call names its run: MLflow's "active run" belongs to a thread, and a pipeline has several.
"""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from tasks import schema
from tasks.registry.origins import Origin, origin_params, origin_tags
from tasks.registry.store import EXPERIMENT, STORE_ERRORS, author_tags, check_embedded_store, reachable
from tasks.sources import Table

if TYPE_CHECKING:
    from tasks.evaluate import Report

BATCH = 1000  # the most metrics that MLflow takes in one call
ABOUT = "A run for each `heart train`: recipe, evaluation, curves, figures, data set, and the model that came of it."


@dataclass(frozen=True)
class Run:
    """An MLflow run that is under way."""

    run_id: str
    experiment_id: str


@contextmanager
def open_run(
    name: str,
    tags: Mapping[str, str],
    *,
    experiment: str = EXPERIMENT,
    about: str = ABOUT,
    resume: str | None = None,
) -> Iterator[Run]:
    """A run that ends as FINISHED, as FAILED on an error, and as KILLED on Ctrl-C or SIGTERM.

    about: the description of the experiment. resume: the ID of a run to go on with, instead of a new one.

    Raises:
        UnavailableError: the store cannot be written, or its server does not answer.
    """
    check_embedded_store()
    with reachable():
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(experiment)
        experiment_id = (
            found.experiment_id
            if found
            # The kind is what MLflow's page calls "model training", as opposed to "GenAI".
            else client.create_experiment(
                experiment, tags={"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": about}
            )
        )
        if resume:
            run_id = resume
            client.update_run(run_id, "RUNNING")
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        else:
            run_id = client.create_run(experiment_id, run_name=name, tags={**author_tags(), **tags}).info.run_id
    try:
        yield Run(run_id, experiment_id)
    except BaseException as error:
        # KeyboardInterrupt and SystemExit are no Exception. Where the store is gone, what ended the run matters more.
        with suppress(*STORE_ERRORS):
            client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    with reachable():
        client.set_terminated(run_id, "FINISHED")


@reachable()
def read_run(run_id: str) -> tuple[str, dict[str, float]] | None:
    """The name and the metrics of a run; None where it was deleted for good, or `run_id` is no run."""
    try:
        found = mlflow.MlflowClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return found.info.run_name or "", found.data.metrics


@reachable()
def log_start(run: Run, table: Table, origin: Origin) -> None:
    """What a training starts from: recipe, evaluation, data, code and libraries."""
    client = mlflow.MlflowClient()
    client.log_batch(run.run_id, params=origin_params(origin), tags=origin_tags(origin))
    log_data(run, table)


@reachable()
def log_data(run: Run, table: Table) -> None:
    """The patients, as the run's data set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow knows two kinds of local file, and takes the right one
        dataset = mlflow.data.from_pandas(
            table.frame,
            source=table.source,
            targets=schema.LABEL.name,
            name=Path(table.source).stem,
            digest=table.digest,
        )
    context = [InputTag("mlflow.data.context", "training")]
    mlflow.MlflowClient().log_inputs(run.run_id, [DatasetInput(dataset._to_mlflow_entity(), context)])


@reachable()
def log_files(run: Run, folder: str, files: Mapping[str, str | bytes]) -> None:
    """Files by name into `folder` of the run's artifacts."""
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in files.items():
            path = Path(temporary, name)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        mlflow.MlflowClient().log_artifacts(run.run_id, temporary, folder)


@reachable()
def artifact_uri(run: Run, path: str) -> str:
    """Where a file of the run lies: a path, or an address on the server."""
    return f"{mlflow.MlflowClient().get_run(run.run_id).info.artifact_uri}/{path}"


@reachable()
def log_tags(run: Run, tags: Mapping[str, str]) -> None:
    """Tags of the run."""
    mlflow.MlflowClient().log_batch(run.run_id, tags=[RunTag(key, value) for key, value in tags.items()])


@reachable()
def log_report(run: Run, report: Report) -> None:
    """All metrics with their interval ends, and the curves epoch by epoch."""
    from tasks import report as reports  # needs scikit-learn, for which `heart history` must not wait

    now = int(time.time() * 1000)
    values = [Metric(name, value, now, 0) for name, value in reports.metrics(report).items()]
    values += [Metric(name, value, now, epoch) for name, epoch, value in reports.curves(report)]
    _log_metrics(run, values)
    client = mlflow.MlflowClient()
    client.set_tag(run.run_id, "mlflow.note.content", f"{report.description}\n\n{reports.markdown(report)}")
    client.set_tag(run.run_id, "evaluation", report.description)


@reachable()
def log_lesson(
    run: Run, settings: Mapping[str, Any], metrics: Mapping[str, float], curves: Mapping[str, Sequence[float]]
) -> None:
    """What a lesson was run with, and what it found; curves step by step from 0."""
    now = int(time.time() * 1000)
    values = [Metric(name, value, now, 0) for name, value in metrics.items()]
    values += [Metric(name, value, now, step) for name, curve in curves.items() for step, value in enumerate(curve)]
    client = mlflow.MlflowClient()
    client.log_batch(run.run_id, params=[Param(name, str(value)) for name, value in settings.items()])
    _log_metrics(run, [value for value in values if math.isfinite(value.value)])


def _log_metrics(run: Run, values: Sequence[Metric]) -> None:
    for start in range(0, len(values), BATCH):
        mlflow.MlflowClient().log_batch(run.run_id, metrics=values[start : start + BATCH])
