"""Before an alias moves, a fresh process serves the version; if anything is wrong with it, no alias moves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from heart_disease import registry
from heart_disease.cli import main
from heart_disease.data import sources
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import UnavailableError
from heart_disease.model.patient_model import PatientModel
from heart_disease.serving import rehearsal
from heart_disease.serving.rehearsal import FreshProcess, fresh_process
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.command import ROOT
from tests.harness.data import patients
from tests.harness.faults.damage import files_of, flip_a_byte
from tests.harness.models.stores import copy_store, store_in
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.slow

TABLE = patients.make(60)
MODEL = PatientModel(Encoder.fit(TABLE), network.build(Recipe(hidden=(2,)), 29))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which versions 1 and 2 are `MODEL`, and 1 is champion."""
    folder = tmp_path_factory.mktemp("made")
    with store_in(folder):
        for _ in range(2):
            with registry.open_run("a test", {}) as run:
                registry.log_model(run, MODEL, TABLE.head(2))
        registry.move_champion(registry.by_version("1"), expected=None, kind="by hand", why="a test")
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    copy_store(made, tmp_path)
    return tmp_path


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_good_version_passes_and_the_process_is_gone(store: Path) -> None:
    with fresh_process() as server:
        server.check(registry.by_version("1"), MODEL, sources.load().frame)
        assert server.process.poll() is None
    assert wait_for(lambda: gone(server.process.pid))


def test_many_members_answer_as_in_memory(store: Path) -> None:
    members = [network.build(Recipe(hidden=(4,), seed=k), 29, f"member_{k}") for k in range(8)]
    model = replace(MODEL, network=network.average(members))
    with registry.open_run("members", {}) as run:
        ref = registry.log_model(run, model, TABLE.head(2))
    with fresh_process() as server:
        server.check(ref, model, TABLE)


def test_a_model_that_differs_from_the_one_in_memory_does_not_pass(store: Path) -> None:
    other = replace(MODEL, network=network.build(Recipe(hidden=(2,), seed=9), 29))
    with fresh_process() as server, pytest.raises(UnavailableError, match="its answers or words differ"):
        server.check(registry.by_version("1"), other, TABLE)


def test_a_damaged_version_does_not_pass_and_the_reason_is_given(store: Path) -> None:
    flip_a_byte(files_of("2"), store)
    with fresh_process() as server, pytest.raises(UnavailableError, match="failed its test.* have the digest"):
        server.check(registry.by_version("2"), MODEL, TABLE)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_is_an_error_at_once(number: signal.Signals, store: Path) -> None:
    with fresh_process() as server:
        server.process.send_signal(number)
        with pytest.raises(UnavailableError, match=f"it ended with code -{number.value}"):
            server.check(registry.by_version("1"), MODEL, TABLE)


def test_a_process_that_hangs_is_an_error_in_time_and_is_gone(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "SECONDS", 1)
    with fresh_process() as server:
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(UnavailableError, match="timed out"):
            server.check(registry.by_version("1"), MODEL, TABLE)
    assert wait_for(lambda: gone(server.process.pid))


def test_no_champion_moves_when_the_test_fails(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def dying() -> Iterator[FreshProcess]:
        with fresh_process() as server:
            server.process.kill()
            yield server

    monkeypatch.setattr("heart_disease.cli.champion.moves.fresh_process", dying)
    assert main.main(["promote", "2", "--because", "a test"]) == 4
    assert "heart-disease version 2 failed its test" in " ".join(capsys.readouterr().err.split())
    assert registry.champion().version == "1"


def test_promote_moves_the_champion_when_it_passes(store: Path) -> None:
    assert main.main(["promote", "2", "--because", "a test"]) == 0
    assert registry.champion().version == "2"


# A plain program dies of SIGTERM as of SIGKILL, at once; SIGINT raises KeyboardInterrupt.
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("when", ["before it knows its version", "while it serves"])
def test_it_ends_with_the_process_that_started_it_however_that_one_ends(
    number: signal.Signals, when: str, store: Path
) -> None:
    script = (
        "import sys, time\n"
        "from heart_disease.serving.rehearsal import fresh_process\n"
        "from heart_disease import registry\nfrom heart_disease.data import sources\n"
        "with fresh_process() as server:\n"
        "    ref = registry.by_version('1')\n"
        f"    if {when!r} == 'while it serves':\n"
        "        server.check(ref, registry.load_model(ref), sources.load().frame)\n"
        "    print(server.process.pid, flush=True)\n"
        "    while True:  # a signal that comes just before a sleep would wait for its end\n"
        "        time.sleep(0.1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.send_signal(number)
        parent.communicate()
        assert wait_for(lambda: gone(child))
    finally:
        parent.kill()
        parent.wait()
