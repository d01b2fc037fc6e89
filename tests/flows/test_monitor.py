"""`heart monitor` and its flow: a batch of patients against those that the champion learned from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from prefect.client.orchestration import get_client

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model.errors import ExitCode, RejectedError, UnavailableError
from tests.harness.command import one_line, speaking
from tests.harness.pages.artifacts import read_artifacts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("trained")]


def others(n: int = 100) -> pd.DataFrame:
    """Patients like those that the champion learned from, who are none of them."""
    known = sources.load().frame.sample(n, random_state=4)
    return known.assign(chol=known["chol"] + 1, trestbps=known["trestbps"] + 1)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def put(frame: pd.DataFrame, name: str = "week.csv") -> str:
        frame.to_csv(tmp_path / name, index=False)
        return str(tmp_path / name)

    return put


@pytest.fixture
def heart(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    return speaking(capsys)


def test_patients_like_the_former_end_as_no_drift(heart: Any, write: Any) -> None:
    code, out, _ = heart("monitor", write(others()))
    assert code == ExitCode.DONE
    assert "100 patients of week.csv: no difference from those that heart-disease version 1 learned from" in one_line(
        out
    )
    assert "log loss " in out


def test_a_column_that_changed_ends_in_7_and_is_kept_in_both_stores(write: Any) -> None:
    from flows.monitor import monitor

    found = monitor(write(others().assign(age=lambda frame: frame["age"] + 12)))
    assert (found.end, [test.what for test in found.drift.shifted]) == ("Drifted", ["age"])
    run = mlflow.get_run(found.run.run_id)
    assert mlflow.get_experiment(run.info.experiment_id).name == registry.MONITORING
    assert run.data.metrics["p/age"] <= 0.05 < run.data.metrics["p/sex"]
    assert run.data.tags["outcome"] == "Drifted"
    [data] = run.inputs.dataset_inputs
    assert (data.dataset.name, data.tags[0].value) == ("week", "monitoring")
    page = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/monitoring/drift.html")
    assert "These patients differ from those that heart-disease version 1 learned from" in page
    [table] = read_artifacts("drift", found.flow_run_id)
    assert '"differs": "yes"' in table.data
    with get_client(sync_client=True) as client:
        ended = client.read_flow_run(found.flow_run_id)
    assert (ended.state_name, ended.tags) == ("Completed", ["Drifted"])


def test_a_broken_rule_is_drift_even_if_no_column_moves(heart: Any, write: Any) -> None:
    frame = others()
    frame.iloc[3, frame.columns.get_loc("chol")] = 9999
    code, out, _ = heart("monitor", write(frame))
    assert code == ExitCode.DRIFTED
    assert "column 'chol' has 9999 in row 4; expected 70 to 700 mg/dl" in one_line(out)


def test_a_copy_that_the_patients_do_not_fit_is_believed_only_if_forced(heart: Any, write: Any) -> None:
    arguments = ["monitor", write(others()), "--copy", "kaggle"]
    assert heart(*arguments)[0] == ExitCode.REJECTED
    assert heart(*arguments, "--force")[0] == ExitCode.DRIFTED  # in these codes, they are other patients


def test_patients_without_a_diagnosis_are_compared_too(heart: Any, write: Any) -> None:
    code, out, _ = heart("monitor", write(others().drop(columns="num")))
    assert code == ExitCode.DONE
    assert "log loss" not in out


@pytest.mark.parametrize("columns", [[], ["num"]], ids=["with the diagnosis", "without"])
def test_patients_that_the_version_learned_from_are_left_out(columns: list[str], heart: Any, write: Any) -> None:
    both = pd.concat([others(30), sources.load().frame.head(50)]).drop(columns=columns)
    code, out, _ = heart("monitor", write(both))
    assert code == ExitCode.DONE
    assert "50 patients left out: heart-disease version 1 learned from them" in one_line(out)
    assert "30 patients of week.csv: no difference" in one_line(out)


def test_what_cannot_be_compared_is_refused_with_the_reason(write: Any, tmp_path: Path) -> None:
    from flows.monitor import monitor

    with pytest.raises(RejectedError, match="19 patients that the version did not learn from; expected at least 20"):
        monitor(write(others(19)))
    with pytest.raises(RejectedError, match="has no column 'thal'"):
        monitor(write(others().drop(columns="thal")))
    with pytest.raises(UnavailableError, match="no version 7"):
        monitor(write(others()), "7")
