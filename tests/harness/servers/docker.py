"""The stack of docker-compose.yml on a container engine, in a copy of the checkout and a Compose project of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from heart_disease.data import sources
from heart_disease.model import schema
from tests.harness.command import ROOT
from tests.harness.waiting import wait_for

ADDRESS = "127.0.0.2"  # beside a stack that may run on 127.0.0.1
RETRAIN, MONITOR = "heart-disease-train/retrain", "heart-disease-monitor/monitor"
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
SERVICES = ("postgres", "mlflow", "prefect", "worker", "api")


def has_engine() -> bool:
    """Whether a container engine with Compose answers."""
    with suppress(OSError):
        commands = (["docker", "info"], ["docker", "compose", "version"])
        return all(subprocess.run(one, capture_output=True, check=False).returncode == 0 for one in commands)
    return False


class Docker:
    """A stack in a copy of the checkout. name: the name of its Compose project."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.environment = {
            **os.environ, "COMPOSE_PROJECT_NAME": name, "HEART_BIND": ADDRESS, "HEART_HOST": ADDRESS,
        }  # fmt: skip
        subprocess.run(["make", "--silent", ".env"], cwd=folder, check=True)
        lines = (folder / ".env").read_text().splitlines()
        self.secrets = dict(line.split("=", 1) for line in lines)
        self.prefect = httpx.Client(
            base_url=f"http://{ADDRESS}:4200/api", auth=("admin", self.secrets["PREFECT_PASSWORD"]), timeout=60
        )
        token = {"Authorization": f"Bearer {self.secrets['HEART_API_TOKEN']}"}
        admin = ("admin", self.secrets["MLFLOW_ADMIN_PASSWORD"])
        self.mlflow = httpx.Client(base_url=f"http://{ADDRESS}:5000/api/2.0", auth=admin, timeout=60)
        self.api = httpx.Client(base_url=f"http://{ADDRESS}:8000", headers=token, timeout=60)
        row = sources.load().frame.iloc[0]
        self.patient = {name: float(row[name]) for name in schema.INPUT_NAMES}

    def shell(self, script: str) -> str:
        """Run shell commands in the folder of the stack, and return what they print; each must succeed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout[-6000:]}"
        return done.stdout

    def compose(self, arguments: str) -> str:
        """`docker compose` with these arguments."""
        return self.shell(f"docker compose {arguments}")

    def containers(self) -> dict[str, dict[str, Any]]:
        """Each service -> what the engine knows about its container, also if that has ended."""
        ids = self.compose("ps --all --quiet").split()
        found = json.loads(self.shell(f"docker inspect {' '.join(ids)}")) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def wait_healthy(self, *names: str) -> None:
        """Wait until these services are healthy."""

        def healthy() -> bool:
            found = self.containers()
            return all(found[name]["State"].get("Health", {}).get("Status") == "healthy" for name in names)

        wait_for(healthy)

    def up(self) -> None:
        """Start whatever does not run, and wait until it is healthy; there must be a champion."""
        self.compose("up --detach")
        self.wait_healthy(*SERVICES)

    def deployment(self, name: str = RETRAIN) -> dict[str, Any]:
        """A deployment as it is now."""
        return dict(self.prefect.get(f"/deployments/name/{name}").raise_for_status().json())

    def start(self, name: str = RETRAIN, **parameters: Any) -> str:
        """Start a run of a deployment; returns its ID."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return str(self.prefect.post(path, json={"parameters": parameters}).raise_for_status().json()["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        """A flow run as it is now."""
        return dict(self.prefect.get(f"/flow_runs/{run_id}").raise_for_status().json())

    def runs_under_way(self) -> list[dict[str, Any]]:
        """The flow runs that are RUNNING, PENDING or CANCELLING."""
        types = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
        return list(self.prefect.post("/flow_runs/filter", json={"flow_runs": types}).raise_for_status().json())

    def ended(self, run_id: str, seconds: float = 900) -> dict[str, Any]:
        """The flow run when it has ended; while the server is away, it has not."""

        def look() -> dict[str, Any] | None:
            with suppress(httpx.TransportError):
                run = self.run(run_id)
                return run if run["state_type"] in ENDED else None
            return None

        found: dict[str, Any] = wait_for(look, seconds)
        return found

    def under_way(self, run_id: str) -> None:
        """Wait until the run trains."""

        def trains() -> bool:
            wanted = {"logs": {"flow_run_id": {"any_": [run_id]}}}
            lines = self.prefect.post("/logs/filter", json=wanted).raise_for_status().json()
            return any(line["message"].startswith("encode") for line in lines)

        wait_for(trains)

    @contextmanager
    def beside(self, image: str, host: str, options: str = "", command: str = "") -> Iterator[str]:
        """A container that the services reach under the name `host`; yields its own name."""
        name = f"{self.name}-{secrets.token_hex(4)}"
        network = f"--network {self.name}_pipeline --network-alias {host}"
        try:
            self.shell(f"docker run --detach --name {name} {network} {options} {image} {command}")
            yield name
        finally:
            self.shell(f"docker rm --force --volumes {name}")

    @contextmanager
    def settings(self) -> Iterator[Path]:
        """The file .env. What is written there and in sources.env, and what the deployments take, is undone."""
        file = self.folder / ".env"
        text, before = file.read_text(), [self.deployment(name) for name in (RETRAIN, MONITOR)]
        try:
            yield file
        finally:
            file.write_text(text)
            (self.folder / "sources.env").unlink(missing_ok=True)
            self.up()
            for one in before:
                path = f"/deployments/{one['id']}"
                self.prefect.patch(path, json={"parameters": one["parameters"]}).raise_for_status()
                for schedule in one["schedules"]:
                    active = {"active": schedule["active"]}
                    self.prefect.patch(f"{path}/schedules/{schedule['id']}", json=active).raise_for_status()

    def score(self) -> dict[str, Any]:
        """What the API says about one patient."""
        return dict(self.api.post("/predict", json={"patients": [self.patient]}).raise_for_status().json())


def private_copy(folder: Path) -> Path:
    """A copy of the checkout's files that only its owner may read."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder
