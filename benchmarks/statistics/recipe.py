"""How the default preset was chosen: out-of-fold log loss of 54 recipes at every epoch.

29-16-1, adam, batches of 32; weight decay x learning rate x dropout; 3 repeats of 10 stratified folds for each seed.
The loss is that of the watched rows at the end of every epoch, each patient weighing the same. A recipe's best
epoch is that of its mean over the seeds, and its plateau is the epochs around it whose mean loss is within 0.001 of the
best: if the plateau is wide, the exact epoch does not matter. The best of many looks better than it is, because it was
chosen. The seeds, which also draw the folds, move every recipe by 0.01, far more than neighbours in the list differ:
those are ties. Not searched: the shape, the batch size, the activation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from heart_disease.data import sources
from heart_disease.evaluation import contest, folds
from heart_disease.evaluation.estimates import Numbers
from heart_disease.model import schema
from heart_disease.training.engine import TEST_LOSS, train
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import LECTURE, Recipe

DECAYS = (0.0, 0.3, 0.5, 1.0, 2.0, 3.0)
RATES = (5e-4, 1e-3, 2e-3)
DROPOUTS = (0.0, 0.25, 0.5)
FOLDS, REPEATS = 10, 3
TOLERANCE = 0.001
SHOWN = 15


def losses(recipes: Sequence[Recipe], seed: int) -> Numbers:
    """Out-of-fold log loss (recipes, epochs); nan after a recipe's last epoch. One call trains them all."""
    table = sources.load()
    labels = schema.label(table.frame).to_numpy()
    splits = folds.cross_validation(labels, FOLDS, REPEATS, seed)
    inputs = Inputs.fitted(table.frame, [rows for rows, _ in splits.pairs])
    fits = len(splits.pairs)
    jobs = [job for recipe in recipes for job in contest.fold_jobs(replace(recipe, seed=seed), splits)]
    curves = train(inputs, labels.astype(np.float32), jobs).curves[TEST_LOSS]
    weights = np.array([len(test) for _, test in splits.pairs], np.float64)
    by_fold = curves.reshape(len(recipes), fits, -1).astype(np.float64)
    return np.einsum("rfe,f->re", by_fold, weights / weights.sum())


def plateau(curve: Numbers) -> tuple[int, int, int]:
    """The best epoch of a loss curve, and the first and last epoch around it within `TOLERANCE`; counted from 1."""
    best = int(np.argmin(curve))
    outside = np.flatnonzero(curve > curve[best] + TOLERANCE)
    first = outside[outside < best].max(initial=-1) + 1
    last = outside[outside > best].min(initial=len(curve)) - 1
    return best + 1, int(first) + 1, int(last) + 1


def line(recipe: Recipe, epoch: int, at: Numbers, around: str) -> str:
    """A row of the table. at: the loss of each seed."""
    by_seed = " | ".join(f"{loss:.4f}" for loss in at)
    how = f"{recipe.weight_decay:g} | {recipe.learning_rate:g} | {recipe.dropout:g}"
    return f"| {how} | {epoch} | {at.mean():.4f} | {by_seed} | {around} |"


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description="Compare recipes by their out-of-fold log loss at every epoch.")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of folds and networks (default 2)")
    parser.add_argument("--epochs", type=int, default=260)
    options = parser.parse_args()
    started = time.perf_counter()

    recipes: list[Recipe] = []
    found: list[Numbers] = []  # (seeds, epochs) of each recipe
    for dropout in DROPOUTS:
        batch = [
            Recipe(weight_decay=decay, learning_rate=rate, dropout=dropout, epochs=options.epochs)
            for decay, rate in product(DECAYS, RATES)
        ]
        recipes += batch
        found += list(np.stack([losses(batch, seed) for seed in range(options.seeds)], axis=1))
    presets = [Recipe(), LECTURE]
    own = np.stack([losses(presets, seed) for seed in range(options.seeds)], axis=1)  # (presets, seeds, epochs)

    trained = (len(recipes) + len(presets)) * FOLDS * REPEATS * options.seeds
    print(f"{len(recipes)} recipes, {trained} networks, {time.perf_counter() - started:.0f} s\n")
    seeds = " | ".join(f"seed {seed}" for seed in range(options.seeds))
    print(f"| decay | rate | dropout | epoch | log loss | {seeds} | within {TOLERANCE} |")
    print("|---:" * (6 + options.seeds) + "|")
    ranked = sorted(zip(recipes, found, strict=True), key=lambda pair: pair[1].mean(axis=0).min())
    for recipe, curves in ranked[:SHOWN]:
        epoch, first, last = plateau(curves.mean(axis=0))
        print(line(recipe, epoch, curves[:, epoch - 1], f"{first}-{last}, {last - first + 1} epochs"))
    for (name, preset), curves in zip({"default": Recipe(), "lecture": LECTURE}.items(), own, strict=True):
        print(line(preset, preset.epochs, curves[:, preset.epochs - 1], f"the preset `{name}`, at its own epoch"))


if __name__ == "__main__":
    main()
