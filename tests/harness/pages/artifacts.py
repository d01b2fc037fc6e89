"""What a flow run shows on Prefect's page."""

from __future__ import annotations

import asyncio
from typing import Any


def read_artifacts(key: str, flow_run_id: str) -> list[Any]:
    """One flow run's artifacts in Prefect."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

    async def ask() -> list[Any]:
        async with get_client() as client:
            found = ArtifactFilter(
                key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id])
            )
            return await client.read_artifacts(artifact_filter=found)

    return asyncio.run(ask())
