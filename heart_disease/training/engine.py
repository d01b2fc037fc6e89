"""Train K networks at once, in compiled functions; K = 1 is the plain case.

Keras `fit` spends nearly all its time in Python, between steps of a few microseconds of arithmetic. Here the loops
over steps and epochs run inside the graph, and each step moves all networks of a batch. Every network has its own rows,
its own encoded inputs (standardised on its training rows), its own shuffles, learning rate, weight decay and dropout;
the networks of a batch share the shape, the activation, the kind of optimizer and the batch size.

Networks that learn from the same rows in the same order (a sweep's, on one fold) stand side by side: column c of order
u. Their first layer, which is nearly all the arithmetic, is then one product of matrices, (B, 29) x (29, units C), and
the rows are fetched once. The columns come last in every array, so that the remaining work, a few operations on each
unit, runs over contiguous memory.

Networks may differ in the number of steps per epoch (a fold's training part is smaller than the whole): each goes
through its own batches at its own pace, so the optimizer's step counter is right for all of them, and a job's
weights are taken at its own last step. Jobs that differ only in epochs are one network: the shorter ones cost nothing.
The result equals Keras `fit` on each network, batch by batch (tests/training/test_engine.py), and depends neither on K
nor on the order of the jobs, except for rounding: the last bits may differ between batches of different shapes, and
hundreds of epochs at a high rate amplify last bits. Training the same jobs again gives the same result to the last bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from heart_disease.model.errors import UnavailableError
from heart_disease.training import libraries
from heart_disease.training.batches import Floats, Ints, Job, Plan, padded, together
from heart_disease.training.inputs import Inputs
from heart_disease.training.interrupts import undisturbed
from heart_disease.training.network import average, build, build_optimizer, initial_weights, layer_shapes
from heart_disease.training.recipe import Recipe

# The names of the curves, here and in MLflow, whose page groups charts by what precedes the slash.
TRAIN_LOSS, TRAIN_ACCURACY, TEST_LOSS, TEST_ACCURACY = "loss/train", "accuracy/train", "loss/test", "accuracy/test"
CURVES = (TRAIN_LOSS, TRAIN_ACCURACY, TEST_LOSS, TEST_ACCURACY)
# More networks at once are no faster: what they read and write at each step leaves the processor's cache.
BATCH_NETWORKS = 2000
FORWARD_NETWORKS = 1000


@dataclass(frozen=True)
class Networks:
    """K trained networks, in the order of the jobs.

    weights: for each job (E, P), one row for each number of epochs after which they are taken: the kernels and biases,
        flattened layer by layer (P = 497 for 29-16-1).
    curves: by the names in `CURVES`, each (K, epochs); nan after a network's last epoch, and on test rows if a
        job watches no rows. Training figures are means over the epoch's batches while the weights move, as Keras
        reports them; figures on test rows are taken at the end of the epoch.
    device: the device they were trained on, in words.
    """

    jobs: tuple[Job, ...]
    weights: tuple[Floats, ...]
    curves: dict[str, Floats]
    device: str

    def pick(self, wanted: Callable[[Job], bool]) -> Networks:
        """The networks whose job is wanted, in the same order; curves end with the last epoch of any of them."""
        which = [k for k, job in enumerate(self.jobs) if wanted(job)]
        epochs = max((self.jobs[k].taken[-1] for k in which), default=0)
        curves = {name: curve[which, :epochs] for name, curve in self.curves.items()}
        jobs, weights = tuple(self.jobs[k] for k in which), tuple(self.weights[k] for k in which)
        return Networks(jobs, weights, curves, self.device)

    def keras(self, k: int, inputs: int, name: str = "heart_disease") -> Any:
        """Network `k` after all its epochs, as a Keras model of `inputs` input values."""
        model = build(self.jobs[k].recipe, inputs, name)
        model.set_weights(self.layers(k, inputs))
        return model

    def layers(self, k: int, inputs: int) -> list[Floats]:
        """Kernels and biases of network `k` after all its epochs, in the shapes of `layer_shapes`."""
        shapes = layer_shapes(self.jobs[k].recipe, inputs)
        cuts = np.cumsum([np.prod(shape) for shape in shapes])[:-1].astype(int)
        parts = np.split(self.weights[k][-1], cuts)
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def keras_average(self, inputs: int) -> Any:
        """One Keras model that gives the mean of all networks' probabilities; a single network is left as it is."""
        if len(self.jobs) == 1:
            return self.keras(0, inputs)
        return average([self.keras(k, inputs, f"member_{k}") for k in range(len(self.jobs))])

    def probabilities(self, inputs: Inputs) -> Floats:
        """The probability of disease that each network gives to every row of its own matrix: (K, n).

        Each network is taken after all its epochs.
        """
        found = self._probabilities(inputs, [np.arange(len(inputs.rows))] * len(self.jobs))
        return np.stack([answers[-1] for answers in found])

    def watched(self, inputs: Inputs) -> list[Floats]:
        """The probability of disease that each network gives to the V rows that its job watches: K arrays (E, V)."""
        return self._probabilities(inputs, [job.watch for job in self.jobs])

    def _probabilities(self, inputs: Inputs, rows: Sequence[Ints]) -> list[Floats]:
        tf = libraries.tensorflow()

        sizes = [(len(taken), len(own)) for taken, own in zip(self.weights, rows, strict=True)]
        found = [np.empty(size, np.float32) for size in sizes]
        for networks in together(self.jobs, FORWARD_NETWORKS):
            numbers = [j for network in networks for j in network]
            recipe = self.jobs[numbers[0]].recipe
            takes = [(j, e) for j in numbers for e in range(len(self.weights[j]))]  # T of them
            table, _ = padded([rows[j] for j, _ in takes])
            own = inputs.leaving_out(recipe.without)
            x = own.take(np.array([self.jobs[j].matrix for j, _ in takes]), table)  # (T, V, d)
            parts = _parts(np.stack([self.weights[j][e] for j, e in takes])[:, None], recipe, own.width)
            with tf.device("/CPU:0"):
                logits = _forward(recipe, parts, x).numpy()[:, :, 0]  # (T, V)
            for (j, e), line in zip(takes, logits, strict=True):
                found[j][e] = expit(line[: len(rows[j])])
        return found


def use_device(wanted: str) -> tuple[str, str]:
    """TensorFlow's name of the device for `wanted` (auto, cpu or gpu), and a name for people.

    Raises:
        UnavailableError: a GPU is asked for, but TensorFlow finds none.
    """
    tf = libraries.tensorflow()

    gpus = tf.config.list_physical_devices("GPU")
    if wanted == "gpu" and not gpus:
        raise UnavailableError(
            "device 'gpu' was asked for, but TensorFlow finds no GPU. Check that `nvidia-smi` lists one, install the "
            "extra (pip install -e '.[gpu]'), or use --device auto."
        )
    if gpus and wanted != "cpu":
        details = tf.config.experimental.get_device_details(gpus[0])
        return "/GPU:0", f"gpu ({details.get('device_name', 'unknown')})"
    return "/CPU:0", f"cpu ({os.cpu_count()} cores)"


def train(
    inputs: Inputs,
    labels: Floats | NDArray[np.float64],
    jobs: Sequence[Job],
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Networks:
    """Train one network per job.

    inputs: n encoded patients with all columns; each job names the matrix, of F, that it takes them from, and its
        recipe the columns that it leaves out. labels: (n,) of 0 and 1.
    progress: called after every segment with the steps done and the total of steps.

    Raises:
        ValueError: there is no job.
        UnavailableError: see `use_device`.
    """
    tf = libraries.tensorflow()

    if not jobs:
        raise ValueError("expected at least one job")
    place, device_name = use_device(device)
    batches = together(jobs, BATCH_NETWORKS)
    plans = [Plan([[jobs[j] for j in network] for network in batch]) for batch in batches]
    total, before = sum(plan.steps for plan in plans), 0
    weights: list[Floats] = [np.empty(0, np.float32)] * len(jobs)
    curves = np.full((len(CURVES), len(jobs), max(job.taken[-1] for job in jobs)), np.nan, np.float32)
    for batch, plan in zip(batches, plans, strict=True):
        numbers = [j for network in batch for j in network]
        with tf.device(place):
            tell = None if progress is None else lambda done, before=before: progress(before + done, total)
            own = inputs.leaving_out(plan.jobs[0].recipe.without)
            found, marked = _train_batch(own, labels, plan, tell)
        for j, taken in zip(numbers, found, strict=True):
            weights[j] = taken
        curves[:, numbers, : marked.shape[2]] = marked
        before += plan.steps
    return Networks(tuple(jobs), tuple(weights), dict(zip(CURVES, curves, strict=True)), device_name)


def _train_batch(
    inputs: Inputs, labels: Floats | NDArray[np.float64], plan: Plan, progress: Callable[[int], None] | None
) -> tuple[list[Floats], Floats]:
    """Weights of each job (E, P), and curves (4, J, epochs), of the jobs of one plan."""
    parts, run = _compile(inputs, labels, plan)
    taken = np.zeros((len(plan.takes), sum(int(np.prod(part.shape[1:3])) for part in parts)), np.float32)  # (T, P)
    slots = plan.slots[[j for j, _ in plan.takes]]  # (T, 2)
    epochs = max(job.taken[-1] for job in plan.jobs)
    curves = np.full((len(CURVES), len(plan.orders), plan.columns, epochs), np.nan, np.float32)
    for start, stop in plan.segments():
        feed = plan.batches(start, stop)
        with undisturbed():
            marks = run(*feed, stop - start).numpy()  # (steps, 4, U, C)
        plan.copy_marks(start, stop, marks, curves)
        now = plan.take_steps == stop
        if now.any():
            u, c = slots[now].T
            taken[now] = np.concatenate([part.numpy()[u, :, :, c].reshape(len(u), -1) for part in parts], axis=1)
        if progress:
            progress(stop)
    by_job = np.split(taken, np.cumsum([len(job.taken) for job in plan.jobs])[:-1])
    return by_job, plan.of_jobs(curves)


def _parts(weights: Floats, recipe: Recipe, inputs: int) -> list[Floats]:
    """Flattened weights (U, C, P) -> kernels (U, in, out, C) and biases (U, 1, out, C), layer by layer."""
    shapes = [(1, *shape)[-2:] for shape in layer_shapes(recipe, inputs)]
    cuts = np.cumsum([a * b for a, b in shapes])[:-1]
    return [
        np.ascontiguousarray(part.reshape(*weights.shape[:2], *shape).transpose(0, 2, 3, 1))
        for part, shape in zip(np.split(weights, cuts, axis=2), shapes, strict=True)
    ]


def _forward(recipe: Recipe, parts: Sequence[Any], x: Any, keep: Any = None) -> Any:
    """Logits (U, B, C) of the networks on rows x (U, B, d); keep: what dropout leaves of each unit (U, B, units, C)."""
    keras = libraries.keras()
    tf = libraries.tensorflow()

    activation = keras.activations.get(recipe.activation)
    keeps = [] if keep is None else tf.split(keep, list(recipe.hidden), axis=2)
    for i in range(len(recipe.hidden) + 1):
        kernel, bias = parts[2 * i], parts[2 * i + 1]
        _, fan_in, fan_out, columns = kernel.shape
        if i == 0:  # the columns share their rows
            z = tf.matmul(x, tf.reshape(kernel, (-1, fan_in, fan_out * columns)))
            z = tf.reshape(z, (-1, z.shape[1], fan_out, columns))
        elif fan_out == 1:
            z = tf.reduce_sum(x * tf.transpose(kernel, (0, 2, 1, 3)), axis=2, keepdims=True)
        else:
            z = tf.einsum("ubic,uioc->uboc", x, kernel)
        x = z + bias  # (U, B, out, C)
        if i < len(recipe.hidden):
            x = activation(x)
            if keeps:
                x *= keeps[i]
    return x[:, :, 0]


def _compile(inputs: Inputs, labels: Floats | NDArray[np.float64], plan: Plan) -> tuple[list[Any], Any]:
    """The parts of the weights, and the compiled function that moves them by up to `segment_steps` steps."""
    keras = libraries.keras()
    tf = libraries.tensorflow()

    recipe, d = plan.jobs[0].recipe, inputs.width
    optimizer = build_optimizer(recipe)
    parts = [keras.Variable(part) for part in _parts(_initial(plan, d), recipe, d)]
    optimizer.build(parts)

    def column(name: str) -> Any:
        return tf.constant(plan.values(name)[:, None, None, :])  # (U, 1, 1, C)

    learning_rate, decay, dropout = column("learning_rate"), column("weight_decay"), column("dropout")
    x_all, y_all = tf.constant(inputs.rows), tf.constant(labels.astype(np.float32))  # (n, d), (n,)
    watch, watch_share = (tf.constant(part) for part in plan.watched())  # (U, V)

    def take(rows: Any) -> Any:
        return inputs.standardised(tf.gather(x_all, rows), plan.matrices[:, None])  # (U, B, d)

    def measure(y: Any, logits: Any) -> tuple[Any, Any]:
        y = tf.broadcast_to(y[..., None], tf.shape(logits))
        loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits)
        return loss, tf.cast((logits > 0) == (y > 0.5), tf.float32)  # each (U, B, C)

    def move(rows: Any, share: Any, noise: Any) -> Any:
        """Move all networks by one step; return their summed loss and hits, and the number of rows (3, U, C)."""
        x, y = take(rows), tf.gather(y_all, rows)
        keep = tf.cast(noise[..., None] >= dropout, tf.float32) / (1 - dropout) if plan.noise_width else None
        with tf.GradientTape() as tape:
            current = [tf.convert_to_tensor(part.value) for part in parts]
            tape.watch(current)
            loss, hits = measure(y, _forward(recipe, current, x, keep))
            # The networks share no weight: the gradient of the sum is each network's own.
            total = tf.reduce_sum(loss * share[..., None])
        # This is what Keras's `apply` does, but with a learning rate and a decay for each network.
        for part, gradient in zip(parts, tape.gradient(total, current), strict=True):
            part.assign(part - part * decay * learning_rate)
            optimizer.update_step(gradient, part, learning_rate)
        optimizer.iterations.assign_add(1)
        real = tf.cast(share > 0, tf.float32)[..., None]
        return tf.stack([tf.reduce_sum(part * real, 1) for part in (loss, hits, tf.ones_like(loss))])

    def mark(sums: Any) -> Any:
        """The figures at the end of an epoch (4, U, C), in the order of `CURVES`."""
        logits = _forward(recipe, [part.value for part in parts], take(watch))
        watched = [tf.reduce_sum(part * watch_share[..., None], 1) for part in measure(tf.gather(y_all, watch), logits)]
        return tf.stack([sums[0] / sums[2], sums[1] / sums[2], *watched])

    size = (len(plan.orders), plan.columns)
    carried = tf.Variable(tf.zeros((3, *size)))  # sums of an epoch that goes on in the next segment

    @tf.function(autograph=False, jit_compile=True)
    def run(rows: Any, share: Any, ends: Any, noise: Any, steps: Any) -> Any:
        def body(t: Any, sums: Any, marks: Any) -> tuple[Any, Any, Any]:
            sums += move(rows[t], share[t], noise[t])
            now = tf.cond(tf.reduce_any(ends[t]), lambda: mark(sums), lambda: tf.zeros((len(CURVES), *size)))
            return t + 1, tf.where(ends[t][:, None], 0.0, sums), marks.write(t, now)

        empty = tf.TensorArray(tf.float32, plan.segment_steps, element_shape=(len(CURVES), *size))
        _, sums, marks = tf.while_loop(lambda t, *_: t < steps, body, (0, carried.value(), empty))
        carried.assign(sums)
        return marks.stack()  # (S, 4, U, C)

    return parts, lambda *feed: run(*(tf.convert_to_tensor(part) for part in feed))


def _initial(plan: Plan, inputs: int) -> Floats:
    """The weights (U, C, P) of `initial_weights` for each network; 0 in unused columns."""
    start: dict[int, Floats] = {}
    for recipes in plan.recipes:
        for recipe in recipes:
            if recipe.seed not in start:
                start[recipe.seed] = np.concatenate([part.ravel() for part in initial_weights(recipe, inputs)])
    weights = np.zeros((len(plan.orders), plan.columns, len(next(iter(start.values())))), np.float32)
    for u, recipes in enumerate(plan.recipes):
        for c, recipe in enumerate(recipes):
            weights[u, c] = start[recipe.seed]
    return weights
