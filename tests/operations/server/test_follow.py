"""`heart retrain --on-server`: what it needs, what it shows, and that it ends like a training on this machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import AwaitingConcurrencySlot, Cancelled, Completed, Crashed, Failed, Scheduled

from heart_disease.operations.server import follow
from tests.harness.command import heart, one_line
from tests.harness.servers.prefect_server import Site, server


def test_without_a_configured_server_it_ends_in_4(capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert heart("retrain", "--on-server") == 4
    assert "PREFECT_API_URL is not set" in one_line(capsys.readouterr().err)


def test_without_an_answer_it_ends_in_4(capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert heart("retrain", "--on-server") == 4
    said = one_line(capsys.readouterr().err)
    assert "the Prefect server at http://127.0.0.1:9/api, the address in" in said
    assert "Start it, or run `heart schedule` there." in said


@pytest.mark.usefixtures("prefect")
def test_without_a_deployment_it_ends_in_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("retrain", "--on-server") == 4
    assert "has no deployment heart-disease-train/retrain; start `heart schedule`" in one_line(capsys.readouterr().err)


def test_wrong_usage_is_refused_before_any_server_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("retrain", "--on-server", "--epochs", "0") == 2
    assert "--epochs 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (Scheduled(), "nobody has taken the run yet; expected `heart schedule`"),
        (AwaitingConcurrencySlot(), "for the run before it: one at a time"),
    ],
)
def test_it_says_now_and_then_what_a_run_waits_for(
    state: Any, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("heart_disease.operations.server.follow.time", SimpleNamespace(monotonic=lambda: now))
    waits = follow._Waits()
    run: Any = SimpleNamespace(state=state)
    waits.say(run)
    assert capsys.readouterr().err == ""
    now = follow.PATIENCE_SECONDS
    waits.say(run)
    waits.say(run)
    assert one_line(capsys.readouterr().err).count(said) == 1


def line(moment: int, message: str, name: str = "heart", level: int = 20) -> Any:
    timestamp = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=moment)
    return SimpleNamespace(id=uuid4(), timestamp=timestamp, message=message, name=name, level=level)


class Shelf:
    """A client that returns these log lines, and a training's artifacts."""

    def __init__(self, *lines: Any) -> None:
        self.lines = list(lines)

    def read_logs(self, wanted: Any, offset: int, sort: Any) -> list[Any]:
        lines = sorted(self.lines, key=lambda line: line.timestamp)
        return [line for line in lines if not wanted.timestamp or line.timestamp >= wanted.timestamp.after_][offset:]

    def read_artifacts(self, artifact_filter: Any) -> list[Any]:
        row = {"metric": "log loss", "network": "0.4", "logistic regression": "0.4", "prevalence": "0.7"}
        return [
            SimpleNamespace(key="report", data="[The report](http://mlflow/report.html)"),
            SimpleNamespace(key="metrics", data=json.dumps([row])),
            SimpleNamespace(key="mlflow-run", data="[MLflow run](http://mlflow/run)"),
        ]


@pytest.mark.parametrize(
    ("state", "tag", "out", "err"),
    [
        (
            Completed(message="version 2: NOT promoted; worse by far"),
            "NotPromoted",
            "log loss 0.4 0.4 version 2: NOT promoted worse by far http://mlflow/run http://mlflow/report.html",
            "",
        ),
        (Completed(message="nothing to do"), "NothingToDo", "nothing to do", ""),
        (Failed(message="no file 'x'"), "Rejected", "", "heart: no file 'x'"),
        (Failed(message="a bug"), "heart", "", "heart: the run ended as Failed: a bug"),
        (Crashed(message="killed"), "heart", "", "heart: the run ended as Crashed: killed"),
        (Cancelled(message="by somebody"), "heart", "", "heart: the run ended as Cancelled: by somebody"),
    ],
)
def test_the_end_is_reported_like_that_of_a_local_training(
    state: Any, tag: str, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client: Any = Shelf()
    follow.show(client, FlowRun(flow_id=uuid4(), tags=[tag], state=state))
    shown = capsys.readouterr()
    assert one_line(shown.out).endswith(out)
    assert one_line(shown.err) == err


def test_each_line_is_shown_once_even_if_it_comes_late(capsys: pytest.CaptureFixture[str]) -> None:
    client: Any = Shelf()
    tail = follow._Tail(client, uuid4())
    client.lines = [line(0, "load"), line(1, "Beginning flow run", "prefect.flow_runs"), line(5, "encode")]
    assert not tail.show()
    client.lines += [line(3, "validate"), line(6, "Traceback", "prefect.flow_runs", 40)]
    assert not tail.show()
    client.lines += [line(7, "Finished in state Failed()", "prefect.flow_runs", 40)]
    assert tail.show()
    assert capsys.readouterr().err.split() == ["load", "encode", "validate"]
    assert tail.errors == ["Traceback", "Finished in state Failed()"]  # shown if the run ended unexpectedly


def test_a_run_that_is_crashed_only_until_its_worker_calls_it_cancelled_ends_as_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Page(Shelf):
        """A client to which a run looks crashed twice, then cancelled."""

        states = iter([Crashed(), Crashed()])

        def read_flow_run(self, flow_run_id: Any) -> FlowRun:
            state = next(self.states, Cancelled())
            return FlowRun(id=flow_run_id, flow_id=uuid4(), start_time=datetime(2026, 1, 1, tzinfo=UTC), state=state)

    now = iter(range(100))
    clock = SimpleNamespace(monotonic=lambda: float(next(now)), sleep=lambda seconds: None)
    monkeypatch.setattr("heart_disease.operations.server.follow.time", clock)
    client: Any = Page(line(0, "Finished in state Crashed()", "prefect.flow_runs", 40))
    ended = follow.follow(client, uuid4())
    assert ended.state
    assert ended.state.is_cancelled()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with server(tmp_path_factory.mktemp("follow")) as it, it.schedule():
        yield it


@pytest.mark.slow
def test_a_run_is_followed_to_its_end(site: Site) -> None:
    done = site.heart("retrain", "--on-server")
    assert done.returncode == 5, done.stderr
    assert "heart-disease version 1: NOT promoted, challenger\n  does not beat the prevalence" in done.stdout
    assert "log loss" in done.stdout
    # On a busy machine a training also says how far it is.
    told = [line.split()[0] for line in done.stderr.splitlines() if line and not line.endswith(" steps")]
    for stage in ("load", "validate", "encode", "train", "evaluate", "register"):
        assert told.count(stage) == 1, done.stderr
    assert "/runs/flow-run/" in done.stderr
    assert "2 epochs" in done.stderr  # from the deployment


@pytest.mark.slow
def test_a_run_that_is_refused_ends_in_3_without_a_traceback(site: Site) -> None:
    done = site.heart("retrain", "--on-server", "--source", "nowhere.csv")
    assert done.returncode == 3
    assert f"no file '{site.folder / 'nowhere.csv'}'" in "".join(done.stderr.split("\n"))
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_ctrl_c_leaves_the_run_alone_and_says_how_to_cancel_it(site: Site) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "heart_disease", "retrain", "--on-server", "--force", "--epochs", "100000"],
        env=site.environment, cwd=site.folder, text=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    for line in process.stderr:
        if line.startswith("train"):
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    command = one_line(said).partition("to end it: ")[2].removesuffix(" heart: stopped")
    assert command.startswith("prefect flow-run cancel ")
    cancel = site.start(*command.split(), stdout=subprocess.DEVNULL)
    assert cancel.wait(timeout=120) == 0
