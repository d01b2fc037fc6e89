"""Cross-validated configurations per hour: `heart sweep`, Keras `fit` in a loop, and Optuna driving `fit`.

All search the same space: 29-16-1 with Adam, batches of 32, learning rate 0.0003 to 0.01 (log), weight decay 0.1 to 3
(log), 50 to 200 epochs, on the bundled patients, each configuration cross-validated on the same 5 x 10 folds, and its
out-of-fold log loss taken at its best epoch among those that are measured.

    ours      `search.study.cross_validate` and `summarise`, nested folds left out (the others have none), from the
              encoded patients to the choice; tracing and compiling included
    loop      random search, Keras `fit` for every fold, the validation loss of each epoch from `fit` itself
    Optuna    its default sampler (TPE) driving the same `fit`, told of every fold, one trial of 100 epochs

A thousand configurations with 50 `fit`s each would take too long: loop and Optuna are timed on `--fits` fits and
multiplied. Optuna's pruner gives up on a bad configuration after some folds; that may save it up to nine fits of ten,
and is not counted. Equal quality is shown the other way round: `--equal` configurations are trained on one fold's rows
by both, and their held-out losses compared.

The fraction of the machine: operations per second in the products of matrices, against those of one large float32
product in TensorFlow on the same cores. Each row of a batch and weight of a kernel costs two operations forward, two
for the weight's gradient and, except in the first layer, two for the gradient of the input; a watched row costs two at
the end of an epoch.

Where the rest goes: the same networks without the watched rows, and then with plain gradient steps instead of Adam;
and the first layer's products alone, of the same shapes, compiled the same way. Compiling is left out: 300 epochs
minus 100.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from heart_disease.data import sources
from heart_disease.evaluation import estimates
from heart_disease.evaluation.settings import Evaluation
from heart_disease.search import space
from heart_disease.search.study import Study, choose, cross_validate
from heart_disease.training.batches import Job
from heart_disease.training.engine import TEST_LOSS, train
from heart_disease.training.inputs import Inputs
from heart_disease.training.network import build, build_optimizer
from heart_disease.training.recipe import Recipe

SPACE = {
    "learning_rate": {"low": 3e-4, "high": 1e-2},
    "weight_decay": {"low": 0.1, "high": 3.0},
    "epochs": [50, 75, 100, 150, 200],
}
UNIT = 40  # configurations per batch, as in the sweep: 2000 networks
EPOCHS = 200  # epochs that `seconds` measures


def study() -> Study:
    """The bundled patients in 5 x 10 folds, without nested ones."""
    return Study(sources.load().frame, Evaluation(), space.make_space(SPACE).epochs, inner_folds=0)


def ours(configurations: int) -> tuple[float, float]:
    """Seconds to cross-validate that many and choose, and the best out-of-fold loss."""
    made = space.make_space(SPACE)
    flat = study()
    assert len(flat.inputs) == len(flat.splits.pairs)  # encoded before the clock starts
    recipes = space.sample(made, configurations)
    started = time.perf_counter()
    results = [result for i in range(0, configurations, UNIT) for result in cross_validate(flat, recipes[i : i + UNIT])]
    losses = np.stack([[estimates.losses(flat.labels, p.astype(float)) for p in one.probabilities] for one in results])
    choose(losses, recipes, flat.epochs, flat.splits.widening)
    return time.perf_counter() - started, float(losses.mean(axis=2).min())


def fit(recipe: Recipe, job: Job, inputs: Inputs, labels: np.ndarray) -> float:
    """One fold by Keras; its validation loss at the best epoch."""
    x = inputs[job.matrix]
    model = build(replace(recipe, seed=job.recipe.seed), x.shape[1])
    model.compile(optimizer=build_optimizer(recipe), loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x[job.rows], labels[job.rows], epochs=recipe.epochs, batch_size=recipe.batch_size,
        validation_data=(x[job.watch], labels[job.watch]), verbose=0,
    )  # fmt: skip
    return float(min(history.history["val_loss"]))


def keras_loop(fits: int) -> float:
    """Seconds per fit; each fit is one fold of another configuration."""
    flat = study()
    inputs, labels = flat.inputs, flat.labels.astype(np.float32)
    started = time.perf_counter()
    for i, recipe in enumerate(space.sample(space.make_space(SPACE), fits)):
        fit(recipe, flat.jobs(recipe)[i], inputs, labels)
    return (time.perf_counter() - started) / fits


def optuna_fits(fits: int) -> float:
    """Seconds per fit that Optuna drives, in one trial of that many folds."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    flat = study()
    inputs, labels = flat.inputs, flat.labels.astype(np.float32)

    def objective(trial: optuna.Trial) -> float:
        recipe = Recipe(
            learning_rate=trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 0.1, 3.0, log=True),
            epochs=trial.suggest_categorical("epochs", [50, 75, 100, 150, 200]),
        )
        losses = []
        for i, job in enumerate(flat.jobs(recipe)[:fits]):
            losses.append(fit(recipe, job, inputs, labels))
            trial.report(float(np.mean(losses)), i)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(losses))

    search = optuna.create_study(pruner=optuna.pruners.MedianPruner())
    # The middle of the space, so that the number of epochs is that of the loop on average.
    search.enqueue_trial({"learning_rate": 1e-3, "weight_decay": 1.0, "epochs": 100})
    started = time.perf_counter()
    search.optimize(objective, n_trials=1)
    return (time.perf_counter() - started) / fits


def equal(configurations: int) -> tuple[float, float]:
    """Mean held-out loss over that many configurations, one fold each: trained together, and by `fit`; same epochs."""
    made = space.make_space(SPACE)
    flat = study()
    jobs = [flat.jobs(recipe)[7 * i % 50] for i, recipe in enumerate(space.sample(made, configurations))]
    networks = train(flat.inputs, flat.labels.astype(np.float32), jobs)
    together = networks.curves[TEST_LOSS].min(axis=1)
    labels = flat.labels.astype(np.float32)
    alone = [fit(job.recipe, job, flat.inputs, labels) for job in jobs]
    return float(together.mean()), float(np.mean(alone))


def peak() -> float:
    """Float32 operations per second of one large product."""
    import tensorflow as tf

    n, times = 2048, 5
    a = tf.random.normal((n, n))
    (a @ a).numpy()
    started = time.perf_counter()
    for _ in range(times):
        b = a @ a
    b.numpy()
    return times * 2 * n**3 / (time.perf_counter() - started)


def seconds(configurations: int, *, watched: bool = True, optimizer: Literal["adam", "sgd"] = "adam") -> float:
    """Seconds to train a batch for `EPOCHS` epochs, without compiling."""
    flat, nobody = study(), np.arange(0)
    inputs, labels = flat.inputs, flat.labels.astype(np.float32)
    recipes = [replace(r, optimizer=optimizer) for r in space.sample(space.make_space(SPACE), configurations)]
    jobs = [job if watched else replace(job, watch=nobody) for recipe in recipes for job in flat.jobs(recipe)]

    def of(epochs: int) -> float:
        started = time.perf_counter()
        train(inputs, labels, [replace(job, recipe=replace(job.recipe, epochs=epochs)) for job in jobs])
        return time.perf_counter() - started

    return of(EPOCHS + 100) - of(100)


def operations(configurations: int) -> float:
    """The operations of all products in `seconds`."""
    pairs = study().splits.pairs
    trained, watched = (sum(len(pair[part]) for pair in pairs) * configurations * EPOCHS for part in (0, 1))
    first, last = 29 * 16, 16
    return trained * (4 * first + 6 * last) + watched * 2 * (first + last)


def products_alone(configurations: int) -> float:
    """Seconds for the first layer's products, forward and of the gradient, at as many steps as in `seconds`."""
    import tensorflow as tf

    folds, batch = len(study().splits.pairs), Recipe().batch_size
    steps = EPOCHS * -(-len(study().splits.pairs[0][0]) // batch)
    x = tf.random.normal((folds, batch, 29))

    @tf.function(autograph=False, jit_compile=True)
    def run(kernel: Any, steps: Any) -> Any:
        def body(t: Any, kernel: Any) -> tuple[Any, Any]:
            return t + 1, tf.matmul(x, tf.matmul(x, kernel), transpose_a=True) * 1e-3

        return tf.while_loop(lambda t, _: t < steps, body, (0, kernel))[1]

    kernel = tf.random.normal((folds, 29, 16 * configurations))
    run(kernel, 1)
    started = time.perf_counter()
    run(kernel, steps).numpy()
    return time.perf_counter() - started


def where_time_goes(configurations: int = UNIT) -> None:
    """Print the fraction of the machine that the products reach, and what the rest is."""
    top, whole = peak(), seconds(configurations)
    unwatched = seconds(configurations, watched=False)
    plain = seconds(configurations, watched=False, optimizer="sgd")
    alone = products_alone(configurations)
    used = operations(configurations) / whole
    print(f"\nproducts: {used / 1e9:.1f} of {top / 1e9:.1f} GFLOP/s, {100 * used / top:.0f} %; of {whole:.1f} s:")
    for name, part in (
        ("the first layer's products", alone),
        ("Adam, above plain steps", unwatched - plain),
        ("the watched rows at the end of each epoch", whole - unwatched),
        ("activations, losses, the last layer, fetching rows, planning", plain - alone),
    ):
        print(f"  {100 * part / whole:3.0f} %  {name}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Configurations per hour, against Keras fit and Optuna.")
    parser.add_argument("--configurations", type=int, default=200, metavar="N")
    parser.add_argument("--fits", type=int, default=5, metavar="N", help="fits of Keras and of Optuna (default 5)")
    parser.add_argument("--equal", type=int, default=6, metavar="N", help="configurations trained by both (default 6)")
    options = parser.parse_args()

    import tensorflow as tf

    tf.constant(0.0)
    loop = keras_loop(options.fits)
    driven = optuna_fits(options.fits)
    taken, best = ours(options.configurations)
    rate = 3600 / (taken / options.configurations)
    folds = 50
    print(f"{options.configurations} configurations x {folds} folds; {os.cpu_count()} cores; best loss {best:.4f}\n")
    print("| search | measured | seconds per fit | configurations per hour | ours / it |")
    print("|---|---|---:|---:|---:|")
    each = taken / options.configurations / folds
    print(f"| `heart sweep` | {options.configurations * folds} networks, {taken:.0f} s | {each:.5f} | {rate:.0f} | 1 |")
    for name, seconds in (("Keras `fit` in a loop", loop), ("Optuna driving `fit`", driven)):
        hourly = 3600 / (seconds * folds)
        print(f"| {name} | {options.fits} fits | {seconds:.2f} | {hourly:.1f} | {rate / hourly:.0f} |")
    together, alone = equal(options.equal)
    print(f"\nheld-out loss of {options.equal} configurations: together {together:.4f}, by fit {alone:.4f}")
    where_time_goes()


if __name__ == "__main__":
    main()
