"""Whole cold processes, in turn in one session: the notebook, `heart train`, and the tutorials' way.

Measured: wall seconds until the command returns, and CPU seconds (user + system) of the process and all its
descendants, including Prefect's server and processes that outlive their parent. Every program has a folder of its own
with its own home, stores and caches; a first round that is not counted creates the stores (with --fresh, every run
begins without them). Not measured: installing, the first import after that, memory, servers that run elsewhere.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import ROOT

HEART = Path(sys.executable).with_name("heart")
STRAGGLER_SECONDS = 60
PR_SET_CHILD_SUBREAPER = 36  # prctl(2), Linux

SETTINGS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


@dataclass(frozen=True)
class Program:
    """A command. `allowed`: exit codes that are not failures. `networks`: how many it trains; 0: its output says it."""

    name: str
    command: tuple[str, ...]
    allowed: tuple[int, ...] = (0,)
    networks: int = 0


@dataclass(frozen=True)
class Timing:
    """One run: seconds, and how many networks it trained."""

    wall: float
    cpu: float
    networks: int


def programs() -> list[Program]:
    """What is compared; the first that is chosen is the yardstick."""
    # -P keeps the script's folder from coming before the libraries.
    script = (sys.executable, "-P")
    heart = (str(HEART),) if HEART.exists() else (sys.executable, "-m", "heart_disease")
    here = ROOT / "benchmarks" / "speed"
    return [
        Program("(a) notebook, 300 epochs", (*script, str(here / "notebook.py")), networks=1),
        Program("(b) heart train", (*heart, "train", "--force"), (0, 5)),
        Program(
            "(b') heart train --preset lecture, 300 epochs", (*heart, "train", "--force", "--preset", "lecture"), (0, 5)
        ),
        Program("(b'') heart train --landscape", (*heart, "train", "--force", "--landscape"), (0, 5)),
        Program("(c) tutorial with Prefect and MLflow, 300 epochs", (*script, str(here / "tutorial.py")), networks=1),
    ]


def environment(folder: Path) -> dict[str, str]:
    """This process's variables, without addresses of servers and stores, and with everything kept inside `folder`."""
    ours = ("PREFECT_", "MLFLOW_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = {} if HEART.exists() else {"PYTHONPATH": str(ROOT)}
    return {**kept, **SETTINGS, **path, "HOME": str(folder / "home"), "PREFECT_HOME": str(folder / "home" / ".prefect")}


def measure(program: Program, folder: Path) -> Timing:
    """Run `program` in `folder`, and wait for everything that it started.

    Raises:
        SystemExit: it failed, or it left a process running.
    """
    (folder / "home").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before, started = cpu_of_children(), time.perf_counter()
        process = subprocess.Popen(
            program.command, cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        code = process.wait()
        wall = time.perf_counter() - started
        wait_for_stragglers(program)
        cpu = cpu_of_children() - before
        err.seek(0)
        said = err.read().decode(errors="replace")
    if code not in program.allowed:
        raise SystemExit(f"{said}\n{program.name}: exit code {code}; its messages are above")
    said_networks = re.search(r"^train +(\d+) network", said, re.MULTILINE)
    if not (networks := int(said_networks[1]) if said_networks else program.networks):
        raise SystemExit(f"{said}\n{program.name}: expected a line 'train ... networks' in its messages above")
    return Timing(wall, cpu, networks)


def cpu_of_children() -> float:
    """User and system seconds of all descendants that have ended and been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def wait_for_stragglers(program: Program) -> None:
    """Wait for descendants that outlived the command. This process reaps them, so their CPU time counts."""
    deadline = time.monotonic() + STRAGGLER_SECONDS
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.05)
        except ChildProcessError:
            return
    raise SystemExit(f"{program.name} left a process running {STRAGGLER_SECONDS} s after it ended")


def become_reaper() -> None:
    """Make orphaned descendants children of this process; except on Linux, their CPU time is not counted."""
    if sys.platform != "linux" or ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        print("CPU seconds do not include processes that outlive their parent.", file=sys.stderr)


def table(timings: dict[str, list[Timing]]) -> str:
    """Markdown: medians, ranges in brackets, and both times against the first program's, round by round."""
    yardstick, first = next(iter(timings.items()))
    by = yardstick.partition(" ")[0]
    lines = [f"| program | networks | wall, s | CPU, s | wall / {by} | CPU / {by} |", "|---|---:|---:|---:|---:|---:|"]
    for name, runs in timings.items():
        pairs = list(zip(runs, first, strict=True))
        ratios = median(run.wall / its.wall for run, its in pairs), median(run.cpu / its.cpu for run, its in pairs)
        wall, cpu = spread([run.wall for run in runs]), spread([run.cpu for run in runs])
        lines.append(f"| {name} | {runs[0].networks} | {wall} | {cpu} | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """``12.3 (11.9-13.0)``."""
    return f"{median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time the notebook, heart train and the tutorials' way, end to end.")
    parser.add_argument("--runs", type=int, default=3, help="rounds, after one that is not counted (default 3)")
    parser.add_argument("--fresh", action="store_true", help="every run starts with empty stores, as on a new machine")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="TEXT", help="only programs with a TEXT in their names"
    )
    options = parser.parse_args()
    chosen = [program for program in programs() if any(text in program.name for text in options.only)]
    if not chosen:
        raise SystemExit(
            f"--only {' '.join(options.only)}: expected parts of {', '.join(one.name for one in programs())}"
        )
    become_reaper()
    timings: dict[str, list[Timing]] = {program.name: [] for program in chosen}
    with tempfile.TemporaryDirectory() as base:
        for turn in range(options.runs + 1):
            for number, program in enumerate(chosen):
                timing = measure(program, Path(base, f"{number}-{turn if options.fresh else 0}"))
                print(f"round {turn}: {timing.wall:.1f} s  {program.name}", file=sys.stderr, flush=True)
                if turn:
                    timings[program.name].append(timing)
    stores = "empty stores" if options.fresh else "stores that exist"
    print(f"Cold processes, {options.runs} rounds, {stores}, {os.cpu_count()} cores: median (range).\n")
    print(table(timings))


if __name__ == "__main__":
    main()
