"""Train one network on more rows than one machine holds: each machine reads its own part, and all step together.

Every machine runs the same program with its own Parquet file and its own TF_CONFIG.
`tf.distribute.MultiWorkerMirroredStrategy` keeps a copy of the network on each and sums their gradients. A step takes
`batch_size` rows from all parts together, from each in proportion to its size: every row counts once per epoch, parts
of different sizes end together, and the result is that of Keras `fit` on the same batches
(tests/training/test_distributed.py). Numbers are scaled by the mean and spread of all rows.

Keras's own `fit` does not run under this strategy (Keras 3.15 on TensorFlow 2.21: "unsupported type PerReplica";
https://github.com/keras-team/keras/issues/20585). Its network, loss and optimizer do, and the loop over the steps is
here. It runs on CPUs: summing 497 gradients takes the time of one message, which no GPU shortens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heart_disease.model.encoding import HOT_CODES, NUMBERS, Encoder
from heart_disease.model.errors import HeartError, RejectedError, UnavailableError, UsageError
from heart_disease.model.patient_model import PatientModel
from heart_disease.training import libraries
from heart_disease.training.network import build, build_optimizer
from heart_disease.training.parts import SHUFFLE_ROWS, Feed, Part, pooled
from heart_disease.training.recipe import Recipe
from heart_disease.training.workers import WAIT, Cluster, Workers

Progress = Callable[[int, float, float], None]


@dataclass(frozen=True)
class Trained:
    """The result of a training, the same on every worker.

    rows: the number in each worker's part. losses, accuracies: (epochs,), means over all rows while the weights move.
    """

    model: PatientModel
    rows: tuple[int, ...]
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]


def train(
    source: str | Path,
    recipe: Recipe,
    cluster: Cluster,
    *,
    shuffle_rows: int = SHUFFLE_ROWS,
    wait: float = WAIT,
    progress: Progress | None = None,
) -> Trained:
    """Do this worker's share of the training. TensorFlow must not have computed anything in this process before.

    source: this worker's part. shuffle_rows: how many rows are held to be shuffled; 0 keeps the file's order.
    wait: seconds to wait for the other workers. progress: called after every epoch with its number (from 1), its loss
        and its accuracy.

    Raises:
        DataError: this worker's part cannot be used; the others end with UnavailableError.
        UsageError: the recipe is gradient descent on all rows at once, or is not the same on all workers.
        UnavailableError: a worker is missing, has ended, or does not answer.
    """
    tf = libraries.tensorflow()

    if recipe.optimizer == "gd":
        raise UsageError("gd takes all rows as one batch, and they are not held in memory here; choose adam or sgd")
    tf.config.set_visible_devices([], "GPU")
    workers = Workers(cluster, wait)
    part, encoder, rows = _agree(source, recipe, workers)
    feed = Feed(part, encoder, rows, cluster.index, recipe.batch_size, shuffle_rows, recipe.seed)
    network, curves = workers.together(lambda: _learn(workers, feed, recipe, progress))
    kept = build(recipe, encoder.width)  # outside the strategy, so it works without the others
    kept.set_weights(network.get_weights())
    return Trained(PatientModel(encoder, kept), rows, *zip(*curves, strict=True))


def _learn(workers: Workers, feed: Feed, recipe: Recipe, progress: Progress | None) -> tuple[Any, list[list[float]]]:
    """The trained network, and loss and accuracy of each epoch."""
    with workers.strategy.scope():
        network, optimizer = build(recipe, feed.encoder.width), build_optimizer(recipe)
        optimizer.build(network.trainable_variables)
    run = _compile(workers.strategy, network, optimizer)
    curves = []
    for epoch in range(recipe.epochs):
        with closing(feed.epoch()) as segments:
            sums = sum(run(*segment).numpy().astype(np.float64) for segment in segments)  # (2,)
        curves.append((workers.gather(sums).sum(axis=0) / sum(feed.sizes)).tolist())
        if progress:
            progress(epoch + 1, *curves[-1])
    return network, curves


def _agree(source: str | Path, recipe: Recipe, workers: Workers) -> tuple[Part, Encoder, tuple[int, ...]]:
    """This worker's part, the encoder of all rows, and the rows of each part."""
    digest = int(hashlib.sha256(json.dumps(recipe.as_dict()).encode()).hexdigest()[:12], 16)  # exact as a float64
    try:
        part = Part(source)
        means, variances, seen, ill = part.summary()
    except HeartError:
        with suppress(UnavailableError):
            workers.gather(np.zeros(3 + 2 * len(NUMBERS) + len(HOT_CODES)))  # the others wait for it
        raise
    every = workers.gather([digest, len(part), ill, *means, *variances, *seen])  # (W, 38)
    rows = every[:, 1]
    if (rows == 0).any():
        names = ", ".join(map(str, np.flatnonzero(rows == 0)))
        raise UnavailableError(f"worker {names} refused its part, and says why. Nothing was trained.")
    if len(np.unique(every[:, 0])) > 1:
        raise UsageError("the workers have different recipes; expected the same options. Start all of them again.")
    share = every[:, 2].sum() / rows.sum()
    if share in (0, 1):
        raise RejectedError(f"{share:.0%} of the {rows.sum():.0f} rows have heart disease; expected both classes.")
    encoder = pooled(rows, *np.split(every[:, 3:], [len(NUMBERS), 2 * len(NUMBERS)], axis=1))
    return part, encoder.leaving_out(recipe.without), tuple(rows.astype(int).tolist())


def _compile(strategy: Any, network: Any, optimizer: Any) -> Callable[..., Any]:
    """The function that takes all workers through the steps of a segment; this worker's summed loss and hits (2,)."""
    keras = libraries.keras()
    tf = libraries.tensorflow()

    def step(x: Any, y: Any, share: Any) -> Any:
        with tf.GradientTape() as tape:
            probability = network(x, training=True)  # (B, 1)
            loss = keras.losses.binary_crossentropy(y[:, None], probability)  # (B,)
            total = tf.reduce_sum(loss * share)
        # `apply` sums the gradients over the workers; the shares make that sum the gradient of the mean.
        optimizer.apply(tape.gradient(total, network.trainable_variables), network.trainable_variables)
        hits = tf.cast((probability[:, 0] > 0.5) == (y > 0.5), tf.float32)
        real = tf.cast(share > 0, tf.float32)
        return tf.stack([tf.reduce_sum(loss * real), tf.reduce_sum(hits * real)])

    @tf.function(autograph=False)
    def run(inputs: Any, labels: Any, shares: Any, steps: Any) -> Any:
        def body(t: Any, sums: Any) -> tuple[Any, Any]:
            own = strategy.run(step, args=(inputs[t], labels[t], shares[t]))
            return t + 1, sums + strategy.experimental_local_results(own)[0]

        return tf.while_loop(lambda t, _: t < steps, body, (0, tf.zeros(2)))[1]

    return run
