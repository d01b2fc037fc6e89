"""How often `heart monitor` cries wolf, and how often it sees a change that is there.

Each trial is a training set of 303 patients, a network with its out-of-fold probabilities, and batches of patients that
it does not know, from a population whose truth is known (population.py). A clean batch comes from the same population;
in the others one column was changed.

    python -m benchmarks.statistics.drift --trials 300        about ten minutes on two cores
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from benchmarks.statistics.error_rates import Trial, probabilities
from benchmarks.statistics.population import Population
from heart_disease.evaluation import folds
from heart_disease.evaluation.folds import Splits
from heart_disease.evaluation.other_patients import drift
from heart_disease.evaluation.other_patients.drift import Drift, Scored
from heart_disease.training.recipe import Recipe

TRAINED, FOLDS, TOGETHER = 303, 10, 25
SIZES = (20, 100, 1000)
CHANGES: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "none": lambda frame: frame,
    "8 years older": lambda frame: frame.assign(age=(frame["age"] + 8).clip(upper=100)),
    "cholesterol 15 % higher": lambda frame: frame.assign(chol=frame["chol"] * 1.15),
    "sex swapped": lambda frame: frame.assign(sex=1 - frame["sex"]),
    "a third of the scans blank": lambda frame: frame.assign(thal=frame["thal"].where(frame.index % 3 > 0)),
}


def trial(population: Population, seed: int) -> Trial:
    """The patients that are learned from, in folds, and below them as many others for each of `CHANGES`.

    Each row is tested once: the first ones by the fold that did not learn from them, the others by the network of all.
    """
    most = max(SIZES)
    frame, labels, truth = population.draw(TRAINED + most, np.random.default_rng(seed))
    splits = folds.cross_validation(labels[:TRAINED], FOLDS, 1, seed)
    changed = [change(frame[TRAINED:]) for change in CHANGES.values()]
    everything = pd.concat([frame[:TRAINED], *changed], ignore_index=True)
    labels, truth = (np.concatenate([one[:TRAINED], *([one[TRAINED:]] * len(CHANGES))]) for one in (labels, truth))
    shipped = (np.arange(TRAINED), np.arange(TRAINED, len(everything)))
    return Trial(everything, labels, truth, Splits((*splits.pairs, shipped), 1, ""), seed)


def found(population: Population, seeds: range) -> Iterator[tuple[str, int, Drift]]:
    """What is found in the batches of these trials, by change and size."""
    trials = [trial(population, seed) for seed in seeds]
    answers = probabilities(trials, [Recipe()])[Recipe()]
    for one, (p,) in zip(trials, answers, strict=True):
        before = one.frame[:TRAINED]
        known = Scored(p[:TRAINED], one.labels[:TRAINED])
        for i, name in enumerate(CHANGES):
            for size in SIZES:
                rows = slice(TRAINED + i * max(SIZES), TRAINED + i * max(SIZES) + size)
                yield name, size, drift.compare(before, one.frame[rows], known, Scored(p[rows], one.labels[rows]))


def main() -> None:
    """Print the share of batches in which something was found, by change and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300)
    trials = parser.parse_args().trials
    population, alarms, causes = Population(), Counter[tuple[str, int]](), Counter[str]()
    for first in range(0, trials, TOGETHER):
        for name, size, its in found(population, range(first, min(first + TOGETHER, trials))):
            alarms[name, size] += bool(its.shifted)
            causes.update(test.what for test in its.shifted if name == "none")
    print(f"| change | {' | '.join(f'{size} patients' for size in SIZES)} |")
    print(f"|---|{'---:|' * len(SIZES)}")
    for name in CHANGES:
        print(f"| {name} | {' | '.join(f'{alarms[name, size] / trials:.1%}' for size in SIZES)} |")
    print("False alarms by test:", ", ".join(f"{what} {n}" for what, n in causes.most_common()) or "none")


if __name__ == "__main__":
    main()
