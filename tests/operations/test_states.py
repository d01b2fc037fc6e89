"""How flow runs end: states, outcomes, messages and exit codes, and what a caller in the same process gets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import prefect
import pytest
from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events.worker import EventsWorker
from prefect.states import Cancelled, Completed, Crashed, Failed

from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import RejectedError, SourceError, UnavailableError, UsageError
from heart_disease.operations import states
from heart_disease.training.recipe import Recipe
from tests.harness.data import patients
from tests.harness.models.trainings import checked_here, undrawn
from tests.harness.waiting import wait_for

QUICK = {"recipe": Recipe(epochs=2), "evaluation": Evaluation(folds=2, repeats=1)}


@pytest.mark.parametrize(
    ("state", "tag", "code"),
    [
        (Completed(), "Promoted", 0),
        (Completed(), "NothingToDo", 0),
        (Completed(), "Superseded", 0),
        (Completed(), "NotPromoted", 5),
        (Completed(), "people's own", 0),
        (Failed(), "WrongUsage", 2),
        (Failed(), "Rejected", 3),
        (Failed(), "Unavailable", 4),
        (Failed(), "people's own", 1),
        (Failed(name="TimedOut"), "people's own", 1),
        (Failed(), "Promoted", 1),  # it got that far, and then failed
        (Crashed(), "NotPromoted", 1),
        (Cancelled(), "Rejected", 130),
    ],
)
def test_each_end_has_its_exit_code(state: Any, tag: str, code: int) -> None:
    assert states.exit_code(FlowRun(flow_id=uuid4(), tags=["another", tag], state=state)) == code


def test_no_outcome_is_the_name_of_a_state() -> None:
    """Prefect's page of a deployment shows only runs in states with these names."""
    scripts = [path.read_text(errors="replace") for path in Path(prefect.__ui_static_path__).glob("assets/index-*.js")]
    [listed] = {found for text in scripts for found in re.findall(r"=\[([^]]*`AwaitingConcurrencySlot`[^]]*)\]", text)}
    names = {"Completed", "Failed"}
    assert names <= set(listed.replace("`", "").split(","))
    made = [states.completed(outcome, "m") for outcome in states.COMPLETED] + [states.failed(UsageError("m"))]
    assert {state.name for state in made} == names


def ended(flow_run_id: Any) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run_id)


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("error", [UsageError, SourceError, RejectedError, UnavailableError])
def test_an_error_and_its_flow_run_end_in_the_same_exit_code(error: Any) -> None:
    @flow
    def fail() -> Any:
        return states.failed(error("no\nway"))

    run = ended(fail(return_state=True).state_details.flow_run_id)
    assert states.exit_code(run) == error.exit_code
    assert (run.state_name, run.state.message) == ("Failed", "no way")  # type: ignore[union-attr]


@pytest.mark.usefixtures("prefect")
def test_a_second_try_has_only_its_own_outcome_and_the_tags_of_people() -> None:
    tries: list[list[str]] = []

    @flow(retries=1)
    def twice() -> Any:
        states.begin()
        run_id = runtime.flow_run.id
        tries.append(ended(run_id).tags)
        if len(tries) == 1:
            with get_client(sync_client=True) as client:
                client.update_flow_run(run_id, tags=["people's own"])
            states.failed(RejectedError("the first"))
            raise RuntimeError("it fails before it has ended")
        return states.completed("NotPromoted", "the second")

    run = ended(twice(return_state=True).state_details.flow_run_id)
    assert tries == [[], ["people's own"]]
    assert run.tags == ["people's own", "NotPromoted"]


@pytest.mark.usefixtures("prefect")
def test_an_automation_can_wait_for_an_outcome() -> None:
    @flow(name="ours")
    def ours() -> Any:
        return states.completed("NotPromoted", "worse\nby far")

    run = ended(ours(return_state=True).state_details.flow_run_id)
    EventsWorker.drain_all(timeout=60)
    wanted = {
        "event": {"name": ["heart.flow-run.NotPromoted"]},
        "resource": {"id": [f"prefect.flow-run.{run.id}"]},
    }
    with get_client(sync_client=True) as client:
        [event] = wait_for(lambda: client._client.post("/events/filter", json={"filter": wanted}).json()["events"])
    assert event["resource"]["heart.outcome"] == "NotPromoted"
    assert event["resource"]["prefect.state-message"] == "worse by far"
    assert ("flow", "ours") in [
        (one["prefect.resource.role"], one.get("prefect.resource.name")) for one in event["related"]
    ]


@pytest.mark.usefixtures("prefect")
def test_a_flow_that_ends_in_an_errors_state_raises_that_error_in_this_process() -> None:
    error = RejectedError("row 4")

    @flow
    def refuse() -> Any:
        return states.failed(error)

    with pytest.raises(RejectedError) as caught:
        refuse()
    assert caught.value is error


def trained(**parameters: Any) -> Any:
    """A training's flow run, as the server stores it."""
    from flows.train import train

    return ended(train(**QUICK | parameters, return_state=True).state_details.flow_run_id)


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_a_trainings_flow_run_tells_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with checked_here(), undrawn():
        held_back = trained()
    assert (held_back.state_name, held_back.tags) == ("Completed", ["NotPromoted"])
    assert held_back.state.message.startswith(
        "heart-disease version 1: NOT promoted, challenger; does not beat the prevalence"
    )

    bad = patients.make(80)
    bad.loc[bad.index[4], "chol"] = 9999
    bad.to_csv(tmp_path / "bad.csv", index=False)
    rejected = trained(source=str(tmp_path / "bad.csv"))
    assert (rejected.state_name, rejected.tags) == ("Failed", ["Rejected"])
    assert "column 'chol' has 9999" in rejected.state.message
    assert "\n" not in rejected.state.message

    assert trained(source="nowhere.csv").tags == ["Rejected"]
    assert trained(evaluation=Evaluation(holdout=0.001)).tags == ["WrongUsage"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert trained().tags == ["Unavailable"]
