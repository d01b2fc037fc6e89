"""What a run leaves for people: artifacts in Prefect, files and figures in MLflow, progress on the terminal."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable

import pandas as pd
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from expectations import page
from expectations.gate import Verdict
from tasks import plots, registry
from tasks import report as reports
from tasks.evaluate import Report
from tasks.patient_model import PatientModel
from tasks.registry import ModelRef, Run
from tasks.verdict import Decision

log = logging.getLogger("heart")
MLFLOW_UI = "http://127.0.0.1:5000"
EXAMPLE_ROWS = 5


def validation(run: Run, verdict: Verdict) -> None:
    """The validation page and GX's result with the MLflow run, a table with the Prefect run, and the log."""
    files = {"validation.html": page.render(verdict), "validation.json": json.dumps(verdict.result, indent=1)}
    registry.log_files(run, "validation", files)
    rows = [
        {"severity": failure.severity, "rule": failure.rule, "expected": failure.expected, "observed": failure.observed}
        for failure in verdict.failures
    ]
    state = "passed" if verdict.passed else "REJECTED"
    summary = f"{state}: {verdict.checked} checks, {len(verdict.errors)} errors, {len(verdict.warnings)} warnings"
    create_table_artifact(rows, key="validation", description=f"{summary}. {verdict.rows} rows of {verdict.source}.")
    create_link_artifact(
        run_url(run), "MLflow run", key="mlflow-run", description="Parameters, curves, figures, model."
    )
    log.info("validate  %s", summary)
    if verdict.passed:
        for message in verdict.messages(most=3):
            log.info("          %s", message)


def rejection(verdict: Verdict) -> str:
    """Why the data was refused: a line, and one for each error."""
    errors = [failure.message() for failure in verdict.errors]
    return "\n".join([f"'{verdict.source}' was rejected; nothing was trained.", *errors])


def register(
    run: Run, model: PatientModel, patients: pd.DataFrame, report: Report, decision: Decision, device: str
) -> ModelRef:
    """Record metrics, curves and figures, register the model, check it, and only then move an alias.

    Raises:
        MovedError: someone else moved the champion meanwhile.
    """
    before = registry.find_champion()
    registry.log_report(run, report)
    registry.log_files(run, "figures", plots.draw_all(report))
    registry.log_tags(run, {"device": device, "decision": decision.reason})
    ref = registry.log_model(run, model, patients.head(EXAMPLE_ROWS))
    registry.check_model(ref, model, patients)
    registry.set_challenger(ref, decision.reason)
    if decision.promote:
        expected = before.version if before else None
        registry.move_champion(ref, expected=expected, kind="promotion", why=decision.reason)
    header, *body = reports.rows(report)
    create_table_artifact(
        [dict(zip(header, row, strict=True)) for row in body], key="metrics", description=f"{report.description}."
    )
    alias = "champion" if decision.promote else "challenger"
    create_markdown_artifact(
        f"**{ref.name} version {ref.version}** is now `{alias}`: {decision.reason}.", key="decision"
    )
    return ref


def progress() -> Callable[[int, int], None]:
    """Says how far a long training is, every five seconds."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 5 and done < total:
            last = time.monotonic()
            log.info("train     %3.0f %% of %d steps", 100 * done / total, total)

    return tell


def run_url(run: Run) -> str:
    """The run's page, on the tracking server, or where `heart ui` shows the embedded store."""
    server = registry.uri() if registry.uri().startswith("http") else MLFLOW_UI
    return f"{server.rstrip('/')}/#/experiments/{run.experiment_id}/runs/{run.run_id}"


def short(path: str) -> str:
    """A path relative to the working directory where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path
