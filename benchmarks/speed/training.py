"""Training alone, inside one process: K networks at once against Keras `fit` of one.

Every network is 29-16-1, 300 epochs, batches of 32, no decay, on the training part of a fold and watched on the rest.
Measured: `training.engine.train` from call to weights, tracing included, twice for each K; and Keras `fit` of one
network on the same rows with the same validation rows, once. Not measured: imports, reading, encoding, evaluation,
storing. The ratio is K x the time of that one `fit` over our time, because a thousand `fit`s would take too long.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace

import numpy as np

from heart_disease.data import sources
from heart_disease.evaluation import contest, folds
from heart_disease.model import schema
from heart_disease.training.batches import Floats, Job
from heart_disease.training.engine import train
from heart_disease.training.inputs import Inputs
from heart_disease.training.network import build, build_optimizer
from heart_disease.training.recipe import LECTURE, Recipe

FOLDS = 10


def setting(networks: int, recipe: Recipe) -> tuple[Inputs, Floats, list[Job]]:
    """The inputs with K matrices, labels (n,) and the jobs of as many folds of as many repeats as K needs."""
    table = sources.load()
    labels = schema.label(table.frame).to_numpy()
    splits = folds.cross_validation(labels, FOLDS, -(-networks // FOLDS), recipe.seed)
    jobs = contest.fold_jobs(recipe, splits)[:networks]
    return Inputs.fitted(table.frame, [job.rows for job in jobs]), labels.astype(np.float32), jobs


def ours(networks: int, recipe: Recipe) -> float:
    """Seconds to train that many networks at once."""
    inputs, labels, jobs = setting(networks, recipe)
    started = time.perf_counter()
    train(inputs, labels, jobs)
    return time.perf_counter() - started


def keras_fit(recipe: Recipe) -> float:
    """Seconds that Keras takes to fit the first of those networks."""
    inputs, labels, (job,) = setting(1, recipe)
    x = inputs[0]
    started = time.perf_counter()
    model = build(job.recipe, x.shape[1])
    model.compile(optimizer=build_optimizer(job.recipe), loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(
        x[job.rows], labels[job.rows], epochs=recipe.epochs, batch_size=recipe.batch_size,
        validation_data=(x[job.watch], labels[job.watch]), verbose=0,
    )  # fmt: skip
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time the training of K networks at once against Keras fit.")
    parser.add_argument("--networks", type=int, nargs="+", default=[1, 51, 500, 1000], metavar="K")
    parser.add_argument("--epochs", type=int, default=LECTURE.epochs)
    options = parser.parse_args()
    recipe = replace(LECTURE, epochs=options.epochs, weight_decay=0.0)

    import tensorflow as tf

    tf.constant(0.0)  # TensorFlow's own start is not measured
    fit = keras_fit(recipe)
    print(f"{recipe.title}; {os.cpu_count()} cores. Keras fit of one network, measured once: {fit:.2f} s.")
    print("`K fits` is K times that, not measured.\n")
    print("| networks | first call, s | second call, s | s per network | networks per s | K fits / second call |")
    print("|---:|---:|---:|---:|---:|---:|")
    for networks in options.networks:
        first, second = ours(networks, recipe), ours(networks, recipe)
        each, ratio = second / networks, networks * fit / second
        print(f"| {networks} | {first:.2f} | {second:.2f} | {each:.4f} | {1 / each:.1f} | {ratio:.0f} |", flush=True)


if __name__ == "__main__":
    main()
