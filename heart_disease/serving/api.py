"""`heart serve`: the model over HTTP. Patients in, probabilities out, by the same `PatientModel.score` as everywhere.

    GET  /health        no token needed; 200 if a model is loaded, else 503
    GET  /model         which version answers, with which columns, since when, and what is wrong
    POST /predict       {"patients": [{"age": 63, ...}, ...]}, at most 1000
    GET  /openapi.json  all of this for programs, with an example patient

FastAPI's own page at /docs needs the internet for its scripts, so there is none.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import BaseModel, Field, create_model

from heart_disease import registry
from heart_disease.model import schema
from heart_disease.model.errors import UnavailableError, UsageError, hide
from heart_disease.model.patient_model import PatientModel
from heart_disease.model.schema import Column
from heart_disease.processes.loopback import reason
from heart_disease.serving.follower import TOKEN, Follower, Loaded
from heart_disease.serving.limits import Bounds, Protocol
from heart_disease.training.interrupts import answered

log = logging.getLogger("heart")
ROWS = 1000
GRACE_SECONDS = 8  # for requests under way to end after SIGTERM
SHOWN = 5  # at most this many problems are named in an answer


def _field(column: Column) -> Any:
    words = ", ".join(filter(None, [column.meaning, column.unit, *(f"{k} {v}" for k, v in column.codes.items())]))
    blank = "; null if it is not known" if column.optional else ""
    limits = dict(zip(("minimum", "maximum"), column.limits, strict=True)) if column.limits else {}
    strict = Field(strict=True, allow_inf_nan=False)  # only finite numbers: no text, no true, no NaN, no 1e999
    return Annotated[Annotated[float, strict] | None, Field(description=words + blank, json_schema_extra={**limits})]


def _example(column: Column) -> float:
    low, high = column.usual or column.limits or (max(column.codes), max(column.codes))
    return (low + high) / 2


# Which columns must be there depends on the version that answers, so `_check` decides it.
_FIELDS: dict[str, Any] = {
    column.name: (_field(column), Field(default_factory=lambda: None)) for column in schema.COLUMNS
}
REQUIRED = np.array([not column.optional for column in schema.COLUMNS])  # (13,)
Patient: Any = create_model("Patient", **_FIELDS)


class Patients(BaseModel):
    """The patients to score."""

    # Stops at the first invalid patient: a thousand of them would mean a thousand messages.
    patients: Annotated[list[Patient], Field(min_length=1, max_length=ROWS, fail_fast=True)]


class Answer(BaseModel):
    """probability of heart disease; disease: yes or no. If the patient cannot be scored: null, empty, the problem."""

    probability: float | None
    disease: str
    problem: str


class Refusal(BaseModel):
    """What is wrong with a request: what was expected, what came, and where."""

    detail: str


class Answers(BaseModel):
    """One answer per patient, in their order, and the version that gave them."""

    model: str
    version: str
    answers: list[Answer]


def make_app(follower: Follower) -> FastAPI:
    """The routes; limits.py says how much a client may ask for."""
    app = FastAPI(
        title="heart-disease",
        description="Probability of heart disease, over 50 % narrowing of a major vessel, from patients in UCI "
        f"codes. /model says which columns a patient needs: a version may not take all of them. If "
        f"{TOKEN} is set, every path except /health needs the header `Authorization: Bearer TOKEN`.",
        version="1", docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(Exception, _fail)

    def now() -> Loaded:
        if follower.now is None:
            what = f"no model is loaded: {follower.problem or 'the store has not answered yet'}"
            raise HTTPException(503, what, headers={"Retry-After": "5"})
        return follower.now

    @app.get("/health")
    async def health() -> JSONResponse:
        """200 if a model is loaded; `stale` if it is unknown whether there is a newer one."""
        state = ("stale" if follower.problem else "ok") if follower.now else "no model"
        return JSONResponse({"status": state}, 200 if follower.now else 503)

    @app.get("/model")
    async def model() -> dict[str, str | list[str]]:
        """Which version answers, with which columns, since when, and what is wrong."""
        loaded = now()
        return {
            "name": loaded.ref.name,
            "version": loaded.ref.version,
            "columns": list(loaded.model.columns),
            "follows": "" if follower.is_fixed else follower.version,
            "since": loaded.since,
            "problem": follower.problem,
        }

    @app.post(
        "/predict",
        response_model=Answers,
        responses={status: {"model": Refusal} for status in (401, 408, 413, 422, 503)},
        openapi_extra={
            "requestBody": {
                "content": {
                    "application/json": {
                        "example": {"patients": [{column.name: _example(column) for column in schema.COLUMNS}]}
                    }
                },
                "required": True,
            }
        },
    )
    async def predict(body: Patients) -> JSONResponse:
        """Score up to 1000 patients. One who cannot be scored gets the problem as answer; if none can, it is a 422."""
        loaded = now()
        cells = np.array([list(patient.__dict__.values()) for patient in body.patients], "float64")  # (n, 13)
        _check(body.patients, cells, loaded.model)
        scores = loaded.model.score(cells)
        answers = [
            {"probability": None if problem else probability, "disease": disease, "problem": problem}
            for probability, disease, problem in zip(
                scores.probability.tolist(), scores.disease, scores.problem, strict=True
            )
        ]
        problems = [f"patients[{k}]: {answer['problem']}" for k, answer in enumerate(answers) if answer["problem"]]
        if len(problems) == len(answers):
            raise HTTPException(422, _some(problems))
        return JSONResponse({"model": loaded.ref.name, "version": loaded.ref.version, "answers": answers})

    return app


def _check(patients: list[Any], cells: NDArray[np.float64], model: PatientModel) -> None:
    """Refuse patients (n, 13) who lack a column that the model takes, or have null where it needs a number."""
    needed = frozenset(model.columns)
    for k, patient in enumerate(patients):
        if not needed <= patient.model_fields_set:
            missing = [schema.BY_NAME[name] for name in model.columns if name not in patient.model_fields_set]
            said = [f"patients[{k}].{it.name} is missing; expected a number ({it.expected})" for it in missing]
            raise HTTPException(422, _some(said))
    blank = np.isnan(cells) & REQUIRED & ~model.encoder.ignored
    if blank.any():
        k, c = np.argwhere(blank)[0].tolist()
        column = schema.COLUMNS[c]
        raise HTTPException(422, f"patients[{k}].{column.name} has null; expected a number: {column.expected}")


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    """What is wrong with a body, in the words of the schema instead of pydantic's."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": _some([_problem(one) for one in error.errors()])}, 422)


def _problem(error: Any) -> str:
    _, *path = error["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path if part != "float").strip(".")
    column = next((schema.BY_NAME[part] for part in path if part in schema.BY_NAME), None)
    kind, came = error["type"], error.get("input")
    if kind == "json_invalid":
        return f"the body is not JSON: {error['ctx']['error']}"
    if kind == "too_long":
        return f"{where} has too many; expected at most {ROWS} patients a request"
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


def _some(problems: list[str]) -> str:
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return "; ".join(problems[:SHOWN]) + more


async def _fail(request: Request, error: Exception) -> JSONResponse:
    *_, last = traceback.extract_tb(error.__traceback__)  # not the error's message, which may contain a patient's data
    log.error(
        "failed: %s %s: %s at %s:%s", request.method, request.url.path, type(error).__name__, last.filename, last.lineno
    )
    return JSONResponse({"detail": "an unexpected failure; the log of the server says where"}, 500)


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections.

    Raises:
        UsageError: there is no such port.
        UnavailableError: the port is taken, or the host is not this machine.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: expected 0 to 65535; 0 takes a free one")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {host}:{port}: {reason(error, port)}. Expected a free port of this machine; "
            "take another one with --port."
        ) from error


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return hide(super().format(record))


@contextmanager
def _shown() -> Iterator[None]:
    """Write what is logged to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


def run(host: str, port: int, version: str, wait: bool) -> None:
    """Serve until Ctrl-C or SIGTERM; requests under way are still answered.

    wait: if `version` is an alias that does not exist yet, wait for it. A store that does not answer is always waited
    for.

    Raises:
        UsageError: there is no such port.
        UnavailableError: the port is taken, `version` is a number and cannot be used, or there is no such alias.
    """
    with listen(host, port) as listener, _shown():
        follower = Follower(version)
        if not follower.is_fixed:
            follower.follow()
            if follower.is_unknown and not wait:
                newest = ", ".join(registry.versions()[:SHOWN]) or "none"
                raise UnavailableError(
                    f"{follower.problem}; expected an alias that exists, or the number of a version (the newest: "
                    f"{newest}). To wait until there is such an alias: --wait"
                )
        else:
            follower.refresh()
            if follower.problem:
                raise UnavailableError(follower.problem)
        serve(listener, follower)
        log.info("stopped")


def serve(listener: socket.socket, follower: Follower) -> None:
    """Answer on `listener` until a signal ends it."""
    token = os.environ.get(TOKEN, "")
    host, port, *_ = listener.getsockname()
    guard = f"with the token of {TOKEN}" if token else f"without a token: {TOKEN} is not set"
    log.info("listening on http://%s:%d, %s", f"[{host}]" if ":" in host else host, port, guard)
    config = uvicorn.Config(
        Bounds(make_app(follower), token), http=Protocol, ws="none", lifespan="off", log_level="critical",
        access_log=False, server_header=False, timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip
    with answered(KeyboardInterrupt, SystemExit):  # uvicorn shuts down cleanly, then raises the signal once more
        uvicorn.Server(config).run(sockets=[listener])
