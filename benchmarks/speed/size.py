"""How long `heart check`, `predict` and `train` take, and how much memory, from a thousand to ten million patients.

Every figure is of a whole process, as a user starts it: wall seconds, and the peak of its resident memory. Beside them
stands what nobody can do without: pandas reads the same file and computes a mean and a spread for each column, and a
copy of as many bytes in memory. The patients are made up (tests/harness/data/crowd.py), in Parquet.

    python -m benchmarks.speed.size --to 100000          about five minutes on two cores
    python -m benchmarks.speed.size --plot scale.png     all sizes, about half an hour, and the figure of docs/scale.md
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
HEART = (sys.executable, "-m", "heart_disease")
PANDAS = "import pandas, sys; frame = pandas.read_parquet(sys.argv[1]); frame.mean(), frame.std()"
CELLS = 14 * 8  # bytes of a patient in pandas


@dataclass(frozen=True)
class Cost:
    """A whole process: wall seconds, and the peak of its memory in bytes."""

    seconds: float
    bytes: int


def measure(command: tuple[str, ...], folder: Path) -> Cost:
    """Run the command in `folder`, with stores of its own.

    Raises:
        RuntimeError: it fails.
    """
    env = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    env["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    with (folder / "said").open("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended in {process.returncode}:\n{said.read()[-2000:]}")
    return Cost(seconds, usage.ru_maxrss * 1024)


def copied(rows: int) -> float:
    """Seconds in which this machine copies the cells of so many patients."""
    cells = np.ones(rows * CELLS // 8)
    started = time.perf_counter()
    cells.copy()
    return time.perf_counter() - started


def commands(patients: Path, folder: Path) -> dict[str, tuple[str, ...]]:
    """What is measured, by name, in order: the training registers the champion that scores."""
    file = str(patients)
    return {
        "pandas": (sys.executable, "-c", PANDAS, file),
        "check": (*HEART, "check", file),
        "train": (*HEART, "train", "--source", file, "--device", "cpu"),
        "predict": (*HEART, "predict", file, "-o", str(folder / "scored.parquet")),
    }


def plot(found: dict[str, dict[int, Cost]], path: Path) -> None:
    """Seconds and memory by rows, one line a command."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("seconds", "GB of memory"), strict=True):
        for (what, costs), style in zip(found.items(), ("k:", "C0s--", "C3o-", "C2^-."), strict=True):
            values = [cost.seconds if name == "seconds" else cost.bytes / 1e9 for cost in costs.values()]
            axes.plot(list(costs), values, style, label=what if what == "pandas" else f"heart {what}")
        axes.set(xscale="log", yscale="log", xlabel="patients", ylabel=name)
        axes.grid(alpha=0.3)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print a table, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--to", type=int, default=SIZES[-1], help="the largest number of patients (default %(default)s)"
    )
    parser.add_argument("--plot", type=Path, help="draw the figure into this file")
    options = parser.parse_args()
    from tests.harness.data import crowd

    found: dict[str, dict[int, Cost]] = {}
    print("| patients | pandas reads, s | copy, s | check, s | GB | train, s | GB | predict, s | GB |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for rows in (size for size in SIZES if size <= options.to):
        with tempfile.TemporaryDirectory() as temporary:
            folder, patients = Path(temporary), Path(temporary) / "patients.parquet"
            crowd.write(patients, rows, seed=rows)
            for name, command in commands(patients, folder).items():
                found.setdefault(name, {})[rows] = measure(command, folder)
        cells = [f"{found['pandas'][rows].seconds:.1f}", f"{copied(rows):.3f}"]
        for name in ("check", "train", "predict"):
            cells += [f"{found[name][rows].seconds:.1f}", f"{found[name][rows].bytes / 1e9:.2f}"]
        print(f"| {rows:,} | {' | '.join(cells)} |", flush=True)
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
