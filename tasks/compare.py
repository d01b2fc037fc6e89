"""Compare: new patients, and those that a version learned from -> Drift, a page in MLflow and a table in Prefect."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from prefect.artifacts import create_link_artifact, create_table_artifact

from expectations import gate
from expectations.failure import Failure
from expectations.gate import Validation
from heart_disease import registry
from heart_disease.data import identities
from heart_disease.data.sources import Table
from heart_disease.evaluation.estimates import Numbers
from heart_disease.evaluation.other_patients import drift
from heart_disease.evaluation.other_patients.drift import LEAST_ROWS, Drift, Scored
from heart_disease.evaluation.versions import comparison
from heart_disease.model import schema
from heart_disease.model.errors import RejectedError, UnavailableError
from heart_disease.model.patient_model import PatientModel
from heart_disease.model.words import count
from heart_disease.registry import Record, Run
from heart_disease.reporting import drift_page, hospital, tables, validation_page

log = logging.getLogger("heart")
FOLDER, FILE = "monitoring", "drift.html"


def compare_batch(run: Run, table: Table, before: Table, record: Record) -> tuple[int, tuple[Failure, ...], Drift]:
    """How many of the batch's patients are known, which rules the others break, and how they differ.

    before: what the version of `record` learned from. Those of its patients that are in the batch are left out.

    Raises:
        RejectedError: a column is missing, or fewer than `LEAST_ROWS` patients are new.
        UnavailableError: see `learned_from`.
    """
    registry.log_data(run, table, use="monitoring")
    model = registry.load_model(record.ref)
    if missing := [name for name in model.columns if name not in table.frame]:
        raise RejectedError(
            f"'{table.source}' has no column {', '.join(map(repr, missing))}; expected those of docs/columns.md, with "
            f"or without '{schema.LABEL.name}'. Nothing was compared."
        )
    former = learned_from(before, model, record)
    known = identities.rows_learned(table.frame, model)
    new = replace(table, frame=table.frame[~known], row_ids=table.row_ids[~known])
    if len(new) < LEAST_ROWS:
        raise RejectedError(
            f"'{table.source}' has {count(len(new), 'patient')} that the version did not learn from; expected at least "
            f"{LEAST_ROWS}, because fewer show nothing. Collect more, and compare them together."
        )
    validation = gate.validate(new)
    broken = _broken(validation, model.columns)
    probabilities = model.predict(new.frame)["probability"].to_numpy("float64")
    scorable = np.isfinite(probabilities)
    labels = _labels(new)
    scored = Scored(probabilities[scorable], None if labels is None else labels[scorable])
    found = drift.compare(
        former[list(model.columns)], new.frame, _out_of_fold(record), scored, threshold=model.threshold
    )
    page = drift_page.render(
        table.source, f"{record.ref.name} version {record.version}", int(known.sum()), broken, found
    )
    registry.log_files(run, FOLDER, {FILE: page, "validation.html": validation_page.render(validation)})
    registry.log_values(run, {"version": record.version, "source": table.source}, _metrics(found), {})
    _artifacts(run, found)
    log.info("validate  %s", count(len(broken), "broken rule"))
    log.info("compare   %d of %d comparisons differ", len(found.shifted), len(found.tests))
    return int(known.sum()), broken, found


def learned_from(before: Table, model: PatientModel, record: Record) -> pd.DataFrame:
    """The patients that the version learned from, if more have come to the file or table since then.

    Raises:
        UnavailableError: some are gone, or were changed, or a column that the model takes is gone.
    """
    if before.digest == record.params.get("data_digest"):
        return before.frame
    if missing := [name for name in model.columns if name not in before.frame]:
        raise UnavailableError(
            f"'{before.source}', which {record.label} learned from, has no column {', '.join(map(repr, missing))} any "
            "more; put it back, or train on patients that stay. Nothing was compared."
        )
    known = identities.rows_learned(before.frame, model)
    found = np.unique(identities.patient_ids(before.frame[known], model.encoder.without))
    if not known.any() or len(found) < len(model.learned_from):
        raise UnavailableError(
            f"'{before.source}' holds other patients by now than those that {record.label} learned from, and these "
            "are not kept; put them back, or train on patients that stay. Nothing was compared."
        )
    return before.frame[known]


def _broken(validation: Validation, columns: Sequence[str]) -> tuple[Failure, ...]:
    """The errors about the cells of these columns and about each column; a batch may be small, and without a label."""
    return tuple(
        failure
        for failure in validation.errors
        if (failure.cells and set(failure.columns) & {*columns, schema.LABEL.name})
        or (len(failure.columns) == 1 and failure.columns[0] in columns)
    )


def _labels(table: Table) -> Numbers | None:
    if schema.LABEL.name not in table.frame or schema.forbidden(table.frame[schema.LABEL.name], schema.LABEL).any():
        return None
    return schema.label(table.frame).to_numpy()


def _out_of_fold(record: Record) -> Scored | None:
    text = registry.read_text(record, f"evaluation/{tables.OUT_OF_FOLD}")
    if text is None:
        log.warning("          %s has no out-of-fold probabilities, so only the columns are compared", record.label)
        return None
    found = comparison.read_out_of_fold(text)
    return Scored(found.probabilities[0], found.labels)  # one repeat: a mean over several is less spread than a model


def _metrics(found: Drift) -> dict[str, float]:
    values = {f"p/{test.what.replace(' ', '_')}": test.adjusted for test in found.tests}
    return values | (hospital.values(found.judgement) if found.judgement else {})


def _artifacts(run: Run, found: Drift) -> None:
    rows = [
        {
            "what": test.what, "differs": "yes" if test.shifted else "no", "adjusted p": f"{test.adjusted:.2g}",
            "learned from": test.before, "now": test.now, "test": test.how,
        }
        for test in found.tests
    ]  # fmt: skip
    create_table_artifact(rows, key="drift", description=f"{count(found.rows, 'patient')} compared.")
    create_link_artifact(registry.file_url(run, f"{FOLDER}/{FILE}"), "The page", key="drift-page")
