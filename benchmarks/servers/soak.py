"""Retrain after retrain on the servers: does anything grow that should not?

Every service of docker-compose.yml is started natively, as tests/harness/servers/compose.py does it, with empty stores.
Then come N runs of the deployment heart-disease-train/retrain, one after the other, each picked up by the worker, which
starts a process for it: 2 folds, 1 repeat, 2 epochs, forced, since nothing changes between them. One more run before
them makes a version, which is promoted by hand, so that all the others also train the champion's recipe and compare.
Measured after each run, when its process has ended:

    memory       of all processes of a service: resident; proportional (PSS: a page that k of them share counts 1/k);
                 the anonymous part of that, without files and PostgreSQL's shared buffers, which fill to their size
    descriptors  open files and sockets; processes; threads
    left behind  bytes in the folders that are a container's tmpfs (/tmp and the home)
    stores       bytes and rows of both databases, bytes of the artefacts

PSS also rises when another program that shared pages ends: believe it only on a machine that does nothing else.
Each sample goes to a CSV file at once. Not measured: PostgreSQL's vacuuming over weeks, and many clients.

The rule, set before the first run. The first fifth of the runs is the warm-up. The others are cut into ten blocks of
consecutive runs; a straight line through the ten means gives the growth per run, with a 95 % interval (t, 8 degrees of
freedom; blocks, because neighbouring samples are alike). Memory, descriptors, processes, threads and what is left
behind have to be flat:

    flat         a thousand runs more would add less than a tenth: the interval's upper end, times 1000, is below 10 %
                 of the mean (or below a floor: 5 MB, 2 descriptors, processes or threads, 100 kB)
    grows        not flat, and the interval is all above 0
    cannot tell  neither: more runs are needed

The stores have to grow, because they keep every run; what counts is that a run of the second half costs no more than
one of the first. They are `steady` if the second half's growth is below 1.1 times the first half's.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from scipy import stats

from tests.harness.servers.compose import Stack, postgres_programs

RETRAIN = "heart-disease-train/retrain"
PARAMETERS = {"recipe": {"epochs": 2}, "evaluation": {"folds": 2, "repeats": 1}, "force": True}
SETTLE_SECONDS, BLOCKS = 20, 10
FEWEST = 25  # runs: two per block, without the warm-up
FLOORS = {
    "PSS, MB": 5.0,
    "anonymous PSS, MB": 5.0,
    "RSS, MB": 5.0,
    "descriptors": 2.0,
    "processes": 2.0,
    "threads": 2.0,
    "left behind, kB": 100.0,
}
# Counts the rows of every table, because the server's own estimates lag behind.
ROWS = (
    "SELECT sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I', schemaname, relname), "
    "false, true, '')))[1]::text::bigint) FROM pg_stat_user_tables"
)
Sample = dict[str, float]


def sample(stack: Stack) -> Sample:
    """Everything that is measured, by name: ``worker: PSS, MB``."""
    found: Sample = {}
    for name, process in stack.processes.items():
        if process.poll() is None:
            found |= {f"{name}: {what}": value for what, value in _service(stack, name).items()}
    for database in ("mlflow", "prefect"):
        found[f"stores: {database} database, kB"] = (
            float(_sql(stack, database, "SELECT pg_database_size(current_database())")) / 1e3
        )
        found[f"stores: {database} database, rows"] = float(_sql(stack, database, ROWS))
    found["stores: artefacts, kB"] = _bytes(stack.folder / "volumes" / "artifacts") / 1e3
    return found


def _service(stack: Stack, name: str) -> Sample:
    pss = anonymous = rss = descriptors = processes = threads = 0
    for process in stack.members(name):
        with suppress(psutil.Error, OSError):  # the process has just ended
            memory = dict(re.findall(r"^(\w+): +(\d+) kB", Path(f"/proc/{process.pid}/smaps_rollup").read_text(), re.M))
            pss, anonymous = pss + int(memory["Pss"]), anonymous + int(memory["Pss_Anon"])
            rss += int(memory["Rss"])
            descriptors += process.num_fds()
            processes, threads = processes + 1, threads + process.num_threads()
    left = sum(_bytes(Path(stack.mapped(path, name))) for path in stack.services[name].get("tmpfs", []))
    return {
        "RSS, MB": rss * 1.024e-3, "PSS, MB": pss * 1.024e-3, "anonymous PSS, MB": anonymous * 1.024e-3,
        "descriptors": descriptors, "processes": processes, "threads": threads, "left behind, kB": left / 1e3,
    }  # fmt: skip


def _bytes(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):  # unlike rglob, os.walk accepts that a folder vanishes meanwhile
        for name in names:
            with suppress(OSError):
                total += (Path(where) / name).lstat().st_size
    return total


def _sql(stack: Stack, database: str, query: str) -> str:
    programs = postgres_programs()
    assert programs, "PostgreSQL is not installed"
    command = [
        str(programs / "psql"),
        "-h",
        "127.0.0.1",
        "-p",
        str(stack.port("postgres")),
        "-U",
        "postgres",
        "-d",
        database,
        "-Atc",
        query,
    ]
    done = subprocess.run(
        command, env={"PGPASSWORD": stack.secrets["POSTGRES_PASSWORD"]}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def retrain() -> tuple[str, float]:
    """Run once, and return the name of the final state and the seconds."""
    from prefect.deployments import run_deployment

    started = time.monotonic()
    run = run_deployment(RETRAIN, parameters=PARAMETERS, timeout=900, poll_interval=1)
    return str(run.state and run.state.name), time.monotonic() - started  # type: ignore[union-attr]


def settle(stack: Stack, processes: int) -> None:
    """Wait until the worker has no more processes than that: the run's own process ends a little after the run."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while len(stack.members("worker")) > processes and time.monotonic() < deadline:
        time.sleep(0.5)


def start(stack: Stack) -> None:
    """Start the servers and the worker; promote a first version; then start what needs a champion."""
    for name in stack.in_order(["worker"]):
        stack.start_service(name)
    os.environ |= stack.client_environment
    retrained(stack)
    promote = [sys.executable, "-m", "heart_disease", "promote", "1", "--because", "the first of the soak"]
    subprocess.run(promote, check=True, stdout=subprocess.DEVNULL)
    for name in stack.in_order(list(stack.services)):
        if name not in stack.processes:
            stack.start_service(name)


def retrained(stack: Stack) -> float:
    """Run once, and return the seconds.

    Raises:
        RuntimeError: it failed.
    """
    state, seconds = retrain()
    if state != "Completed":
        raise RuntimeError(f"the run ended as {state}:\n{stack.log('worker')[-3000:]}")
    return seconds


def soak(stack: Stack, runs: int) -> Iterator[Sample]:
    """A sample after each run."""
    idle = len(stack.members("worker"))
    for number in range(1, runs + 1):
        seconds = retrained(stack)
        settle(stack, idle)
        yield {"run": number, "seconds": seconds, **sample(stack)}


def growth(values: Sequence[float]) -> tuple[float, float, float]:
    """Growth per run, by the rule above: the slope and the ends of its interval."""
    after = np.array(values[len(values) // 5 :])
    blocks = np.array_split(np.arange(len(after)), BLOCKS)
    at, means = np.array([block.mean() for block in blocks]), np.array([after[block].mean() for block in blocks])
    spread = ((at - at.mean()) ** 2).sum()
    slope = float(((at - at.mean()) * means).sum() / spread)
    left = means - means.mean() - slope * (at - at.mean())
    half = float(stats.t.ppf(0.975, BLOCKS - 2) * np.sqrt((left**2).sum() / (BLOCKS - 2) / spread))
    return slope, slope - half, slope + half


def judged(what: str, values: Sequence[float]) -> str:
    """Flat, grows, or cannot tell; for a store: steady, or grows faster."""
    if what.startswith("stores: "):
        half = len(values) // 2
        first, second = values[half] - values[0], values[-1] - values[len(values) - 1 - half]
        return "steady" if second <= 1.1 * first else "grows faster"
    _, low, high = growth(values)
    floor = FLOORS[what.split(": ", 1)[1]]
    if 1000 * high < max(0.1 * float(np.mean(values)), floor):
        return "flat"
    return "grows" if low > 0 else "cannot tell"


def table(samples: Sequence[Mapping[str, float]]) -> str:
    """Start, middle, end, growth and judgement of everything, in Markdown."""
    if len(samples) < FEWEST:
        return f"{len(samples)} runs: too few for a judgement, which needs {FEWEST}"
    tenth = max(1, len(samples) // 10)
    middle = (len(samples) - tenth) // 2
    lines = [
        f"{len(samples)} runs, {np.median([one['seconds'] for one in samples]):.0f} s each (median). "
        f"Start, middle, end: means of {tenth} samples.\n",
        "| service | what | start | middle | end | per run [95 %] | |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for name in samples[0]:
        if name in ("run", "seconds"):
            continue
        values = [one[name] for one in samples]
        parts = (values[:tenth], values[middle : middle + tenth], values[-tenth:])
        cells = [f"{np.mean(part):,.1f}" for part in parts]
        slope, low, high = growth(values)
        cells.append(f"{slope:+z.3f} [{low:+z.3f}, {high:+z.3f}]")
        service, what = name.split(": ", 1)
        lines.append(f"| {service} | {what} | {' | '.join(cells)} | {judged(name, values)} |")
    return "\n".join(lines)


def main() -> None:
    """Run, write each sample, and print the table; after Ctrl-C, print it for the runs that are done."""
    parser = argparse.ArgumentParser(description="Retrain again and again on the servers, and watch what grows.")
    parser.add_argument("--runs", type=int, default=200, metavar="N")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after this many minutes")
    parser.add_argument("--samples", type=Path, default=Path("soak.csv"), metavar="FILE", help="one line per run")
    options = parser.parse_args()

    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="heart-soak-") as folder:
        stack = Stack(Path(folder))
        stack.services["worker"]["environment"]["PREFECT_WORKER_QUERY_SECONDS"] = "2"  # not 10, because it only waits
        try:
            start(stack)
            started = time.monotonic()
            with suppress(KeyboardInterrupt), options.samples.open("w", newline="") as file:
                for one in soak(stack, options.runs):
                    samples.append(one)
                    writer = csv.DictWriter(file, list(samples[0]), extrasaction="ignore")
                    if len(samples) == 1:
                        writer.writeheader()
                    writer.writerow({key: f"{value:.6g}" for key, value in one.items()})
                    file.flush()
                    print(f"run {len(samples)}: {one['seconds']:.1f} s", file=sys.stderr, flush=True)
                    if time.monotonic() - started > 60 * options.minutes:
                        break
        finally:
            stack.close()
    print(table(samples))


if __name__ == "__main__":
    main()
