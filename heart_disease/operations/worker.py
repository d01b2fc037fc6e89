"""`python -m heart_disease.operations.worker OPTIONS...`: `prefect worker start OPTIONS...`, unattended for months.

Its end: Prefect's worker (3.8) kills at SIGTERM what is under way, without a word: it would be RUNNING in both stores
until a reconciliation. Here its flow runs get SIGTERM before it does; then they end as crashed, and say so in both.

Its memory: every flow run leaves 1.8 MB behind, TLS contexts of Prefect's clients that refer to one another. Python
counts objects, of which these are few, and would look for them after fifty runs. Here it looks every minute.
"""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

# Together less than the ten that `docker compose stop` waits; the rest is the worker's own.
RUNS_SECONDS = 7  # that a run has to end by itself
WORD_SECONDS = 1  # that the worker has to tell of one which could not
GARBAGE_SECONDS = 60
WORKER = (
    "from prefect.cli import app; from heart_disease.operations.worker import collect_garbage; collect_garbage(); app()"
)


def collect_garbage(seconds: float = GARBAGE_SECONDS) -> None:
    """From now on, now and then: what this process no longer needs and only refers to itself."""

    def again() -> None:
        while True:
            time.sleep(seconds)
            gc.collect()

    threading.Thread(target=again, daemon=True).start()


def end_runs(parent: psutil.Process, seconds: float, spare: int | None = None) -> None:
    """End the processes that `parent` has started: by SIGTERM, and after so many seconds by SIGKILL.

    spare: the number of one that goes on.
    """
    deadline, told = time.monotonic() + seconds, set()
    while runs := [child for child in _children(parent) if child.pid != spare]:
        late = time.monotonic() > deadline
        for run in runs:
            with suppress(psutil.NoSuchProcess):
                if late:
                    run.kill()
                elif run not in told:  # also one that has just been started
                    run.terminate()
                    told.add(run)
        if late:
            return
        time.sleep(0.1)


def _children(parent: psutil.Process) -> list[psutil.Process]:
    """Those that live."""
    found = []
    with suppress(psutil.NoSuchProcess):  # the parent has ended
        for child in parent.children():
            with suppress(psutil.NoSuchProcess):
                found += [child] if child.status() != psutil.STATUS_ZOMBIE else []
    return found


def main(command: Sequence[str]) -> int:
    """Run the command; its exit code, with 128 added to the number of a signal."""
    worker = subprocess.Popen(command, start_new_session=True)  # where Ctrl-C of a terminal does not reach it

    def end(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # once is enough
        end_runs(psutil.Process(worker.pid), RUNS_SECONDS)
        time.sleep(WORD_SECONDS)
        worker.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    code = worker.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main([sys.executable, "-P", "-c", WORKER, "worker", "start", *sys.argv[1:]]))
