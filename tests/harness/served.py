"""Asking the servers of a stack: their APIs, their deployments, and the command as a user of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.harness.compose_file import ROOT
from tests.harness.waiting import wait_for

RETRAIN = "heart-disease-train/retrain"


def answer(client: httpx.Client, method: str, path: str, /, **content: Any) -> Any:
    reply = client.request(method, path, **({"json": content} if method == "POST" else {"params": content}))
    assert reply.is_success, reply.text
    return reply.json() if reply.content else None


def run_flow(prefect_api: httpx.Client, name: str = RETRAIN, /, **parameters: Any) -> dict[str, Any]:
    """Run a deployment, and return its flow run when that has ended."""
    deployment = answer(prefect_api, "GET", f"/deployments/name/{name}")["id"]
    run = answer(prefect_api, "POST", f"/deployments/{deployment}/create_flow_run", parameters=parameters)
    return wait_for(lambda: ended(answer(prefect_api, "GET", f"/flow_runs/{run['id']}")))


def ended(run: dict[str, Any]) -> dict[str, Any] | None:
    return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None


def heart(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user on this machine would, in their own folder."""
    environment = {**os.environ, **environment, "PREFECT_HOME": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "heart_disease", *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
