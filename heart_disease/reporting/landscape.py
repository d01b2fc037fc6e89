"""The loss landscape: what the loss looks like around trained weights, and the way that training took there.

A network has hundreds of weights, so its loss is a landscape over as many directions. Two of them make a picture: two
random ones, scaled as the network's own weights are, and the two along which training moved most. The loss at every
point of both pictures comes from one compiled function. 101 x 101 points are 10,201 forward passes of all rows.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from heart_disease.evaluation import cost
from heart_disease.evaluation.contest import NETWORK, Contest
from heart_disease.evaluation.cost import Cost
from heart_disease.evaluation.estimates import Numbers
from heart_disease.reporting.figures import BLUE, GREY, ORANGE
from heart_disease.training import engine, libraries, network
from heart_disease.training.recipe import Recipe

FILE = "loss_landscape.png"  # the file's name among the figures of a run
POINTS, REACH = 101, 1.5  # points in each direction; how far, in lengths of the units' weights
COLOURS = 128  # they are enough for this picture, and take fewer bytes
LEAST_LOSS = 1e-30  # a lower one is 0 in 32 bits, which has no logarithm
MOST_ROWS, MOST_EPOCHS = 1000, 300  # more would cost time and memory, and show the same
# Measured (benchmarks/speed/landscape.py), good to a factor of two.
LOOK, DRAW = 5e-11, 3.0  # seconds: per weight, row and point; to draw the pictures
UNIT, WEIGHT = 12, 40  # bytes in each network of a line: per hidden unit and row; per weight
PATH = 40  # bytes per weight and epoch of the path


@dataclass(frozen=True)
class Plane:
    """The loss over two directions from the trained weights.

    directions: (2, P). a, b: (G,) how far along each. loss: (G, G), rows are `b`. path: (E + 1, 2), where training was
    after each epoch, seen from above. share: of the squared length of the path, what lies in this plane.
    """

    directions: Numbers
    a: Numbers
    b: Numbers
    loss: Numbers
    path: Numbers
    share: float


def shapes(widths: Sequence[int]) -> list[tuple[int, int]]:
    """The shapes of a network's kernels and biases, layer by layer, as they lie in its flat weights."""
    return [shape for a, b in pairwise(widths) for shape in ((a, b), (1, b))]


def split(weights: Any, widths: Sequence[int]) -> list[Any]:
    """Flat weights (..., P) as kernels (..., in, out) and biases (..., 1, out); arrays stay arrays."""
    parts, start = [], 0
    for rows, columns in shapes(widths):
        part = weights[..., start : start + rows * columns]
        parts.append(part.reshape(*part.shape[:-1], rows, columns))
        start += rows * columns
    return parts


def normalised(direction: Numbers, weights: Numbers, widths: Sequence[int]) -> Numbers:
    """A direction (P,) in which the weights into each unit are as long as the network's own; biases stay.

    Filter normalisation (Li et al., Visualizing the loss landscape of neural nets, NeurIPS 2018, arXiv:1712.09913): a
    network that has large weights would otherwise look flatter than one with small weights that says the same.
    """
    out = []
    for k, (way, own) in enumerate(zip(split(direction, widths), split(weights, widths), strict=True)):
        is_bias = k % 2 == 1
        lengths = np.linalg.norm(way, axis=0), np.linalg.norm(own, axis=0)
        out.append((0 * way if is_bias else way * lengths[1] / lengths[0]).ravel())
    return np.concatenate(out)


@dataclass(frozen=True, eq=False)
class Loss:
    """The mean loss of networks of these widths on rows x (n, d) with labels y (n,), as a function of their weights."""

    x: Numbers
    y: Numbers
    widths: Sequence[int]
    activation: str = "relu"

    def on_grid(self, weights: Numbers, directions: Numbers, a: Numbers, b: Numbers) -> Numbers:
        """The loss at weights + a direction + b direction: (len(b), len(a)).

        One compiled call: a line of the grid at a time, all its networks together.
        """
        tf, bend = libraries.tensorflow(), libraries.keras().activations.get(self.activation)

        starts, firsts, seconds = (
            [tf.constant(part, tf.float32) for part in split(flat, self.widths)] for flat in (weights, *directions)
        )
        rows, labels = tf.constant(self.x, tf.float32), tf.constant(self.y[:, None], tf.float32)
        along = tf.constant(np.reshape(a, (-1, 1, 1)), tf.float32)

        def line(at: Any) -> Any:
            h = rows
            for layer in range(len(self.widths) - 1):
                kernel, bias = (
                    starts[k] + along * firsts[k] + at * seconds[k] for k in (2 * layer, 2 * layer + 1)
                )  # (G, in, out), (G, 1, out)
                h = tf.matmul(h, kernel) + bias  # (G, n, out)
                if layer < len(self.widths) - 2:
                    h = bend(h)
            each = tf.nn.sigmoid_cross_entropy_with_logits(tf.broadcast_to(labels, tf.shape(h)), h)
            return tf.reduce_mean(each, axis=(1, 2))

        grid = tf.function(lambda: tf.map_fn(line, tf.constant(b, tf.float32)))
        with tf.device("/CPU:0"):
            return np.asarray(grid().numpy(), "float64")


def plane(path: Numbers, directions: Numbers, a: Numbers, b: Numbers, loss: Loss) -> Plane:
    """The loss around the end of a path (E + 1, P) of weights, and the path's shadow on the plane."""
    moved = path - path[-1]
    shadow = np.linalg.lstsq(directions.T, moved.T, rcond=None)[0].T  # (E + 1, 2)
    length = (moved**2).sum()
    share = float(((shadow @ directions) ** 2).sum() / length) if length else 1.0
    return Plane(directions, a, b, loss.on_grid(path[-1], directions, a, b), shadow, share)


def of_the_path(path: Numbers) -> Numbers:
    """The two directions (2, P), at right angles and of length 1, along which the path moved most: its PCA."""
    return np.asarray(np.linalg.svd(path - path[-1], full_matrices=False)[2][:2])


def planes(
    path: Numbers, loss: Loss, *, points: int = POINTS, reach: float = REACH, seed: int = 0
) -> tuple[Plane, Plane]:
    """Two random directions around the end of a path (E + 1, P) of weights; and the two along which it moved most.

    seed: of the random directions.
    """
    rng = np.random.default_rng(seed)
    random = np.stack([normalised(way, path[-1], loss.widths) for way in rng.standard_normal((2, path.shape[1]))])
    grid = np.linspace(-reach, reach, points)
    around = plane(path, random, grid, grid, loss)
    main = of_the_path(path)
    shadow = (path - path[-1]) @ main.T
    first, second = (_grid(shadow[:, k], points) for k in range(2))
    return around, plane(path, main, first, second, loss)


def of_training(contest: Contest, device: str, title: str) -> bytes:
    """The picture (PNG) of the network that a training ships, of its first member if it has several.

    That network is trained once more, alone, because a training keeps no weights but the last. The loss is that of at
    most `MOST_ROWS` of the rows that it learned from, without weight decay and dropout. title: the run, in words.
    """
    own_jobs = (job for job in contest.jobs if job.side == NETWORK and job.fold == contest.shipped_fold)
    shipped = next(own_jobs)
    recipe, epochs = shipped.recipe, shipped.recipe.epochs
    kept = np.unique(np.linspace(1, epochs, min(epochs, MOST_EPOCHS)).astype(int)).tolist()
    job = replace(shipped, watch=np.arange(0), epochs=tuple(kept))
    after = engine.train(contest.inputs, contest.labels, [job], device=device).weights[0]
    own = contest.inputs.leaving_out(recipe.without)
    start = np.concatenate([part.ravel() for part in network.initial_weights(recipe, own.width)])
    path = np.vstack([start, after]).astype("float64")
    rows = job.rows[:: -(-len(job.rows) // MOST_ROWS)]
    x = own.take(np.array([job.matrix]), rows[None])[0].astype("float64")
    loss = Loss(x, contest.labels[rows], recipe.widths, recipe.activation)
    found = planes(path, loss, seed=recipe.seed)
    drawn, small = io.BytesIO(), io.BytesIO()
    figure(*found, title).savefig(drawn, format="png", dpi=80)
    # This way of choosing colours keeps those of few points, such as the start's.
    picture = Image.open(drawn).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    picture.save(small, format="png", optimize=True)
    return small.getvalue()


def cost_of_landscape(rows: int, recipe: Recipe) -> Cost:
    """What `of_training` adds to a training on so many patients."""
    looked, kept = min(rows, MOST_ROWS), min(recipe.epochs, MOST_EPOCHS)
    seconds = cost.to_train(recipe, rows) + 2 * POINTS**2 * looked * recipe.size * LOOK + DRAW
    line = POINTS * (looked * sum(recipe.hidden) * UNIT + recipe.size * WEIGHT)
    return Cost(seconds, line + kept * recipe.size * PATH)


def _grid(shadow: Numbers, points: int) -> Numbers:
    """Where a picture goes along one direction: the path, and a third of its extent to both sides."""
    low, high = float(shadow.min()), float(shadow.max())
    room = max(0.35 * (high - low), 1e-3)
    return np.linspace(low - room, high + room, points)


def figure(around: Plane, along: Plane, title: str = "") -> Figure:
    """Both pictures, each as a surface and from above with the path on it. title: the run that they are about."""
    drawn = Figure(figsize=(10, 9), layout="constrained")
    if title:
        drawn.suptitle(title, fontsize=10, color=GREY)
    for k, (one, name) in enumerate(((around, "two random directions"), (along, "the training's main directions"))):
        loss = np.clip(one.loss, LEAST_LOSS, None)
        height = np.log10(loss)
        surface: Any = drawn.add_subplot(2, 2, 2 * k + 1, projection="3d")
        a, b = np.meshgrid(one.a, one.b)
        surface.plot_surface(a, b, height, cmap="viridis", rcount=60, ccount=60, linewidth=0)
        surface.set(title=f"Loss (log10), {name}", xlabel="first direction")
        surface.set_ylabel("second direction", labelpad=12)  # beside the numbers of its axis
        above: Any = drawn.add_subplot(2, 2, 2 * k + 2)
        levels = np.geomspace(loss.min(), max(loss.max(), 1.001 * loss.min()), 18)  # they must rise
        above.clabel(above.contour(one.a, one.b, loss, levels=levels, cmap="viridis"), fontsize=7, fmt="%.2g")
        above.plot(*one.path.T, color=BLUE, marker=".", markersize=4, linewidth=1, label="after each epoch")
        above.plot(*one.path[0], "o", color=ORANGE, markersize=8, linestyle="none", label="start")
        above.plot(*one.path[-1], "*", color="black", markersize=11, linestyle="none", label="end")
        inside = "all of it" if one.share > 0.995 else f"{one.share:.0%} of the way"
        above.set(
            title=f"From above: {name}",
            xlabel=f"first direction ({inside} lies in the picture)",
            ylabel="second direction",
        )
        above.set(xlim=(one.a[0], one.a[-1]), ylim=(one.b[0], one.b[-1]))
        above.legend(fontsize=8, loc="upper right")
    return drawn
