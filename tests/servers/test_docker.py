"""docker-compose.yml on a container engine, as docs/servers.md says; `make test-docker` runs this.

The image is built from a copy of the checkout that only its owner may read (umask 077). Where the registry cannot be
reached, the engine must have the two base images already.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from heart_disease.data import sources
from heart_disease.model import schema
from tests.harness.compose_file import ROOT
from tests.harness.waiting import wait_for

ADDRESS = "127.0.0.2"  # beside a stack that may run on 127.0.0.1
RETRAIN, RECONCILE = "heart-disease-train/retrain", "heart-disease-reconcile/reconcile"
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
SERVICES = ("postgres", "mlflow", "prefect", "worker", "api")
OURS = "mlflow prefect deploy worker api"
IMAGE_MEGABYTES = 100  # what a changed line of the project may cost


def has_engine() -> bool:
    """Whether a container engine with Compose answers."""
    with suppress(OSError):
        commands = (["docker", "info"], ["docker", "compose", "version"])
        return all(subprocess.run(one, capture_output=True, check=False).returncode == 0 for one in commands)
    return False


pytestmark = pytest.mark.docker


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

    def start(self, name: str = RETRAIN, **parameters: Any) -> str:
        """Start a run of a deployment; returns its ID."""
        found = self.prefect.get(f"/deployments/name/{name}").raise_for_status().json()
        path = f"/deployments/{found['id']}/create_flow_run"
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


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """The stack as the first command of docs/servers.md leaves it: everything runs, and there is no champion."""
    if not has_engine():
        pytest.skip("no container engine with Compose answers: try `docker info` and `docker compose version`")
    stack = Docker(private_copy(tmp_path_factory.mktemp("checkout")), f"heart-test-{secrets.token_hex(4)}")
    try:
        stack.compose("up --detach --build")
        stack.wait_healthy("postgres", "mlflow", "prefect", "worker")
        yield stack
    except BaseException:
        with suppress(AssertionError):
            print(stack.compose("logs --tail 40"))
        raise
    finally:
        stack.compose("down --volumes --timeout 5")


@pytest.fixture(scope="module")
def stack(empty: Docker) -> Docker:
    """The stack with a champion, made by the worker."""
    ended = empty.ended(empty.start())
    assert "Promoted" in ended["tags"], ended["state"]
    empty.wait_healthy(*SERVICES)
    return empty


def commands(name: str) -> str:
    """The commands of docs/servers.md below the comment of this name."""
    text = (ROOT / "docs" / "servers.md").read_text()
    found = re.search(rf"<!-- {name} -->\n```\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def test_the_champion_that_the_worker_made_is_served(stack: Docker) -> None:
    assert 0 < stack.score()["answers"][0]["probability"] < 1
    assert httpx.post(f"{stack.api.base_url}/predict", json={}).status_code == 401


def test_no_process_misses_a_file_or_a_folder_or_is_killed_while_it_starts(stack: Docker) -> None:
    trouble = re.compile(
        "Read-only file system|[Pp]ermission denied|PermissionError|Failed to create|Child process.* died"
    )
    assert [line for line in stack.compose(f"logs --no-color {OURS}").splitlines() if trouble.search(line)] == []


def test_without_a_change_nothing_is_made_anew(stack: Docker) -> None:
    before = {name: one["Id"] for name, one in stack.containers().items()}
    stack.compose("up --detach --build")
    after = {name: one["Id"] for name, one in stack.containers().items()}
    assert after == before


def test_a_changed_line_costs_little_disk(stack: Docker) -> None:
    image = stack.containers()["mlflow"]["Image"]
    history = stack.shell(
        f"docker history --human=false --no-trunc --format '{{{{.Size}}}} {{{{.CreatedBy}}}}' {image}"
    )
    newer = history.splitlines()
    packages = next(i for i, line in enumerate(newer) if "/venv /venv" in line)
    assert sum(int(line.split()[0]) for line in newer[:packages]) < IMAGE_MEGABYTES * 1e6


@pytest.mark.parametrize("database", ["template1", "postgres", "prefect"])
def test_mlflows_user_reaches_only_its_own_database(database: str, stack: Docker) -> None:
    script = f"import psycopg2; psycopg2.connect('postgresql://mlflow@postgres:5432/{database}')"
    with pytest.raises(AssertionError, match="permission denied for database"):
        stack.compose(f'exec -T mlflow python -c "{script}"')


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_is_killed_comes_back_and_the_champion_stays(name: str, stack: Docker) -> None:
    before = stack.score()
    stack.compose(f"kill {name}")
    stack.compose(f"up --detach --no-deps {name}")
    stack.wait_healthy(*SERVICES)
    assert stack.score() == before


def test_a_run_survives_a_restart_of_prefect_and_a_cut_of_the_workers_network(stack: Docker) -> None:
    run = stack.start(force=True)
    stack.under_way(run)
    stack.compose("kill prefect")
    stack.compose("up --detach prefect")
    worker = stack.containers()["worker"]["Id"]
    stack.shell(f"docker network disconnect {stack.name}_pipeline {worker}")
    stack.wait_healthy("prefect")
    stack.shell(f"docker network connect --alias worker {stack.name}_pipeline {worker}")
    assert stack.ended(run)["state_type"] == "COMPLETED"


def test_a_stop_ends_every_service_in_time_and_closes_the_run_under_way(stack: Docker) -> None:
    run = stack.start(force=True, recipe={"epochs": 100_000})
    stack.under_way(run)
    stack.compose("stop")
    killed = {name for name, one in stack.containers().items() if one["State"]["ExitCode"] == 137}
    stack.up()
    assert killed == set()
    assert stack.ended(run)["state_type"] == "CRASHED"


def test_after_a_crash_of_everything_the_next_run_trains_and_none_is_left(stack: Docker) -> None:
    lost = stack.start(force=True, recipe={"epochs": 100_000})
    stack.under_way(lost)
    stack.compose("kill")
    stack.up()
    following = stack.start()
    assert stack.ended(following)["state_type"] == "COMPLETED"
    assert stack.ended(lost)["state_type"] == "CRASHED"
    wait_for(lambda: not stack.runs_under_way())


def test_taken_down_and_up_it_keeps_everything(stack: Docker) -> None:
    before = stack.score()
    stack.compose("down")
    stack.up()
    assert stack.score() == before


def test_a_backup_is_restored_by_the_documented_commands(stack: Docker) -> None:
    before = stack.score()
    stack.shell(commands("backup"))
    stack.compose("down --volumes")
    said = stack.shell(commands("restore"))
    assert re.findall("ERROR: .*", said) == ['ERROR:  role "postgres" already exists']
    stack.wait_healthy(*SERVICES)
    assert stack.score() == before
    assert stack.ended(stack.start())["state_type"] == "COMPLETED"


def test_the_deployment_trains_on_the_files_of_a_folder(stack: Docker) -> None:
    folder = stack.folder / "patients"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    patients = sources.load().frame
    for name, part in (("january", patients[:150]), ("february", patients[150:])):
        file = folder / f"{name}.csv"
        part.to_csv(file, index=False)
        file.chmod(0o644)
    stack.environment["HEART_SOURCE"] = "./patients"
    stack.up()
    ended = stack.ended(stack.start())
    assert ended["parameters"]["source"] == "/patients"
    assert ended["state_type"] == "COMPLETED"
    assert "NothingToDo" in ended["tags"]  # the same patients as the bundled ones, in two files
    patients[:140].to_csv(folder / "january.csv", index=False)
    ended = stack.ended(stack.start())
    assert ended["tags"] != ["heart", "NothingToDo"]
    assert ended["state_type"] == "COMPLETED"
