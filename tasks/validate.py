"""Validate: Table -> Validation, with a page in MLflow, a table in Prefect and lines in the log."""

from __future__ import annotations

import json
import logging

from prefect.artifacts import create_link_artifact, create_table_artifact

from expectations import gate
from heart_disease import registry
from heart_disease.data.sources import Table
from heart_disease.model.errors import RejectedError
from heart_disease.model.words import count
from heart_disease.registry import Run
from heart_disease.reporting import validation_page

log = logging.getLogger("heart")


def validate_table(run: Run, table: Table) -> str:
    """Judge `table` and publish what was found; returns it in words: ``passed: 57 checks, 0 errors, 3 warnings``.

    Raises:
        RejectedError: the table breaks a rule, so nothing may be trained on it; the task then is not green.
    """
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
        f"{state}: {count(validation.checked, 'check')}, {count(len(validation.errors), 'error')}, "
        f"{count(len(validation.warnings), 'warning')}"
    )
    create_table_artifact(
        rows, key="validation", description=f"{summary}. {count(validation.rows, 'row')} of {validation.source}."
    )
    # Prefect's store serves all folders, MLflow's one. The folder comes first: Prefect's page shows only the beginning.
    place = registry.place().removeprefix("sqlite:///")
    create_link_artifact(
        registry.run_url(run), "MLflow run", key="mlflow-run",
        description=f"In {place}: the run's settings and results.",
    )  # fmt: skip
    log.info("validate  %s", summary)
    if not validation.passed:
        raise RejectedError(validation.refusal("nothing was trained"))
    if validation.warnings:  # one is enough: most data have some, and they are the same each time
        log.info("          %s", validation.messages(most=3)[0])
        if more := len(validation.warnings) - 1:
            log.info("          %s: see `heart check` or validation.html in MLflow", count(more, "more warning"))
    return summary
