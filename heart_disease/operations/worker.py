"""`python -m heart_disease.operations.worker OPTIONS...`: `prefect worker start OPTIONS...`, unattended for months.

Its end: on SIGTERM, Prefect's worker (3.8) kills its flow runs without reporting it, so they would stay RUNNING in both
stores until a reconciliation. Here the flow runs get SIGTERM before the worker does, and end as crashed in both stores.

Its memory: every flow run leaves 1.8 MB behind, in TLS contexts of Prefect's clients that refer to one another. Python
counts objects, not bytes, and would collect these few only after fifty runs. Here it collects every minute.
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

from heart_disease.processes.loopback import spare_from_proxies

# Together these are less than the minute that docker-compose.yml allows; the worker itself needs the rest.
RUNS_SECONDS = 30  # seconds a run has to end by itself before it is killed
WORD_SECONDS = 1  # seconds the worker has to report a run that was killed
GARBAGE_SECONDS = 60
WORKER = (
    "from prefect.cli import app; from heart_disease.operations.worker import collect_garbage; collect_garbage(); app()"
)


def collect_garbage(seconds: float = GARBAGE_SECONDS) -> None:
    """From now on, free regularly the unused objects of this process that only refer to one another."""

    def again() -> None:
        while True:
            time.sleep(seconds)
            gc.collect()

    threading.Thread(target=again, daemon=True).start()


def end_runs(parent: psutil.Process, seconds: float, spare: int | None = None) -> None:
    """End the processes that `parent` has started: with SIGTERM, and after this many seconds with SIGKILL.

    spare: the ID of a process to leave alone.
    """
    deadline, told = time.monotonic() + seconds, set()
    while runs := [child for child in _children(parent) if child.pid != spare]:
        late = time.monotonic() > deadline
        for run in runs:
            with suppress(psutil.NoSuchProcess):
                if late:
                    run.kill()
                elif run not in told:  # a run may have started just now
                    run.terminate()
                    told.add(run)
        if late:
            return
        time.sleep(0.1)


def _children(parent: psutil.Process) -> list[psutil.Process]:
    """The children that are alive."""
    found = []
    with suppress(psutil.NoSuchProcess):  # the parent has ended
        for child in parent.children():
            with suppress(psutil.NoSuchProcess):
                found += [child] if child.status() != psutil.STATUS_ZOMBIE else []
    return found


def main(command: Sequence[str]) -> int:
    """Run the command; returns its exit code, or 128 plus the number of the signal that ended it."""
    worker = subprocess.Popen(command, start_new_session=True)  # Ctrl-C in a terminal does not reach it

    def end(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # one signal is enough
        end_runs(psutil.Process(worker.pid), RUNS_SECONDS)
        time.sleep(WORD_SECONDS)
        worker.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    code = worker.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    spare_from_proxies()
    sys.exit(main([sys.executable, "-P", "-c", WORKER, "worker", "start", *sys.argv[1:]]))
