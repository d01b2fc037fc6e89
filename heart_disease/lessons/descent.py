"""Gradient descent on a function of one variable: walk against the derivative, and the value falls.

The derivative worked out by hand is compared with TensorFlow's, the minimum with SciPy's. The same walk with other step
sizes shows the three things that can happen: it is too slow, arrives in good time, or runs off to infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from heart_disease.lessons.lesson import Lesson, table
from heart_disease.training import libraries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from heart_disease.evaluation.estimates import Numbers

TITLE = "Gradient descent: follow the slope down"
BOUND = 1000.0  # a path that comes this far from 0 has diverged; nothing overflows before that
FLAT = 1e-3  # a derivative this near to 0 counts as 0

StepSize = Annotated[float, Field(gt=0, le=100)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What may be changed."""

    start: Annotated[float, Field(ge=-100, le=100, description="The w at which the walk begins.")] = 2.5
    step: Annotated[StepSize, Field(description="Step size: how much of the derivative is subtracted from w.")] = 1.0
    steps: Annotated[int, Field(ge=1, le=1000, description="Steps to take.")] = 25
    compare: Annotated[
        tuple[StepSize, ...], Field(min_length=1, max_length=4, description="Step sizes to show side by side.")
    ] = (0.05, 1.0, 4.0)


def g(w: Any) -> Any:
    """(w^4 + w^2 + 10 w) / 50, of a number, an array or a tensor."""
    return (w**4 + w**2 + 10 * w) / 50


def derivative(w: Any) -> Any:
    """(2/25) w^3 + (1/25) w + 1/5: the power rule on each term of `g`."""
    return 2 / 25 * w**3 + 1 / 25 * w + 1 / 5


def descend(slope: Callable[[Any], Any], start: Sequence[float], step: float, steps: int) -> Numbers:
    """The points (k, d) of repeated `w <- w - step x slope(w)`, the start first.

    slope: (d,) -> (d,), the derivative or the gradient. The path ends early at the last point inside `BOUND`.
    """
    import numpy as np

    w = np.array(start, "float64")
    path = [w]
    for _ in range(steps):
        w = w - step * np.asarray(slope(w))
        if not np.abs(w).max() < BOUND:
            break
        path.append(w)
    return np.array(path)


def by_tape(function: Callable[[Any], Any], points: Numbers) -> Numbers:
    """The derivatives of `function` at `points`, of any shape, as TensorFlow computes them, each on its own."""
    tf = libraries.tensorflow()

    w = tf.constant(points)
    with tf.GradientTape() as tape:
        tape.watch(w)
        value = tf.reduce_sum(function(w))
    return tape.gradient(value, w).numpy()


def arrival(path: Numbers) -> int | None:
    """The step from which the derivative stays about 0, if there is one."""
    import numpy as np

    steep = np.flatnonzero(np.abs(derivative(path[:, 0])) >= FLAT)
    at = int(steep[-1]) + 1 if len(steep) else 0
    return at if at < len(path) else None


def outcome(path: Numbers, steps: int) -> str:
    """What became of a walk of `steps` steps on `g`, in a few words."""
    slopes = derivative(path[:, 0])
    if len(path) <= steps:
        return f"diverges: beyond {BOUND:g} at step {len(path)}"
    if (at := arrival(path)) is not None:
        return f"arrives at step {at}"
    if len(slopes) > 2 and slopes[-1] * slopes[-2] < 0:
        return f"still jumps from side to side after {steps} steps"
    return f"is still on its way after {steps} steps"


def rule_rows(walks: dict[float, Numbers]) -> list[tuple[str, str, str, str]]:
    """What to do with w for each sign of the derivative, with a point of these walks; the first walk comes first."""
    kinds: dict[str, tuple[str, Callable[[float], bool]]] = {
        "positive": ("g rises with w: make w smaller", lambda slope: slope >= FLAT),
        "negative": ("g falls with w: make w larger", lambda slope: slope <= -FLAT),
        "about 0": ("leave w: the bottom, as far as the slope can tell", lambda slope: abs(slope) < FLAT),
    }
    rows = []
    for name, (action, fits) in kinds.items():
        points = [(step, k, w) for step, path in walks.items() for k, w in enumerate(path[:, 0]) if fits(derivative(w))]
        where, what = "not met in this run", ""
        if points:
            step, k, w = points[0]
            where = f"w = {w:.4g} (step size {step:g}, step {k})"
            what = f"{derivative(w):.4g}, so w becomes {w - step * derivative(w):.4g}"
        rows.append((name, action, where, what))
    return rows


def run(settings: Settings) -> Lesson:
    """Walk, compare with TensorFlow and SciPy, and draw."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    walks = {
        step: descend(derivative, [settings.start], step, settings.steps)
        for step in dict.fromkeys((settings.step, *settings.compare))
    }
    path = walks[settings.step]
    points = np.linspace(-5, 5, 1001)
    gap = float(np.abs(derivative(points) - by_tape(g, points)).max())
    best = float(minimize_scalar(g).x)
    end = float(path[-1, 0])
    shown = [k for k in (0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500) if k < len(path) - 1] + [len(path) - 1]
    shorter = len(path) > 2 and bool((np.diff(np.abs(np.diff(path[:, 0]))) < 0).all())
    look = " In the picture its steps get shorter by themselves, because the curve gets flatter." * shorter
    steps_table = table(
        ("step", "w", "g(w)", "derivative"),
        [(k, f"{path[k, 0]:.5g}", f"{g(path[k, 0]):.5g}", f"{derivative(path[k, 0]):.3g}") for k in shown],
    )
    compared = table(
        ("step size", "what happens", "last w", "last g(w)"),
        [
            (f"{step:g}", outcome(walks[step], settings.steps), f"{(w := walks[step][-1, 0]):.4g}", f"{g(w):.4g}")
            for step in dict.fromkeys(settings.compare)
        ],
    )
    rules = table(("derivative", "what to do with w", "seen here", "derivative there"), rule_rows(walks))
    text = f"""\
Training a network means looking for the weights that make its loss small. Here is the whole idea with one weight `w`
and, in place of the loss, `g(w) = (w^4 + w^2 + 10 w) / 50`. The derivative tells which way is down; subtract a little
of it, and repeat: `w <- w - step x derivative(w)`.

Term by term, the derivative of g is `(2/25) w^3 + (1/25) w + 1/5`. At {len(points)} points from -5 to 5 it differs from
what TensorFlow finds by itself by {gap:.1g} at most. Nobody works out a network's derivatives by hand; TensorFlow
can be trusted to do it.

{rules}

One formula covers all three cases, because the derivative has a sign. From w = {settings.start:g} with step size
{settings.step:g}:

{steps_table}

SciPy's minimizer puts the minimum at w = {best:.5f}, where g = {g(best):.5f}. This walk
{outcome(path, settings.steps)}; its last point is {abs(end - best):.2g} away from the minimum.{look}

**The step size decides.** Same start, same number of steps ({settings.steps}):

{compared}

A step that is too long lands higher up on the other side. The derivative is larger there, so the next step is longer
still. Such a walk is stopped once it is {BOUND:g} away from 0. This g has only one valley, so every walk that
settles ends at the same w. The heart-disease network goes down its loss in the same way; there the step size is called
the learning rate."""
    curves = {"w": path[:, 0].tolist(), "g": g(path[:, 0]).tolist(), "derivative": derivative(path[:, 0]).tolist()}
    curves |= {
        f"g at step size {step:.4g}": g(walks[step][:, 0]).tolist()
        for step in settings.compare
        if step != settings.step
    }
    metrics = {
        "minimum w": best, "minimum g": float(g(best)), "distance to minimum": abs(end - best),
        "steps taken": len(path) - 1.0, "largest difference to the tape": gap,
    }  # fmt: skip
    return Lesson(TITLE, text, _figure(settings, walks, best), metrics, curves)


def _figure(settings: Settings, walks: dict[float, Numbers], best: float) -> Figure:
    from matplotlib.figure import Figure

    from heart_disease.reporting.figures import BLUE, GREY

    compare = tuple(dict.fromkeys(settings.compare))
    figure = Figure(figsize=(9, 7), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    upper, lower = parts
    on_curve, over_steps = upper.subplots(1, 2)
    path = walks[settings.step]
    _on_curve(on_curve, path, best, height=1.25)
    on_curve.set_title(f"From w = {settings.start:g} with step size {settings.step:g}")
    on_curve.legend(loc="upper center", bbox_to_anchor=(0.57, 1), fontsize=9)
    over_steps.plot(g(path[:, 0]), color=BLUE, marker="o", markersize=4, label="g(w)")
    over_steps.axhline(g(best), color=GREY, linestyle=":", label=f"SciPy's minimum: {g(best):.4f}")
    over_steps.set(xlabel="step", ylabel="g(w)", title="The value at every step")
    over_steps.legend()
    for axes, step in zip(lower.subplots(1, len(compare), squeeze=False)[0], compare, strict=True):
        _on_curve(axes, walks[step], best, height=3)
        axes.set_title(f"step size {step:g}:\n{outcome(walks[step], settings.steps)}", fontsize=10)
    return figure


def _on_curve(axes: Axes, path: Numbers, best: float, height: float) -> None:
    """The curve and the walk on it, up to `height` times the start's; what leaves the frame is cut off."""
    import numpy as np

    from heart_disease.reporting.figures import BLUE, GREY, ORANGE

    reach = max(1.0, abs(path[0, 0] - best))
    low, high = best - 1.2 * reach, best + 1.2 * reach
    above = height * max(0.05, g(path[0, 0]) - g(best))
    w = np.linspace(low, high, 400)
    axes.plot(w, g(w), color=GREY, linewidth=1.2, label="g(w)")
    walk = path[:, 0]
    axes.plot(walk, g(walk), color=BLUE, marker="o", markersize=4, linewidth=0.9, label="the walk")
    axes.plot(walk[:1], g(walk[:1]), color=ORANGE, marker="o", markersize=8, linestyle="none", label="start")
    axes.plot(best, g(best), color="black", marker="x", markersize=8, linestyle="none", label="SciPy's minimum")
    axes.set(xlabel="w", ylabel="g(w)", xlim=(low, high), ylim=(g(best) - 0.08 * above, g(best) + above))
