"""What the process of a deployed run does first, in tests: renew its lease often, and wait at a gate that is shut.

The worker's runs import this by a sitecustomize.py (deployed.py).
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from threading import Event
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient

LEASE_SECONDS = 60.0  # the least that Prefect's server allows; otherwise 300
RENEWED_SECONDS = 5.0  # otherwise 225


def prepare() -> None:
    """Change how this process renews its lease, and stop it at the gate."""
    from prefect.concurrency import _leases

    from tests.harness import work

    renew = _leases._renew_concurrency_lease_with_retries

    def shortly(client: SyncPrefectClient, lease_id: UUID, lease_duration: float, stop_event: Event) -> bool:
        return renew(client, lease_id, LEASE_SECONDS, stop_event)

    _leases._renew_concurrency_lease_with_retries = shortly
    _leases._RENEWAL_FRACTION = RENEWED_SECONDS / 300
    work.install("evaluate", wait_at_the_gate)


def wait_at_the_gate() -> None:
    """Say that this flow run has come to the gate, and wait while it is shut."""
    gate = Path(tempfile.gettempdir(), "gate")
    if (gate / "shut").exists():
        (gate / os.environ["PREFECT__FLOW_RUN_ID"]).touch()
        while (gate / "shut").exists():
            time.sleep(0.1)
