"""What a loss landscape (`heart train --landscape`) adds to a training: processor time and memory, beside the estimate.

    python -m benchmarks.speed.landscape

Each network is looked at in a process of its own, after it was trained, so that what the libraries need is not counted.
Memory is looked at every 20 ms.
"""

from __future__ import annotations

import multiprocessing
import threading
import time

import psutil

from heart_disease.data import sources
from heart_disease.evaluation import by_rows
from heart_disease.evaluation.contest import Contest
from heart_disease.evaluation.settings import Evaluation
from heart_disease.reporting import landscape
from heart_disease.training import engine
from heart_disease.training.recipe import RecipeOptions
from tests.harness.data import patients

# Patients and hidden layers; at most `landscape.MOST_ROWS` patients are looked at.
CASES = ((303, (16,)), (303, (128, 128)), (1000, (128, 128)), (1000, (600,)), (1000, (256, 256)), (20_000, (16,)))


def measure(rows: int, hidden: tuple[int, ...]) -> str:
    """A line of the table."""
    frame = sources.load().frame if rows == 303 else patients.make(rows)
    recipe = by_rows.recipe_for(rows, RecipeOptions(hidden=hidden))
    contest = Contest.on(frame, recipe, Evaluation(folds=2, repeats=1))
    engine.train(contest.inputs, contest.labels, contest.jobs)
    process, ended, most = psutil.Process(), threading.Event(), [0]
    before = process.memory_info().rss

    def look() -> None:
        while not ended.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    start = time.process_time()
    landscape.of_training(contest, "cpu", "run 1")
    seconds = time.process_time() - start
    ended.set()
    looking.join()
    guess = landscape.cost_of_landscape(rows, recipe)
    shape = "-".join(map(str, recipe.widths))
    figures = f"{seconds:.1f} | {(most[0] - before) / 2**20:.0f} | {guess.seconds:.0f} | {guess.bytes / 2**20:.0f}"
    return f"| {rows:,} | {shape} | {recipe.size:,} | {figures} |"


def main() -> None:
    """Measure each case, and print a table."""
    print("| patients | network | weights | seconds | MiB | expected, s | MiB |\n|---:|---|---:|---:|---:|---:|---:|")
    for rows, hidden in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.apply(measure, (rows, hidden)), flush=True)


if __name__ == "__main__":
    main()
