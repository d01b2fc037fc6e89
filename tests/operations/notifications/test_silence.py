"""Silence: after how long it is told, what the message says, and that it arrives while nobody serves the deployment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from prefect.events import Event
from prefect.server.utilities.user_templates import render_user_template_sync
from prefect.states import Completed

from heart_disease.operations import kept
from heart_disease.operations.deployments import RETRAIN
from heart_disease.operations.notifications import notify, silence
from tests.harness.command import heart, one_line
from tests.harness.faults.work import using
from tests.harness.servers.prefect_server import server
from tests.harness.waiting import wait_for
from tests.operations.notifications.test_notify import Receiver

NOW = datetime(2026, 11, 4, tzinfo=UTC)
DAY = timedelta(days=1)


@flow(name="heart-disease-train")
def training() -> None:
    """Stands for the training: only its deployment is used."""


def deployed(client: SyncPrefectClient, *schedules: Any) -> DeploymentResponse:
    """The training's deployment with these schedules, active ones."""
    if before := kept.find(client, RETRAIN):
        client.delete_deployment(before.id)
    given = [DeploymentScheduleCreate(schedule=one, active=True) for one in schedules]
    client.create_deployment(client.create_flow(training), name="retrain", schedules=given)
    return client.read_deployment_by_name(RETRAIN)


@pytest.fixture
def client(prefect: Any) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client
        for one in client.read_automations():
            client.delete_automation(one.id)
        if found := kept.find(client, RETRAIN):
            client.delete_deployment(found.id)


@pytest.mark.parametrize(
    ("schedules", "expected"),
    [
        ([IntervalSchedule(interval=timedelta(hours=6))], timedelta(hours=12)),
        ([CronSchedule(cron="0 6 * * 1", timezone="UTC")], 14 * DAY),
        ([CronSchedule(cron="0 6 * * *", timezone="Europe/Berlin")], 2 * DAY),  # the clocks change in between
        ([CronSchedule(cron="0 6 * * 1-5", timezone="UTC")], 6 * DAY),  # the week-end is the longest interval
        ([RRuleSchedule(rrule="FREQ=DAILY")], 2 * DAY),
        ([CronSchedule(cron="0 6 * * 1"), IntervalSchedule(interval=DAY)], 2 * DAY),
        ([], None),
    ],
)
def test_the_default_is_twice_the_longest_interval(schedules: list[Any], expected: timedelta | None) -> None:
    slots = [SimpleNamespace(schedule=one, active=True) for one in schedules]
    assert silence.usual(SimpleNamespace(schedules=slots), NOW) == expected  # type: ignore[arg-type]


def test_a_paused_schedule_does_not_count() -> None:
    paused = SimpleNamespace(schedule=IntervalSchedule(interval=DAY), active=False)
    assert silence.usual(SimpleNamespace(schedules=[paused]), NOW) is None  # type: ignore[arg-type]


SERVED = {
    "paused": False, "status": "READY", "work_pool_name": None, "schedules": [{"active": True}],
    "global_concurrency_limit": {"active_slots": 0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({}, "The cause cannot be told from here: see the runs of the deployment."),
        ({"paused": True}, "The deployment is paused."),
        ({"status": "NOT_READY"}, "Nothing takes its runs: `heart schedule` is not running."),
        (
            {"status": "NOT_READY", "work_pool_name": "heart"},
            "Nothing takes its runs: no worker of the work pool 'heart' is up.",
        ),
        (
            {"global_concurrency_limit": {"active_slots": 1}},
            "A run holds the deployment's only slot: it takes long, or it is stuck.",
        ),
        ({"schedules": [{"active": False}]}, "No schedule of the deployment is active."),
    ],
)
def test_the_message_tells_the_cause(changed: dict[str, Any], cause: str) -> None:
    context = {"event": SimpleNamespace(occurred=NOW), "deployment": SERVED | changed}
    said = render_user_template_sync(silence.SILENT, context)
    assert said == f"No retrain has ended since 2026-11-04 00:00 UTC. {cause}"


def test_the_message_tells_a_paused_work_pool_and_a_deleted_deployment() -> None:
    context = {"deployment": SERVED, "work_pool": {"is_paused": True, "name": "heart"}}
    assert render_user_template_sync(silence.CAUSE, context) == "The work pool 'heart' is paused."
    assert render_user_template_sync(silence.CAUSE, {"deployment": None}) == "The deployment has been deleted."


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert heart("notify", "--webhook", "https://example.org/hook", *arguments) == 0
    return one_line(capsys.readouterr().out)


def names(client: SyncPrefectClient) -> list[str]:
    """Those of `heart notify`; other tests leave some of other kinds on the same server."""
    return sorted(one.name for one in client.read_automations() if one.name.startswith("heart: "))


def test_by_default_it_follows_the_schedule(client: SyncPrefectClient, capsys: pytest.CaptureFixture[str]) -> None:
    deployed(client, CronSchedule(cron="0 6 * * 1", timezone="UTC"))
    assert "They also tell if no retrain has ended for 2w." in said(capsys)
    assert names(client) == ["heart: webhook", "heart: webhook, silence", "heart: webhook, unserved"]
    deployed(client)
    assert "no retrain ends: no schedule is active; give --if-silent." in said(capsys)
    assert names(client) == ["heart: webhook", "heart: webhook, unserved"]
    assert "no retrain has ended for 8d." in said(capsys, "--if-silent", "8d")


@pytest.mark.parametrize("status", [DeploymentStatus.READY, DeploymentStatus.NOT_READY])
def test_the_watch_for_a_worker_begins_at_once_if_nothing_asks_for_the_runs(
    status: DeploymentStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(id=uuid4(), status=status)
    emitted: list[Event] = []

    async def emit(events: list[Event]) -> None:
        emitted.extend(events)

    monkeypatch.setattr(silence, "_emit", emit)
    silence.start_clocks(found)  # type: ignore[arg-type]
    expected = silence.unserved(found).after & {event.event for event in emitted}  # type: ignore[arg-type]
    assert bool(expected) == (status == DeploymentStatus.NOT_READY)
    assert silence.WATCHED in {event.event for event in emitted}


def test_without_a_deployment_there_is_no_silence(
    client: SyncPrefectClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heart("notify", "--webhook", "https://example.org/hook", "--if-silent", "8d") == 2
    assert f"--if-silent: the Prefect server has no deployment {RETRAIN}" in one_line(capsys.readouterr().err)
    assert names(client) == []
    assert f"no retrain ends: there is no deployment {RETRAIN} yet." in said(capsys)


def test_an_invalid_interval_ends_in_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("notify", "--webhook", "https://example.org/hook", "--if-silent", "soon") == 2
    assert "--if-silent soon: expected a number and m, h, d or w" in one_line(capsys.readouterr().err)


@pytest.mark.slow
def test_silence_arrives_while_nobody_serves_the_deployment(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The server looks more often, so that the test need not wait for minutes.
    quick = {"LOOP_SECONDS": "1", "DEPLOYMENT_LAST_POLLED_TIMEOUT_SECONDS": "3"}
    for name, value in quick.items():
        monkeypatch.setenv(f"PREFECT_SERVER_SERVICES_FOREMAN_{name}", value)
    seconds = timedelta(seconds=10)  # the shortest that Prefect takes
    monkeypatch.setattr(silence, "UNSERVED", seconds)
    with (
        server(tmp_path) as site,
        using({"PREFECT_API_URL": site.url}),
        Receiver().listening() as receiver,
        get_client(sync_client=True) as client,
    ):
        deployment = deployed(client, IntervalSchedule(interval=DAY))
        client.pause_deployment(deployment.id)
        notify.by_webhook(f"http://127.0.0.1:{receiver.web}/hook", seconds)

        def states() -> list[str]:
            return sorted(post["state"] for _, post in receiver.posts)

        wait_for(lambda: {"Silent", "Unserved"} <= set(states()))
        assert states() == ["Silent", "Unserved"]  # no run has ever ended, and nothing has ever asked for one
        # A worker asks for the runs once, and never again.
        client._client.post("/deployments/get_scheduled_flow_runs", json={"deployment_ids": [str(deployment.id)]})
        wait_for(lambda: states().count("Unserved") > 1)
        run = client.create_flow_run_from_deployment(deployment.id)
        client.set_flow_run_state(run.id, Completed(), force=True)  # a sign of life, and then silence again
        wait_for(lambda: states().count("Silent") > 1)
        posts = [post for _, post in receiver.posts]
    assert states() == ["Silent", "Silent", "Unserved", "Unserved"]
    told = {post["state"]: post["reason"] for post in posts}
    assert told["Unserved"] == "Nothing takes its runs: `heart schedule` is not running."
    assert told["Silent"].startswith("No retrain has ended since ")
    assert told["Silent"].endswith("The deployment is paused.")
    assert all(post["prefect"].endswith(f"/deployments/deployment/{deployment.id}") for post in posts)
    assert {post["text"].splitlines()[0] for post in posts} == {f"{RETRAIN}: Silent", f"{RETRAIN}: Unserved"}
