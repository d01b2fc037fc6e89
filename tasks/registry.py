"""MLflow: runs, curves, figures, models and aliases. The only importer of mlflow but for the script in a model.

Where the store is, MLflow's own variables say (MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI); without them it is
`sqlite:///mlflow.db` in the working directory, where a bare `mlflow ui` finds it. Every call names its run: MLflow's
"active run" belongs to a thread, and a pipeline has several.
"""

from __future__ import annotations

import getpass
import math
import os
import platform
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mlflow
import numpy as np
import pandas as pd
from alembic.util import CommandError
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sqlalchemy.exc import SQLAlchemyError

from tasks import report as reports
from tasks import schema
from tasks.errors import UnavailableError
from tasks.evaluate import Report
from tasks.params import Evaluation, Params
from tasks.patient_model import PatientModel
from tasks.sources import Table

EXPERIMENT = "heart-disease"
MODEL = "heart-disease"
CHAMPION, CHALLENGER = "champion", "challenger"
LIBRARIES = ("keras", "tensorflow", "numpy", "pandas", "scikit-learn", "mlflow")
# A server, a database, a migration, a disk; a folder whose name the locale cannot write.
STORE_ERRORS = (MlflowException, SQLAlchemyError, CommandError, OSError, UnicodeError)
DESCRIPTION = (
    "Probability of heart disease (over 50 % narrowing of a major vessel) from 13 columns in UCI codes. "
    "The alias `champion` is the version to use."
)
SERVED = ("__init__", "encode", "errors", "patient_model", "schema")  # the modules that travel inside a model
BATCH = 1000  # the most metrics that MLflow takes in one call


@dataclass(frozen=True)
class Run:
    """An MLflow run that is under way."""

    run_id: str
    experiment_id: str


@dataclass(frozen=True)
class ModelRef:
    """A registered version, and the run that made it."""

    name: str
    version: str
    run_id: str


@contextmanager
def _reachable() -> Iterator[None]:
    """What a store raises, as one error that says which store and what to do. For a block or a whole function."""
    try:
        yield
    except STORE_ERRORS as error:
        raise UnavailableError(
            f"the MLflow store {uri()} cannot be used: {_first_line(error)}. Expected a writable database or a server "
            "that answers; check MLFLOW_TRACKING_URI and the folder's permissions."
        ) from error


def _first_line(error: BaseException) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= 200 else f"{text[:200]} ..."


def _check_embedded_store() -> None:
    """Tell at once what MLflow would find out only after two minutes of trying again.

    Raises:
        UnavailableError: the folder of the SQLite file is missing, or cannot be written.
    """
    if uri().startswith("sqlite:///"):
        folder = Path(unquote(uri().removeprefix("sqlite:///"))).parent
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise UnavailableError(
                f"the MLflow store {uri()} cannot be used: '{folder}' is not a folder that can be written. Work in "
                "another folder, or set MLFLOW_TRACKING_URI."
            )


@contextmanager
def open_run(name: str, tags: Mapping[str, str], *, experiment: str = EXPERIMENT) -> Iterator[Run]:
    """A run that ends as FINISHED, as FAILED on an error, and as KILLED on Ctrl-C or SIGTERM.

    Raises:
        UnavailableError: the store cannot be written, or its server does not answer.
    """
    _check_embedded_store()
    with _reachable():
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(experiment)
        experiment_id = (
            found.experiment_id
            if found
            # What MLflow's page calls "model training"; without it the page opens on the tools for language models.
            else client.create_experiment(experiment, tags={"mlflow.experimentKind": "custom_model_development"})
        )
        origin = {"mlflow.user": _user(), "mlflow.source.name": "heart", "mlflow.source.type": "LOCAL"}
        run_id = client.create_run(experiment_id, run_name=name, tags={**origin, **tags}).info.run_id
    try:
        yield Run(run_id, experiment_id)
    except BaseException as error:
        # KeyboardInterrupt and SystemExit are no Exception. Where the store is gone, what ended the run matters more.
        with suppress(*STORE_ERRORS):
            client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    with _reachable():
        client.set_terminated(run_id, "FINISHED")


@_reachable()
def log_start(run: Run, table: Table, params: Params, evaluation: Evaluation) -> None:
    """What a training starts from: recipe, evaluation, data, code and libraries."""
    values = {**params.as_dict(), **evaluation.as_dict(), "data_digest": table.digest}
    values["hidden"] = "-".join(map(str, params.hidden)) or "none"
    tags = [RunTag(f"library.{name}", version(name)) for name in LIBRARIES]
    tags += [RunTag("library.python", platform.python_version()), *_git_tags()]
    client = mlflow.MlflowClient()
    client.log_batch(run.run_id, params=[Param(k, str(v)) for k, v in values.items()], tags=tags)
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
    client.log_inputs(run.run_id, [DatasetInput(dataset._to_mlflow_entity(), context)])


@_reachable()
def log_files(run: Run, folder: str, files: Mapping[str, str | bytes]) -> None:
    """Files by name into `folder` of the run's artifacts."""
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in files.items():
            path = Path(temporary, name)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        mlflow.MlflowClient().log_artifacts(run.run_id, temporary, folder)


@_reachable()
def artifact_uri(run: Run, path: str) -> str:
    """Where a file of the run lies: a path, or an address on the server."""
    return f"{mlflow.MlflowClient().get_run(run.run_id).info.artifact_uri}/{path}"


@_reachable()
def log_tags(run: Run, tags: Mapping[str, str]) -> None:
    """Tags of the run."""
    mlflow.MlflowClient().log_batch(run.run_id, tags=[RunTag(key, value) for key, value in tags.items()])


@_reachable()
def log_report(run: Run, report: Report) -> None:
    """All metrics with their interval ends, and the curves epoch by epoch."""
    now = int(time.time() * 1000)
    values = [Metric(name, value, now, 0) for name, value in reports.metrics(report).items()]
    values += [Metric(name, value, now, epoch) for name, epoch, value in reports.curves(report)]
    _log_metrics(run, values)
    client = mlflow.MlflowClient()
    client.set_tag(run.run_id, "mlflow.note.content", f"{report.description}\n\n{reports.markdown(report)}")
    client.set_tag(run.run_id, "evaluation", report.description)


@_reachable()
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


@_reachable()
def log_model(run: Run, model: PatientModel, example: pd.DataFrame) -> ModelRef:
    """Register `model` as a new version of `heart-disease`, with a signature and `example` rows as input example.

    The version has no alias yet: `check_model` and `set_alias` follow.
    """
    inputs = Schema([ColSpec(DataType.double, name) for name in schema.INPUT_NAMES])
    outputs = Schema([ColSpec(DataType.double, "probability"), ColSpec(DataType.string, "disease"),
                      ColSpec(DataType.string, "problem")])  # fmt: skip
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as temporary, _active(run):
        code, files = Path(temporary, here.name), Path(temporary, "model")
        model.save(files)
        code.mkdir()
        for module in SERVED:
            shutil.copy(here / f"{module}.py", code)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(here / "served_model.py"),
            code_paths=[str(code)],  # so that the model loads where this project is not installed
            artifacts={"model": str(files)},
            signature=ModelSignature(inputs, outputs),
            input_example=example[list(schema.INPUT_NAMES)].astype("float64").reset_index(drop=True),
            # Given, because guessing them loads the model in a second TensorFlow process for ten seconds.
            pip_requirements=[f"{name}=={version(name)}" for name in LIBRARIES],
        )
    client = mlflow.MlflowClient()
    with suppress(MlflowException):  # it exists already
        client.create_registered_model(MODEL, description=DESCRIPTION)
    made = client.create_model_version(MODEL, info.model_uri, run.run_id, model_id=info.model_id)
    return ModelRef(MODEL, str(made.version), run.run_id)


def check_model(ref: ModelRef, model: PatientModel, patients: pd.DataFrame) -> None:
    """Load `ref` back and compare what it says about `patients` with `model` in memory.

    Raises:
        RuntimeError: the probabilities differ by more than 1e-6, or an answer differs.
    """
    rows = patients[list(schema.INPUT_NAMES)]
    stored, expected = load_model(ref).predict(rows), model.predict(rows)
    gap = float(np.abs(stored["probability"].to_numpy() - expected["probability"].to_numpy()).max())
    if not gap <= 1e-6 or list(stored["disease"]) != list(expected["disease"]):
        raise RuntimeError(
            f"{ref.name} version {ref.version}, loaded back, differs from the model in memory: probabilities by up to "
            f"{gap:g}, expected at most 1e-6. The version is registered without an alias."
        )


@_reachable()
def load_model(ref: ModelRef) -> Any:
    """The registered version as an MLflow pyfunc model: `predict(frame)`."""
    return mlflow.pyfunc.load_model(f"models:/{ref.name}/{ref.version}")


def champion() -> ModelRef:
    """The version that the alias `champion` points to.

    Raises:
        UnavailableError: there is none, or the store does not answer.
    """
    _check_embedded_store()
    found = _by_alias(CHAMPION)
    if found:
        return found
    challenger = _by_alias(CHALLENGER)
    hint = (
        f"Version {challenger.version} is a challenger that was not promoted; MLflow says why. Try another recipe."
        if challenger
        else "Run `heart train` first, in this folder, or set MLFLOW_TRACKING_URI."
    )
    raise UnavailableError(
        f"no champion of '{MODEL}' in {uri()}; expected a registered model with the alias '{CHAMPION}'. {hint}"
    )


@_reachable()
def _by_alias(alias: str) -> ModelRef | None:
    try:
        found = mlflow.MlflowClient().get_model_version_by_alias(MODEL, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return ModelRef(found.name, str(found.version), found.run_id or "")


@_reachable()
def set_alias(ref: ModelRef, alias: str, reason: str) -> None:
    """Point `alias` to the version, and say why: a tag and the description of the version."""
    client = mlflow.MlflowClient()
    client.set_model_version_tag(ref.name, ref.version, "promotion", alias)
    client.set_model_version_tag(ref.name, ref.version, "promotion_reason", reason)
    client.update_model_version(ref.name, ref.version, f"{alias}: {reason}")
    client.set_registered_model_alias(ref.name, alias, ref.version)


def uri() -> str:
    """Where runs and models are kept."""
    return str(mlflow.get_tracking_uri())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


@contextmanager
def _active(run: Run) -> Iterator[None]:
    """For MLflow's calls that know only an active run. Leaves the run's end to `open_run`."""
    mlflow.start_run(run_id=run.run_id)
    try:
        yield
    finally:
        mlflow.tracking.fluent._active_run_stack.get().pop()


def _git_tags() -> list[RunTag]:
    """The commit of the code that runs, and whether it had changes; nothing where it is not a git checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        dirty = "yes" if git("status", "--porcelain", "--untracked-files=no") else "no"
        return [RunTag("mlflow.source.git.commit", git("rev-parse", "HEAD")), RunTag("git_dirty", dirty)]
    except (OSError, subprocess.CalledProcessError):
        return []
