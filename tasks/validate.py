"""What the validation of a table leaves for people: a page in MLflow, a table in Prefect, lines in the log."""

from __future__ import annotations

import json
import logging

from prefect.artifacts import create_link_artifact, create_table_artifact

from expectations.gate import Verdict
from heart_disease import registry
from heart_disease.registry import Run
from heart_disease.reporting import validation_page

log = logging.getLogger("heart")


def publish(run: Run, verdict: Verdict) -> None:
    """The validation page and GX's result with the MLflow run, a table with the Prefect run, and the log."""
    files = {
        "validation.html": validation_page.render(verdict),
        "validation.json": json.dumps(verdict.result, indent=1),
    }
    registry.log_files(run, "validation", files)
    rows = [
        {"severity": failure.severity, "rule": failure.rule, "expected": failure.expected, "observed": failure.observed}
        for failure in verdict.failures
    ]
    state = "passed" if verdict.passed else "REJECTED"
    summary = f"{state}: {verdict.checked} checks, {len(verdict.errors)} errors, {len(verdict.warnings)} warnings"
    create_table_artifact(rows, key="validation", description=f"{summary}. {verdict.rows} rows of {verdict.source}.")
    create_link_artifact(
        registry.run_url(run), "MLflow run", key="mlflow-run", description="What was set, and what came of it."
    )
    log.info("validate  %s", summary)
    if verdict.passed:
        for message in verdict.messages(most=3):
            log.info("          %s", message)
