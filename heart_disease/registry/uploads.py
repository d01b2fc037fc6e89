"""A model as MLflow keeps it: its files, its signature, and what it was made from, uploaded for a run."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from heart_disease.model import patient_model, schema
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry.access.store import Run, author_tags
from heart_disease.registry.origins import kept_tags

PACKAGE = "heart_disease_model"  # the name under which the package `model` is shipped
REQUIREMENTS = ("h5py", "mlflow", "numpy", "pandas", "scipy")  # what the package needs to score patients
SCRIPT = "mlflow_script.py"
# MLflow allows none of these in a model's name, which is the run's.
SIGNS = {".": "·", "/": " ", ":": "", "%": " ", '"': " ", "'": " "}


def write(model: PatientModel, folder: Path) -> None:
    """Write the files to be shipped, with the layout of MLflow's own folder."""
    package = Path(patient_model.__file__).parent
    copy = folder / "artifacts" / PACKAGE
    copy.mkdir(parents=True)
    for file in package.glob("*.py"):
        if file.name != SCRIPT:
            shutil.copy(file, copy)
    shutil.copy(package / SCRIPT, folder)
    model.save(folder / "artifacts" / "model")


def upload(run: Run, model: PatientModel, folder: Path, example: pd.DataFrame) -> LoggedModel:
    """Upload `model`, written to `folder`, with a copy of the run's record of its origin.

    Not by `mlflow.pyfunc.log_model`, which takes run and experiment from the process that it finds itself in.
    """
    # Any type, because MLflow refuses whole numbers (int64, as pandas reads them) in a column that is declared double.
    # For a value that is not a number, the model itself gives the reason.
    inputs = Schema([ColSpec(AnyType(), name) for name in model.columns])
    outputs = Schema([ColSpec(DataType.double, "probability"), ColSpec(DataType.string, "disease"),
                      ColSpec(DataType.string, "problem"), ColSpec(DataType.string, "unusual")])  # fmt: skip
    params = ParamSchema([ParamSpec("threshold", DataType.double, model.threshold),
                          ParamSpec("explain", DataType.boolean, False)])  # fmt: skip
    client = mlflow.MlflowClient()
    found = client.get_run(run.run_id)
    recorded = found.data
    tags = {**author_tags(), **kept_tags(recorded.tags)}
    name = "".join(SIGNS.get(sign, sign) for sign in found.info.run_name or "model")
    logged = client.create_logged_model(run.experiment_id, name, run.run_id, tags, recorded.params)
    client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    with tempfile.TemporaryDirectory() as temporary, _no_bytecode():
        saved = str(Path(temporary, "saved"))
        mlflow.pyfunc.save_model(
            saved,
            python_model=str(folder / SCRIPT),
            artifacts={name: str(folder / "artifacts" / name) for name in ("model", PACKAGE)},
            signature=ModelSignature(inputs, outputs, params),
            input_example=example[list(model.columns)].astype("float64").reset_index(drop=True),
            mlflow_model=Model(
                artifact_path=logged.artifact_location,
                run_id=run.run_id,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
                metadata={"columns": {column.name: _describe(column) for column in model.encoder.columns}},
            ),
            # Listed here, because to guess them MLflow loads the model in a second process, for ten seconds.
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            uv_project_path=folder,  # no project: otherwise MLflow ships the uv.lock of the working directory
        )
        client.log_model_artifacts(logged.model_id, saved)
    return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def _describe(column: schema.Column) -> dict[str, str]:
    """What a signature cannot express: the meaning, unit and allowed values of a column, in words."""
    codes = ", ".join(f"{code} {meaning}" for code, meaning in column.codes.items())
    allowed = f"{codes}{' or blank' * column.optional}" if codes else column.expected
    return {"meaning": column.meaning, "unit": column.unit, "allowed": allowed}


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Stop Python from writing bytecode beside the module that MLflow imports, because MLflow would upload it too."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
