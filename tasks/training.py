"""Train K networks at once, in one compiled function; K = 1 is the plain case.

Keras `fit` spends nearly all its time in Python, between steps of a few microseconds of arithmetic. Here the loops
over steps and epochs run inside the graph, and each step moves all K networks. A network is a row of its weights,
flattened: 497 numbers for 29-16-1. Every network has its own rows, its own encoded inputs (standardised on its
training rows), its own shuffles, learning rate, weight decay and dropout; what must be common is the shape, the
activation and the kind of optimizer.

Networks need not have equally many steps an epoch (a fold's training part is smaller than the whole): each goes
through its own batches at its own pace, so the optimizer's step counter is right for all of them, and a network's
weights are taken at its own last step. The result equals Keras `fit` on each network, batch by batch
(tests/test_training.py), and depends neither on K nor on the order of the jobs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.batches import Floats, Job, Plan
from tasks.errors import UnavailableError
from tasks.network import build, build_optimizer, initial_weights, layer_shapes
from tasks.params import Params

CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Networks:
    """K trained networks, in the order of the jobs.

    weights: (K, P), the kernels and biases of a network, flattened layer by layer.
    curves: by the names in `CURVES`, each (K, epochs); nan after a network's last epoch, and for validation where a
        job watches no rows. Training figures are means over the epoch's batches while the weights move, as Keras
        reports them; validation figures are taken at the end of the epoch.
    device: what they were trained on, for people.
    """

    jobs: tuple[Job, ...]
    weights: Floats
    curves: dict[str, Floats]
    device: str

    def keras(self, k: int, inputs: int) -> Any:
        """Network `k` as a Keras model of `inputs` input values."""
        params = self.jobs[k].params
        model = build(params, inputs)
        shapes = layer_shapes(params, inputs)
        cuts = np.cumsum([np.prod(shape) for shape in shapes])[:-1].astype(int)
        parts = np.split(self.weights[k], cuts)
        model.set_weights([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
        return model

    def probabilities(self, inputs: Floats) -> Floats:
        """The probability of disease that each network gives to every row of its own matrix: (F, n, d) -> (K, n)."""
        import tensorflow as tf

        forward = _forward(self.jobs[0].params, inputs.shape[2])
        with tf.device("/CPU:0"):
            logits = [
                forward(self.weights[k : k + 1], inputs[job.matrix][None]).numpy()[0]  # (n,)
                for k, job in enumerate(self.jobs)
            ]
        return 1 / (1 + np.exp(-np.stack(logits)))


def use_device(wanted: str) -> tuple[str, str]:
    """TensorFlow's name of the device for `wanted` (auto, cpu or gpu), and a name for people.

    Raises:
        UnavailableError: a GPU is asked for where TensorFlow finds none.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if wanted == "gpu" and not gpus:
        raise UnavailableError(
            "device 'gpu' was asked for, and TensorFlow finds no GPU. Check that `nvidia-smi` lists one, install the "
            "extra (pip install -e '.[gpu]'), or use --device auto."
        )
    if gpus and wanted != "cpu":
        details = tf.config.experimental.get_device_details(gpus[0])
        return "/GPU:0", f"gpu ({details.get('device_name', 'unknown')})"
    return "/CPU:0", f"cpu ({os.cpu_count()} cores)"


def train(
    inputs: Floats,
    labels: Floats,
    jobs: Sequence[Job],
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Networks:
    """Train one network a job.

    inputs: (F, n, d), encoded rows; F matrices because each fold has its own encoder. labels: (n,) of 0 and 1.
    progress: called after every segment with the steps done and the steps in all.

    Raises:
        ValueError: there is no job, or the jobs differ in shape, activation or kind of optimizer.
        UnavailableError: see `use_device`.
    """
    import tensorflow as tf

    if not jobs:
        raise ValueError("expected at least one job")
    kinds = {(job.params.hidden, job.params.activation, job.params.optimizer, job.params.momentum) for job in jobs}
    if len(kinds) > 1:
        raise ValueError(f"jobs of one batch must share shape, activation and optimizer; got {sorted(map(str, kinds))}")
    place, device_name = use_device(device)
    plan = Plan(jobs, inputs.shape[1])
    curves = np.full((len(CURVES), len(jobs), max(job.params.epochs for job in jobs)), np.nan, np.float32)
    with tf.device(place):
        weights, run = _compile(inputs, labels, jobs, plan)
        final = weights.numpy()
        for start, stop in plan.segments():
            marks = run(*plan.batches(start, stop), stop - start).numpy()  # (steps, 4, K)
            plan.copy_marks(start, stop, marks, curves)
            done = plan.last_step == stop
            final[done] = weights.numpy()[done]
            if progress:
                progress(stop, plan.steps)
    return Networks(tuple(jobs), final, dict(zip(CURVES, curves, strict=True)), device_name)


def _forward(params: Params, inputs: int) -> Callable[..., Any]:
    """The network on flattened weights (K, P): rows (K, B, d), what dropout keeps (K, B, units) -> logits (K, B)."""
    import keras
    import tensorflow as tf

    shapes = layer_shapes(params, inputs)
    activation = keras.activations.get(params.activation)

    def forward(weights: Any, x: Any, keep: Any = None) -> Any:
        parts = tf.split(weights, [int(np.prod(shape)) for shape in shapes], axis=1)
        keeps = [] if keep is None else tf.split(keep, list(params.hidden), axis=2)
        for i in range(len(params.hidden) + 1):
            kernel = tf.reshape(parts[2 * i], (-1, *shapes[2 * i]))  # (K, in, out)
            x = tf.matmul(x, kernel) + parts[2 * i + 1][:, None, :]  # (K, B, out)
            if i < len(params.hidden):
                x = activation(x)
                if keeps:
                    x *= keeps[i]
        return x[..., 0]

    return forward


def _compile(inputs: Floats, labels: Floats, jobs: Sequence[Job], plan: Plan) -> tuple[Any, Any]:
    """The stacked weights, and the compiled function that moves them by up to `segment_steps` steps."""
    import keras
    import tensorflow as tf

    params, d = jobs[0].params, inputs.shape[2]
    forward, optimizer = _forward(params, d), build_optimizer(params)
    recipes = {job.params.seed: job.params for job in jobs}
    start = {seed: np.concatenate([w.ravel() for w in initial_weights(p, d)]) for seed, p in recipes.items()}
    weights = keras.Variable(np.stack([start[job.params.seed] for job in jobs]), name="weights")  # (K, P)
    optimizer.build([weights])

    def column(name: str) -> Any:
        return tf.constant([[getattr(job.params, name)] for job in jobs], tf.float32)  # (K, 1)

    learning_rate, decay, dropout = column("learning_rate"), column("weight_decay"), column("dropout")[:, None, :]
    x_all = tf.constant(inputs.reshape(-1, d))  # (F n, d)
    y_all = tf.constant(np.tile(labels.astype(np.float32), len(inputs)))  # (F n,)
    of = tf.constant(plan.of)
    watch, watch_share = (tf.gather(part, of) for part in plan.watched())  # (K, V)
    x_watch, y_watch = tf.gather(x_all, watch), tf.gather(y_all, watch)

    def measure(y: Any, logits: Any) -> tuple[Any, Any]:
        loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits)
        return loss, tf.cast((logits > 0) == (y > 0.5), tf.float32)  # each (K, B)

    def move(rows: Any, share: Any, noise: Any) -> Any:
        """One step of all networks; their summed loss and hits, and the number of rows (3, K)."""
        x, y = tf.gather(x_all, rows), tf.gather(y_all, rows)
        keep = tf.cast(noise >= dropout, tf.float32) / (1 - dropout) if plan.noise_width else None
        with tf.GradientTape() as tape:
            current = tf.convert_to_tensor(weights.value)
            tape.watch(current)
            loss, hits = measure(y, forward(current, x, keep))
            # The networks share no weight: the gradient of the sum is each network's own.
            total = tf.reduce_sum(loss * share)
        gradient = tape.gradient(total, current)
        # As Keras's `apply` does it, with a learning rate and a decay for each network.
        weights.assign(weights - weights * decay * learning_rate)
        optimizer.update_step(gradient, weights, learning_rate)
        optimizer.iterations.assign_add(1)
        real = tf.cast(share > 0, tf.float32)
        return tf.stack([tf.reduce_sum(loss * real, 1), tf.reduce_sum(hits * real, 1), tf.reduce_sum(real, 1)])

    def mark(sums: Any) -> Any:
        """What an epoch ends with (4, K), in the order of `CURVES`."""
        loss, hits = measure(y_watch, forward(weights.value, x_watch))
        watched = [tf.reduce_sum(part * watch_share, 1) for part in (loss, hits)]
        return tf.stack([sums[0] / sums[2], sums[1] / sums[2], *watched])

    none = tf.zeros((len(CURVES), len(jobs)))
    carried = tf.Variable(tf.zeros((3, len(jobs))))  # sums of an epoch that a segment's end has cut

    @tf.function(autograph=False)
    def run(rows: Any, share: Any, ends: Any, noise: Any, steps: Any) -> Any:
        def body(t: Any, sums: Any, marks: Any) -> tuple[Any, Any, Any]:
            sums += move(tf.gather(rows[t], of), tf.gather(share[t], of), tf.gather(noise[t], of))
            marks = marks.write(t, tf.cond(tf.reduce_any(ends[t]), lambda: mark(sums), lambda: none))
            return t + 1, tf.where(tf.gather(ends[t], of), 0.0, sums), marks

        empty = tf.TensorArray(tf.float32, plan.segment_steps, element_shape=none.shape)
        _, sums, marks = tf.while_loop(lambda t, *_: t < steps, body, (0, carried.value(), empty))
        carried.assign(sums)
        return marks.stack()  # (S, 4, K)

    return weights, lambda *feed: run(*(tf.convert_to_tensor(part) for part in feed))
