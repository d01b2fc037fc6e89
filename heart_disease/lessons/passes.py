"""A network's forward pass, its derivatives on the way back, in NumPy; and what a gradient costs in two ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from heart_disease.training.recipe import Recipe

if TYPE_CHECKING:
    from heart_disease.evaluation.estimates import Numbers

NUDGE = 1e-6  # finite differences move a weight by this much


@dataclass(frozen=True)
class Pass:
    """What a forward pass leaves behind: the sums `z` and the outputs `h` of each layer, each (n, units).

    h[0] is the input, h[-1] the probability (n, 1).
    """

    z: list[Numbers]
    h: list[Numbers]


@dataclass(frozen=True)
class Cost:
    """What one gradient of a network with `parameters` weights costs in both ways.

    seconds, passes: seconds, and forward passes, by the name of the way. gap: the largest difference of the two.
    """

    parameters: int
    seconds: dict[str, float]
    passes: dict[str, int]
    gap: float


def forward(weights: Sequence[Numbers], x: Numbers) -> Pass:
    """Layer by layer: z = h W + b, then ReLU, and the sigmoid in the last layer.

    weights: kernels (in, out) and biases (out,) in turn. x: (n, in).
    """
    import numpy as np
    from scipy.special import expit

    z: list[Numbers] = []
    h = [x]
    for i in range(0, len(weights), 2):
        z.append(h[-1] @ weights[i] + weights[i + 1])  # (n, in) (in, out) + (out,) = (n, out)
        h.append(expit(z[-1]) if i == len(weights) - 2 else np.maximum(z[-1], 0))
    return Pass(z, h)


def loss(kept: Pass, y: Numbers) -> float:
    """Mean binary cross-entropy for labels y (n, 1), from the last sums: log(1 + e^z) - y z."""
    import numpy as np

    return float(np.mean(np.logaddexp(0, kept.z[-1]) - y * kept.z[-1]))


def backward(weights: Sequence[Numbers], kept: Pass, y: Numbers) -> list[Numbers]:
    """The derivatives of `loss`, in the order and shapes of `weights`, from the last layer to the first.

    Rumelhart, Hinton and Williams (1986), https://doi.org/10.1038/323533a0. If D holds the derivatives by a
    layer's z, those by W are h^T D, those by b the sums of D's rows, and those by the outputs below D W^T.
    """
    d = (kept.h[-1] - y) / len(y)  # (n, 1): sigmoid and cross-entropy together leave p - y
    found: list[Numbers] = []
    for i in reversed(range(0, len(weights), 2)):
        layer = i // 2
        found[:0] = [kept.h[layer].T @ d, d.sum(axis=0)]  # (in, n) (n, out) = (in, out), and (out,)
        if layer:
            d = (d @ weights[i].T) * (kept.z[layer - 1] > 0)  # (n, out) (out, in) = (n, in); ReLU lets z > 0 pass
    return found


def finite_differences(value: Callable[[], float], weights: Sequence[Numbers], nudge: float = NUDGE) -> list[Numbers]:
    """(value with w + nudge - value with w - nudge) / (2 nudge) for each weight, which is restored afterwards.

    value: the loss with `weights` as they stand; called twice per weight.
    """
    import numpy as np

    found = [np.zeros_like(part) for part in weights]
    for part, slopes in zip(weights, found, strict=True):
        for at in np.ndindex(part.shape):
            before, ends = part[at], []
            for shift in (nudge, -nudge):
                part[at] = before + shift
                ends.append(value())
            part[at] = before
            slopes[at] = (ends[0] - ends[1]) / (2 * nudge)
    return found


def starting_weights(params: Recipe, inputs: int) -> list[Numbers]:
    """The pipeline's initial weights, in double precision."""
    from heart_disease.training.network import initial_weights

    return [part.astype("float64") for part in initial_weights(params, inputs)]


def largest_gap(ours: Sequence[Numbers], theirs: Sequence[Numbers]) -> float:
    """The largest difference between two lists of arrays of the same shapes."""
    import numpy as np

    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


def cost(params: Recipe, x: Numbers, y: Numbers, repeats: int) -> Cost:
    """Measure one gradient over all rows of `x`, both ways; for back-propagation the median of `repeats` counts."""
    import time

    import numpy as np

    weights = starting_weights(params, x.shape[1])
    count = 0

    def once() -> Pass:
        nonlocal count
        count += 1
        return forward(weights, x)

    ways: dict[str, tuple[Callable[[], list[Numbers]], int]] = {
        "back-propagation": (lambda: backward(weights, once(), y), repeats),
        "finite differences": (partial(finite_differences, lambda: loss(once(), y), weights), 1),
    }
    seconds, passes, found = {}, {}, []
    for name, (gradient, times) in ways.items():
        if times > 1:
            gradient()  # the first call is slower
        count, taken = 0, []
        for _ in range(times):
            started = time.perf_counter()
            result = gradient()
            taken.append(time.perf_counter() - started)
        found.append(result)
        seconds[name], passes[name] = float(np.median(taken)), count // times
    return Cost(sum(part.size for part in weights), seconds, passes, largest_gap(*found))
