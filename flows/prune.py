"""Delete old runs that are no longer needed, in both stores."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from heart_disease.operations import missed, reconciliation, states
from heart_disease.operations import prune as pruning
from heart_disease.operations.deployments import interval

log = logging.getLogger("heart")


@flow(name="heart-disease-prune", persist_result=False, validate_parameters=True)
def prune(
    older_than: Annotated[
        str, Field(pattern="^[1-9][0-9]{0,3}[mhdw]$", description="How old runs must be, such as 12h, 90d or 26w.")
    ] = "90d",
) -> Any:
    """Delete runs that ended longer ago than this, with all they made, except what is needed.

    Returns what was deleted, a `Found`.

    Raises:
        UnavailableError: the MLflow store does not answer, or refuses.
    """
    states.begin()
    missed.make_up_now()
    reconciliation.check_in()
    found = pruning.find(interval(older_than, "older_than"))
    pruning.delete(found)
    log.info(
        "prune     deleted what ended more than %s ago and is not needed: %s", older_than, "; ".join(found.lines())
    )
    return found
