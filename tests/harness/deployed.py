"""Faults of servers under a deployed retrain: a real worker runs it, and it holds the deployment's only place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Scheduled

from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.operations import deployments
from heart_disease.training.recipe import Recipe
from tests.harness import aftermath
from tests.harness.aftermath import Checked
from tests.harness.compose import ROOT, Stack
from tests.harness.faults import check
from tests.harness.waiting import wait_for
from tests.harness.work import using

SMALL = deployments.parameters(
    None, Recipe(epochs=75), Evaluation(folds=2, repeats=1), Promotion(margin=0.5, promote_if="not-worse"), "cpu", True
)


class Gate:
    """Where a deployed retrain waits, after it has begun to train."""

    def __init__(self, stack: Stack) -> None:
        self.folder = stack.folder / "gate"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def reached(self) -> bool:
        return (self.folder / "reached").exists()

    def open(self) -> None:
        (self.folder / "open").touch()


@contextmanager
def _at_the_gate(stack: Stack) -> Iterator[tuple[SyncPrefectClient, Gate, list[UUID]]]:
    """A deployed retrain that waits at the gate, and a second one that waits for the first one's place."""
    gate = Gate(stack)
    path = f"{ROOT / 'tests' / 'harness' / 'gate'}:{ROOT}"
    stack.added["worker"] = {"PYTHONPATH": path, "HEART_TEST_GATE": str(gate.folder)}
    stack.start_service("worker")
    try:
        with using(stack.client_environment), get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(deployments.RETRAIN).id
            flow_runs = []
            for name in ("Running", "AwaitingConcurrencySlot"):
                run = client.create_flow_run_from_deployment(deployment, parameters=SMALL).id
                wait_for(lambda run=run, name=name: client.read_flow_run(run).state_name == name)
                flow_runs.append(run)
            wait_for(gate.reached)
            yield client, gate, flow_runs
            gate.open()
            wait_for(lambda: all(_final(client, run) for run in flow_runs))
            wait_for(lambda: not aftermath.running_flows())  # the worker also has other runs to do
    finally:
        stack.kill("worker")
        del stack.added["worker"]


def _final(client: SyncPrefectClient, run: UUID) -> bool:
    state = client.read_flow_run(run).state
    return bool(state and state.is_final())


def servers_killed(stack: Stack, names: Sequence[str]) -> Checked:
    """Kill -9 these servers and start them again, in this order, under a deployed retrain that renews its lease.

    It goes on as if nothing had happened, and the second retrain waits for its end.
    """
    with _at_the_gate(stack) as (client, _, (first, second)):
        for name in reversed(names):
            stack.kill(name)
        for name in names:
            stack.start_service(name)
        [lease] = Path(stack.folder, "volumes", "prefect", "concurrency_leases").glob("*-*.json")
        renewed = lease.stat().st_mtime_ns
        wait_for(lambda: not lease.exists() or lease.stat().st_mtime_ns > renewed)
        assert [client.read_flow_run(run).state_name for run in (first, second)] == [
            "Running", "AwaitingConcurrencySlot",
        ]  # fmt: skip
    with using(stack.client_environment), get_client(sync_client=True) as client:
        one, other = client.read_flow_run(first), client.read_flow_run(second)
    assert one.end_time
    assert other.start_time
    assert one.run_count == 1
    assert one.end_time <= other.start_time
    return check(stack.client_environment, [str(first), str(second)])


def all_killed(stack: Stack) -> Checked:
    """Kill -9 the worker with its run and every server, as when a machine goes down, and start all of them again.

    The waiting retrain runs, and the one that was killed completes when somebody tries it again.
    """
    names = ("postgres", "mlflow", "prefect")
    with _at_the_gate(stack) as (client, gate, (first, second)):
        for name in ("worker", *reversed(names)):
            stack.kill(name)
        for name in (*names, "deploy", "worker"):
            stack.start_service(name)
        gate.open()
        wait_for(lambda: _final(client, first) and _final(client, second))
        assert client.read_flow_run(first).state_name == "Crashed"
        client.set_flow_run_state(first, Scheduled())
    return check(stack.client_environment, [str(first), str(second)])
