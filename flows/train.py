"""The main job: load -> validate -> encode -> train -> evaluate -> register."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from prefect import flow, runtime
from pydantic import Field

from flows import publish, steps
from tasks import encode, evaluate, registry, schema, sources
from tasks.errors import RejectedError
from tasks.evaluate import Report
from tasks.params import PRESETS, Evaluation, Params
from tasks.patient_model import PatientModel
from tasks.registry import ModelRef, Run
from tasks.verdict import Decision, decide

log = logging.getLogger("heart")


@dataclass(frozen=True)
class Outcome:
    """What a training run ends with."""

    run: Run
    flow_run_id: str
    model: ModelRef
    decision: Decision
    report: Report


def _run_name() -> str:
    given = runtime.flow_run.get_parameters()
    return f"{Path(given['source'] or sources.BUNDLED).stem}: {given['recipe'].title}"


@flow(name="heart-disease-train", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def train(
    source: Annotated[str | None, Field(description="CSV or Parquet file; empty for the bundled patients.")] = None,
    recipe: Annotated[Params, Field(description="How the network is trained.")] = PRESETS["default"],
    evaluation: Annotated[Evaluation, Field(description="How the network is judged.")] = Evaluation(),  # noqa: B008
    device: Annotated[Literal["auto", "cpu", "gpu"], Field(description="auto: the GPU where there is one.")] = "auto",
) -> Outcome:
    """Train, evaluate and register the heart-disease network.

    Raises:
        DataError: the source cannot be read, or validation refused it; nothing was trained.
        UsageError: the data is too small for the folds.
        UnavailableError: the MLflow store or the device is not there.
    """
    table = steps.load(source)
    log.info("load      %d patients from %s, digest %s", len(table), publish.short(table.source), table.digest[:8])
    flow_run = runtime.flow_run.id or ""
    with registry.open_run(recipe.title, {"prefect.flow_run_id": flow_run, "source": table.source}) as run:
        verdict = steps.validate(table)
        publish.validation(run, verdict)
        if not verdict.passed:
            raise RejectedError(publish.rejection(verdict))

        labels = schema.label(table.frame).to_numpy()
        splits = evaluate.split(labels, evaluation, recipe.seed)
        jobs = evaluate.jobs(recipe, splits, len(table))
        registry.log_start(run, table, recipe, evaluation)

        inputs = steps.encode(table.frame, [job.rows for job in jobs])
        log.info("encode    %d columns -> %d inputs, once for each network", len(schema.COLUMNS), inputs.shape[2])

        started = time.monotonic()
        networks = steps.train(inputs, labels, jobs, device=device, progress=publish.progress())
        log.info(
            "train     %d network%s of %d parameters, %d epochs on %s: %.1f s",
            len(jobs), "s" * (len(jobs) > 1), networks.weights.shape[1], recipe.epochs, networks.device,
            time.monotonic() - started,
        )  # fmt: skip

        report = steps.evaluate(networks, inputs, labels, splits, seed=recipe.seed)
        log.info("evaluate  %s", report.description)

        shipped = jobs[-1].rows
        model = PatientModel(encode.Encoder.fit(table.frame.iloc[shipped]), networks.keras(-1, inputs.shape[2]))
        decision = decide(report)
        ref = steps.register(run, model, table.frame, report, decision, networks.device)
        log.info("register  %s version %s, loaded back and checked", ref.name, ref.version)
    return Outcome(run, flow_run, ref, decision, report)
