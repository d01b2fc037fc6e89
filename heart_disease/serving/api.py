"""`heart serve`: the model over HTTP. Patients in, probabilities out, by the same `PatientModel` as everywhere.

    GET  /              a page for people (page.py); needs no token, but asks for it
    GET  /health        no token needed; 200 if a model is loaded, else 503; MLflow calls it /ping
    GET  /model         which version answers, with which columns, since when, and what is wrong
    POST /predict       {"patients": [{"age": 63, ...}, ...]}, at most 1000
    POST /explain       the same, at most 10: also what drives each probability, and how far networks differ
    POST /predict.csv   a CSV file in, the same with answers out
    POST /invocations   the same as /predict, in MLflow's protocol; /version is MLflow's
    GET  /metrics       for Prometheus
    GET  /openapi.json  all of this for programs, with examples

FastAPI's own page at /docs needs the internet for its scripts, so there is none.
"""

from __future__ import annotations

import logging
import traceback
from importlib import metadata
from typing import Literal

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from heart_disease.serving import csv_file, description, explained, invocations, page, patients
from heart_disease.serving.description import REFUSALS, Refusal
from heart_disease.serving.explained import Explanations
from heart_disease.serving.follower import Follower, Loaded
from heart_disease.serving.limits import Bounds
from heart_disease.serving.metrics import Measured, Metrics
from heart_disease.serving.patients import EXAMPLE, Few, Patients

log = logging.getLogger("heart")
LONG = 100_000  # bytes; a shorter body is read in less time than it takes to hand it to a thread


class Answer(BaseModel):
    """probability of heart disease; disease: yes or no. If the patient cannot be scored: null, empty, the problem.

    unusual: how the patient is unlike those that the version learned from; empty for most.
    """

    probability: float | None
    disease: str
    problem: str
    unusual: str = ""


class Answers(BaseModel):
    """One answer per patient, in their order, and the version that gave them."""

    model: str
    version: str
    answers: list[Answer]


class Health(BaseModel):
    """stale: a model answers, but it is unknown whether there is a newer one."""

    status: Literal["ok", "stale", "no model"]


class Described(BaseModel):
    """The version that answers.

    columns: those that it takes. unseen: their codes that no patient of its training had, such as `cp=unknown`.
    threshold: from this probability on it answers yes. follows: the alias, empty if it always answers with this
    version. since: when it began to answer. problem: what is wrong, such as a store that does not answer.
    """

    name: str
    version: str
    columns: list[str]
    unseen: list[str]
    threshold: float
    follows: str
    since: str
    problem: str


def application(follower: Follower, token: str = "") -> ASGIApp:
    """All that answers requests: the routes, how much a client may ask of them, and what is counted."""
    metrics = Metrics(follower)
    app = _routes(follower, metrics, token)
    return Measured(Bounds(app, token), metrics, [getattr(route, "path", "") for route in app.routes])


def _routes(follower: Follower, metrics: Metrics, token: str) -> FastAPI:
    app = FastAPI(title="heart-disease", description=description.WORDS, version="1", docs_url=None, redoc_url=None)
    app.add_exception_handler(RequestValidationError, patients.refuse)
    app.add_exception_handler(Exception, _fail)
    page.add(app)
    app.openapi = lambda: description.document(  # type: ignore[method-assign]
        app, follower.now.model if follower.now else None, token
    )

    def now() -> Loaded:
        if follower.now is None:
            what = f"no model is loaded: {follower.problem or 'the store has not answered yet'}"
            raise HTTPException(503, what, headers={"Retry-After": "5"})
        return follower.now

    @app.get("/health", response_model=Health, responses={503: {"model": Health | Refusal}})
    @app.get("/ping", response_model=Health, responses={503: {"model": Health | Refusal}})
    async def health() -> JSONResponse:
        """200 if a model is loaded; `stale` if it is unknown whether there is a newer one."""
        state = ("stale" if follower.problem else "ok") if follower.now else "no model"
        return JSONResponse({"status": state}, 200 if follower.now else 503)

    @app.get("/version", response_class=Response, responses=description.text("text/plain", 401, 503))
    async def version() -> Response:
        """MLflow's version, as its protocol has it; /model says which version of the model answers."""
        return PlainTextResponse(metadata.version("mlflow"))

    @app.get("/model", responses={status: REFUSALS[status] for status in (401, 503)})
    async def model() -> Described:
        """Which version answers, with which columns, since when, and what is wrong."""
        loaded = now()
        return Described(
            name=loaded.ref.name,
            version=loaded.ref.version,
            columns=list(loaded.model.columns),
            unseen=list(loaded.model.encoder.unseen),
            threshold=loaded.model.threshold,
            follows="" if follower.is_fixed else follower.version,
            since=loaded.since,
            problem=follower.problem,
        )

    @app.get("/metrics", response_class=Response, responses=description.text("text/plain", 401, 503))
    async def numbers() -> Response:
        """Latency, answers, patients and the version, in Prometheus' format."""
        return metrics.page()

    @app.post(
        "/predict",
        response_model=Answers,
        responses=REFUSALS,
        openapi_extra=description.body({"application/json": {"patients": [EXAMPLE]}}),
    )
    async def predict(body: Patients) -> JSONResponse:
        """Score up to 1000 patients. One who cannot be scored gets the problem as answer; if none can, it is a 422."""
        loaded = now()
        scores = loaded.model.score(patients.as_cells(body.patients, loaded.model))
        metrics.count(scores.problem)
        answers = [
            {
                "probability": None if problem else probability,
                "disease": disease,
                "problem": problem,
                "unusual": unusual,
            }
            for probability, disease, problem, unusual in zip(
                scores.probability.tolist(), scores.disease, scores.problem, scores.unusual, strict=True
            )
        ]
        _refuse_if_none(scores.problem.tolist())
        return JSONResponse({"model": loaded.ref.name, "version": loaded.ref.version, "answers": answers})

    @app.post(
        "/explain",
        responses=REFUSALS,
        openapi_extra=description.body({"application/json": {"patients": [EXAMPLE]}}),
    )
    async def explain(body: Few) -> Explanations:
        """Score up to 10 patients as /predict does, and say what drives each probability.

        It also says how far the networks of the cross-validation differ, and what is unusual about the patient.
        """
        loaded = now()
        cells = patients.as_cells(body.patients, loaded.model)
        found = await run_in_threadpool(explained.explain, loaded, cells)  # meanwhile, others are answered
        problems = [answer.problem for answer in found.answers]
        metrics.count(problems)
        _refuse_if_none(problems)
        return found

    @app.post(
        "/predict.csv",
        response_class=Response,
        responses=description.text("text/csv", *REFUSALS, headers=description.CSV_ANSWERED_WITH),
        openapi_extra=description.body({"text/csv": csv_file.EXAMPLE}, csv=description.CSV),
    )
    async def predict_csv(request: Request) -> Response:
        """Score a CSV file as `heart predict` does: every cell as it came, with the answers beside it."""
        loaded, body = now(), await request.body()
        text, problems = await run_in_threadpool(csv_file.score, body, loaded.model)
        metrics.count(problems)
        counts = {"Heart-Patients": str(len(problems)), "Heart-Problems": str(sum(map(bool, problems)))}
        return Response(text, media_type="text/csv", headers={**counts, "Heart-Version": loaded.ref.version})

    @app.post(
        "/invocations",
        response_model=invocations.Predictions,
        responses={**REFUSALS, 415: {"model": Refusal}},
        openapi_extra=description.body(
            {"application/json": invocations.EXAMPLE, "text/csv": csv_file.EXAMPLE},
            json=invocations.SCHEMA,
            csv=description.CSV,
        ),
    )
    async def invoke(request: Request) -> JSONResponse:
        """Score patients in the protocol of `mlflow models serve`, with the parameters of the registered model.

        A patient who cannot be scored gets the problem as answer, also if nobody can be.
        """
        loaded, body, kind = now(), await request.body(), request.headers.get("content-type", "")
        if len(body) > LONG:  # meanwhile, others are answered
            asked = await run_in_threadpool(invocations.read, body, kind, loaded.model.columns)
        else:
            asked = invocations.read(body, kind, loaded.model.columns)
        if asked.params.get("explain"):
            predictions = await run_in_threadpool(invocations.answer, asked, loaded.model)
        else:
            predictions = invocations.answer(asked, loaded.model)
        metrics.count([str(one["problem"]) for one in predictions])
        return JSONResponse({"predictions": predictions})

    return app


def _refuse_if_none(problems: list[str]) -> None:
    """Refuse a request of which no patient has an answer, with their problems."""
    if all(problems):
        raise HTTPException(422, patients.some([f"patients[{k}]: {problem}" for k, problem in enumerate(problems)]))


async def _fail(request: Request, error: Exception) -> JSONResponse:
    *_, last = traceback.extract_tb(error.__traceback__)  # not the error's message, which may contain a patient's data
    log.error(
        "failed: %s %s: %s at %s:%s", request.method, request.url.path, type(error).__name__, last.filename, last.lineno
    )
    return JSONResponse({"detail": "an unexpected failure; the log of the server says where"}, 500)
