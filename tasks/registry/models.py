"""Registered models: a version made, loaded back and compared, looked up by its alias."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from tasks import schema
from tasks.errors import UnavailableError
from tasks.patient_model import PatientModel
from tasks.registry.runs import Run
from tasks.registry.store import CHALLENGER, CHAMPION, LIBRARIES, MODEL, check_embedded_store, reachable, uri

DESCRIPTION = (
    "Probability of heart disease (over 50 % narrowing of a major vessel) from 13 columns in UCI codes. "
    "The alias `champion` is the version to use."
)
SERVED = ("__init__", "encode", "errors", "patient_model", "schema")  # the modules that travel inside a model


@dataclass(frozen=True)
class ModelRef:
    """A registered version, and the run that made it."""

    name: str
    version: str
    run_id: str


@reachable()
def log_model(run: Run, model: PatientModel, example: pd.DataFrame) -> ModelRef:
    """Register `model` as a new version of `heart-disease`, with a signature and `example` rows as input example.

    The version has no alias yet: `check_model` and `set_alias` follow.
    """
    inputs = Schema([ColSpec(DataType.double, name) for name in schema.INPUT_NAMES])
    outputs = Schema([ColSpec(DataType.double, "probability"), ColSpec(DataType.string, "disease"),
                      ColSpec(DataType.string, "problem")])  # fmt: skip
    here = Path(__file__).parent.parent
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


@reachable()
def load_model(ref: ModelRef) -> Any:
    """The registered version as an MLflow pyfunc model: `predict(frame)`."""
    return mlflow.pyfunc.load_model(f"models:/{ref.name}/{ref.version}")


def champion() -> ModelRef:
    """The version that the alias `champion` points to.

    Raises:
        UnavailableError: there is none, or the store does not answer.
    """
    check_embedded_store()
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


@reachable()
def _by_alias(alias: str) -> ModelRef | None:
    try:
        found = mlflow.MlflowClient().get_model_version_by_alias(MODEL, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return ModelRef(found.name, str(found.version), found.run_id or "")


@reachable()
def set_alias(ref: ModelRef, alias: str, reason: str) -> None:
    """Point `alias` to the version, and say why: a tag and the description of the version."""
    client = mlflow.MlflowClient()
    client.set_model_version_tag(ref.name, ref.version, "promotion", alias)
    client.set_model_version_tag(ref.name, ref.version, "promotion_reason", reason)
    client.update_model_version(ref.name, ref.version, f"{alias}: {reason}")
    client.set_registered_model_alias(ref.name, alias, ref.version)


@contextmanager
def _active(run: Run) -> Iterator[None]:
    """For MLflow's calls that know only an active run. Leaves the run's end to `open_run`."""
    mlflow.start_run(run_id=run.run_id)
    try:
        yield
    finally:
        mlflow.tracking.fluent._active_run_stack.get().pop()


# SHIM until the merge
def find_champion():
    return _by_alias(CHAMPION)


def set_challenger(ref, why):
    set_alias(ref, CHALLENGER, why)


def move_champion(ref, *, expected, kind, why):
    set_alias(ref, CHAMPION, why)
# END SHIM


@reachable()
def log_version_tags(ref: ModelRef, tags: Mapping[str, str]) -> None:
    """Tags of a registered version."""
    for key, value in tags.items():
        mlflow.MlflowClient().set_model_version_tag(ref.name, ref.version, key, value)
