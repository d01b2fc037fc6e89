"""Schedules: what is refused, what starts a run, one run at a time, and whole programs."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.importtools import import_object

from heart_disease.cli import main
from heart_disease.data import sources
from heart_disease.model.errors import UnavailableError
from heart_disease.operations import missed, schedule, states
from heart_disease.operations.deploy import make_pool
from heart_disease.operations.deployments import MONITOR, PRUNE, RECONCILE, RETRAIN, When, interval
from heart_disease.operations.server import configured
from heart_disease.operations.server.server import Server, problem_of
from heart_disease.operations.watch import Watch
from heart_disease.processes import tethered
from heart_disease.processes.loopback import free_port
from tests.harness.command import ROOT, heart, one_line
from tests.harness.faults.work import using
from tests.harness.servers.prefect_server import QUICK, Site, server, site
from tests.harness.waiting import wait_for


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cron", "a b"], "--cron 'a b': expected minute, hour, day, month and day of the week"),
        (["--every", "6x"], "--every 6x: expected a number and m, h, d or w, such as 30m, 6h, 1d or 2w"),
        (["--every", "0h"], "--every 0h: expected a number"),
        (["--every", "1h", "--timezone", "Mars/Base"], "--timezone Mars/Base: no such time zone"),
        (["--every", "1h", "--cron", "* * * * *"], "not allowed with argument"),
        (["--epochs", "0"], "--epochs 0: input should be greater than or equal to 1"),
        (["--if-running", "hope"], "invalid choice: 'hope'"),
    ],
)
def test_an_invalid_schedule_ends_in_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("schedule", *arguments) == 2
    assert message in one_line(capsys.readouterr().err)


@pytest.mark.usefixtures("prefect")
def test_a_prefect_server_on_the_port_can_be_used_instead(capsys: pytest.CaptureFixture[str]) -> None:
    url = PREFECT_API_URL.value() or ""
    port = urlsplit(url).port
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert heart("schedule", "--every", "1h", "--port", str(port)) == 4
    said = one_line(capsys.readouterr().err)
    assert f"port {port}, for Prefect's server, cannot be used" in said
    assert f"or use that Prefect server: export PREFECT_API_URL={url}" in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", timedelta(minutes=30)),
        ("6h", timedelta(hours=6)),
        ("1d", timedelta(days=1)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_an_interval_has_a_unit(text: str, expected: timedelta) -> None:
    assert interval(text) == expected


def test_an_interval_gives_the_same_times_after_a_restart() -> None:
    first, second = When(every="6h").schedule(), When(every="6h").schedule()
    assert first is not None
    assert first == second


def test_content_is_new_only_once_it_has_stopped_changing(tmp_path: Path) -> None:
    path = tmp_path / "patients.csv"
    watch = Watch(path)
    assert watch.look() is None  # there is no file
    path.write_text("half of")
    assert watch.look() is None  # it may still be written
    path.write_text("half of it, and the rest")
    assert watch.look() is None
    digest = watch.look()
    assert digest is not None
    assert watch.look() is None  # already known
    path.write_text("half of it, and the rest")
    assert watch.look() is None
    assert watch.look() == digest  # written again; Prefect would remember the digest
    path.unlink()
    assert watch.look() is None


@pytest.mark.usefixtures("prefect")
def test_prefect_is_told_of_content_only_once_even_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "patients.csv"
    assert Watch(path).report("one")
    assert not Watch(path).report("one")
    assert Watch(tmp_path / "others.csv").report("one")
    assert Watch(path).report("two")


def test_a_server_of_its_own_that_has_ended_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "60"]))
        return started[-1]

    runner = SimpleNamespace(
        served=[], thread=SimpleNamespace(is_alive=lambda: True), stop=lambda spare: spared.append(spare)
    )
    spared: list[int | None] = []
    monkeypatch.setattr(schedule, "_Runner", lambda _: runner)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    its = Server("http://127.0.0.1:9/api", start(), None, start)
    monkeypatch.setattr(its, "wait", lambda: None)
    try:
        with schedule._serving(lambda _: [], its) as (_, look_after):
            look_after()
            assert len(started) == 1
            started[0].kill()
            started[0].wait()
            look_after()
            look_after()
            assert len(started) == 2
        assert spared == [started[1].pid]  # at the end, the runs are ended before the server
    finally:
        started[-1].kill()
        started[-1].wait()


def test_a_server_is_not_started_again_on_a_port_that_another_has_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    @contextmanager
    def running(*_: str, output: Any, **__: Any) -> Iterator[subprocess.Popen[bytes]]:
        output.write(b"Error of the last server\n")
        written.append(output.seek(0) or output.read().decode())
        with subprocess.Popen(["true"]) as process:
            yield process

    monkeypatch.setattr(configured, "address", lambda: "")
    monkeypatch.setattr(configured, "is_api", lambda url: True)
    monkeypatch.setattr(tethered, "running", running)
    port = free_port()
    with schedule._server(port) as its:
        its.start_again()
        with socket.create_server(("127.0.0.1", port)), pytest.raises(UnavailableError, match="or use that Prefect"):
            its.start_again()
    assert written == ["Error of the last server\n"] * 2  # each has only its own words


def deployed() -> dict[str, Any]:
    """prefect.yaml."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    return found


def test_prefect_yaml_deploys_what_heart_schedule_serves() -> None:
    served = (RETRAIN, RECONCILE, PRUNE, MONITOR)
    for deployment, full_name in zip(deployed()["deployments"], served, strict=True):
        flow = import_object(deployment["entrypoint"])
        assert f"{flow.name}/{deployment['name']}" == full_name
        limit = {"limit": 1, "collision_strategy": "ENQUEUE"}
        assert deployment.get("concurrency_limit") == (limit if full_name == RETRAIN else None)
        assert deployment["work_pool"]["name"] == "heart"


def test_prefect_yaml_sets_what_the_command_sets() -> None:
    for deployment in deployed()["deployments"]:
        env = deployment["work_pool"]["job_variables"]["env"]
        assert env == {**main.ENVIRONMENT, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5"}


# From here on with complete servers. A run whose source is missing ends soon, and like any other for Prefect.

MISSING = "nowhere.csv"


@pytest.fixture(scope="module")
def prefect_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with server(tmp_path_factory.mktemp("schedule")) as it, using({"PREFECT_API_URL": it.url}):
        yield it


@pytest.fixture
def client(prefect_site: Site) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        yield found


def runs(client: SyncPrefectClient) -> list[FlowRun]:
    """The runs of the training's deployment, in the order of their planned starts."""
    wanted = DeploymentFilter(name=DeploymentFilterName(any_=["retrain"]))
    found = client.read_flow_runs(deployment_filter=wanted)
    return sorted(found, key=lambda run: run.expected_start_time or datetime.max.replace(tzinfo=UTC))


def started(client: SyncPrefectClient) -> list[FlowRun]:
    return [run for run in runs(client) if run.state and not run.state.is_scheduled()]


def trigger(client: SyncPrefectClient, **parameters: Any) -> FlowRun:
    deployment = client.read_deployment_by_name(RETRAIN)
    return client.create_flow_run_from_deployment(deployment.id, parameters=parameters)


def ended(client: SyncPrefectClient, *flow_runs: FlowRun) -> list[FlowRun]:
    """These runs, once all of them have ended."""

    def look() -> list[FlowRun] | None:
        now = [client.read_flow_run(run.id) for run in flow_runs]
        return now if all(run.state and run.state.is_final() for run in now) else None

    found: list[FlowRun] = wait_for(look)
    return found


@pytest.mark.slow
def test_it_starts_a_server_fires_at_its_times_and_leaves_nothing_running(tmp_path: Path) -> None:
    port = free_port()
    it = site(tmp_path, port)
    del it.environment["PREFECT_API_URL"]
    endless = ("--cron", "* * * * *", "--port", str(port), "--epochs", "100000")
    with using({"PREFECT_API_URL": it.url}):
        with it.schedule(*endless) as process, get_client(sync_client=True) as client:
            running = wait_for(lambda: started(client))[0]
            assert running.auto_scheduled
            deployment = client.read_deployment_by_name(RETRAIN)
            assert [one.schedule.cron for one in deployment.schedules] == ["* * * * *"]  # type: ignore[union-attr]
            client.pause_deployment(deployment.id)  # on a busy machine many more would begin and wait
            wait_for(lambda: client.read_flow_run(running.id).state_name == "Running")
            [its_server] = [one for one in psutil.Process(process.pid).children() if "server" in one.cmdline()]
            its_server.kill()
            its_server.wait()
            wait_for(lambda: not problem_of(f"{it.url}/health"))
            assert client.read_flow_run(running.id).state_name == "Running"
        assert process.returncode == 143
        assert problem_of(f"{it.url}/health")
    with sqlite3.connect(tmp_path / "prefect" / "prefect.db") as database:
        found = {kind for (kind,) in database.execute("SELECT state_type FROM flow_run")}
        assert found <= {"COMPLETED", "CRASHED", "SCHEDULED", "CANCELLED"}
        [(state,)] = database.execute("SELECT state_type FROM flow_run WHERE id = ?", [str(running.id)])
        assert state in ("CRASHED", "CANCELLED")  # by itself, or by Prefect's runner if it was too slow


@pytest.mark.slow
def test_a_second_run_waits(prefect_site: Site, client: SyncPrefectClient) -> None:
    with prefect_site.schedule("--if-running", "wait"):
        first, second = ended(client, trigger(client, source=MISSING), trigger(client, source=MISSING))
    assert [states.outcome_of(run) for run in (first, second)] == ["Rejected"] * 2
    (one, other) = sorted((first, second), key=lambda run: str(run.start_time))
    assert one.end_time
    assert other.start_time
    assert one.end_time <= other.start_time


@pytest.mark.slow
def test_a_second_run_is_skipped(prefect_site: Site, client: SyncPrefectClient) -> None:
    with prefect_site.schedule("--if-running", "skip"):
        both = ended(client, trigger(client, source=MISSING), trigger(client, source=MISSING))
    assert sorted(str(states.outcome_of(run) or run.state_name) for run in both) == ["Cancelled", "Rejected"]


@pytest.mark.slow
def test_new_data_starts_a_run_on_it(prefect_site: Site, client: SyncPrefectClient) -> None:
    path = prefect_site.folder / "patients.csv"
    seen = {run.id for run in runs(client)}

    def refused() -> str:
        """Why the next run was refused."""
        [new] = wait_for(lambda: [run for run in runs(client) if run.id not in seen])
        seen.add(new.id)
        [run] = ended(client, new)
        assert run.parameters["source"] == str(path)
        assert states.outcome_of(run) == "Rejected"
        return str(run.state and run.state.message)

    path.write_text(sources.load().frame.assign(age=500).to_csv(index=False))
    with prefect_site.schedule("--on-data", str(path)):
        assert "column 'age' has 500" in refused()  # of changes made while it was not running
        path.write_text("nothing")
        assert "has a header and no rows" in refused()


@pytest.mark.slow
def test_one_run_makes_up_for_all_that_were_missed(prefect_site: Site, client: SyncPrefectClient) -> None:
    """On a work pool, as prefect.yaml deploys it; nothing runs until several runs are late."""
    site = prefect_site
    with suppress(ObjectNotFound):
        client.delete_deployment(client.read_deployment_by_name(RETRAIN).id)
    make_pool(client)
    site.environment["HEART_CRON"] = "0 0 1 1 *"  # no run of this plan is due, because its parameters are others
    deploy = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        env=site.environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert deploy.returncode == 0, deploy.stdout + deploy.stderr
    deployment = client.read_deployment_by_name(RETRAIN)
    small = {"evaluation": {"folds": 2, "repeats": 1}, "recipe": {"epochs": 2}}
    client.update_deployment(deployment.id, DeploymentUpdate(parameters=small))
    [schedule] = deployment.schedules
    often = IntervalSchedule(interval=timedelta(seconds=5))  # cron has no seconds
    client.update_deployment_schedule(deployment.id, schedule.id, schedule=often)
    wait_for(lambda: len(missed.due(client, deployment.id)) >= 3)
    client.update_deployment_schedule(deployment.id, schedule.id, active=False)  # plan no more runs
    late = missed.due(client, deployment.id)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    worker = site.start("prefect", "worker", "start", "--pool", "heart", **quiet)
    try:
        found = ended(client, *late)
    finally:
        worker.terminate()
        worker.wait(timeout=60)
    closed = [run for run in found if states.outcome_of(run) == "Superseded"]
    [made] = [run for run in found if run not in closed]
    assert states.outcome_of(made) in ("Promoted", "NotPromoted")
    assert closed[0].state
    assert "makes up for this one" in str(closed[0].state.message)


@pytest.mark.slow
def test_a_deployment_on_a_work_pool_stays_there(prefect_site: Site) -> None:
    refused = prefect_site.heart("schedule", "--every", "1h", *QUICK)
    assert refused.returncode == 2
    assert "the work pool 'heart' runs heart-disease-train/retrain" in one_line(refused.stderr)
