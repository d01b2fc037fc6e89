"""Validate: Table -> Validation, with a page in MLflow, a table in Prefect and lines in the log."""

from __future__ import annotations

import json
import logging

from prefect.artifacts import create_link_artifact, create_table_artifact

from expectations import gate
from expectations.gate import Validation
from heart_disease import registry
from heart_disease.data.sources import Table
from heart_disease.registry import Run
from heart_disease.reporting import validation_page

log = logging.getLogger("heart")


def validate_table(run: Run, table: Table) -> Validation:
    """Judge `table` and publish what was found; the flow decides whether a refused table stops the work."""
    validation = gate.validate(table)
    files = {
        "validation.html": validation_page.render(validation),
        "validation.json": json.dumps(validation.result, indent=1),
    }
    registry.log_files(run, "validation", files)
    rows = [
        {"severity": failure.severity, "rule": failure.rule, "expected": failure.expected, "observed": failure.observed}
        for failure in validation.failures
    ]
    state = "passed" if validation.passed else "REJECTED"
    summary = (
        f"{state}: {validation.checked} checks, {len(validation.errors)} errors, {len(validation.warnings)} warnings"
    )
    create_table_artifact(
        rows, key="validation", description=f"{summary}. {validation.rows} rows of {validation.source}."
    )
    create_link_artifact(
        registry.run_url(run), "MLflow run", key="mlflow-run", description="The run's settings and its results."
    )
    log.info("validate  %s", summary)
    if validation.passed:
        for message in validation.messages(most=3):
            log.info("          %s", message)
    return validation
