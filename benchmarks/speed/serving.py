"""The scoring API under load from another process, against MLflow's stock scoring server on the same model.

Measured: seconds from the start of the command to the first good answer; resident memory of its processes after the
load; latency (median and 99th percentile) and requests per second over keep-alive connections on this machine, in turn,
round by round. Then the API alone: what an explanation and a CSV file cost its process, and its answers while the
champion moves, of which all except 200 are counted. The versions are trained as `heart train` trains them.

The client is Python's own, with a thread for each connection; it uses the same cores, for both servers alike.
Not measured: a network between them, TLS, several workers.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from benchmarks import ROOT
from heart_disease import registry
from heart_disease.cli.main import ENVIRONMENT
from heart_disease.data import sources
from heart_disease.evaluation import by_rows
from heart_disease.evaluation.contest import Contest
from heart_disease.evaluation.settings import EvaluationOptions
from heart_disease.model import schema
from heart_disease.processes.loopback import free_port
from heart_disease.training import engine
from heart_disease.training.recipe import RecipeOptions

CASES = {"1 row, 1 connection": (1, 1), "1 row, 8 connections": (1, 8), "100 rows, 1 connection": (100, 1)}
START_SECONDS = 120
CSV_BYTES = 1_000_000  # a little less than the largest body


@dataclass
class Server:
    """A server, or a protocol of one. body: makes the body of a request for that many rows."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    path: str
    body: Callable[[int], bytes]
    start: float = 0.0
    found: dict[str, list[Load]] = field(default_factory=dict)

    def memory(self) -> float:
        """MB of all its processes."""
        top = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in [top, *top.children(recursive=True)]) / 1e6


@dataclass(frozen=True)
class Load:
    """milliseconds: per request. rate: requests per second of all connections together. statuses: how many of each."""

    milliseconds: list[float]
    rate: float
    statuses: Counter[int | str]


def rows(count: int) -> list[dict[Any, Any]]:
    """The first patients of the bundled file, as JSON has them."""
    frame = sources.load().frame[list(schema.INPUT_NAMES)].head(count)
    return frame.astype("object").where(frame.notna(), None).to_dict("records")


def ours(count: int) -> bytes:
    """A request to `heart serve`."""
    return json.dumps({"patients": rows(count)}).encode()


def stock(count: int) -> bytes:
    """A request to MLflow's server."""
    data = [list(row.values()) for row in rows(count)]
    return json.dumps({"dataframe_split": {"columns": list(schema.INPUT_NAMES), "data": data}}).encode()


def make_versions(count: int) -> None:
    """Register versions of the default recipe, with all that a training ships."""
    frame = sources.load().frame
    evaluation = by_rows.evaluation_for(len(frame), EvaluationOptions())
    for seed in range(count):
        recipe = by_rows.recipe_for(len(frame), RecipeOptions(seed=seed))
        contest = Contest.on(frame, recipe, evaluation)
        networks = engine.train(contest.inputs, contest.labels, contest.jobs)
        model = contest.model(networks, recipe.members, contest.threshold(networks, recipe.members))
        with registry.open_run(f"seed {seed}", {}) as run:
            registry.log_model(run, model, frame.head(2))
    registry.move_champion(registry.by_version("1"), expected=None, kind="by hand", why="a benchmark")


@contextmanager
def start(name: str, command: list[str], port: int, health: str, path: str, body: Any) -> Iterator[Server]:
    """Start a server and wait until it answers; end it and all that it started at the end."""
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        # MLflow's server starts uvicorn by its name.
        env={
            **os.environ, "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
    )  # fmt: skip
    try:
        while not answers(port, health):
            if process.poll() is not None or time.monotonic() - started > START_SECONDS:
                raise SystemExit(f"{name} did not start: {' '.join(command)}")
            time.sleep(0.02)
        yield Server(name, process, port, path, body, time.monotonic() - started)
    finally:
        with suppress(psutil.NoSuchProcess):
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                one.kill()
        process.wait()


def answers(port: int, path: str) -> bool:
    """Whether the server answers with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def load(server: Server, count: int, connections: int, until: Callable[[], bool]) -> Load:
    """Send requests over that many connections until `until` says that it is enough."""
    body, times, statuses = server.body(count), list[float](), Counter[int | str]()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        while not until():
            asked = time.perf_counter()
            try:
                connection.request("POST", server.path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                statuses[response.status] += 1
            except (OSError, http.client.HTTPException) as error:
                statuses[type(error).__name__] += 1
                connection.close()
            times.append((time.perf_counter() - asked) * 1000)

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(times, len(times) / (time.perf_counter() - started), statuses)


def after(seconds: float) -> Callable[[], bool]:
    """A function that says whether that much time has passed since now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def table(servers: list[Server]) -> str:
    """The table in Markdown, with medians over the rounds."""
    lines = ["| load | server | p50, ms | p99, ms | requests/s | not 200 |", "|---|---|---:|---:|---:|---:|"]
    for case in CASES:
        for server in servers:
            loads = server.found[case]
            p50, p99 = (median(float(np.percentile(it.milliseconds, q)) for it in loads) for q in (50, 99))
            bad = sum(number for it in loads for status, number in it.statuses.items() if status != 200)
            rate = median(it.rate for it in loads)
            lines.append(f"| {case} | {server.name} | {p50:.2f} | {p99:.2f} | {rate:.0f} | {bad} |")
    return "\n".join(lines)


def costs(server: Server, asked: int = 20) -> str:
    """Processor time of the server's process for an explanation, and for a CSV file of almost the largest size."""
    lines = (rows := sources.load().frame[list(schema.INPUT_NAMES)]).to_csv(index=False).splitlines(keepends=True)
    patients = CSV_BYTES // max(map(len, lines))
    bodies = {
        "/explain": (ours(1), "application/json", "an explanation"),
        "/predict.csv": (
            "".join([lines[0], *(lines[1 + k % len(rows)] for k in range(patients))]).encode(), "text/csv",
            f"a CSV file of {patients:,} patients",
        ),
    }  # fmt: skip
    process, said = psutil.Process(server.process.pid), []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for path, (body, kind, what) in bodies.items():
        before = sum(process.cpu_times()[:2])  # counted in hundredths of a second, hence over all requests
        for _ in range(asked):
            connection.request("POST", path, body, {"Content-Type": kind})
            response = connection.getresponse()
            if response.status != 200:
                raise SystemExit(f"{path} answers with {response.status}: {response.read()[:200]!r}")
            response.read()
        said.append(f"{what} takes {(sum(process.cpu_times()[:2]) - before) / asked:.3f} s of processor time")
    connection.close()
    return "; ".join(said) + f" (means of {asked})."


def move(server: Server, moves: int, versions: int) -> str:
    """Load over 8 connections while the champion moves; each move waits until the one before is served."""
    done = threading.Event()
    found: list[Load] = []
    asking = threading.Thread(target=lambda: found.append(load(server, 1, 8, done.is_set)))
    asking.start()
    present = registry.by_version("1")
    for number in range(1, moves + 1):
        wanted = str(number % versions + 1)
        ref = registry.by_version(wanted)
        registry.move_champion(ref, expected=present, kind="by hand", why="a benchmark")
        present = ref
        while served(server) != wanted:
            time.sleep(0.1)
    done.set()
    asking.join()
    [it] = found
    bad = sum(count for status, count in it.statuses.items() if status != 200)
    p50, p99, most = np.percentile(it.milliseconds, [50, 99, 100])
    return (
        f"{moves} moves of the champion under load over 8 connections: {len(it.milliseconds)} requests, {bad} not "
        f"answered with 200; p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {most:.1f} ms."
    )


def served(server: Server) -> str:
    """The version that the server answers with now."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", "/model")
    version = str(json.loads(connection.getresponse().read())["version"])
    connection.close()
    return version


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The scoring API under load, against MLflow's stock scoring server.")
    parser.add_argument("--seconds", type=float, default=10, help="seconds of load per case and round (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--moves", type=int, default=20, help="moves of the champion under load (default 20)")
    options = parser.parse_args()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)
        make_versions(3)
        first, second = free_port(), free_port()
        serve = [sys.executable, "-m", "heart_disease", "serve", "--port", str(first)]
        mlflow = [
            sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-m",
            "models:/heart-disease/1", "--port", str(second),
        ]  # fmt: skip
        with (
            start("heart serve", serve, first, "/health", "/predict", ours) as api,
            start("mlflow models serve", mlflow, second, "/ping", "/invocations", stock) as other,
        ):
            protocol = replace(api, name="heart serve, MLflow's protocol", path="/invocations", body=stock, found={})
            asked = [api, protocol, other]
            for _ in range(options.rounds):
                for case, (count, connections) in CASES.items():
                    for server in asked:
                        found = load(server, count, connections, after(options.seconds))
                        server.found.setdefault(case, []).append(found)
            print(f"{os.cpu_count()} cores, {options.rounds} rounds of {options.seconds:g} s, medians.\n")
            print(table(asked))
            for it in (api, other):
                print(f"\n{it.name}: {it.start:.1f} s to the first answer, {it.memory():.0f} MB after the load")
            print(f"\n{costs(api)}")
            print(f"\n{move(api, options.moves, 3)}")
        os.chdir(ROOT)


if __name__ == "__main__":
    main()
