"""Asking the servers of a stack: their APIs, their deployments, and the command as a user of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from heart_disease.data import sources
from tests.harness.command import ROOT
from tests.harness.servers.compose import Stack
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


def champion(mlflow_api: httpx.Client) -> dict[str, Any]:
    found = answer(mlflow_api, "GET", "/registered-models/alias", name="heart-disease", alias="champion")
    version: dict[str, Any] = found["model_version"]
    return version


def champions_run(mlflow_api: httpx.Client) -> dict[str, Any]:
    run: dict[str, Any] = answer(mlflow_api, "GET", "/runs/get", run_id=champion(mlflow_api)["run_id"])["run"]
    return run


def heart(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user on this machine would, in their own folder."""
    environment = {**os.environ, **environment, "PREFECT_HOME": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "heart_disease", *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def refused_training(folder: Path, environment: dict[str, str], mlflow_api: httpx.Client) -> tuple[str, str]:
    """Train on patients that validation refuses: the MLflow run and the flow run that are left, by ID."""
    sources.load().frame.assign(age=500).to_csv(folder / "bad.csv", index=False)
    assert heart(folder, environment, "train", "--source", "bad.csv").returncode == 3
    experiment = answer(mlflow_api, "GET", "/experiments/get-by-name", experiment_name="heart-disease")
    [run] = answer(
        mlflow_api, "POST", "/runs/search", experiment_ids=[experiment["experiment"]["experiment_id"]],
        filter="attributes.status = 'FAILED'",
    )["runs"]  # fmt: skip
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    return run["info"]["run_id"], tags["prefect.flow_run_id"]


@contextmanager
def replaced_often(stack: Stack) -> Iterator[Callable[[], int]]:
    """A function that counts how many of MLflow's processes have been replaced since it was killed and came back.

    The file has them replaced after some thousand requests, because they grow; here it happens during a run.
    """
    as_in_file = stack.services["mlflow"]["command"]
    often = re.sub(r"(limit-max-requests) \d+ (--limit-max-requests-jitter) \d+", r"\1 70 \2 20", as_in_file)
    assert often != as_in_file
    said = "Maximum request limit"
    before = stack.log("mlflow").count(said)

    def again(command: str) -> None:
        stack.kill("mlflow")
        assert not stack.members("mlflow")
        stack.services["mlflow"]["command"] = command
        stack.start_service("mlflow")

    again(often)
    try:
        yield lambda: stack.log("mlflow").count(said) - before
    finally:
        again(as_in_file)
