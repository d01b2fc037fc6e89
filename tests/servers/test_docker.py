"""docker-compose.yml on a container engine, as docs/servers.md says; `make test-docker` runs this.

The image is built from a copy of the checkout that only its owner may read (umask 077). Where the registry cannot be
reached, the engine must have the two base images already.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pandas as pd
import pytest

from heart_disease.data import sources
from heart_disease.data.sites import SITES
from tests.harness.command import ROOT
from tests.harness.servers.docker import MONITOR, SERVICES, Docker, has_engine, private_copy
from tests.harness.waiting import wait_for

OURS = "mlflow prefect deploy worker api"
IMAGE_MEGABYTES = 100  # what a changed line of the project may cost
FEW_FOLDS = {"folds": 10, "repeats": 2}
ADDRESS = "postgresql://reader:${HEART_SOURCE_PASSWORD}@db.example.org/clinic#table=patients"
RECEIVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

HTTPServer(("0.0.0.0", 9000), Receiver).serve_forever()
"""

pytestmark = pytest.mark.docker


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


def as_sql(patients: pd.DataFrame, password: str) -> str:
    """A table of these patients, and a user `reader` that may read it."""
    columns = ", ".join(f"{name} double precision" for name in patients.columns)
    rows = patients.to_csv(index=False, header=False)
    return (
        f"CREATE TABLE patients ({columns});\nCOPY patients FROM stdin WITH (FORMAT csv);\n{rows}\\.\n"
        f"CREATE ROLE reader LOGIN PASSWORD '{password}';\nGRANT SELECT ON patients TO reader;\n"
    )


def test_the_champion_that_the_worker_made_is_served(stack: Docker) -> None:
    assert 0 < stack.score()["answers"][0]["probability"] < 1
    assert httpx.post(f"{stack.api.base_url}/predict", json={}).status_code == 401
    assert httpx.get(f"{stack.api.base_url}/ping").status_code == 200
    page = httpx.get(f"{stack.api.base_url}/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<form" in page.text


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
    patients = sources.load().frame
    with stack.settings():
        for name, part in (("january", patients[:150]), ("february", patients[150:])):
            part.to_csv(stack.folder / f"{name}.csv", index=False)
        stack.shell(commands("folder").replace("/somewhere/", ""))
        stack.shell("install --mode=644 february.csv patients/")
        ended = stack.ended(stack.start())
        assert ended["parameters"]["source"] == "/patients"
        assert ended["state_type"] == "COMPLETED"
        assert "NothingToDo" in ended["tags"]  # the same patients as the bundled ones, in two files
        patients[:140].to_csv(stack.folder / "patients" / "january.csv", index=False)
        ended = stack.ended(stack.start(evaluation=FEW_FOLDS))
        assert ended["tags"] != ["heart", "NothingToDo"]
        assert ended["state_type"] == "COMPLETED"


def test_the_deployment_trains_on_a_database_and_the_model_is_reproduced_without_it(stack: Docker) -> None:
    password = f"{secrets.token_hex(8)}@:/?#%&"
    with stack.settings():
        login = f"--env POSTGRES_DB=clinic --env POSTGRES_PASSWORD={secrets.token_hex(8)}"
        with stack.beside("postgres:15.18-bookworm", "db.example.org", login) as hospital:
            (stack.folder / "patients.sql").write_text(as_sql(sources.load().frame[:290], password))
            ask = f"docker exec --interactive {hospital} psql --host=127.0.0.1 --username=postgres clinic"
            wait_for(lambda: "ready" in stack.shell(f"{ask} --command \"SELECT 'ready'\" 2>&1 || true"))
            stack.shell(f"{ask} --quiet --set=ON_ERROR_STOP=1 < patients.sql")
            stack.shell(commands("database").replace("the password", password))
            stack.wait_healthy(*SERVICES)
            ended = stack.ended(stack.start(evaluation=FEW_FOLDS))
            assert ended["state_type"] == "COMPLETED", ended["state"]["message"]
            assert ended["parameters"]["source"] == ADDRESS
            kept = stack.compose("logs --no-color") + stack.compose("exec -T postgres pg_dumpall --username=postgres")
        stack.compose("up --detach --force-recreate --no-deps worker")
        said = stack.compose("exec -T worker heart reproduce challenger")
    assert "\nreproduced: " in said
    assert ADDRESS in kept
    assert password not in kept
    assert password[:16] not in kept


def test_new_patients_are_compared_once_a_day_until_somebody_pauses_that(stack: Docker) -> None:
    new = stack.folder / "compared" / "new" / "week.csv"
    new.parent.mkdir(parents=True, exist_ok=True)
    for folder in (new.parent, new.parent.parent):
        folder.chmod(0o755)
    new.write_bytes(SITES["hungary"].read_bytes())
    new.chmod(0o644)
    with stack.settings() as file:
        before = file.read_text()
        file.write_text(f"{before}HEART_FOLDER=./compared\nHEART_MONITOR=/patients/new\n")
        stack.up()
        ended = stack.ended(stack.start(MONITOR, version="1"))
        assert "Drifted" in ended["tags"], ended["state"]["message"]
        watching = stack.deployment(MONITOR)
        assert [one["active"] for one in watching["schedules"]] == [True]
        file.write_text(before)
        stack.up()
        unchanged = stack.deployment(MONITOR)
        assert [one["active"] for one in unchanged["schedules"]] == [True]
        assert unchanged["parameters"] == watching["parameters"] == {"source": "/patients/new"}


def test_a_bad_end_is_told_to_a_webhook(stack: Docker) -> None:
    (stack.folder / "receiver.py").write_text(RECEIVER)
    (stack.folder / "receiver.py").chmod(0o644)
    image = stack.containers()["mlflow"]["Image"]
    mount = f"--volume {stack.folder}/receiver.py:/receiver.py:ro"
    with stack.beside(image, "receiver", mount, "python -u /receiver.py") as receiver:
        stack.shell(commands("notifications").splitlines()[0].replace("https://...", "http://receiver:9000/"))
        try:
            rejected = stack.ended(stack.start(source="/patients/none.csv"))
            assert "Rejected" in rejected["tags"]
            told = json.loads(wait_for(lambda: stack.shell(f"docker logs {receiver}")).splitlines()[0])
        finally:
            for one in stack.prefect.post("/automations/filter", json={}).raise_for_status().json():
                stack.prefect.delete(f"/automations/{one['id']}").raise_for_status()
    assert (told["flow"], told["state"]) == ("heart-disease-train", "Rejected")
    assert "/patients/none.csv" in told["reason"]
    assert told["prefect"].endswith(rejected["id"])


def test_the_cleaner_removes_what_was_hidden_long_ago_and_nothing_else(stack: Docker) -> None:
    found = stack.mlflow.get("/mlflow/experiments/get-by-name", params={"experiment_name": "heart-disease"})
    experiment = found.raise_for_status().json()["experiment"]["experiment_id"]

    def hidden() -> str:
        run = stack.mlflow.post("/mlflow/runs/create", json={"experiment_id": experiment}).raise_for_status().json()
        run_id = str(run["run"]["info"]["run_id"])
        uri = run["run"]["info"]["artifact_uri"].removeprefix("mlflow-artifacts:")
        stack.mlflow.put(f"/mlflow-artifacts/artifacts{uri}/a.txt", content=b"a").raise_for_status()
        ended = {"run_id": run_id, "status": "FINISHED", "end_time": 1}
        stack.mlflow.post("/mlflow/runs/update", json=ended).raise_for_status()
        stack.mlflow.post("/mlflow/runs/delete", json={"run_id": run_id}).raise_for_status()
        return run_id

    def is_there(run_id: str) -> bool:
        return stack.mlflow.get("/mlflow/runs/get", params={"run_id": run_id}).status_code == 200

    def has_files(run_id: str) -> bool:
        return bool(stack.compose(f"exec -T mlflow find /artifacts -path '*{run_id}*' -name a.txt"))

    old, young = hidden(), hidden()
    earlier = f"SET deleted_time = deleted_time - 31 * 86400000::bigint WHERE run_uuid = '{old}'"
    stack.compose(f'exec -T postgres psql --username=postgres mlflow --command "UPDATE runs {earlier}"')
    assert is_there(old)
    assert has_files(old)
    stack.compose("restart cleaner")
    wait_for(lambda: not is_there(old))
    assert is_there(young)
    assert has_files(young)
    assert not has_files(old)
    assert stack.score()
