"""One process against two on loopback that train one network together, and against training in memory.

The rows are the bundled patients, drawn again and again with a little noise, in Parquet files. Measured: seconds per
epoch, the best of all except the first, which includes tracing; and the peak memory of a process, together with the
part that the imported libraries take. `one` and `two` are `training.distributed.train`, which streams from disk;
`memory` is `training.engine.train`, which holds all rows. Both workers share this machine's cores. The table therefore
shows what it costs them to wait for each other, but not what two machines gain by reading and encoding side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.processes.loopback import free_port
from heart_disease.training.batches import Job
from heart_disease.training.inputs import Inputs
from heart_disease.training.parts import SHUFFLE_ROWS, Part
from heart_disease.training.recipe import MANY_ROWS, Recipe
from heart_disease.training.workers import Cluster

EPOCHS = 6
NOISE = {"age": 3, "trestbps": 5, "chol": 15, "thalach": 6}


def write_rows(path: Path, n: int, seed: int) -> None:
    """Write `n` patients to a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, patients = np.random.default_rng(seed), sources.load().frame
    writer = None
    for start in range(0, n, SHUFFLE_ROWS):
        frame = patients.iloc[rng.integers(len(patients), size=min(SHUFFLE_ROWS, n - start))].reset_index(drop=True)
        for name, spread in NOISE.items():
            limits = schema.BY_NAME[name].limits
            frame[name] = (frame[name] + rng.normal(0, spread, len(frame))).round().clip(*limits or ())
        table = pa.Table.from_pandas(frame, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def work(path: str, params: Recipe, in_memory: bool) -> dict[str, Any]:
    """What one process measures."""
    import tensorflow as tf

    tf.get_logger().setLevel("CRITICAL")
    libraries = peak()
    if in_memory:
        from heart_disease.training.engine import train as train_in_memory

        frame = pd.concat(list(Part(path).chunks(SHUFFLE_ROWS))).astype("float64")
        everyone, labels = np.arange(len(frame)), schema.label(frame).to_numpy()
        inputs = Inputs.fitted(frame, [everyone])
        steps, marks = -(-len(frame) // params.batch_size), []
        job = Job(replace(params, epochs=max(EPOCHS, 1000 // steps)), everyone, np.arange(0))
        train_in_memory(inputs, labels, [job], progress=lambda done, _: marks.append((done, time.perf_counter())))
        (first, started), (last, ended) = marks[0], marks[-1]
        seconds = (ended - started) / (last - first) * steps
    else:
        from heart_disease.training.distributed import train

        times: list[float] = []
        train(path, params, Cluster.from_environment(), progress=lambda *_: times.append(time.perf_counter()))
        seconds = min(np.diff(times))
    return {"seconds": float(seconds), "peak": peak(), "libraries": libraries}


def peak() -> float:
    """The most megabytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def measure(paths: list[Path], batch: int, in_memory: bool = False) -> dict[str, Any]:
    """Start a process for each part, and return the slowest one's seconds and the largest one's memory."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in paths]
    processes = []
    for index, path in enumerate(paths):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "-m", "benchmarks.speed.distributed", "--worker", str(path), "--batches", str(batch)]
        environment = {**os.environ, "TF_CONFIG": json.dumps(config), "TF_CPP_MIN_LOG_LEVEL": "3"}
        processes.append(
            subprocess.Popen(
                [*command, *["--in-memory"] * in_memory], env=environment, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True,
            )
        )  # fmt: skip
    answers = [json.loads(process.communicate()[0]) for process in processes]
    return {name: max(answer[name] for answer in answers) for name in answers[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="One process against two that train one network together.")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 3_000_000], metavar="N")
    parser.add_argument("--batches", type=int, nargs="+", default=[1024, 8192, 65_536], metavar="B")
    parser.add_argument("--worker", metavar="PART", help=argparse.SUPPRESS)
    parser.add_argument("--in-memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        params = replace(MANY_ROWS, epochs=EPOCHS, batch_size=options.batches[0])
        print(json.dumps(work(options.worker, params, options.in_memory)))
        return
    print(f"{os.cpu_count()} cores, shared by both workers; {MANY_ROWS.title}\n")
    print("| rows | batch | steps | one, s | two, s | memory, s | one, MB | two, MB each | memory, MB |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    libraries = 0.0
    for n in options.rows:
        with tempfile.TemporaryDirectory() as temporary:
            whole, *parts = (Path(temporary, f"{name}.parquet") for name in ("all", "first", "second"))
            for seed, (path, rows) in enumerate(zip((whole, *parts), (n, n // 2, n - n // 2), strict=True)):
                write_rows(path, rows, seed)
            for batch in options.batches:
                found = [measure([whole], batch), measure(parts, batch), measure([whole], batch, in_memory=True)]
                seconds = " | ".join(f"{one['seconds']:.2f}" for one in found)
                peaks = " | ".join(f"{one['peak']:.0f}" for one in found)
                print(f"| {n:,} | {batch:,} | {-(-n // batch):,} | {seconds} | {peaks} |", flush=True)
                libraries = max(libraries, *(one["libraries"] for one in found))
    print(f"\n{libraries:.0f} MB of the memory are the imported libraries.")


if __name__ == "__main__":
    main()
