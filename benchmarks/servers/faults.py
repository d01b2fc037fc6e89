"""The fault table: each fault several times on real processes and servers, and what it lost, duplicated or left behind.

tests/harness/faults/faults.py defines the faults and what is checked afterwards. If the training of a fault does not
reach its end, orphans are looked for and the same flow run is tried a second time, as in production.

    python -m benchmarks.servers.faults --times 3

The seed of the random kills is printed; --seed draws the same kills at the same moments again.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path

from heart_disease.cli.main import ENVIRONMENT
from tests.harness.faults import deployed, faults, kills, scheduled
from tests.harness.faults.aftermath import Checked
from tests.harness.faults.work import POINTS
from tests.harness.servers.compose import Stack, postgres_programs

KILLS = 100
HEADER = "| fault | times | lost | duplicated | left RUNNING | processes left | not as expected | s |"


def all_faults(stack: Stack, folder: Callable[[], Path], seed: Callable[[], int]) -> dict[str, Callable[[], Checked]]:
    """The faults by name; each can be called any number of times."""
    found: dict[str, Callable[[], Checked]] = {
        f"kill -9 of the training: {point}": lambda point=point: faults.killed(stack, [point])  # type: ignore[misc]
        for point in POINTS
    }
    found |= {
        "kill -9 of the training with an embedded server": lambda: faults.killed_embedded(folder(), ["train"]),
        "kill -9 of the worker and its flow run": lambda: faults.worker_ended(stack, [signal.SIGKILL]),
        "SIGTERM to the worker, with a flow run": lambda: faults.worker_ended(stack, [signal.SIGTERM]),
        "kill -9 of the Prefect server": lambda: faults.server_killed(stack, "prefect", ["evaluate"]),
        "kill -9 of the MLflow server between upload and registration": lambda: faults.server_killed(
            stack, "mlflow", ["registration"]
        ),
        "kill -9 of PostgreSQL": lambda: faults.server_killed(stack, "postgres", ["metrics"]),
        "two trainings at once, PostgreSQL": lambda: faults.two_at_once(stack.client_environment),
        "two trainings at once, SQLite": lambda: faults.two_at_once_embedded(folder()),
        "kill -9 of the Prefect server under a deployed run that outlasts its lease": lambda: deployed.server_killed(
            stack
        ),
        "kill -9 of the worker between taking a run and beginning it": lambda: deployed.stranded(stack),
        f"{KILLS} kills of random processes under a schedule": lambda: kills.random_kills(stack, KILLS, seed()),
        "kill -9 of the server of `heart schedule` at each stage of a retrain": lambda: scheduled.server_killed(
            folder()
        ),
        "kill -9 of Prefect, PostgreSQL, both, and MLflow at each stage of a deployed run of ten minutes": lambda: (
            deployed.outlasting(stack)
        ),
        "the network stalls": lambda: faults.stalled_network(stack, ["evaluate"]),
    }
    if faults.artifacts(stack).is_mount():
        found["the disk is full while files are written"] = lambda: faults.full_disk(stack)
    if faults.FAKETIME:
        for point, offset in (("train", "-1d"), ("registration", "+1d")):
            found[f"the clock steps by {offset}: {point}"] = lambda point=point, offset=offset: faults.clock_steps(  # type: ignore[misc]
                folder(), {point: offset}
            )
    return found


def main() -> None:
    """Print the table, each line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="how often to make each fault (default 3)")
    parser.add_argument("--seed", type=int, help="of the random kills (default: the time)")
    parser.add_argument("--only", default="", help="only faults whose name contains this")
    options = parser.parse_args()
    if postgres_programs() is None:
        sys.exit("PostgreSQL is not installed; expected its programs, such as Debian's package postgresql")
    with ExitStack() as stack:
        table = stack.enter_context(os.fdopen(os.dup(1), "w"))
        os.dup2(2, 1)  # sends what the trainings print to stderr
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(faults.servers(root / "servers"))
        numbers = iter(range(10**6))
        print(f"{HEADER}\n|---|{'---:|' * 7}", file=table, flush=True)
        seed = itertools.count(time.time_ns() if options.seed is None else options.seed).__next__
        for name, fault in all_faults(servers, lambda: root / f"stores-{next(numbers)}", seed).items():
            if options.only in name:
                print(line(name, fault, options.times), file=table, flush=True)


def line(name: str, fault: Callable[[], Checked], times: int) -> str:
    """A line of the table. Not as expected: a program did not end as it should. Seconds: the mean."""
    total, strange, started = [0, 0, 0, 0], 0, time.monotonic()
    for _ in range(times):
        try:
            total = [a + b for a, b in zip(total, astuple(fault()), strict=True)]
        except (AssertionError, TimeoutError, RuntimeError) as error:
            strange += 1
            print(f"{name}: {error!r}", file=sys.stderr, flush=True)
    seconds = (time.monotonic() - started) / times
    return f"| {name} | {times} | {' | '.join(map(str, total))} | {strange} | {seconds:.0f} |"


if __name__ == "__main__":
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    main()
