"""What the process of a deployed run does first, in tests: renew its lease often, and wait at gates that are shut.

The worker's runs import this by a sitecustomize.py (deployed.py).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient

LEASE_SECONDS = 60.0  # the least that Prefect's server allows; otherwise 300
RENEWED_SECONDS = 5.0  # otherwise 225


def prepare(points: Sequence[str], short_leases: bool) -> None:
    """Stop this process at each of these points of the flow while the gate is shut; let it renew its lease often."""
    from tests.harness.faults import work

    for point in points:
        work.install(point, partial(wait_at_the_gate, point))
    if short_leases:
        renew_often()


def renew_often() -> None:
    """Change how this process renews its lease."""
    from prefect.concurrency import _leases

    from heart_disease.operations import slots

    slots.LEASE_SECONDS, slots.RENEW_SECONDS = LEASE_SECONDS, RENEWED_SECONDS

    renew = _leases._renew_concurrency_lease_with_retries

    def shortly(client: SyncPrefectClient, lease_id: UUID, lease_duration: float, stop_event: Event) -> bool:
        return renew(client, lease_id, LEASE_SECONDS, stop_event)

    _leases._renew_concurrency_lease_with_retries = shortly
    _leases._RENEWAL_FRACTION = RENEWED_SECONDS / 300


def wait_at_the_gate(point: str) -> None:
    """Say that this flow run has come to the point, and wait there until it is let through, or the gate is open."""
    gate = Path(tempfile.gettempdir(), "gate")
    here = gate / f"{os.environ['PREFECT__FLOW_RUN_ID']} {point}"
    if (gate / "shut").exists():
        here.touch()
        while here.exists() and (gate / "shut").exists():
            time.sleep(0.1)
