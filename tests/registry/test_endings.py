"""A run that ends early says why in its description."""

from __future__ import annotations

import mlflow
import pytest

from heart_disease import registry
from heart_disease.model.errors import RejectedError, UnavailableError, UsageError
from heart_disease.registry import Run


def note(run: Run) -> str:
    return str(mlflow.get_run(run.run_id).data.tags.get("mlflow.note.content", ""))


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (UsageError("folds (=10): expected fewer"), "FAILED", "Folds (=10): expected fewer"),
        (UnavailableError("http://u:s3cr3t@h is away"), "FAILED", "Http://u:***@h is away"),
        (RejectedError("It was rejected.\nno age\nno sex"), "FAILED", "It was rejected.\n\n* no age\n* no sex"),
        (ZeroDivisionError("by 0"), "FAILED", "Unexpected failure: ZeroDivisionError: by 0"),
        (KeyboardInterrupt(), "KILLED", "Stopped by Ctrl-C"),
        (SystemExit(143), "KILLED", "Stopped by a signal"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_description_says_why_a_run_ended_early(error: BaseException, status: str, told: str) -> None:
    with pytest.raises(type(error)), registry.open_run("a run", {}) as run:
        raise error
    assert mlflow.get_run(run.run_id).info.status == status
    assert note(run) == told


def test_the_reason_comes_before_what_was_described_already() -> None:
    described = {"mlflow.note.content": "cross-validation"}
    with pytest.raises(UnavailableError), registry.open_run("a run", described) as run:
        raise UnavailableError("it does not load")
    assert note(run) == "It does not load\n\ncross-validation"


def test_a_run_that_is_continued_no_longer_says_why_it_ended() -> None:
    with pytest.raises(KeyboardInterrupt), registry.open_run("a run", {}) as run:
        raise KeyboardInterrupt
    with registry.open_run("a run", {}, resume=run.run_id):
        assert note(run) == ""


def test_a_run_whose_process_died_says_so() -> None:
    with registry.open_run("a run", {}) as run:
        mlflow.MlflowClient().update_run(run.run_id, "RUNNING")
        assert registry.close_run(run.run_id, "FAILED", "its process ended without a word")
        assert note(run) == "Closed: its process ended without a word"
