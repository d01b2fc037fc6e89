"""How should a network be trained and judged on n patients? Simulated patients, whose true probabilities are known.

The patients are those of population.py, with terms added to the truth that no such network has. The excess is how much
the log loss on 200,000 other patients lies above that of the truth itself: 0 is perfect.

    python -m benchmarks.statistics.by_rows           the recipe: steps and epochs around what the rule chooses, by rows
    python -m benchmarks.statistics.by_rows --judged  the evaluation: width of the intervals, and seconds
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from benchmarks.statistics.population import Population
from heart_disease.data import sources
from heart_disease.evaluation import by_rows
from heart_disease.evaluation.contest import LOGISTIC, NETWORK, Contest
from heart_disease.evaluation.estimates import Numbers
from heart_disease.evaluation.settings import Evaluation, EvaluationOptions
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.patient_model import PatientModel
from heart_disease.training import engine
from heart_disease.training.batches import Job
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import Recipe, RecipeOptions

POPULATION = cache(Population)
SIZES = (300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
TESTED = 200_000


def patients(rows: int, seed: int) -> tuple[pd.DataFrame, Numbers]:
    """Patients with a label, and their true probabilities (n,)."""
    rng = np.random.default_rng(seed)
    frame, _, smooth = POPULATION().draw(rows, rng)
    bundled = sources.load().frame
    z = {name: (frame[name] - bundled[name].mean()) / bundled[name].std() for name in ("age", "thalach", "oldpeak")}
    beyond = 0.5 * np.sin(2 * z["age"]) - 0.4 * z["thalach"] * z["oldpeak"].clip(upper=3)
    p = expit(logit(smooth) + beyond.to_numpy())
    return frame.assign(num=rng.binomial(1, p).astype(float)), p


def excess(recipe: Recipe, frame: pd.DataFrame, tested: pd.DataFrame, p: Numbers) -> tuple[float, float]:
    """How far the log loss of a network lies above the truth's, and the seconds of its training."""
    labels, everyone = schema.label(frame).to_numpy(), np.arange(len(frame))
    started = time.perf_counter()
    networks = engine.train(
        Inputs.fitted(frame, [everyone]), labels, [Job(recipe, everyone, np.arange(0))], device="cpu"
    )
    seconds = time.perf_counter() - started
    model = PatientModel(Encoder.fit(frame), networks.keras(0, 29))
    answers = model.network.predict(model.encoder.transform(tested), batch_size=65536, verbose=0)
    return divergence(p, np.clip(np.asarray(answers, np.float64)[:, 0], 1e-7, 1 - 1e-7)), seconds


def divergence(p: Numbers, q: Numbers) -> float:
    """How far the log loss of `q` lies above that of the truth `p`: the mean over all labels that it may give."""
    return float((p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean())


def by_recipe(sizes: list[int]) -> None:
    """The rule's recipe, and others around it."""
    tested, p = patients(TESTED, 99)
    print("| rows | rows per step | epochs | excess | of the truth's loss | s |\n|---:|---:|---:|---:|---:|---:|")
    entropy = float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())
    for rows in sizes:
        frame, _ = patients(rows, rows)
        rule = by_rows.recipe_for(rows, RecipeOptions())
        around = {(size, rule.epochs) for size in (rule.batch_size // 4, rule.batch_size, 4 * rule.batch_size)}
        around |= {(rule.batch_size, rule.epochs * 2), (rule.batch_size, max(1, rule.epochs // 2)), (32, 75)}
        for size, epochs in sorted(around):
            if size < 8 or (size == 32 and rows > 100_000):
                continue
            found = [
                excess(replace(rule, batch_size=size, epochs=epochs, seed=seed), frame, tested, p)
                for seed in range(3 if rows < 100_000 else 1)
            ]
            gap, seconds = np.mean(found, axis=0)
            mark = " (rule)" if (size, epochs) == (rule.batch_size, rule.epochs) else ""
            line = f"| {rows:,} | {size:,}{mark} | {epochs} | {gap:.4f} | {gap / entropy:.2%} | {seconds:.1f} |"
            print(line, flush=True)


def by_evaluation(sizes: list[int]) -> None:
    """What each way of judging says, and how surely."""
    ways = [Evaluation(), Evaluation(repeats=1), Evaluation(holdout=0.2)]
    print("| rows | judged by | log loss, half its interval | minus logistic regression, half | excess shipped | s |")
    print("|---:|---|---:|---:|---:|---:|")
    tested, p = patients(TESTED, 99)
    for rows in sizes:
        frame, _ = patients(rows, rows)
        recipe, chosen = by_rows.recipe_for(rows, RecipeOptions()), by_rows.evaluation_for(rows, EvaluationOptions())
        for way in ways:
            if rows > 100_000 and way.holdout is None:
                continue
            started = time.perf_counter()
            contest = Contest.on(frame, recipe, way)
            networks = engine.train(contest.inputs, contest.labels, contest.jobs, device="cpu")
            report = contest.report(networks)
            model = contest.model(networks, 1)
            seconds = time.perf_counter() - started
            gap = divergence(p, model.predict(tested)["probability"].to_numpy())
            loss, apart = report.metrics[NETWORK]["log_loss"], report.differences[LOGISTIC]
            mark = " (rule)" if way == chosen else ""
            how = f"{way.folds} folds x {way.repeats}" if way.holdout is None else f"{way.holdout:g} held out"
            halves = " | ".join(f"{(one.high - one.low) / 2:.4f}" for one in (loss, apart))
            print(f"| {rows:,} | {how}{mark} | {halves} | {gap:.4f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judged", action="store_true")
    parser.add_argument("--rows", type=int, nargs="*", default=list(SIZES))
    options = parser.parse_args()
    (by_evaluation if options.judged else by_recipe)(options.rows)
