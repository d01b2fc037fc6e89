"""The patients of a request: made from the schema, checked for a version, refused in the schema's words."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import BaseModel, Field, create_model

from heart_disease.model import schema
from heart_disease.model.patient_model import PatientModel
from heart_disease.model.schema import Column

ROWS = 1000
EXPLAINED = 10  # each takes tens of milliseconds
SHOWN = 5  # at most this many problems are named in an answer


def _field(column: Column) -> Any:
    words = ", ".join(filter(None, [column.meaning, column.unit, *(f"{k} {v}" for k, v in column.codes.items())]))
    blank = "; null if it is not known" if column.optional else ""
    strict = Field(strict=True, allow_inf_nan=False)  # only finite numbers: no text, no true, no NaN, no 1e999
    return Annotated[Annotated[float, strict] | None, Field(description=words + blank)]


def _middle(column: Column) -> float:
    if column.codes:
        return sorted(column.codes)[(len(column.codes) - 1) // 2]
    low, high = column.usual or column.limits or (0, 1)
    return round((low + high) / 2, 0 if high - low > 10 else 1)


# Which columns must be there depends on the version that answers, so `as_cells` decides it.
_FIELDS: dict[str, Any] = {
    column.name: (_field(column), Field(default_factory=lambda: None)) for column in schema.COLUMNS
}
REQUIRED = np.array([not column.optional for column in schema.COLUMNS])  # (13,)
EXAMPLE = {column.name: _middle(column) for column in schema.COLUMNS}
Patient: Any = create_model("Patient", **_FIELDS)


class Patients(BaseModel):
    """The patients to score."""

    # Stops at the first invalid patient: a thousand of them would mean a thousand messages.
    patients: Annotated[list[Patient], Field(min_length=1, max_length=ROWS, fail_fast=True)]


class Few(BaseModel):
    """The patients to explain."""

    patients: Annotated[list[Patient], Field(min_length=1, max_length=EXPLAINED, fail_fast=True)]


def describe(patient: dict[str, Any], model: PatientModel) -> None:
    """Make the JSON schema of a patient say which columns `model` needs, and which codes it knows."""
    patient["required"] = list(model.columns)
    for column in model.encoder.columns:
        known = patient["properties"][column.name]
        blank = [{"type": "null"}] if column.optional and f"{column.name}=blank" not in model.encoder.unseen else []
        codes = [code for code, words in column.codes.items() if f"{column.name}={words}" not in model.encoder.unseen]
        limits = dict(zip(("minimum", "maximum"), column.limits, strict=True)) if column.limits else {}
        known["anyOf"] = [{"type": "number", **limits, **({"enum": codes} if codes else {})}, *blank]


def as_cells(patients: list[Any], model: PatientModel) -> NDArray[np.float64]:
    """The patients as `PatientModel.score` takes them: (n, 13).

    Raises:
        HTTPException: one lacks a column that the model takes, or has null although it needs a number.
    """
    cells = np.array([list(patient.__dict__.values()) for patient in patients], "float64")
    needed = frozenset(model.columns)
    for k, patient in enumerate(patients):
        if not needed <= patient.model_fields_set:
            missing = [schema.BY_NAME[name] for name in model.columns if name not in patient.model_fields_set]
            said = [f"patients[{k}].{it.name} is missing; expected a number ({it.expected})" for it in missing]
            raise HTTPException(422, some(said))
    blank = np.isnan(cells) & REQUIRED & ~model.encoder.ignored
    if blank.any():
        k, c = np.argwhere(blank)[0].tolist()
        column = schema.COLUMNS[c]
        raise HTTPException(422, f"patients[{k}].{column.name} has null; expected a number: {column.expected}")
    return cells


def some(problems: list[str]) -> str:
    """The first of these problems, and how many more there are."""
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return "; ".join(problems[:SHOWN]) + more


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """What is wrong with a body, in the words of the schema instead of pydantic's."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": some([_problem(one) for one in error.errors()])}, 422)


def _problem(error: Any) -> str:
    _, *path = error["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path if part != "float").strip(".")
    column = next((schema.BY_NAME[part] for part in path if part in schema.BY_NAME), None)
    kind, came = error["type"], error.get("input")
    if kind == "json_invalid":
        return f"the body is not JSON: {error['ctx']['error']}"
    if kind == "too_long":
        return f"{where} has too many; expected at most {error['ctx']['max_length']} patients a request"
    if kind == "missing":
        expected = f"a number ({column.expected})" if column else '{"patients": [{"age": 63, ...}, ...]}'
        return f"{where or 'the body'} is missing; expected {expected}"
    if not path and isinstance(came, bytes):
        return "the body was not read as JSON; expected the header 'Content-Type: application/json'"
    if column:
        return f"{where} has {_show(came)}; expected a number: {column.expected.replace('blank', 'null')}"
    return f"{where or 'the body'} is not understood: {error['msg']}"


def _show(came: object) -> str:
    if came is None:
        return "null"
    if isinstance(came, float) and not math.isfinite(came):
        return "no finite number"
    text = repr(came)
    return text if len(text) <= 40 else f"{text[:40]}..."
