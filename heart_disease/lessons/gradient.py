"""Gradient descent on functions of two variables: the gradient is the list of the slopes, one per variable.

A bowl has one bottom. At the middle of a saddle the gradient is 0, but it is not a minimum. With two valleys, the
start decides where the walk ends. Gradients by hand are compared with TensorFlow's, minima with SciPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass as plain
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from heart_disease.lessons.descent import BOUND, by_tape, descend
from heart_disease.lessons.lesson import Lesson, table
from heart_disease.training.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from heart_disease.evaluation.estimates import Numbers

TITLE = "The gradient: two variables, and where the start leads"
FRAME = 2.2  # the saddle and the valleys are shown from -FRAME to FRAME
FLAT = 1e-3  # a gradient no longer than this counts as 0
LISTED = 8  # the table shows at most this many walks on one function
NEAR = 0.01  # a walk that ends this close to a minimum has found it

Coordinate = Annotated[float, Field(ge=-10, le=10)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What may be changed."""

    start: Annotated[tuple[Coordinate, Coordinate], Field(description="Where the walk in the bowl begins.")] = (
        2.5,
        -2.0,
    )
    step: Annotated[float, Field(gt=0, le=10, description="Step size of all walks.")] = 0.05
    steps: Annotated[int, Field(ge=1, le=1000, description="Steps of each walk.")] = 100
    nudge: Annotated[
        float, Field(gt=0, le=1, description="How far beside the saddle's ridge two of its three walks begin.")
    ] = 0.01
    starts: Annotated[int, Field(ge=1, le=100, description="Walks on the function of two valleys.")] = 8
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Decides where those walks begin.")] = 0


@plain(frozen=True)
class Surface:
    """A function of two variables. value: (..., 2) -> (...); gradient, by hand: (..., 2) -> (..., 2)."""

    formula: str
    slopes: str
    value: Callable[[Any], Any]
    gradient: Callable[[Numbers], Numbers]


def bowl(w: Any) -> Any:
    """w1^2 + w2^2 + 2."""
    return w[..., 0] ** 2 + w[..., 1] ** 2 + 2


def bowl_gradient(w: Numbers) -> Numbers:
    """[2 w1, 2 w2]."""
    return 2 * w


def saddle(w: Any) -> Any:
    """w1^2 - w2^2."""
    return w[..., 0] ** 2 - w[..., 1] ** 2


def saddle_gradient(w: Numbers) -> Numbers:
    """[2 w1, -2 w2]."""
    import numpy as np

    return np.stack([2 * w[..., 0], -2 * w[..., 1]], axis=-1)


def valleys(w: Any) -> Any:
    """(w1^2 - 1)^2 + w2^2 + w1 / 4: two valleys, and the one on the left is deeper."""
    return (w[..., 0] ** 2 - 1) ** 2 + w[..., 1] ** 2 + w[..., 0] / 4


def valleys_gradient(w: Numbers) -> Numbers:
    """[4 w1 (w1^2 - 1) + 1/4, 2 w2]."""
    import numpy as np

    return np.stack([4 * w[..., 0] * (w[..., 0] ** 2 - 1) + 1 / 4, 2 * w[..., 1]], axis=-1)


SURFACES: Mapping[str, Surface] = {
    "bowl": Surface("w1^2 + w2^2 + 2", "[2 w1, 2 w2]", bowl, bowl_gradient),
    "saddle": Surface("w1^2 - w2^2", "[2 w1, -2 w2]", saddle, saddle_gradient),
    "two valleys": Surface(
        "(w1^2 - 1)^2 + w2^2 + w1/4", "[4 w1 (w1^2 - 1) + 1/4, 2 w2]", valleys, valleys_gradient
    ),
}  # fmt: skip


def minimum(surface: Surface, near: Numbers) -> Numbers:
    """The minimum (2,) that SciPy's BFGS finds from the point `near`; it is not told the gradient."""
    from scipy.optimize import minimize

    return minimize(surface.value, near, options={"gtol": 1e-8}).x


def outcome(surface: Surface, path: Numbers, steps: int) -> str:
    """What became of a walk of `steps` steps, in a few words."""
    import numpy as np

    if len(path) <= steps:
        return f"beyond {BOUND:g} at step {len(path)}"
    length = float(np.linalg.norm(surface.gradient(path[-1])))
    return f"gradient {'about 0' if length < FLAT else f'{length:.2g} long'}"


def run(settings: Settings) -> Lesson:
    """Walk on the three functions, compare with TensorFlow and SciPy, and draw."""
    import numpy as np

    rng = np.random.default_rng(settings.seed)
    points = rng.uniform(-5, 5, (1000, 2))
    gaps = {name: float(np.abs(it.gradient(points) - by_tape(it.value, points)).max()) for name, it in SURFACES.items()}
    starts: dict[str, list[Any]] = {
        "bowl": [settings.start],
        "saddle": [(1.8, nudge) for nudge in (0.0, settings.nudge, -settings.nudge)],
        "two valleys": rng.uniform(-0.9 * FRAME, 0.9 * FRAME, (settings.starts, 2)).tolist(),
    }
    paths = {
        name: [descend(SURFACES[name].gradient, start, settings.step, settings.steps) for start in those]
        for name, those in starts.items()
    }
    bottom = minimum(SURFACES["bowl"], np.array(settings.start, "float64"))
    two = np.array([minimum(SURFACES["two valleys"], np.array([x, 0.0])) for x in (-1.0, 1.0)])  # (2, 2)
    ends = np.array([path[-1] for path in paths["two valleys"]])  # (starts, 2)
    left, right = (int((np.linalg.norm(ends - one, axis=1) < NEAR).sum()) for one in two)

    waiting = settings.starts - left - right
    late = f" In neither valley after {settings.steps} steps: {waiting}." if waiting else ""
    path = paths["bowl"][0]
    distance = float(np.linalg.norm(path[-1] - bottom))
    formulas = table(
        ("function", "g(w1, w2)", "gradient by hand", "largest difference to TensorFlow's"),
        [(name, f"`{it.formula}`", f"`{it.slopes}`", f"{gaps[name]:.1g}") for name, it in SURFACES.items()],
    )
    walked = table(
        ("function", "start", "end", "g at the end", "there"),
        [
            (name, _point(one[0]), _point(one[-1]), f"{SURFACES[name].value(one[-1]):.4g}",
             outcome(SURFACES[name], one, settings.steps))
            for name in SURFACES for one in paths[name][:LISTED]
        ],
    )  # fmt: skip
    ridge = paths["saddle"][0]
    text = f"""\
With two weights the slope has two parts: how g changes with `w1` while `w2` stays the same, and the other way round.
The list of the two is the gradient. It points uphill, at right angles to the lines of equal height, and descent goes
against it: `w <- w - step x gradient(w)`, for all weights at once. Three functions, compared at {len(points)} points:

{formulas}

Step size {settings.step:g}, {settings.steps} steps:

{walked}

**The bowl.** SciPy finds the minimum at {_point(bottom)}, where g = {bowl(bottom):.4g}; the walk ends {distance:.2g}
away from it. Each step multiplies both weights by 1 - 2 x {settings.step:g} = {1 - 2 * settings.step:g}, so the path is
straight.

**The saddle.** At (0, 0) the gradient is 0, and yet there is no minimum: g rises along w1 and falls along w2. A walk
that begins on the ridge, at w2 = 0, never sees the way down, because its slope in w2 is exactly 0; it ends at
{_point(ridge[-1])}. The two that begin {settings.nudge:g} beside it head for the same place, but each step multiplies
their w2 by {1 + 2 * settings.step:g}: they end at {_point(paths["saddle"][1][-1])} and
{_point(paths["saddle"][2][-1])}, and would fall forever. A gradient of 0 is a reason to look again, not a proof of
arrival.

**Two valleys.** SciPy finds two minima, {_point(two[0])} with g = {valleys(two[0]):.4g} and {_point(two[1])} with
g = {valleys(two[1]):.4g}. From {settings.starts} starts, {left} end in the left valley, the deeper one, and {right}
in the right one.{late} The start decides in which valley a walk ends: descent sees the slope under its feet and nothing
else.

The loss of the heart-disease network is such a landscape over {Recipe().size} weights, and may have many valleys. Its
start is drawn at random, from the seed, and two seeds make two networks. That is why models here are compared over many
fits and never by a single one."""
    names = ("w1", "w2")
    curves = {f"bowl {name}": path[:, i].tolist() for i, name in enumerate(names)}
    curves |= {"bowl g": bowl(path).tolist()}
    curves |= {f"two valleys g start {k}": valleys(one).tolist() for k, one in enumerate(paths["two valleys"])}
    metrics = {
        "bowl distance to minimum": distance, "left valley": float(left), "right valley": float(right),
        "largest difference to the tape": max(gaps.values()),
    }  # fmt: skip
    return Lesson(TITLE, text, _figure(paths, two), metrics, curves)


def _point(w: Numbers) -> str:
    """``(2.5, -0.01)``; what rounds to 0 is 0."""
    return f"({', '.join(f'{value:.3g}' if abs(value) >= 5e-4 else '0' for value in w)})"


def _figure(paths: dict[str, list[Numbers]], two: Numbers) -> Figure:
    import numpy as np
    from matplotlib.figure import Figure

    from heart_disease.reporting.figures import BLUE, ORANGE

    reach = 1.15 * max(1.0, float(np.abs(paths["bowl"][0][0]).max()))
    figure = Figure(figsize=(9, 8.4), layout="constrained")
    flat = figure.add_subplot(2, 2, 1)
    _contours(flat, SURFACES["bowl"], reach, [(paths["bowl"][0], BLUE, "the walk")])
    flat.plot(0, 0, color="black", marker="x", markersize=9, linestyle="none", label="minimum")
    flat.set_title("The bowl from above")

    solid: Any = figure.add_subplot(2, 2, 2, projection="3d", computed_zorder=False)
    grid = _grid(reach)
    solid.plot_surface(grid[..., 0], grid[..., 1], bowl(grid), cmap="Greys", alpha=0.55, linewidth=0)
    walk = paths["bowl"][0]
    solid.plot(walk[:, 0], walk[:, 1], bowl(walk), color=BLUE, marker="o", markersize=3.5, linewidth=1)
    solid.plot(*walk[:1].T, bowl(walk[:1]), color=ORANGE, marker="o", markersize=7, linestyle="none")
    solid.set(xlabel="w1", ylabel="w2", zlabel="g", title="The same walk on the surface", xlim=(-reach, reach))
    solid.set(ylim=(-reach, reach), zlim=(0, float(bowl(grid).max())))
    solid.view_init(elev=32, azim=float(np.degrees(np.arctan2(walk[0, 1], walk[0, 0]))) + 145)
    solid.set_box_aspect(None, zoom=0.87)

    ridge = figure.add_subplot(2, 2, 3)
    on_it, *beside = paths["saddle"]
    _contours(
        ridge, SURFACES["saddle"], FRAME,
        [*((path, BLUE, "begins beside the ridge") for path in beside), (on_it, "black", "begins on the ridge")],
    )  # fmt: skip
    ridge.set_title("A saddle: flat in the middle, no minimum")

    both = figure.add_subplot(2, 2, 4)
    sides = ((BLUE, "ends nearer the left minimum"), ("black", "ends nearer the right minimum"))
    ended = [sides[int(np.argmin(np.linalg.norm(path[-1] - two, axis=1)))] for path in paths["two valleys"]]
    _contours(
        both, SURFACES["two valleys"], FRAME,
        [(path, *end) for path, end in zip(paths["two valleys"], ended, strict=True)],
    )  # fmt: skip
    both.plot(*two.T, color="white", markeredgecolor="black", marker="X", markersize=9, linestyle="none",
              label="SciPy's minima")  # fmt: skip
    both.set_title("Two valleys: the start decides")
    for axes in (flat, ridge, both):
        known = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # each label once
        axes.legend(known.values(), known.keys(), loc="upper left", fontsize=8)
    return figure


def _grid(reach: float) -> Numbers:
    """Points of a square around 0: (81, 81, 2)."""
    import numpy as np

    line = np.linspace(-reach, reach, 81)
    return np.stack(np.meshgrid(line, line), axis=-1)


def _contours(axes: Axes, surface: Surface, reach: float, walks: list[tuple[Numbers, str, str]]) -> None:
    """Lines of equal height, darker is higher, and walks with their colours and labels; cut off at the frame."""
    import numpy as np

    from heart_disease.reporting.figures import GREY, ORANGE

    grid = _grid(reach)
    values = surface.value(grid)
    levels = np.quantile(values, np.linspace(0.02, 0.98, 14))
    axes.contourf(grid[..., 0], grid[..., 1], values, levels=levels, cmap="Greys", alpha=0.45, extend="both")
    lines: Any = axes.contour(
        grid[..., 0], grid[..., 1], values, levels=levels, colors=GREY, linewidths=0.6, linestyles="-"
    )
    axes.clabel(lines, lines.levels[2:-2:3], fontsize=7, fmt="%.1f", colors="black")
    for path, color, label in walks:
        axes.plot(path[:, 0], path[:, 1], color=color, marker="o", markersize=3, linewidth=1.2, label=label)
    first = np.array([path[0] for path, *_ in walks])
    axes.plot(*first.T, color=ORANGE, marker="o", markersize=7, linestyle="none", label="start")
    axes.set(xlabel="w1", ylabel="w2", aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
