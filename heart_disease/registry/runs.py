"""Runs: opens and ends them, and writes into them what a training or a lesson has to record.

Every call names its run: MLflow's "active run" belongs to a thread, and a pipeline has several threads.
"""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.autologging_utils import disable_autologging
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE as NOTE

from heart_disease.data.remote import addresses
from heart_disease.data.sources import Table
from heart_disease.model import schema
from heart_disease.model.errors import HeartError, UnavailableError, hide
from heart_disease.registry.access import moved
from heart_disease.registry.access.store import (
    CLOSED,
    EXPERIMENT,
    FLOW_RUN,
    SQLITE,
    STORE_ERRORS,
    ModelRef,
    Run,
    author_tags,
    check_embedded_store,
    reachable,
    unless_missing,
    uri,
)
from heart_disease.registry.origins import COMMIT, DIRTY, Origin, origin_params, origin_tags

BATCH = 1000  # the most metrics that MLflow takes in one call
LONGEST = 5000  # characters of a description; MLflow takes 8000
ABOUT = "A run for each `heart train`: recipe, evaluation, curves, figures, data set, and the model that came of it."
ABOUT_MONITORING = "A run for each `heart monitor`."


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

    The description of a run that did not finish says why.

    about: the description of the experiment. resume: the ID of a run to continue instead of a new one.

    Raises:
        UnavailableError: the store cannot be written, or its server does not answer.
    """
    check_embedded_store(to_write=True)
    with reachable():
        client = mlflow.MlflowClient()
        experiment_id = open_experiment(experiment, about)
        if resume:
            run_id = resume
            client.update_run(run_id, "RUNNING")
            for tag in (CLOSED, NOTE):
                with suppress(MlflowException):  # it is missing if the run's process was killed
                    client.delete_tag(run_id, tag)
            client.log_batch(
                run_id, tags=[RunTag(key, value) for key, value in {**author_tags(), **tags}.items()], synchronous=True
            )
            started = client.get_run(run_id).info.start_time
        else:
            created = client.create_run(experiment_id, run_name=name, tags={**author_tags(), **tags}).info
            run_id, started = created.run_id, created.start_time
    try:
        with disable_autologging():  # a program that calls this one may have switched it on
            yield Run(run_id, experiment_id, started)
    except BaseException as error:
        # KeyboardInterrupt and SystemExit are not Exceptions. If the store is gone too, report what ended the run.
        with suppress(*STORE_ERRORS):
            explain(run_id, _ending(error))
            client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    with reachable():
        client.set_terminated(run_id, "FINISHED")


def explain(run_id: str, why: str) -> None:
    """Begin the description of a run that did not finish with the reason."""
    client = mlflow.MlflowClient()
    before = client.get_run(run_id).data.tags.get(NOTE, "")
    client.set_tag(run_id, NOTE, f"{why}\n\n{before}".rstrip()[:LONGEST], synchronous=True)


def _ending(error: BaseException) -> str:
    """Why a run ended early, in Markdown; what follows the first line of an error is a list."""
    if isinstance(error, HeartError):
        what = str(error)
    elif isinstance(error, Exception):
        what = f"unexpected failure: {type(error).__name__}: {hide(str(error))}"
    else:
        what = "stopped by Ctrl-C" if isinstance(error, KeyboardInterrupt) else "stopped by a signal"
    first, *more = what.splitlines() or [""]
    return "\n".join([f"{first[:1].upper()}{first[1:]}", "", *(f"* {line}" for line in more)]).rstrip()


@reachable()
def find_try(flow_run_id: str, origin: Origin) -> str | None:
    """The run of an earlier try of this flow run, to continue; None if there is none with the same `origin`.

    A data file that has changed since, or other code, makes another model, and that is another run.
    """
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if not (flow_run_id and experiment):
        return None
    items = (*origin_params(origin), *origin_tags(origin))
    wanted = {item.key: item.value for item in items if item.key not in (COMMIT, DIRTY)}
    for found in client.search_runs([experiment.experiment_id], f"tags.`{FLOW_RUN}` = '{flow_run_id}'"):
        written = {**found.data.params, **found.data.tags}  # perhaps incomplete
        if all(written.get(key, value) == value for key, value in wanted.items()):
            return str(found.info.run_id)
    return None


@reachable()
def finish_try(ref: ModelRef, flow_run_id: str) -> bool:
    """Whether an earlier try of this flow run made this version; if so, make sure that its run is FINISHED."""
    client = mlflow.MlflowClient()
    found = unless_missing(client.get_run, ref.run_id)
    if not found:
        return False
    made = bool(flow_run_id) and found.data.tags.get(FLOW_RUN) == flow_run_id
    if made and found.info.status != "FINISHED":
        client.set_terminated(ref.run_id, "FINISHED")
    return made


@reachable()
def open_experiment(name: str = EXPERIMENT, about: str = ABOUT) -> str:
    """The ID of an experiment, which is created if it is missing.

    Raises:
        UnavailableError: it was deleted, or the store cannot be used.
    """
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(name)
    if found and found.lifecycle_stage != "active":
        raise UnavailableError(
            f"the MLflow experiment '{name}' in {uri()} was deleted. Restore it: mlflow experiments restore "
            f"--experiment-id {found.experiment_id}"
        )
    if found:
        if uri().startswith(SQLITE):
            moved.check(found.artifact_location)
        return str(found.experiment_id)
    # The kind is what MLflow's page calls "model training", as opposed to "GenAI".
    tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": about}
    return str(client.create_experiment(name, moved.location(name) if uri().startswith(SQLITE) else None, tags))


@reachable()
def read_run(run_id: str) -> tuple[str, dict[str, float]] | None:
    """The name and the metrics of a run; None if it was deleted for good, or `run_id` is not a run."""
    found = unless_missing(mlflow.MlflowClient().get_run, run_id)
    return (found.info.run_name or "", found.data.metrics) if found else None


@reachable()
def log_start(run: Run, table: Table, origin: Origin) -> None:
    """Log what a training starts from: recipe, evaluation, data, code and libraries."""
    client = mlflow.MlflowClient()
    client.log_batch(run.run_id, params=origin_params(origin), tags=origin_tags(origin), synchronous=True)
    log_data(run, table)


@reachable()
def log_data(run: Run, table: Table, use: str = "training") -> None:
    """Log the patients as the run's data set. use: what they are for, as MLflow's page shows it."""
    found = dataset_input(table, addresses.title(table.source), use)
    mlflow.MlflowClient().log_inputs(run.run_id, [found])


def dataset_input(table: Table, name: str, context: str) -> DatasetInput:
    """The patients as MLflow describes a data set; context: what they are used for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow knows two kinds of local file; it chooses the right one
        dataset = mlflow.data.from_pandas(
            table.frame,
            source=str(table.snapshot.paths[0]) if table.snapshot else table.source,
            targets=schema.LABEL.name if schema.LABEL.name in table.frame else None,
            name=name,
            digest=table.digest,
        )
    found = dataset._to_mlflow_entity()
    if table.snapshot:
        kind, origin = _fetched(table)
        found = Dataset(found.name, found.digest, kind, json.dumps(origin), found.schema, found.profile)
    return DatasetInput(found, [InputTag("mlflow.data.context", context)])


def _fetched(table: Table) -> tuple[str, dict[str, Any]]:
    """What was fetched, in the words of MLflow's kinds of sources; it has none for a database, but one for tags."""
    assert table.snapshot
    origin, scheme = table.source, table.source.partition("://")[0].lower()
    about = {"taken": table.snapshot.taken, "snapshot": table.snapshot.digest, "rows": str(len(table))}
    if scheme in addresses.WEB:
        return "http", {"url": origin, **about}
    if scheme in ("s3", "gs"):
        return scheme, {"uri": origin, **about}
    return "code", {"tags": {"mlflow.source.name": origin, **about}}


@reachable()
def log_files(run: Run, folder: str, files: Mapping[str, str | bytes]) -> None:
    """Write files, given by name, to `folder` in the run's artifacts."""
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in files.items():
            path = Path(temporary, name)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        mlflow.MlflowClient().log_artifacts(run.run_id, temporary, folder)


@reachable()
def artifact_uri(run: Run, path: str) -> str:
    """Where a file of the run is stored: a path, or an address on the server."""
    return f"{mlflow.MlflowClient().get_run(run.run_id).info.artifact_uri}/{path}"


@reachable()
def log_tags(run: Run, tags: Mapping[str, str]) -> None:
    """Set tags of the run."""
    mlflow.MlflowClient().log_batch(
        run.run_id, tags=[RunTag(key, value) for key, value in tags.items()], synchronous=True
    )


@reachable()
def log_evaluation(
    run: Run,
    ref: ModelRef,
    metrics: Mapping[str, float],
    curves: Iterable[tuple[str, int, float]],
    title: str,
    description: str,
) -> None:
    """Log all metrics, for the run and its model, and the curves: name, epoch from 1, and value of each point.

    Call this after `log_model`, which makes the model.
    """
    client, when = mlflow.MlflowClient(), run.started
    # `log_model` registered it as models:/MODEL_ID. MLflow's get_model_info would leave a folder behind in /tmp.
    model = client.get_model_version(ref.name, ref.version).source.removeprefix("models:/")
    values = [Metric(name, value, when, 0, model_id=model) for name, value in metrics.items()]
    values += [Metric(name, value, when, epoch) for name, epoch, value in curves]
    log_metrics(run, values)
    client.set_tag(run.run_id, NOTE, description, synchronous=True)
    client.set_tag(run.run_id, "evaluation", title, synchronous=True)


@reachable()
def log_values(
    run: Run, params: Mapping[str, Any], metrics: Mapping[str, float], curves: Mapping[str, Sequence[float]]
) -> None:
    """Log what a run was given and what it found; `curves` have a value for each step from 0."""
    when = run.started
    values = [Metric(name, value, when, 0) for name, value in metrics.items()]
    values += [Metric(name, value, when, step) for name, curve in curves.items() for step, value in enumerate(curve)]
    client = mlflow.MlflowClient()
    client.log_batch(run.run_id, params=[Param(name, str(value)) for name, value in params.items()], synchronous=True)
    log_metrics(run, [value for value in values if math.isfinite(value.value)])


def log_metrics(run: Run, values: Sequence[Metric]) -> None:
    """Log metrics, in as many calls as MLflow needs."""
    for start in range(0, len(values), BATCH):
        mlflow.MlflowClient().log_batch(run.run_id, metrics=values[start : start + BATCH], synchronous=True)
