"""What was changed in Prefect's page survives the next start of `heart schedule` and the next deployment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_URL

from heart_disease.cli import options
from heart_disease.cli.main import make_parser
from heart_disease.cli.operate import schedule as command
from heart_disease.model.errors import ExitCode, UsageError
from heart_disease.operations import deploy, deployments, kept, schedule
from heart_disease.operations.deployments import MONITOR, PRUNE, RECONCILE, RETRAIN, SUNDAYS, When, interval_in_words
from heart_disease.processes.told import told
from tests.harness.command import ROOT, one_line

pytestmark = pytest.mark.usefixtures("prefect")
DAILY = CronSchedule(cron="0 7 * * *", timezone="UTC")


def start(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    """`heart schedule` up to where it would wait for runs; returns what it says of the training."""
    said: list[str] = []

    def served(deploy: schedule.Deploy, when: When, port: int) -> None:
        made = schedule._deployed(deploy)
        for one in made:
            one.apply()
        said.extend(schedule._in_words(made[0], deploy({})[0], when))

    monkeypatch.setattr(schedule, "run", served)
    command.run(make_parser().parse_args(["schedule", *arguments]))
    return said


@pytest.fixture
def client() -> Any:
    with get_client(sync_client=True) as client:
        for name in (RETRAIN, RECONCILE, PRUNE, MONITOR):
            if found := kept.find(client, name):
                client.delete_deployment(found.id)
        yield client


def training(client: SyncPrefectClient) -> DeploymentResponse:
    return client.read_deployment_by_name(RETRAIN)


def times(found: Any) -> dict[Any, bool]:
    """The deployment's schedules, and whether each is active."""
    return {getattr(one.schedule, "cron", None) or one.schedule.interval: one.active for one in found.schedules}


def change(client: SyncPrefectClient, found: DeploymentResponse, **recipe: Any) -> None:
    """What Prefect's form of a deployment sends."""
    parameters = {**found.parameters, "recipe": {**found.parameters["recipe"], **recipe}}
    client.update_deployment(found.id, DeploymentUpdate(parameters=parameters))


def test_pauses_and_parameters_of_the_page_are_kept_and_said(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start(monkeypatch, "--cron", "0 6 * * 1", "--members", "3")[0] == "cron 0 6 * * 1, UTC"
    found = training(client)
    client.pause_deployment(found.id)
    client.update_deployment_schedule(found.id, found.schedules[0].id, active=False)
    change(client, found, epochs=11)
    its = training(client).parameters | {"force": True, "landscape": True}  # no option of this command sets these
    client.update_deployment(found.id, DeploymentUpdate(parameters=its))
    client.pause_deployment(client.read_deployment_by_name(RECONCILE).id)

    said = start(monkeypatch, "--cron", "0 6 * * 1", "--members", "5")
    again = training(client)
    assert again.paused
    assert times(again) == {"0 6 * * 1": False}
    assert (again.parameters["recipe"]["epochs"], again.parameters["recipe"]["members"]) == (11, 5)
    assert (again.parameters["force"], again.parameters["landscape"]) == (True, True)
    assert client.read_deployment_by_name(RECONCILE).paused
    assert said[0] == "cron 0 6 * * 1, UTC (paused in Prefect's page)"
    assert said[-2].startswith("PAUSED in Prefect")
    assert said[-1] == "kept from before, because no option sets it here: recipe.epochs 11, force True, landscape True"


def test_what_only_the_page_sets_is_kept_too_and_asked_for_by_a_retrain_on_the_server(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(monkeypatch)
    its = {"force": True, "landscape": True}
    found = training(client)
    client.update_deployment(found.id, DeploymentUpdate(parameters=found.parameters | its))
    said = start(monkeypatch)
    assert training(client).parameters.items() >= its.items()
    assert said[-1] == "kept from before, because no option sets it here: force True, landscape True"
    asked = options.training(make_parser().parse_args(["retrain", "--on-server"]), training(client).parameters)
    assert asked.items() >= its.items()


def test_an_option_that_is_given_replaces_what_the_page_has(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(monkeypatch)
    change(client, training(client), epochs=11)
    said = start(monkeypatch, "--epochs", "12")
    assert training(client).parameters["recipe"]["epochs"] == 12
    assert not [line for line in said if "kept" in line]


@pytest.mark.parametrize("slug", [None, "daily"])
def test_schedules_that_were_added_in_the_page_stay_and_the_own_one_follows_the_command(
    slug: str | None, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(monkeypatch, "--cron", "0 6 * * 1")
    added = DeploymentScheduleCreate(schedule=DAILY, active=False, slug=slug)
    client._client.post(
        f"/deployments/{training(client).id}/schedules", json=[added.model_dump(mode="json")]
    ).raise_for_status()
    said = start(monkeypatch, "--every", "6h")
    assert times(training(client)) == {timedelta(hours=6): True, DAILY.cron: False}
    assert said[:2] == [
        "every 6h, UTC",
        "cron 0 7 * * *, UTC (added in Prefect's page; paused in Prefect's page)",
    ]
    start(monkeypatch)
    assert times(training(client)) == {DAILY.cron: False}


def test_a_paused_automation_stays_paused(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def automations() -> list[Any]:
        return client.read_resource_related_automations(f"prefect.deployment.{training(client).id}")

    start(monkeypatch, "--on-data", "patients.csv")
    client.pause_automation(automations()[0].id)
    said = start(monkeypatch, "--on-data", "patients.csv")
    assert [one.enabled for one in automations()] == [False]
    assert said[0] == "when patients.csv changes; its automation is paused in Prefect"


def test_parameters_that_no_longer_fit_are_reset_and_that_is_said(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(monkeypatch)
    found = training(client)
    stale = {**found.parameters, "recipe": {**found.parameters["recipe"], "momentum_of_old": 1}}
    client.update_deployment(found.id, DeploymentUpdate(parameters=stale, enforce_parameter_schema=False))
    start(monkeypatch)
    assert "momentum_of_old" not in training(client).parameters["recipe"]
    said = one_line(capsys.readouterr().out)
    assert "The deployment's earlier parameters no longer fit, and are reset: --momentum-of-old" in said


def test_nothing_is_pruned_until_the_schedule_is_resumed_in_the_page_and_that_stays(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(monkeypatch)
    found = client.read_deployment_by_name(PRUNE)
    assert times(found) == {SUNDAYS: False}
    client.update_deployment_schedule(found.id, found.schedules[0].id, active=True)
    client.update_deployment(found.id, DeploymentUpdate(parameters={"older_than": "26w"}))
    start(monkeypatch)
    again = client.read_deployment_by_name(PRUNE)
    assert times(again) == {SUNDAYS: True}
    assert again.parameters == {"older_than": "26w"}


def test_the_monitor_reads_what_the_command_names_at_the_times_of_the_page(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start(monkeypatch)
    assert kept.find(client, MONITOR) is None
    start(monkeypatch, "--monitor", str(tmp_path / "new.csv"))
    found = client.read_deployment_by_name(MONITOR)
    assert found.parameters == {"source": str(tmp_path / "new.csv")}
    assert times(found) == {deployments.DAILY: True}
    client.update_deployment_schedule(found.id, found.schedules[0].id, active=False)
    client.update_deployment(found.id, DeploymentUpdate(parameters={"source": "old.csv", "version": "2"}))
    start(monkeypatch, "--monitor", str(tmp_path / "new.csv"))
    again = client.read_deployment_by_name(MONITOR)
    assert again.parameters == {"source": str(tmp_path / "new.csv"), "version": "2"}
    assert times(again) == {deployments.DAILY: False}


def test_the_copy_that_the_command_names_is_that_of_the_monitor_too(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in (["--copy", "kaggle"], []):  # an option that is not given keeps what there is
        start(monkeypatch, "--monitor", "/new.csv", *arguments)
        found = client.read_deployment_by_name(MONITOR)
        assert found.parameters == {"source": "/new.csv", "read_as": "kaggle"}


@pytest.mark.parametrize("pool", [None, "hospital"])
def test_without_monitor_its_deployment_goes_unless_a_worker_serves_it(
    pool: str | None, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start(monkeypatch, "--monitor", "/new.csv")
    if pool:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        found = client.read_deployment_by_name(MONITOR)
        client.update_deployment(found.id, DeploymentUpdate(work_pool_name=pool))
    with caplog.at_level("INFO", "heart"):
        start(monkeypatch)
    assert (kept.find(client, MONITOR) is not None) == bool(pool)
    said = f"{MONITOR} is deleted, because there is no --monitor; it read /new.csv"
    assert (said in caplog.text) == (pool is None)


@pytest.mark.parametrize(("every", "text"), [({"hours": 6}, "6h"), ({"days": 14}, "2w"), ({"seconds": 90}, "90 s")])
def test_an_interval_in_words(every: Mapping[str, int], text: str) -> None:
    assert interval_in_words(timedelta(**every)) == text


@pytest.mark.parametrize("variable", ["HEART_SOURCE", "HEART_MONITOR"])
def test_an_address_with_a_password_is_refused_before_anything_is_deployed(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "postgresql://me:s3cr3t@db/clinic#table=patients")
    with pytest.raises(UsageError, match="holds a password"):
        deploy.main()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("variable", ["HEART_SOURCE", "HEART_MONITOR"])
def test_a_path_that_depends_on_the_workers_folder_is_refused_before_anything_is_deployed(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "./patients")
    assert told(deploy.main) == ExitCode.WRONG_USAGE
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith(f"heart: {variable} is './patients'; expected an address, or a path from the root")


def test_deploying_again_keeps_what_was_changed(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value() or "")
    monkeypatch.setenv("HEART_CRON", "0 6 * * 1")
    monkeypatch.chdir(ROOT)
    deploy.main()
    found = training(client)
    assert times(found) == {"0 6 * * 1": True}
    pruning = client.read_deployment_by_name(PRUNE)
    assert times(pruning) == {SUNDAYS: True}
    assert times(client.read_deployment_by_name(MONITOR)) == {deployments.DAILY: False}
    client.update_deployment_schedule(pruning.id, pruning.schedules[0].id, active=False)
    client.pause_deployment(found.id)
    client.update_deployment_schedule(found.id, found.schedules[0].id, active=False)
    added = DeploymentScheduleCreate(schedule=DAILY)
    client._client.post(f"/deployments/{found.id}/schedules", json=[added.model_dump(mode="json")]).raise_for_status()
    client.update_deployment(found.id, DeploymentUpdate(parameters={"force": True}))
    client._client.patch(f"/work_pools/{deploy.POOL}", json={"is_paused": True}).raise_for_status()

    monkeypatch.setenv("HEART_CRON", "0 8 * * 1")
    monkeypatch.setenv("HEART_SOURCE", "/patients")
    monkeypatch.setenv("HEART_MONITOR", "/patients/new")
    deploy.main()
    again = training(client)
    assert again.paused
    assert times(again) == {"0 8 * * 1": False, DAILY.cron: True}
    assert again.parameters == {"force": True, "source": "/patients"}
    assert times(client.read_deployment_by_name(PRUNE)) == {SUNDAYS: False}
    watching = client.read_deployment_by_name(MONITOR)
    assert (watching.parameters, times(watching)) == ({"source": "/patients/new"}, {deployments.DAILY: True})
    assert client.read_work_pool(deploy.POOL).is_paused

    monkeypatch.delenv("HEART_SOURCE")
    monkeypatch.delenv("HEART_MONITOR")
    deploy.main()
    assert training(client).parameters == again.parameters
    unchanged = client.read_deployment_by_name(MONITOR)
    assert (unchanged.parameters, times(unchanged)) == (watching.parameters, times(watching))
