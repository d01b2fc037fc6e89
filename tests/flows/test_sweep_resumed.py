"""A search that was stopped, killed or started twice: it resumes, and finds the same numbers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from heart_disease import registry
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import UnavailableError
from heart_disease.registry.sweeps import SWEEPS
from heart_disease.search import space
from heart_disease.search.study import Study, Summary
from tests.harness.command import ROOT, heart, one_line
from tests.harness.data import patients
from tests.harness.models.searches import (
    ARGUMENTS,
    EVALUATION,
    FITS,
    SPACE,
    Trainer,
    artifacts,
    children,
    search,
)
from tests.harness.waiting import PATIENCE, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_batches")]


# Stopping and resuming


@pytest.fixture
def fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Another identity, so that the same search starts from nothing."""
    from flows import sweep

    identity = f"identity of {request.node.name}"
    monkeypatch.setattr(sweep, "_identity", lambda *_: identity)
    return identity


def parent(identity: str) -> mlflow.entities.Run:
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(SWEEPS).experiment_id
    [found] = client.search_runs([experiment], f"tags.sweep = '{identity}'")
    return found


def assert_complete(identity: str, again: Summary, expected: Summary) -> None:
    """One finished run, with each configuration once, and the numbers of a search that was never stopped."""
    found = parent(identity)
    assert found.info.status == "FINISHED"
    assert [one.data.tags["configuration"] for one in children(found.info.run_id)] == ["1", "2", "3", "4", "5", "6"]
    assert sorted(artifacts(found.info.run_id, "batches")) == ["0000.npz", "0001.npz", "0002.npz"]
    assert again == expected


def test_the_same_command_again_trains_nothing_and_says_the_same(
    outcome: Any, trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = mlflow.search_runs(experiment_names=[SWEEPS], output_format="list")
    asked = trainer()
    again = search()
    assert asked.asked == []
    assert again.run == outcome.run
    assert again.summary == outcome.summary
    after = mlflow.search_runs(experiment_names=[SWEEPS], output_format="list")
    assert [one.info.run_id for one in after] == [one.info.run_id for one in before]
    assert mlflow.get_run(again.run.run_id).info.status == "FINISHED"

    (tmp_path / "space.yaml").write_text(space.as_yaml(SPACE))
    assert heart("sweep", "--space", str(tmp_path / "space.yaml"), "--device", "cpu", *ARGUMENTS) == 0
    said = capsys.readouterr()
    assert asked.asked == []
    assert "3 of 3 batches were done before" in said.err
    assert f"chosen: {outcome.summary.chosen.title}" in one_line(said.out)
    assert outcome.run.run_id in said.out


def test_a_stopped_search_keeps_its_finished_batches_and_the_same_command_resumes_it(
    fresh: str, outcome: Any, trainer: Callable[..., Trainer]
) -> None:
    trainer(stop=(2, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        search()
    stopped = parent(fresh)
    assert stopped.info.status == "KILLED"
    kept = [child.info.run_id for child in children(stopped.info.run_id)]
    assert len(kept) == 2
    assert artifacts(stopped.info.run_id, "batches") == ["0000.npz"]

    rest = trainer()
    again = search()
    assert len(rest.asked) == 4
    assert_complete(fresh, again.summary, outcome.summary)
    assert [child.info.run_id for child in children(stopped.info.run_id)][:2] == kept


def test_a_half_written_batch_is_written_again_and_leaves_no_duplicates(
    fresh: str, outcome: Any, trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise OSError("gone")

    trainer()
    with monkeypatch.context() as dying:
        dying.setattr(registry, "log_batch", die)
        with pytest.raises(OSError, match="gone"):
            search()
    stopped = parent(fresh)
    assert stopped.info.status == "FAILED"
    half = [child.info.run_id for child in children(stopped.info.run_id)]
    assert half
    assert artifacts(stopped.info.run_id, "batches") == []

    rest = trainer()
    again = search()
    assert len(rest.asked) == 6
    assert_complete(fresh, again.summary, outcome.summary)
    assert not {child.info.run_id for child in children(stopped.info.run_id)} & set(half)


@pytest.mark.parametrize("left", [0, 100, -100], ids=["empty", "beginning", "all but the end"])
def test_a_truncated_batch_file_does_not_count_as_a_batch(left: int) -> None:
    arrays = {"probabilities": np.random.default_rng(0).random((2, 3, 4), np.float32)}
    with registry.open_sweep("cut short", f"cut to {left}", {}) as run:
        registry.log_batch(run, 0, arrays)
        registry.log_batch(run, 12, arrays)
        whole = registry.read_batches(run)
        assert sorted(whole) == [0, 12]
        assert np.array_equal(whole[12]["probabilities"], arrays["probabilities"])
        path = Path(registry.artifact_uri(run, "batches/0000.npz"))
        path.write_bytes(path.read_bytes()[:left])
        assert sorted(registry.read_batches(run)) == [12]


def test_a_search_whose_run_was_deleted_starts_over() -> None:
    runs = []
    for _ in range(3):
        with registry.open_sweep("deleted", "deleted", {}) as run:
            runs.append(run.run_id)
        if len(runs) == 2:
            mlflow.delete_run(run.run_id)
    assert runs[0] == runs[1] != runs[2]


def test_what_takes_long_is_said_before_it_begins(
    fresh: str, trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("flows.sweep.SHOWN_SECONDS", 0)
    with caplog.at_level("INFO", "heart"):
        search()
    assert re.search(r"the search takes about \d+ s, 1\.1 GiB$", caplog.text, re.MULTILINE)


def test_a_second_identical_search_is_refused_and_does_not_disturb_the_first(
    fresh: str, outcome: Any, trainer: Callable[..., Trainer]
) -> None:
    trainer()
    with registry.open_sweep("first", fresh, {"source": "first"}) as first:
        with pytest.raises(UnavailableError, match="this very search is running in another process"):
            search()
        assert parent(fresh).info.run_id == first.run_id
        assert parent(fresh).info.status == "RUNNING"
        assert parent(fresh).data.tags["source"] == "first"
        with registry.open_sweep("another", f"not {fresh}", {}) as other:
            assert other.run_id != first.run_id
    assert search().run.run_id == first.run_id


def identity(**changes: Any) -> str:
    from flows import sweep

    given = {"space": SPACE, "seed": 0, "evaluation": EVALUATION, "inner_folds": 2, "digest": "abc", "method": "grid"}
    given |= changes
    found = space.make_space(given["space"])
    study = Study(patients.make(50), given["evaluation"], found.epochs, given["inner_folds"], given["seed"])
    settings = {"data_digest": given["digest"], "inner_folds": str(given["inner_folds"]), "method": given["method"]}
    settings |= {name: str(value) for name, value in given["evaluation"].as_dict().items()}
    return sweep._identity(settings, study, space.grid(found, given["seed"]))


@pytest.mark.parametrize(
    "change",
    [
        {"space": SPACE | {"dropout": [0.1]}},
        {"space": SPACE | {"epochs": [2, 3]}},
        {"seed": 1},
        {"digest": "abd"},
        {"evaluation": Evaluation(folds=2, repeats=3)},
        {"inner_folds": 3},
        {"method": "random"},
    ],
    ids=str,
)
def test_every_setting_that_decides_the_result_makes_another_search(change: dict[str, Any]) -> None:
    assert identity() == identity()
    assert identity(**change) != identity()


@pytest.mark.parametrize("part", ["code", "libraries"])
def test_other_code_and_other_libraries_make_another_search(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import sweep

    before, here = identity(), registry.origin_here
    if part == "code":
        monkeypatch.setattr(sweep, "code_digest", lambda *rooms: "other code")
    else:
        monkeypatch.setattr(
            registry, "origin_here", lambda *given: replace(here(*given), libraries={"tensorflow": "1"})
        )
    assert identity() != before


def test_another_spelling_of_a_space_is_the_same_search() -> None:
    assert identity(space={**dict(reversed(SPACE.items())), "hidden": 2}) == identity()


# In its own process: Ctrl-C, and kill -9


SCRIPT = f"""
import sys
import time
from flows import sweep
from heart_disease.cli.main import main
from tasks import stages

cross_validate, begun = stages.cross_validate, []

def first_only(*given, **named):  # the others are so short that they might end before the test looks
    begun.append(None)
    if len(begun) > 1:
        time.sleep({PATIENCE})
    return cross_validate(*given, **named)

stages.cross_validate = first_only
sweep.BATCH_NETWORKS = {2 * FITS}
sys.exit(main(sys.argv[1:]))
"""


def start(folder: Path) -> subprocess.Popen[str]:
    """Start `heart sweep` on this file's search, with an MLflow store in `folder`."""
    from prefect.settings import PREFECT_API_URL

    folder.mkdir()
    (folder / "space.yaml").write_text(space.as_yaml(SPACE))
    command = [sys.executable, "-c", SCRIPT, "sweep", "--space", "space.yaml", "--device", "cpu", *ARGUMENTS]
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env={**os.environ, **environment, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_a_batch(process: subprocess.Popen[str], folder: Path) -> None:
    wait_for(lambda: process.poll() is not None or list(folder.glob("mlruns/*/*/artifacts/batches/*.npz")))
    assert process.poll() is None, process.communicate()[1]


def test_after_ctrl_c_or_kill_9_a_search_resumes_and_finds_the_same_numbers(
    outcome: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both run at once, because a start takes long and there is more than one core.
    folders = tmp_path / "ctrl-c", tmp_path / "kill"
    stopped, killed = (start(folder) for folder in folders)
    for process, folder, number in ((stopped, folders[0], signal.SIGINT), (killed, folders[1], signal.SIGKILL)):
        wait_for_a_batch(process, folder)
        os.killpg(process.pid, number)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 128 + signal.SIGINT, said
    assert "what is finished is kept, and the same command goes on from there" in one_line(said)
    assert "Traceback" not in said
    killed.communicate(timeout=60)

    for folder, status in zip(folders, ("KILLED", "RUNNING"), strict=True):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        [before] = [
            one
            for one in mlflow.search_runs(experiment_names=[SWEEPS], output_format="list")
            if "sweep" in one.data.tags
        ]
        assert before.info.status == status
        done = artifacts(before.info.run_id, "batches")
        assert len(done) == 1
        again = search()
        assert again.run.run_id == before.info.run_id
        assert_complete(before.data.tags["sweep"], again.summary, outcome.summary)
