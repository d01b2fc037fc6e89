"""Close the runs that were left RUNNING by a process that died, in both stores."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from heart_disease.operations import missed, reconciliation, states
from heart_disease.operations.reconciliation import PATIENCE


@flow(name="heart-disease-reconcile", persist_result=False, validate_parameters=True)
def reconcile(
    patience: Annotated[
        float, Field(gt=0, description="Seconds without a sign of life; longer than between two heartbeats.")
    ] = PATIENCE,
) -> Any:
    """Close the orphaned runs in both stores, including those on machines that cannot be inspected from here.

    Its deployment has no limit, so that no run of it that was stranded can keep the next one out. Returns the closed
    runs, a list of `Closed`.

    Raises:
        UnavailableError: the MLflow store does not answer.
    """
    states.begin()
    missed.make_up_now()
    reconciliation.check_in()
    return reconciliation.close_all(patience)
