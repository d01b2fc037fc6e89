"""MLflow's protocol, that of `mlflow models serve`, so that its clients and load tests can ask `heart serve` as well.

A body is JSON in one of MLflow's four forms, perhaps with `params`, or CSV. Three things are different: a probability
that does not exist is null and not NaN, which is no JSON; a parameter that the model does not have is refused and not
ignored; and there is no Parquet, of which a megabyte may unpack to gigabytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd
from fastapi import HTTPException
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from pydantic import BaseModel, ConfigDict

from heart_disease.model import schema
from heart_disease.model.errors import HeartError
from heart_disease.model.patient_model import PatientModel
from heart_disease.serving import patients

PARAMS = scoring_server.SERVING_PARAMS_KEY
LONGEST = 18  # digits of a whole number of 64 bits, with its sign
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
EXAMPLE = {"dataframe_records": [patients.EXAMPLE], PARAMS: {"threshold": 0.3}}
SCHEMA = {
    "type": "object",
    "description": "One of MLflow's forms, such as this one, and perhaps parameters.",
    "properties": {
        "dataframe_records": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Row"}},
        PARAMS: {
            "type": ["object", "null"],
            "properties": {
                "threshold": {"type": "number", "minimum": 0, "maximum": 1},
                "explain": {"type": "boolean"},
            },
            "additionalProperties": False,
        },
    },
    "required": ["dataframe_records"],
}


class Prediction(BaseModel):
    """One patient's answer; with the parameter `explain`, more columns, those of `PatientModel.predict`."""

    model_config = ConfigDict(extra="allow")
    probability: float | None
    disease: str
    problem: str
    unusual: str


class Predictions(BaseModel):
    """One prediction per patient, in their order."""

    predictions: list[Prediction]


@dataclass(frozen=True)
class Asked:
    """The patients of a request, and its parameters by name."""

    frame: pd.DataFrame
    params: dict[str, Any]


def row(columns: Collection[str]) -> dict[str, Any]:
    """The JSON schema of a row with these columns; a cell that cannot be used becomes the row's problem."""
    cell = {"type": ["number", "string", "boolean", "null"]}
    return {"type": "object", "properties": dict.fromkeys(columns, cell), "required": list(columns)}


def read(body: bytes, kind: str) -> Asked:
    """The body of a request with this content type.

    Raises:
        HTTPException: it is not one that MLflow's server takes, or has too many patients.
    """
    kind, _, _ = kind.partition(";")
    params: Any = None
    try:
        if kind.strip() == "text/csv":
            frame = pd.read_csv(io.BytesIO(body))
        elif kind.strip() == "application/json":
            frame, params = _from_json(json.loads(body, parse_int=_whole))
        else:
            raise HTTPException(415, f"the content type is '{kind}'; expected application/json or text/csv")
    except MlflowException as error:
        raise HTTPException(400, f"the body is not understood: {error.message}") from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise HTTPException(400, f"the body is not understood: {error}; expected {kind.strip()} of patients") from error
    params = _checked({} if params is None else params)
    most = patients.EXPLAINED if params.get("explain") else patients.ROWS
    if len(frame) > most:
        raise HTTPException(422, f"{len(frame)} patients; expected at most {most} a request")
    return Asked(frame, params)


def _checked(params: Any) -> dict[str, Any]:
    if not isinstance(params, dict) or not params.keys() <= {"threshold", "explain"}:
        raise HTTPException(400, f"{PARAMS} is {json.dumps(params)[:80]}; expected an object with threshold or explain")
    threshold, explain = params.get("threshold", 0.5), params.get("explain", False)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not isinstance(explain, bool):
        raise HTTPException(400, f"{PARAMS} is {json.dumps(params)[:80]}; expected a number and true or false")
    return params


def _from_json(content: Any) -> tuple[pd.DataFrame, Any]:
    if not isinstance(content, dict) or len(forms := [form for form in FORMS if form in content]) != 1:
        raise ValueError(f"expected an object with exactly one of {', '.join(FORMS)}")
    held = {form: content[form] for form in forms}
    # MLflow makes arrays of the other two, which are for tensors; rows or columns of patients need none.
    frame = scoring_server.infer_and_parse_data(held) if "dataframe" in forms[0] else pd.DataFrame(held[forms[0]])
    if isinstance(frame.columns, pd.MultiIndex) or not frame.columns.is_unique:
        raise ValueError("two columns have the same name, or one has a list as its name")
    for name in schema.BY_NAME.keys() & set(frame.select_dtypes("object")):
        for row, cell in enumerate(frame[name]):
            if not (cell is None or isinstance(cell, str | int | float)):
                raise ValueError(f"column {name!r} has a {type(cell).__name__} in row {row}")
    return frame, content.get(PARAMS)


def _whole(digits: str) -> int | float:
    """A whole number; one that pandas could not hold becomes a float, perhaps infinity."""
    return int(digits) if len(digits) <= LONGEST else float(digits)


def answer(asked: Asked, model: PatientModel) -> list[dict[str, Any]]:
    """The predictions, one object per patient.

    Raises:
        HTTPException: a column is missing, or a parameter is unknown or makes no sense.
    """
    try:
        found = model.predict(asked.frame, **asked.params)
    except HeartError as error:
        raise HTTPException(422, str(error)) from error
    cells = [[None if cell != cell else cell for cell in found[name].tolist()] for name in found]  # NaN is not itself
    return [dict(zip(map(str, found), row, strict=True)) for row in zip(*cells, strict=True)]
