"""MLflow's protocol, that of `mlflow models serve`, so that its clients and load tests can ask `heart serve` as well.

A body is JSON in one of MLflow's four forms, perhaps with `params`, or CSV. Four things are different: a probability
that does not exist is null and not NaN, which is no JSON; a parameter that the model does not have is refused and not
ignored; a row that lacks a cell is refused and not filled with a blank, because a blank says that the value is not
known, and a column that is there twice is refused; and there is no Parquet, because a megabyte of it may unpack to
gigabytes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict

from heart_disease.model.errors import HeartError
from heart_disease.model.patient_model import PatientModel
from heart_disease.model.words import count
from heart_disease.serving import patients

PARAMS = "params"
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


def read(body: bytes, kind: str, columns: Collection[str]) -> Asked:
    """The body of a request with this content type, for a version that takes these columns.

    Raises:
        HTTPException: it is not one that MLflow's server takes, or has too many patients.
    """
    kind, _, _ = kind.partition(";")
    params: Any = None
    try:
        if kind.strip() == "text/csv":
            frame = _from_csv(body, columns)
        elif kind.strip() == "application/json":
            frame, params = _from_json(json.loads(body, parse_int=_whole), columns)
        else:
            raise HTTPException(415, f"the content type is '{kind}'; expected application/json or text/csv")
    except (ValueError, TypeError, LookupError, RecursionError, csv.Error) as error:
        raise HTTPException(400, f"the body is not understood as {kind.strip()} of patients: {error}") from error
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


def _from_csv(body: bytes, columns: Collection[str]) -> pd.DataFrame:
    lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
    header, *rows = [cells for cells in lines if len(cells) > 1 or "".join(cells).strip()] or [[]]
    for k, cells in enumerate(rows):
        if len(cells) != len(header):  # pandas would add blanks, or take the first cell of every row as its name
            raise ValueError(f"row {k} has {count(len(cells), 'cell')}, and the header has {len(header)}")
    if not (taken := _taken(header, columns)):
        return pd.DataFrame()
    kept = io.StringIO()
    csv.writer(kept).writerows([[cells[k] for k in taken.values()] for cells in (header, *rows)])
    return pd.read_csv(io.StringIO(kept.getvalue()))


def _from_json(content: Any, columns: Collection[str]) -> tuple[pd.DataFrame, Any]:
    if not isinstance(content, dict) or len(forms := [form for form in FORMS if form in content]) != 1:
        raise ValueError(f"expected an object with exactly one of {', '.join(FORMS)}")
    [form] = forms
    held = content[form]
    if form == "dataframe_split":
        cells = _from_split(held, columns)
    elif isinstance(held, list):
        cells = _from_records(held, columns)
    elif isinstance(held, dict) and form != "dataframe_records":
        cells = {name: held[name] for name in columns if name in held}
        _refuse(f"column {name!r} is not a list" for name, each in cells.items() if not isinstance(each, list))
    else:
        raise ValueError(f"{form} is a {type(held).__name__}; expected a list of objects")
    for name, each in cells.items():
        for row, cell in enumerate(each):
            if not (cell is None or isinstance(cell, str | int | float)):
                raise ValueError(f"column {name!r} has a {type(cell).__name__} in row {row}")
    return pd.DataFrame(cells), content.get(PARAMS)


# These read only the columns that the version takes. MLflow's own reader makes a table of all of them, and pandas fills
# its gaps with blanks: from a megabyte of rows that each name another column that makes gigabytes.


def _from_split(held: Any, columns: Collection[str]) -> dict[str, list[Any]]:
    keys = {"columns", "data", "index"}
    if not (
        isinstance(held, dict) and keys >= held.keys() and all(isinstance(held.get(key, []), list) for key in keys)
    ):
        raise ValueError("expected dataframe_split to be an object with the lists columns and data, and perhaps index")
    names, rows, index = (list(held.get(key, [])) for key in ("columns", "data", "index"))
    taken = _taken(names, columns)
    if "index" in held and len(index) != len(rows):
        raise ValueError(f"the index has {count(len(index), 'row')}, and data has {len(rows)}")
    for k, row in enumerate(rows):
        if not isinstance(row, list):
            raise ValueError(f"row {k} is not a list of cells")
    _refuse(f"row {k} has {len(row)} of {len(names)} cells" for k, row in enumerate(rows) if len(row) != len(names))
    return {name: [row[k] for row in rows] for name, k in taken.items()}


def _from_records(rows: list[Any], columns: Collection[str]) -> dict[str, list[Any]]:
    for k, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"row {k} is not an object; expected the cells by the names of their columns")
    named = [name for name in columns if any(name in row for row in rows)]
    _refuse(f"row {k} lacks {name!r}" for k, row in enumerate(rows) for name in named if name not in row)
    return {name: [row[name] for row in rows] for name in named}


def _taken(header: list[Any], columns: Collection[str]) -> dict[str, int]:
    """Where in the header each column is that the version takes.

    Raises:
        ValueError: one of them is there twice.
    """
    taken = {name: k for k, name in enumerate(header) if name in columns}
    for name, k in taken.items():
        if header.index(name) != k:
            raise ValueError(f"two columns have the same name, {name!r}")
    return taken


def _refuse(gaps: Iterable[str]) -> None:
    for gap in gaps:
        raise ValueError(f"{gap}; expected a value for each patient, or null if it is not known")


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
