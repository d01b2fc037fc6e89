"""Close the runs that were left RUNNING by a process that died, in both stores."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from heart_disease.operations import reconciliation
from heart_disease.operations.reconciliation import PATIENCE, Closed


@flow(name="heart-disease-reconcile", persist_result=False, validate_parameters=True)
def reconcile(
    patience: Annotated[
        float, Field(gt=0, description="Seconds without a sign of life; longer than between two heartbeats.")
    ] = PATIENCE,
) -> list[Closed]:
    """Close the orphaned runs in both stores, including those on machines that cannot be inspected from here.

    Raises:
        UnavailableError: the MLflow store does not answer.
    """
    reconciliation.check_in()
    return reconciliation.close_all(patience)
