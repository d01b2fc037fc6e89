"""Orphans in both stores are closed, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import mlflow
import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import get_current_settings
from prefect.states import AwaitingRetry, Cancelled, Cancelling, Completed, Crashed, Pending, Running, Scheduled, State

from flows.reconcile import reconcile
from heart_disease import registry
from heart_disease.operations import reconciliation
from heart_disease.processes import process
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.slow
ELSEWHERE = "another-machine/boot/1/1/1"


@pytest.fixture
def client(prefect: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as made:
        yield made
        for run in reconciliation._ours(made, *(it for it in reconciliation.StateType)):
            made.delete_flow_run(run.id)


@pytest.fixture(scope="module")
def dead() -> str:
    """The identity of a process that was killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as victim:
        who = process.identity(victim.pid)
        os.kill(victim.pid, signal.SIGKILL)
    return who


@flow(name="heart-disease-train")
def example() -> None:
    """A flow of ours."""


@flow(name="heart-disease-of-others")
def foreign() -> None:
    """A flow of somebody else."""


@task
def step() -> None:
    """A step of the flow."""


def start(client: SyncPrefectClient, who: str | None, state: State[Any], of: Any = example) -> UUID:
    """A flow run in `state`, signed by the process `who`, with a task run under way."""
    run = client.create_flow_run(of, state=Pending())
    if not state.is_pending():
        client.set_flow_run_state(run.id, Running(), force=True)
    made = client.create_task_run(step, run.id, "0", state=Running())
    client.set_task_run_state(made.id, Running(), force=True)
    if who:
        count = client.read_flow_run(run.id).run_count
        client.update_flow_run_labels(run.id, {reconciliation.WHO: who, reconciliation.ATTEMPT: count})
    if not state.is_running() and not state.is_pending():
        client.set_flow_run_state(run.id, state, force=True)
    return UUID(str(run.id))


def state_of(client: SyncPrefectClient, run_id: UUID) -> str:
    return client.read_flow_run(run_id).state_name or ""


def tracked(**tags: str) -> str:
    """An MLflow run whose status is RUNNING."""
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(registry.EXPERIMENT)
    experiment = found.experiment_id if found else client.create_experiment(registry.EXPERIMENT)
    return str(client.create_run(experiment, tags=tags).info.run_id)


def status_of(run_id: str) -> tuple[str, str]:
    found = mlflow.get_run(run_id)
    return found.info.status, found.data.tags.get("closed_because", "")


@pytest.mark.parametrize(("now", "said"), [(3, False), (4, True)])
def test_a_run_that_the_kernel_may_have_ended_for_want_of_memory_says_so(
    client: SyncPrefectClient, dead: str, monkeypatch: pytest.MonkeyPatch, now: int, said: bool
) -> None:
    run = start(client, dead, Running())
    client.update_flow_run_labels(run, {reconciliation.KILLS: 3})
    monkeypatch.setattr(reconciliation.memory, "kills", lambda: now)
    [closed] = reconciliation.close_orphans()
    assert ("for want of memory" in closed.why) == said


def test_a_run_whose_process_was_killed_is_crashed_with_its_tasks(client: SyncPrefectClient, dead: str) -> None:
    run = start(client, dead, Running())
    [closed] = reconciliation.close_orphans()
    assert (closed.store, closed.run_id, closed.state) == ("Prefect", str(run), "Crashed")
    found = client.read_flow_run(run)
    assert found.state
    assert found.state.is_crashed()
    assert found.state.message == "Crashed: its process ended without a word (killed, or its machine went down)."
    assert [it.state_name for it in client.read_task_runs() if it.flow_run_id == run] == ["Crashed"]
    assert reconciliation.close_orphans() == []


def test_a_run_that_was_being_cancelled_is_cancelled(client: SyncPrefectClient, dead: str) -> None:
    run = start(client, dead, Cancelling())
    assert [one.state for one in reconciliation.close_orphans()] == ["Cancelled"]
    assert state_of(client, run) == "Cancelled"


@pytest.mark.parametrize("state", [Scheduled(), AwaitingRetry(), Completed(), Crashed(), Cancelled()])
def test_a_run_that_waits_or_has_ended_is_left_alone(client: SyncPrefectClient, dead: str, state: State[Any]) -> None:
    run = start(client, dead, state)
    assert reconciliation.close_orphans() == []
    assert state_of(client, run) == state.name


def test_a_live_run_and_a_run_of_anothers_flow_are_left_alone(client: SyncPrefectClient, dead: str) -> None:
    ours, other = start(client, process.identity(), Running()), start(client, dead, Running(), of=foreign)
    assert reconciliation.close_orphans() == []
    assert state_of(client, ours) == state_of(client, other) == "Running"
    client.delete_flow_run(other)


def test_a_second_try_is_not_judged_by_the_process_of_the_first(client: SyncPrefectClient, dead: str) -> None:
    run = start(client, dead, Crashed())
    client.set_flow_run_state(run, Running(), force=True)
    assert reconciliation.close_orphans() == []
    assert state_of(client, run) == "Running"


def test_runs_on_other_machines_are_closed_only_if_they_are_silent(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, heard = start(client, ELSEWHERE, Running()), start(client, ELSEWHERE, Running())
    beats: dict[str, int] = {}

    def heartbeats(_: SyncPrefectClient, run_id: object) -> int:
        beats[str(run_id)] = beats.get(str(run_id), 0) + (str(run_id) != str(silent))
        return beats[str(run_id)]

    monkeypatch.setattr(reconciliation, "_heartbeats", heartbeats)
    [closed] = reconcile(patience=0.1)
    assert (closed.run_id, closed.why) == (str(silent), "it sent no heartbeat for 0 seconds")
    assert (state_of(client, silent), state_of(client, heard)) == ("Crashed", "Running")


def test_a_process_that_misses_its_own_heartbeats_closes_nothing(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(client, ELSEWHERE, Running())
    monkeypatch.setattr(reconciliation, "_heartbeats", lambda *_: 0)
    assert reconcile(patience=0.1) == []
    assert state_of(client, run) == "Running"


def test_a_run_that_was_never_started_waits_for_a_worker_again(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = client.create_deployment(client.create_flow(example), "nightly")
    run = client.create_flow_run_from_deployment(deployment, state=Pending()).id
    own = iter(range(99))
    monkeypatch.setattr(reconciliation, "_heartbeats", lambda _, who: 0 if who == run else next(own))
    [closed] = reconcile(patience=0.1)
    assert closed.state == "AwaitingRetry"
    found = client.read_flow_run(run)
    assert found.state
    assert found.state.is_scheduled()
    assert found.state.message == "Set back: nothing has started it for 0 seconds; it waits for a worker again."


def test_heartbeats_are_counted(client: SyncPrefectClient) -> None:
    @flow(name="heart-disease-train")
    def beating() -> int:
        return wait_for(lambda: reconciliation._heartbeats(client, reconciliation.runtime.flow_run.id))

    assert beating() == 1
    assert reconciliation._heartbeats(client, uuid4()) == 0


def test_an_mlflow_run_without_a_flow_ends_with_its_process(client: SyncPrefectClient, dead: str) -> None:
    gone, living, unknown = tracked(process=dead), tracked(process=process.identity()), tracked()
    assert [one.run_id for one in reconciliation.close_orphans()] == [gone]
    assert status_of(gone) == ("FAILED", reconciliation.GONE)
    assert status_of(living) == status_of(unknown) == ("RUNNING", "")


@pytest.mark.parametrize(
    ("end", "status"), [(Crashed(), "FAILED"), (Completed(), "FAILED"), (Cancelled(), "KILLED"), (Running(), "RUNNING")]
)
def test_an_mlflow_run_ends_with_its_flow_run(client: SyncPrefectClient, end: State[Any], status: str) -> None:
    flow_run = start(client, ELSEWHERE, end)
    run = tracked(**{registry.FLOW_RUN: str(flow_run), "process": ELSEWHERE})
    reconciliation.close_orphans()
    assert status_of(run) == (status, "" if status == "RUNNING" else f"its flow run ended as {end.name}")


def test_an_mlflow_run_whose_flow_run_was_deleted_is_closed_via_the_server_that_knew_it(
    client: SyncPrefectClient,
) -> None:
    here, there = get_current_settings().api.url or "", "http://elsewhere:4200/api"
    ours, other = (
        tracked(**{registry.FLOW_RUN: str(uuid4()), registry.FLOW_API: api, "process": ELSEWHERE})
        for api in (here, there)
    )
    reconciliation.close_orphans()
    assert status_of(ours) == ("FAILED", "its flow run was deleted")
    assert status_of(other) == ("RUNNING", "")


def test_a_sweeps_configuration_ends_with_the_sweep(client: SyncPrefectClient) -> None:
    flow_run = start(client, ELSEWHERE, Crashed())
    above = tracked(**{registry.FLOW_RUN: str(flow_run), "process": ELSEWHERE})
    below = tracked(**{"mlflow.parentRunId": above, "process": ELSEWHERE})
    assert {one.run_id for one in reconciliation.close_orphans()} == {above, below}


def test_a_run_that_is_resumed_no_longer_says_that_it_was_closed(client: SyncPrefectClient, dead: str) -> None:
    run = tracked(process=dead)
    reconciliation.close_orphans()
    with registry.open_run("again", {}, resume=run):
        assert status_of(run) == ("RUNNING", "")
        assert mlflow.get_run(run).data.tags["process"] == process.identity()
    assert status_of(run) == ("FINISHED", "")


def test_without_prefect_a_training_still_works(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise reconciliation.httpx.ConnectError("away")

    monkeypatch.setattr(reconciliation, "_ours", refuse)
    assert reconciliation.close_orphans() == []


def test_a_run_is_closed_once_and_only_while_it_says_running(client: SyncPrefectClient) -> None:
    run = tracked(process=ELSEWHERE)
    assert not registry.close_run(uuid4().hex, "FAILED", "there is none")
    assert registry.close_run(run, "FAILED", "for good")
    assert not registry.close_run(run, "FAILED", "twice")
    assert status_of(run) == ("FAILED", "for good")


def test_it_recognises_this_projects_flows_by_their_names() -> None:
    from flows.monitor import monitor
    from flows.prune import prune
    from flows.sweep import search
    from flows.train import train

    assert {flow.name for flow in (train, search, monitor, reconcile, prune)} == set(reconciliation.FLOWS)
