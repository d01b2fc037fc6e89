"""Close the runs that a process which died has left RUNNING, in both stores."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from heart_disease.operations import reconciliation
from heart_disease.operations.reconciliation import PATIENCE, Closed


@flow(name="heart-disease-reconcile", persist_result=False, validate_parameters=True)
def reconcile(
    patience: Annotated[
        float, Field(gt=0, description="Seconds without a sign of life; more than two heartbeats are apart.")
    ] = PATIENCE,
) -> list[Closed]:
    """Close the orphans of both stores, also those whose machine cannot be looked at from here.

    Raises:
        UnavailableError: the MLflow store does not answer.
    """
    reconciliation.check_in()
    return reconciliation.close_all(patience)
