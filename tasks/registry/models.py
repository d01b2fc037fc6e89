"""Registered models: a version made, loaded back and compared, looked up by its alias."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from tasks import schema
from tasks.errors import UnavailableError
from tasks.registry.runs import Run
from tasks.registry.store import CHALLENGER, LIBRARIES, MODEL, first_line, reachable, uri

if TYPE_CHECKING:
    from tasks.patient_model import PatientModel

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

    The version has no alias yet: `check_model`, `set_challenger` and `move_champion` follow.
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


def check_loads(ref: ModelRef, patients: pd.DataFrame) -> None:
    """Load `ref` and score `patients`, before it becomes what everyone uses.

    Raises:
        UnavailableError: it does not load, does not answer, or with something else than probabilities.
    """
    try:
        model = mlflow.pyfunc.load_model(f"models:/{ref.name}/{ref.version}")
        answers = model.predict(patients[list(schema.INPUT_NAMES)])
        scored = answers["probability"].dropna()
        if not (len(scored) and scored.between(0, 1).all()):
            raise ValueError(f"{len(scored)} probabilities for {len(patients)} patients, expected some, from 0 to 1")
    except Exception as error:  # whatever is wrong with a model that was stored some time ago
        raise UnavailableError(
            f"{ref.name} version {ref.version} cannot be used: {first_line(error)}. Expected a version that loads and "
            "scores the bundled patients; nothing was moved."
        ) from error


@reachable()
def load_model(ref: ModelRef) -> Any:
    """The registered version as an MLflow pyfunc model: `predict(frame)`."""
    return mlflow.pyfunc.load_model(f"models:/{ref.name}/{ref.version}")


@reachable()
def by_alias(alias: str) -> ModelRef | None:
    """The version that the alias points to, and None where there is none."""
    client = mlflow.MlflowClient()
    try:
        # Of the model: where there is none, a server with a login would call the question for its alias forbidden.
        version = client.get_registered_model(MODEL).aliases.get(alias)
        return _ref(client.get_model_version(MODEL, version)) if version else None
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


@reachable()
def by_version(version: str) -> ModelRef:
    """The version of this number.

    Raises:
        UnavailableError: there is none, or the store does not answer.
    """
    try:
        return _ref(mlflow.MlflowClient().get_model_version(MODEL, version))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
    raise UnavailableError(
        f"no version {version} of '{MODEL}' in {uri()}; there is: {', '.join(reversed(versions())) or 'none'}."
    )


@reachable()
def versions() -> list[str]:
    """The numbers of all versions that there are, newest first."""
    return [str(found.version) for found in _newest_first()]


@reachable()
def set_challenger(ref: ModelRef, why: str) -> None:
    """Label `ref` as a challenger, and point the alias `challenger` to the newest version that has a label.

    So of two that finish at once the newer one is challenger in the end, whoever comes last.
    """
    label(ref.version, CHALLENGER, why)
    pointed = None
    while pointed != (newest := next(str(it.version) for it in _newest_first() if "promotion" in it.tags)):
        set_alias(CHALLENGER, newest)
        pointed = newest


def set_alias(alias: str, version: str) -> None:
    """Point `alias` to the version, and nothing else; for the champion see champions.py."""
    _again(mlflow.MlflowClient().set_registered_model_alias, MODEL, alias, version)


def label(version: str, alias: str, why: str) -> None:
    """What the version is or was, and why: tags and description."""
    client = mlflow.MlflowClient()
    _again(client.set_model_version_tag, MODEL, version, "promotion", alias)
    _again(client.set_model_version_tag, MODEL, version, "promotion_reason", why)
    client.update_model_version(MODEL, version, f"{alias}: {why}")


@reachable()
def log_version_tags(ref: ModelRef, tags: Mapping[str, str]) -> None:
    """Tags of a registered version."""
    for key, value in tags.items():
        _again(mlflow.MlflowClient().set_model_version_tag, ref.name, ref.version, key, value)


def _again(call: Callable[..., object], *arguments: str) -> None:
    """Of two that set a thing for the first time at once, one is refused; the second time it is there to be changed."""
    try:
        call(*arguments)
    except MlflowException:
        call(*arguments)


def _newest_first() -> list[ModelVersion]:
    found = mlflow.MlflowClient().search_model_versions(f"name='{MODEL}'")
    return sorted(found, key=lambda version: int(version.version), reverse=True)


def _ref(found: ModelVersion) -> ModelRef:
    return ModelRef(found.name, str(found.version), found.run_id or "")


@contextmanager
def _active(run: Run) -> Iterator[None]:
    """For MLflow's calls that know only an active run. Leaves the run's end to `open_run`."""
    mlflow.start_run(run_id=run.run_id)
    try:
        yield
    finally:
        mlflow.tracking.fluent._active_run_stack.get().pop()
