"""The OpenAPI document, with what FastAPI cannot know.

That is bodies and their examples, refusals, headers, the token, and the columns of the version that answers.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from heart_disease.model.patient_model import PatientModel
from heart_disease.serving import invocations, limits, patients
from heart_disease.serving.follower import TOKEN

WORDS = (
    "Probability of heart disease, over 50 % narrowing of a major vessel, from patients in UCI codes. /model says "
    f"which columns a patient needs: a version may not take all of them. If {TOKEN} is set, every path except /health, "
    "/ping and the page at / needs the header `Authorization: Bearer TOKEN`."
)
CSV = {
    "type": "string",
    "format": "csv",
    "contentMediaType": "text/csv",
    "description": "A line with the names of the columns, among them those that /model lists; then a line per patient.",
}
Responses = dict[int | str, dict[str, Any]]


class Refusal(BaseModel):
    """What is wrong with a request: what was expected, what came, and where."""

    detail: str


def _header(kind: str, words: str) -> dict[str, Any]:
    return {"description": words, "required": True, "schema": {"type": kind}}


_REFUSED_WITH = {
    401: {"WWW-Authenticate": _header("string", "the scheme, Bearer")},
    503: {"Retry-After": _header("integer", "seconds to wait")},
}
REFUSALS: Responses = {
    status: {"model": Refusal, "headers": _REFUSED_WITH.get(status, {})} for status in (400, 401, 408, 413, 422, 503)
}
CSV_ANSWERED_WITH = {
    "Heart-Patients": _header("integer", "how many patients the file has"),
    "Heart-Problems": _header("integer", "how many of them cannot be scored"),
    "Heart-Version": _header("string", "the version that answered"),
}


def text(kind: str, *refusals: int | str, headers: dict[str, Any] | None = None) -> Responses:
    """What a route without JSON answers: text of this kind, with these headers, or one of these refusals."""
    answer = {"content": {kind: {"schema": {"type": "string"}}}, "headers": headers or {}}
    return {200: answer} | {one: REFUSALS[one] for one in refusals}


def body(examples: dict[str, Any], **schemas: Any) -> dict[str, Any]:
    """The `openapi_extra` of a route: an example of its body for each content type; schemas: by json or csv."""
    content = {kind: {"example": example} for kind, example in examples.items()}
    for name, one in schemas.items():
        next(held for kind, held in content.items() if kind.endswith(name))["schema"] = one
    return {"requestBody": {"content": content, "required": True}}


def document(app: FastAPI, model: PatientModel | None, token: str) -> dict[str, Any]:
    """The document for the version that answers. token: if it is empty, no path is said to need one."""
    found = deepcopy(FastAPI.openapi(app))
    known = found["components"]["schemas"]
    known["Row"] = invocations.row(model.columns if model else [])
    if model:
        patients.describe(known["Patient"], model)
    if token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, methods in found["paths"].items():
            for method in methods.values():
                method["security"] = [] if path in limits.OPEN else [{"token": []}]
    return found
