"""How often a verdict errs: champion and challenger on hundreds of data sets whose truth is known.

The population: see population.py. Nothing here shows what happens if many challengers are tried on the same patients:
the best of twenty equal ones looks better than it is.

The trials. Each is a data set of n patients with folds and seeds of its own, judged as `heart train` judges: the same
folds and seeds for both recipes, `estimates.difference`, `verdict.compare`. The recipes of a table share its data sets,
so its lines are not independent of each other. All trials of a call are trained at once.

The truth. The difference in log loss, on an unlimited number of patients, of networks that learned from fresh samples
of n; the mean over many samples, scored with the known probabilities. Cross-validation learns from n (k - 1) / k
instead; that difference is printed beside it.

It takes an hour or more. What is trained is kept in `--keep`, call by call, under names that depend on everything that
decides it except the code: the same command continues from there, and more trials cost only themselves.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.statistics.population import Population
from heart_disease.evaluation import contest, estimates, folds, verdict
from heart_disease.evaluation.estimates import Estimate, Numbers
from heart_disease.evaluation.folds import Splits
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.training.batches import Ints
from heart_disease.training.engine import train
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import LECTURE, Recipe

FOLDS = Evaluation().folds
SAMPLES_TOGETHER = 500  # samples of the truth that are trained in one call
SCORED = 1000  # patients on whom each network of the truth is scored
OTHER_SEED = 2**30  # added to a trial's seed for a recipe with seed 1
KINDS = (verdict.BETTER, verdict.NOT_WORSE, verdict.WORSE, verdict.INCONCLUSIVE)
METHODS = ("widened", "plain", "t")
HEADINGS = (
    "challenger against champion", "repeats", "true", "mean found", "its SD", "half width", "widening needed", "given",
    "interval holds the truth", "without widening", "corrected t",
)  # fmt: skip
NOBODY: Ints = np.arange(0)


@dataclass(frozen=True)
class Trial:
    """A data set, its folds, and the seed of both. labels: (n,); truth: (n,) the probabilities they were drawn with."""

    frame: pd.DataFrame
    labels: Numbers
    truth: Numbers
    splits: Splits
    seed: int


@dataclass(frozen=True)
class Pair:
    """What is compared. With seed 1 a recipe's networks have other seeds on every trial, but the same folds."""

    title: str
    champion: Recipe
    challenger: Recipe


@dataclass(frozen=True)
class Setting:
    """Data sets of `n` patients, and what is compared on them.

    samples: how many are drawn to find the truth. together: how many trials are trained in one call.
    """

    n: int
    repeats: int
    samples: int
    together: int
    pairs: Sequence[Pair]

    @property
    def recipes(self) -> list[Recipe]:
        """All recipes that are compared, each once."""
        return list(dict.fromkeys(recipe for pair in self.pairs for recipe in (pair.champion, pair.challenger)))


DEFAULT = Recipe()
UNDECAYED = replace(DEFAULT, weight_decay=0.0)
SETTINGS = (
    Setting(
        303, 5, 600, 40,
        [
            Pair("the same recipe, other seeds", DEFAULT, replace(DEFAULT, seed=1)),
            Pair("32 units, 50 epochs", DEFAULT, replace(DEFAULT, hidden=(32,), epochs=50)),
            Pair("dropout 0.25, 90 epochs", DEFAULT, replace(DEFAULT, dropout=0.25, epochs=90)),
            Pair(
                "decay 3, against no decay and 90 epochs",
                replace(UNDECAYED, epochs=90), replace(DEFAULT, weight_decay=3.0),
            ),
            Pair("no decay, 65 epochs", DEFAULT, replace(UNDECAYED, epochs=65)),
            Pair("no decay, 90 epochs", DEFAULT, replace(UNDECAYED, epochs=90)),
            Pair("decay 3", DEFAULT, replace(DEFAULT, weight_decay=3.0)),
            Pair("decay 4.5", DEFAULT, replace(DEFAULT, weight_decay=4.5)),
            Pair("decay 8", DEFAULT, replace(DEFAULT, weight_decay=8.0)),
        ],
    ),
    Setting(
        303, 5, 300, 25,
        [
            Pair("the lecture's recipe against itself, other seeds", LECTURE, replace(LECTURE, seed=1)),
            Pair("the lecture's recipe, 150 epochs", DEFAULT, replace(LECTURE, epochs=150)),
            Pair("the lecture's recipe", DEFAULT, LECTURE),
        ],
    ),
    Setting(
        3000, 5, 100, 10,
        [
            Pair("the same recipe, other seeds", DEFAULT, replace(DEFAULT, seed=1)),
            Pair("decay 1.62, against no decay", UNDECAYED, replace(DEFAULT, weight_decay=1.62)),
            Pair("no decay", DEFAULT, UNDECAYED),
            Pair("decay 2", DEFAULT, replace(DEFAULT, weight_decay=2.0)),
            Pair("decay 2.5", DEFAULT, replace(DEFAULT, weight_decay=2.5)),
            Pair("decay 4", DEFAULT, replace(DEFAULT, weight_decay=4.0)),
            Pair("decay 8", DEFAULT, replace(DEFAULT, weight_decay=8.0)),
        ],
    ),
)  # fmt: skip


def trial(population: Population, n: int, k: int, repeats: int, seed: int) -> Trial:
    """A data set of `n` patients, cut into folds."""
    frame, labels, truth = population.draw(n, np.random.default_rng(seed))
    return Trial(frame, labels, truth, folds.cross_validation(labels, k, repeats, seed), seed)


def sample(population: Population, n: int, seed: int) -> Trial:
    """A training set of `n` patients, and `SCORED` others to test on: one split."""
    frame, labels, truth = population.draw(n + SCORED, np.random.default_rng([seed, n]))
    splits = Splits(((np.arange(n), np.arange(n, n + SCORED)),), 1, "")
    return Trial(frame, labels, truth, splits, seed)


def probabilities(trials: Sequence[Trial], recipes: Sequence[Recipe]) -> dict[Recipe, list[Numbers]]:
    """The probabilities (R, tested rows) by each recipe on each trial. One call trains them all.

    The trials must have equally many rows: they stand one below the other, and each pair of each trial has a matrix.
    """
    n = len(trials[0].frame)
    parts = [rows + t * n for t, trial in enumerate(trials) for rows, _ in trial.splits.pairs]
    inputs = Inputs.fitted(pd.concat([trial.frame for trial in trials], ignore_index=True), parts)
    labels = np.concatenate([trial.labels for trial in trials])
    jobs = [
        replace(job, rows=job.rows + t * n, watch=job.watch + t * n, matrix=job.matrix + t * len(trial.splits.pairs))
        for recipe in recipes
        for t, trial in enumerate(trials)
        for job in contest.fold_jobs(replace(recipe, seed=trial.seed + OTHER_SEED * recipe.seed), trial.splits)
    ]
    # No rows are watched during training, because that would be most of the work.
    networks = train(inputs, labels.astype(np.float32), [replace(job, watch=NOBODY) for job in jobs])
    answers = (answer[-1] for answer in replace(networks, jobs=tuple(jobs)).watched(inputs))
    return {
        recipe: [trial.splits.out_of_fold([next(answers) for _ in trial.splits.pairs]) for trial in trials]
        for recipe in recipes
    }


def intervals(trial: Trial, ours: Numbers, theirs: Numbers, repeats: int) -> dict[str, Estimate]:
    """95 % intervals of the difference in log loss by each of `METHODS`, from the first `repeats` repeats."""
    splits, ours, theirs = shortened(trial.splits, repeats), ours[:repeats], theirs[:repeats]
    weights = estimates.resamples(len(trial.labels), trial.seed)
    return {
        "widened": estimates.difference(trial.labels, ours, theirs, weights, splits.widening),
        "plain": estimates.difference(trial.labels, ours, theirs, weights),
        "t": corrected_t(trial.labels, ours, theirs, splits),
    }


def shortened(splits: Splits, repeats: int) -> Splits:
    """Only the first repeats of `splits`."""
    return Splits(splits.pairs[: len(splits.pairs) * repeats // splits.repeats], repeats, "")


def corrected_t(labels: Numbers, ours: Numbers, theirs: Numbers, splits: Splits) -> Estimate:
    """Nadeau and Bengio's corrected resampled t interval, from the mean difference of each pair's test rows."""
    folds = len(splits.pairs) // splits.repeats
    means = np.array(
        [
            (estimates.losses(y, ours[r : r + 1, test]) - estimates.losses(y, theirs[r : r + 1, test])).mean()
            for r, test, y in ((i // folds, test, labels[test]) for i, (_, test) in enumerate(splits.pairs))
        ]
    )  # (J,)
    n1, n2 = (np.mean([len(pair[part]) for pair in splits.pairs]) for part in (0, 1))
    half = stats.t.ppf(0.975, len(means) - 1) * np.sqrt((1 / len(means) + n2 / n1) * means.var(ddof=1))
    return Estimate(float(means.mean()), float(means.mean() - half), float(means.mean() + half))


def simulate(
    population: Population, setting: Setting, trials: int, seed: int, keep: Path
) -> tuple[list[Trial], dict[Recipe, list[Numbers]]]:
    """The trials of a setting, and each recipe's probabilities (R, n) on each of them."""
    made = [trial(population, setting.n, FOLDS, setting.repeats, seed + t) for t in range(trials)]
    return made, together(made, setting.recipes, setting.together, keep)


def together(trials: Sequence[Trial], recipes: Sequence[Recipe], most: int, keep: Path) -> dict[Recipe, list[Numbers]]:
    """The `probabilities` of each recipe, from at most `most` trials per call; each call's result is kept."""
    found: dict[Recipe, list[Numbers]] = {recipe: [] for recipe in recipes}
    for start in range(0, len(trials), most):
        # Recipes with the same seed take their rows in the same order, so they are trained side by side.
        for seed in sorted({recipe.seed for recipe in recipes}):
            alike = [recipe for recipe in recipes if recipe.seed == seed]
            for recipe, each in zip(alike, kept(keep, trials[start : start + most], alike), strict=True):
                found[recipe] += list(each)
    return found


def kept(keep: Path, trials: Sequence[Trial], recipes: Sequence[Recipe]) -> Numbers:
    """The `probabilities` (recipes, trials, R, tested rows), read from the folder if they are there already."""
    n, pairs = len(trials[0].frame), len(trials[0].splits.pairs)
    what = [n, pairs, [trial.seed for trial in trials], [str(trial.labels) for trial in trials], recipes]
    path = keep / f"{n} patients {hashlib.sha256(repr(what).encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        started, found = time.perf_counter(), probabilities(trials, recipes)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, np.stack([np.stack(found[recipe]) for recipe in recipes]).astype(np.float32))
        partial.rename(path)
        print(
            f"{n} rows: {len(recipes)} recipes on {len(trials)} data sets, {pairs} networks each: "
            f"{time.perf_counter() - started:.0f} s",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return np.load(path, allow_pickle=False).astype(np.float64)


def expected_losses(
    population: Population, recipes: Sequence[Recipe], n: int, samples: int, seed: int, keep: Path
) -> dict[Recipe, Numbers]:
    """Each recipe's expected log loss (samples,) on other patients, after learning from each sample of `n`."""
    drawn = [sample(population, n, seed + s) for s in range(samples)]
    return {
        recipe: np.array([estimates.losses(t.truth[n:], p).mean() for t, p in zip(drawn, each, strict=True)])
        for recipe, each in together(drawn, recipes, SAMPLES_TOGETHER, keep).items()
    }


def true_difference(pair: Pair, losses: Mapping[Recipe, Numbers]) -> tuple[float, float]:
    """Challenger minus champion, and its standard error; both are 0 if the recipes differ only in the seed."""
    if replace(pair.challenger, seed=pair.champion.seed) == pair.champion:
        return 0.0, 0.0
    each = losses[pair.challenger] - losses[pair.champion]
    return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))


def share(hits: int, of: int) -> str:
    """``2.5 % [1.1, 5.7]``, with Wilson's 95 % interval."""
    interval = stats.binomtest(hits, of).proportion_ci(method="wilson")
    return f"{100 * hits / of:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def verdicts(found: Sequence[Estimate]) -> str:
    """The share of each kind of verdict, as cells of a table."""
    kinds = Counter(verdict.compare(one, Promotion().margin).kind for one in found)
    return " | ".join(share(kinds[kind], len(found)) for kind in KINDS)


def quality(found: Sequence[Mapping[str, Estimate]], truth: float, widening: float) -> str:
    """How good the intervals of a pair are, as cells of a table: see `HEADINGS`."""
    values = np.array([one["plain"].value for one in found])
    halves = {method: np.mean([(one[method].high - one[method].low) / 2 for one in found]) for method in METHODS}
    needed = np.std(values - truth) / (halves["plain"] / stats.norm.ppf(0.975))
    holds = [share(sum(one[m].low <= truth <= one[m].high for one in found), len(found)) for m in METHODS]
    spread = f"{values.mean():+.4f} | {values.std(ddof=1):.4f} | {halves['widened']:.4f}"
    return " | ".join([spread, f"{needed:.2f} | {widening:.2f}", *holds])


def tables(
    setting: Setting, trials: Sequence[Trial], found: Mapping[Recipe, list[Numbers]], losses: Mapping[Recipe, Numbers]
) -> None:
    """Print what was found."""
    how = f"{FOLDS} folds x {setting.repeats} repeats, {len(trials)} trials"
    print(f"\n### {setting.n} patients, {how}\n")
    print(f"| challenger against champion | true difference | {' | '.join(KINDS)} |")
    print("|---|---:|" + "---:|" * len(KINDS))
    lines = []
    for pair in setting.pairs:
        truth, error = true_difference(pair, losses)
        for repeats in sorted({setting.repeats, 1}, reverse=True):
            each = [
                intervals(trial, ours, theirs, repeats)
                for trial, ours, theirs in zip(trials, found[pair.challenger], found[pair.champion], strict=True)
            ]
            if repeats == setting.repeats:
                shown = f"{truth:+.4f} ({error:.4f})" if error else "0"
                print(f"| {pair.title} | {shown} | {verdicts([one['widened'] for one in each])} |")
            widening = shortened(trials[0].splits, repeats).widening
            lines.append(f"| {pair.title} | {repeats} | {truth:+.4f} | {quality(each, truth, widening)} |")
    print(f"\n| {' | '.join(HEADINGS)} |")
    print("|---|" + "---:|" * (len(HEADINGS) - 1))
    print("\n".join(lines), flush=True)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description="Simulate how often the verdict on a challenger errs.")
    parser.add_argument("--trials", type=int, default=200, help="trials per table (default 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("error_rates"), metavar="FOLDER", help="folder for results")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    started, population = time.perf_counter(), Population()
    for setting in SETTINGS:
        trials, found = simulate(population, setting, options.trials, options.seed, options.keep)
        losses = expected_losses(population, setting.recipes, setting.n, setting.samples, options.seed, options.keep)
        tables(setting, trials, found, losses)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
