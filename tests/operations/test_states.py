"""Final states of flow runs: names, messages and exit codes, and what a caller in the same process gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Cancelled, Completed, Crashed, Failed

from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import RejectedError, SourceError, UnavailableError, UsageError
from heart_disease.operations import states
from heart_disease.training.recipe import Recipe
from tests.harness import patients

QUICK = {"recipe": Recipe(epochs=2), "evaluation": Evaluation(folds=2, repeats=1)}


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (Completed(name="Promoted"), 0),
        (Completed(name="NothingToDo"), 0),
        (Completed(name="Superseded"), 0),
        (Completed(), 0),
        (Failed(), 1),
        (Failed(name="TimedOut"), 1),
        (Crashed(), 1),
        (Failed(name="WrongUsage"), 2),
        (Failed(name="Rejected"), 3),
        (Failed(name="Unavailable"), 4),
        (Completed(name="NotPromoted"), 5),
        (Cancelled(), 130),
    ],
)
def test_each_state_has_its_exit_code(state: Any, code: int) -> None:
    assert states.exit_code(state) == code


@pytest.mark.parametrize("error", [UsageError, SourceError, RejectedError, UnavailableError])
def test_an_error_and_its_state_end_in_the_same_exit_code(error: Any) -> None:
    state = states.failed(error("no\nway"))
    assert states.exit_code(state) == error.exit_code
    assert state.message == "no way"


@pytest.mark.usefixtures("prefect")
def test_a_flow_that_ends_in_an_errors_state_raises_that_error_in_this_process() -> None:
    error = RejectedError("row 4")

    @flow
    def refuse() -> Any:
        return states.failed(error)

    with pytest.raises(RejectedError) as caught:
        refuse()
    assert caught.value is error


def final_state(**parameters: Any) -> Any:
    """The final state of a training's flow run, as the server stores it."""
    from flows.train import train

    state = train(**QUICK | parameters, return_state=True)
    with get_client(sync_client=True) as client:
        return client.read_flow_run(state.state_details.flow_run_id).state


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_a_trainings_final_state_names_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    held_back = final_state()
    assert held_back.name == "NotPromoted"
    assert held_back.message.startswith(
        "heart-disease version 1: NOT promoted, challenger; does not beat the prevalence"
    )

    bad = patients.make(80)
    bad.loc[bad.index[4], "chol"] = 9999
    bad.to_csv(tmp_path / "bad.csv", index=False)
    rejected = final_state(source=str(tmp_path / "bad.csv"))
    assert (rejected.type.value, rejected.name) == ("FAILED", "Rejected")
    assert "column 'chol' has 9999" in rejected.message
    assert "\n" not in rejected.message

    assert final_state(source="nowhere.csv").name == "Rejected"
    assert final_state(evaluation=Evaluation(holdout=0.001)).name == "WrongUsage"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert final_state().name == "Unavailable"
