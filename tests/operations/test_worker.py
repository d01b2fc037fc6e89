"""Ending Prefect's worker: first its runs, each by itself if possible, and then the worker."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from heart_disease.operations.worker import end_runs
from tests.harness.command import ROOT

MAIN = (
    sys.executable,
    "-c",
    "import sys; from heart_disease.operations.worker import main; sys.exit(main(sys.argv[1:]))",
)
# A worker with one run; both write down when they are told to end. Like a training, the run takes a moment to end.
# Sleeps are short, because a signal that comes just before a sleep waits for its end.
RUN = """
import signal, sys, time
def end(*_):
    time.sleep(0.3)
    print("the run has ended", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, {on_term})
print("the run has begun", flush=True)
while True:
    time.sleep(0.1)
"""
WORKER = """
import signal, subprocess, sys, time
def end(*_):
    print("the worker is told, its run", "lives" if run.poll() is None else "has ended", flush=True)
    run.kill()
    sys.exit()
run = subprocess.Popen([sys.executable, "-c", {run!r}])
signal.signal(signal.SIGTERM, end)
run.wait()
while True:
    time.sleep(0.1)
"""


def worker(on_term: str = "end") -> list[str]:
    return [sys.executable, "-c", WORKER.format(run=RUN.format(on_term=on_term))]


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has reported the start of its run."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        assert process.stdout.readline() == "the run has begun\n"
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        try:
            yield process
        finally:
            for member in family:
                if member.is_running():
                    member.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_is_told_to_end_only_after_its_run_has_ended_by_itself(number: int) -> None:
    with started(*MAIN, *worker()) as process:
        process.send_signal(number)
        out, _ = process.communicate()
        assert out.splitlines() == ["the run has ended", "the worker is told, its run has ended"]
        assert process.returncode == 0


def test_a_second_signal_changes_nothing() -> None:
    with started(*MAIN, *worker()) as process:
        process.terminate()
        time.sleep(0.1)
        process.terminate()
        out, _ = process.communicate()
        assert out.splitlines() == ["the run has ended", "the worker is told, its run has ended"]


@pytest.mark.parametrize(("how", "code"), [("sys.exit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_if_the_worker_ends_by_itself_its_exit_code_is_passed_on(how: str, code: int) -> None:
    done = subprocess.run([*MAIN, sys.executable, "-c", f"import sys; {how}"], cwd=ROOT, check=False)
    assert done.returncode == code


def test_a_run_that_does_not_end_by_itself_is_killed_and_spared_processes_live_on() -> None:
    with started(*worker(on_term="signal.SIG_IGN")) as process:
        parent = psutil.Process(process.pid)
        [run] = parent.children()
        end_runs(parent, 0.3, spare=run.pid)
        assert run.is_running()
        end_runs(parent, 0.3)
        run.wait(timeout=60)
        assert parent.is_running()


def test_reference_cycles_are_collected_before_they_pile_up() -> None:
    code = """
import gc, time, weakref
from heart_disease.operations.worker import collect_garbage
class Cycle: pass
one = Cycle()
one.itself, gone = one, weakref.ref(one)
gc.disable()
del one
assert gone()
collect_garbage(0.01)
while gone():
    time.sleep(0.01)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
