"""The picture of the lesson `backprop`: the graph of computations, and what a gradient costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from heart_disease.lessons.passes import Cost, Pass, loss
from heart_disease.reporting.figures import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from heart_disease.evaluation.estimates import Numbers


def draw(
    inputs: Sequence[str],
    weights: list[Numbers],
    kept: Pass,
    slopes: list[Numbers],
    y: Numbers,
    costs: list[Cost],
) -> Figure:
    """The small network, whose two inputs have these names, and the cost of a gradient by the number of weights."""
    figure = Figure(figsize=(9, 9), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.8, 1))
    upper, lower = parts
    _graph(upper.subplots(), inputs, weights, kept, slopes, y)
    passes, seconds = lower.subplots(1, 2)
    parameters = [one.parameters for one in costs]
    for axes, name in ((passes, "passes"), (seconds, "seconds")):
        for way, color, marker in (("finite differences", BLUE, "s"), ("back-propagation", ORANGE, "o")):
            axes.plot(parameters, [getattr(one, name)[way] for one in costs], color=color, marker=marker, label=way)
        axes.set(xscale="log", yscale="log", xlabel="weights of the network")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=9)
    passes.set(ylabel="forward passes", title="Forward passes for one gradient")
    seconds.set(ylabel="seconds", title="Time for one gradient, all patients")
    return figure


def _graph(
    axes: Axes, inputs: Sequence[str], weights: list[Numbers], kept: Pass, slopes: list[Numbers], y: Numbers
) -> None:
    """The computational graph: under each name its value, and under that the derivative of the loss by it."""
    p, d2, d1, sick = float(kept.h[2][0, 0]), float(slopes[3][0]), slopes[1], bool(y[0, 0])
    by_h = d2 * weights[2][:, 0]
    rows = np.linspace(3.0, -3.0, weights[1].size) if weights[1].size > 1 else np.zeros(1)

    def node(x: float, y: float, name: str, value: float, slope: float) -> None:
        axes.add_patch(Rectangle((x - 0.65, y - 0.7), 1.3, 1.4, facecolor="white", edgecolor=GREY, zorder=3))
        lines = ((name, "black", 0.42), (f"{value:.3f}", BLUE, 0.0), (f"{slope:.3f}", ORANGE, -0.42))
        for text, color, shift in lines:
            axes.text(x, y + shift, text, ha="center", va="center", fontsize=9, color=color, zorder=4)

    def edge(start: tuple[float, float], end: tuple[float, float], at: float, weight: float, slope: float) -> None:
        axes.plot(*zip(start, end, strict=True), color=GREY, linewidth=0.9, zorder=1)
        x, y = (a + at * (b - a) for a, b in zip(start, end, strict=True))
        white = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        for shown, color, shift in ((weight, BLUE, 0.16), (slope, ORANGE, -0.16)):
            axes.text(
                x, y + shift, f"{shown:.3f}", ha="center", va="center", fontsize=8, color=color, bbox=white, zorder=2
            )

    def function(start: float, end: float, y: float, name: str) -> None:
        axes.plot([start, end], [y, y], color=GREY, linewidth=0.9, zorder=1)
        axes.text((start + end) / 2, y + 0.15, name, ha="center", fontsize=8, zorder=2)

    for i, height in enumerate((1.9, -1.9)):
        for k, row in enumerate(rows):
            edge((0, height), (4.0, row), 0.27, weights[0][i, k], slopes[0][i, k])
        node(0, height, inputs[i], float(kept.h[0][0, i]), float((d1 @ weights[0].T)[i]))
    for k, row in enumerate(rows):
        function(4.0, 6.0, row, "ReLU")
        edge((6.0, row), (8.8, 0), 0.48, weights[2][k, 0], slopes[2][k, 0])
        node(4.0, row, f"z1, unit {k + 1}", float(kept.z[0][0, k]), float(d1[k]))
        node(6.0, row, f"h1, unit {k + 1}", float(kept.h[1][0, k]), float(by_h[k]))
    function(8.8, 10.9, 0, "sigmoid")
    function(10.9, 13.0, 0, "-log p" if sick else "-log(1-p)")
    node(8.8, 0, "z2", float(kept.z[1][0, 0]), d2)
    node(10.9, 0, "p", p, -1 / p if sick else 1 / (1 - p))
    node(13.0, 0, "loss", loss(kept, y), 1.0)
    axes.text(8.0, 3.4, "value, on the way forward", color=BLUE, fontsize=9)
    axes.text(8.0, 2.95, "derivative of the loss by it, on the way back", color=ORANGE, fontsize=9)
    axes.text(8.0, 2.3, "On the lines: the weights. Each z also adds a bias;\nits derivative is that of z.", fontsize=8)
    axes.set(xlim=(-0.8, 13.8), ylim=(-3.8, 3.8), title="The network as a graph of computations")
    axes.axis("off")
