"""Every service of docker-compose.yml, started natively as the file says: the pipeline as it runs unattended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psutil
import pytest

from tests.harness.pages import pages
from tests.harness.pages.browser import PATIENCE, chromium, needs_browser
from tests.harness.servers.compose import Stack, postgres_programs
from tests.harness.servers.served import (
    RETRAIN,
    answer,
    champion,
    champions_run,
    ended,
    heart,
    refused_training,
    replaced_often,
    run_flow,
)
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services except the API, which has nothing to serve yet."""
    if not postgres_programs():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with Stack.start(tmp_path_factory.mktemp("stack"), ["mlflow", "prefect", "worker"]) as started:
        yield started


@pytest.fixture(scope="module")
def prefect_api(stack: Stack) -> Iterator[httpx.Client]:
    environment = stack.client_environment
    login = httpx.BasicAuth(*environment["PREFECT_API_AUTH_STRING"].split(":", 1))
    with httpx.Client(base_url=environment["PREFECT_API_URL"], auth=login, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def mlflow_api(stack: Stack) -> Iterator[httpx.Client]:
    login = httpx.BasicAuth("admin", stack.secrets["MLFLOW_ADMIN_PASSWORD"])
    with httpx.Client(base_url=f"{stack.url('mlflow')}/api/2.0/mlflow", auth=login, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def trained(stack: Stack, prefect_api: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The flow run of a retraining, requested from the server and done by the worker."""
    here = tmp_path_factory.mktemp("client")
    done = heart(
        here, stack.client_environment, "retrain", "--on-server", "--folds", "10", "--repeats", "2", "--margin", "0.1"
    )
    assert done.returncode == 0, done.stderr
    completed, retrain = {"state": {"type": {"any_": ["COMPLETED"]}}}, {"name": {"any_": ["retrain"]}}
    [run] = answer(prefect_api, "POST", "/flow_runs/filter", flow_runs=completed, deployments=retrain)
    return dict(run)


@pytest.fixture(scope="module")
def scoring(stack: Stack, trained: dict[str, Any]) -> httpx.Client:
    """The API, with its token."""
    assert "Promoted" in trained["tags"]
    stack.start_service("api")
    token = {"Authorization": f"Bearer {stack.secrets['HEART_API_TOKEN']}"}
    return httpx.Client(base_url=stack.url("api"), headers=token, timeout=60)


def test_every_service_is_healthy_and_reachable_only_on_loopback(stack: Stack) -> None:
    for name in ("postgres", "mlflow", "prefect", "worker"):
        assert stack.healthy(name)
        listening = [
            one.laddr.ip
            for process in stack.members(name)
            for one in process.net_connections(kind="tcp")
            if one.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert set(listening) == {"127.0.0.1"}
    assert stack.process("deploy").returncode == 0


def test_mlflow_answers_nobody_without_a_login_or_under_another_host_name(stack: Stack) -> None:
    url = stack.url("mlflow")
    admin = ("admin", stack.secrets["MLFLOW_ADMIN_PASSWORD"])
    search = "/api/2.0/mlflow/experiments/search?max_results=1"
    for path in ("/", search, "/ajax-api/2.0/mlflow/experiments/search?max_results=1", "/signup", "/metrics"):
        assert httpx.get(url + path).status_code == 401, path
    assert httpx.get(url + search, auth=("admin", "password1234")).status_code == 401
    assert httpx.get(url + search, auth=admin).status_code == 200
    assert httpx.get(url, auth=admin).status_code == 200
    assert httpx.get(url + search, auth=admin, headers={"Host": "evil.example"}).status_code == 403
    other = {"Origin": "http://evil.example"}
    assert httpx.post(url + search, auth=admin, json={}, headers=other).status_code == 403


def test_prefect_answers_nobody_without_a_login(stack: Stack, prefect_api: httpx.Client) -> None:
    api = stack.client_environment["PREFECT_API_URL"]
    for path in ("/flows/filter", "/flow_runs/filter", "/deployments/filter", "/block_documents/filter"):
        assert httpx.post(api + path, json={}).status_code == 401
        assert httpx.post(api + path, json={}, auth=("admin", "no")).status_code == 401
        assert answer(prefect_api, "POST", path) is not None
    assert httpx.get(f"{api}/admin/version").status_code == 401
    assert httpx.get(f"{stack.url('prefect')}/ui-settings").json()["auth"] == "BASIC"  # so the page asks for it


@pytest.mark.parametrize(
    ("command", "login"), [(["train"], "admin:no"), (["retrain", "--on-server"], "")], ids=["another", "none"]
)
def test_the_command_reports_a_refused_login(command: list[str], login: str, stack: Stack, tmp_path: Path) -> None:
    done = heart(tmp_path, {**stack.client_environment, "PREFECT_API_AUTH_STRING": login}, *command)
    assert done.returncode == 4
    assert "refuses the login: expected its user:password in PREFECT_API_AUTH_STRING" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_the_deployments_are_registered_and_their_cron_plans_runs(prefect_api: httpx.Client) -> None:
    found = answer(prefect_api, "POST", "/deployments/filter")
    pools = {one["name"]: one["work_pool_name"] for one in found}
    assert pools == dict.fromkeys(("retrain", "reconcile", "prune", "monitor"), "heart")
    planned = answer(prefect_api, "POST", "/flow_runs/filter", flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}})
    retrains = [run for run in planned if run["auto_scheduled"] and "T06:00:00" in run["expected_start_time"]]
    assert len(retrains) >= 3


def test_a_retrain_over_the_server_ends_promoted(trained: dict[str, Any], mlflow_api: httpx.Client) -> None:
    assert trained["state_name"] == "Completed"
    assert "Promoted" in trained["tags"]
    run = champions_run(mlflow_api)
    assert {tag["key"]: tag["value"] for tag in run["data"]["tags"]}["prefect.flow_run_id"] == trained["id"]
    assert run["info"]["artifact_uri"].startswith("mlflow-artifacts:/")  # through the server, not a shared folder


def test_a_retrain_leaves_no_file_in_the_workers_tmp(stack: Stack, trained: dict[str, Any]) -> None:
    """That folder is in memory. A run's process ends shortly after the run."""

    def left() -> list[str]:
        return [f"{where}/{name}" for where, _, names in os.walk(stack.mapped("/tmp", "worker")) for name in names]

    with suppress(TimeoutError):
        wait_for(lambda: not left(), seconds=30)
    assert left() == []


def test_a_scheduled_run_starts_by_itself(prefect_api: httpx.Client, trained: dict[str, Any]) -> None:
    deployment = answer(prefect_api, "GET", f"/deployments/name/{RETRAIN}")
    # Cron has no seconds; a plan with cron is tested above, and its start by tests/operations/test_schedule.py.
    every_minute = {"interval": 60, "anchor_date": (datetime.now(UTC) + timedelta(seconds=10)).isoformat()}
    soon = {"schedule": every_minute, "active": True}
    parameters = {"evaluation": {"folds": 10, "repeats": 2}}
    made = answer(
        prefect_api, "POST", "/deployments/", name="soon", flow_id=deployment["flow_id"], parameters=parameters,
        entrypoint=deployment["entrypoint"], work_pool_name="heart", schedules=[soon], pull_steps=[],
        job_variables=deployment["job_variables"], path=deployment["path"],
    )  # fmt: skip

    def fired() -> Any:
        runs = answer(prefect_api, "POST", "/flow_runs/filter", deployments={"id": {"any_": [made["id"]]}})
        return [run for run in runs if ended(run)]

    run = wait_for(fired)[0]
    assert prefect_api.delete(f"/deployments/{made['id']}").is_success
    assert run["auto_scheduled"]
    assert run["state_name"] == "Completed"
    assert "NothingToDo" in run["tags"]


def test_every_worker_start_looks_for_orphans_of_an_earlier_worker(prefect_api: httpx.Client) -> None:
    def looked() -> Any:
        reconcile = {"name": {"any_": ["reconcile"]}}
        runs = answer(prefect_api, "POST", "/flow_runs/filter", deployments=reconcile)
        return [run for run in runs if ended(run)]

    run = wait_for(looked)[0]
    assert not run["auto_scheduled"]
    assert run["state_type"] == "COMPLETED"


def test_the_api_serves_the_champion_and_follows_it(
    scoring: httpx.Client, prefect_api: httpx.Client, mlflow_api: httpx.Client
) -> None:
    from heart_disease.data import sources
    from heart_disease.model import schema

    row = sources.load().frame.iloc[0]
    patient = {name: float(row[name]) for name in schema.INPUT_NAMES}
    before = scoring.post("/predict", json={"patients": [patient]}).json()
    assert before["version"] == "1"
    assert 0 < before["answers"][0]["probability"] < 1
    assert httpx.post(f"{scoring.base_url}/predict", json={"patients": [patient]}).status_code == 401

    lenient = {"margin": 0.5, "promote_if": "not-worse"}
    again = run_flow(
        prefect_api, force=True, recipe={"seed": 1}, evaluation={"folds": 10, "repeats": 2}, promotion=lenient
    )
    assert again["state_name"] == "Completed"
    assert "Promoted" in again["tags"]
    after = wait_for(
        lambda: (now := scoring.post("/predict", json={"patients": [patient]}).json())["version"] == "2" and now
    )
    assert after["answers"][0]["probability"] != before["answers"][0]["probability"]


def test_no_secret_is_in_a_log_a_command_line_a_store_or_an_artifact(
    stack: Stack, trained: dict[str, Any], tmp_path: Path
) -> None:
    texts = {f"log of {name}": stack.log(name) for name in stack.services}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            texts[f"process {process.pid}"] = " ".join(process.cmdline())
    for path in (stack.folder / "volumes" / "artifacts").rglob("*"):
        if path.is_file():
            texts[str(path)] = path.read_bytes().decode(errors="replace")
    programs = postgres_programs()
    assert programs
    for database in ("mlflow", "prefect"):
        dump = subprocess.run(
            [programs / "pg_dump", "-h", "127.0.0.1", "-p", str(stack.port("postgres")), "-U", database, database],
            env={"PGPASSWORD": stack.secrets[f"{database.upper()}_DB_PASSWORD"]}, capture_output=True, check=True,
        )  # fmt: skip
        texts[f"database {database}"] = dump.stdout.decode()
    assert trained["id"] in texts["database prefect"]
    assert trained["id"] in texts["database mlflow"]
    for name, secret in stack.secrets.items():
        # The secret as it is, and its part before the first character that an address, JSON or HTML would escape.
        assert [where for where, text in texts.items() if secret in text or secret.split("@")[0] in text] == [], name


def test_killed_servers_come_back_with_their_content_and_a_retrain_does_not_suffer_when_mlflows_processes_are_replaced(
    stack: Stack, prefect_api: httpx.Client, mlflow_api: httpx.Client, trained: dict[str, Any]
) -> None:
    stack.kill("prefect")
    assert not stack.members("prefect")
    stack.start_service("prefect")
    with replaced_often(stack) as replaced:
        assert answer(prefect_api, "GET", f"/flow_runs/{trained['id']}")["tags"] == trained["tags"]
        assert answer(mlflow_api, "GET", "/registered-models/get", name="heart-disease")
        run = run_flow(prefect_api, force=True, recipe={"epochs": 2}, evaluation={"folds": 2, "repeats": 1})
        assert run["state_type"] == "COMPLETED", run["state"]["message"]
        assert replaced() >= 2


@needs_browser
def test_both_pages_show_scheduled_runs_and_artifacts_after_login(
    stack: Stack, trained: dict[str, Any], prefect_api: httpx.Client, mlflow_api: httpx.Client, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("HEART_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    prefect_url, mlflow_url = stack.url("prefect"), stack.url("mlflow")
    deployment = answer(prefect_api, "GET", f"/deployments/name/{RETRAIN}")["id"]
    run = champions_run(mlflow_api)["info"]
    asked: list[str] = []
    with chromium() as browser:
        login = {"username": "admin", "password": stack.secrets["MLFLOW_ADMIN_PASSWORD"]}
        for service, context in (
            ("prefect", browser.new_context(viewport={"width": 1600, "height": 1000})),
            ("mlflow", browser.new_context(viewport={"width": 1600, "height": 1000}, http_credentials=login)),
        ):
            context.set_default_timeout(PATIENCE)
            context.on("request", lambda request: asked.append(request.url))
            page = context.new_page()
            if service == "prefect":
                login_text = stack.client_environment["PREFECT_API_AUTH_STRING"]
                pages.prefect(page, prefect_url, login_text, deployment, trained["id"], folder)
            else:
                pages.mlflow(page, mlflow_url, run["experiment_id"], run["run_id"], folder)
    assert [url for url in asked if not url.startswith((prefect_url, mlflow_url, "blob:", "data:"))] == []


def test_the_worker_and_api_accounts_can_do_only_what_they_need(
    stack: Stack, mlflow_api: httpx.Client, trained: dict[str, Any]
) -> None:
    tag = {"name": "heart-disease", "key": "x", "value": "1"}
    reached = {
        "worker": {"/registered-models/set-tag": 200, "/users/create": 403},
        "api": {"/registered-models/set-tag": 403, "/users/create": 403},
    }
    for user, expected in reached.items():
        login = (user, stack.secrets[f"MLFLOW_{user.upper()}_PASSWORD"])
        with httpx.Client(base_url=mlflow_api.base_url, auth=login) as client:
            assert client.get("/registered-models/get", params={"name": "heart-disease"}).status_code == 200
            for path, status in expected.items():
                content = tag if "tag" in path else {"username": "mallory", "password": "long enough to be one"}
                assert client.post(path, json=content).status_code == status, (user, path)


def test_pruning_over_the_servers_deletes_what_nothing_needs_and_keeps_the_champion(
    stack: Stack, scoring: httpx.Client, prefect_api: httpx.Client, mlflow_api: httpx.Client, tmp_path: Path
) -> None:
    from heart_disease.data import sources
    from heart_disease.operations import prune
    from heart_disease.registry.cleaning import hidden
    from tests.harness.faults.work import using

    run_id, flow_run = refused_training(tmp_path, stack.client_environment, mlflow_api)
    files = stack.folder / "volumes" / "artifacts"
    assert list(files.rglob(f"{run_id}/artifacts/*"))

    with using(stack.client_environment):
        prune.delete(prune.find(timedelta(0)))
    assert not list(files.rglob(f"{run_id}/artifacts/*"))
    assert answer(mlflow_api, "GET", "/runs/get", run_id=run_id)["run"]["info"]["lifecycle_stage"] == "deleted"
    assert prefect_api.get(f"/flow_runs/{flow_run}").status_code == 404
    with patch.dict(os.environ, stack.environment_of("cleaner")):
        runs, _ = hidden.remove(timedelta(0))
    assert runs >= 1
    assert mlflow_api.get("/runs/get", params={"run_id": run_id}).status_code == 404

    assert scoring.get("/model").json()["version"] == champion(mlflow_api)["version"]
    sources.load().frame.to_csv(tmp_path / "patients.csv", index=False)
    loaded = heart(tmp_path, stack.client_environment, "predict", "patients.csv", "-o", "scored.csv")
    assert loaded.returncode == 0, loaded.stderr


def test_every_service_ends_within_its_grace_period_and_leaves_no_process(stack: Stack, scoring: httpx.Client) -> None:
    for name in reversed(stack.processes):
        if name in ("databases", "deploy"):
            continue
        assert stack.stop(name) in (0, -15, 143)
        assert not stack.members(name)
