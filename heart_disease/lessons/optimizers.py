"""Gradient descent on all patients, on mini-batches, with momentum, and Adam, from the same initial weights.

Each trains the pipeline's network several times, at several learning rates, all at once. The lesson compares the passes
over the patients, the steps and the seconds until the training loss falls to a target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from heart_disease.lessons.lesson import Lesson, table
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from heart_disease.evaluation.estimates import Numbers

TITLE = "Optimizers: full batch, mini-batches, momentum, Adam"
COLORS = ("#000000", "#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#8C6BB1")  # Okabe and Ito
GREEN, PINK = "#009E73", "#CC79A7"
TIMED_STEPS = 512  # if a pass has few steps, more are trained than needed, to time one step

Rate = Annotated[float, Field(gt=0, le=100)]
Size = Annotated[int, Field(ge=1, le=256)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What may be changed."""

    batch_sizes: Annotated[
        tuple[Size, ...],
        Field(min_length=1, max_length=5, description="Patients per step of plain sgd, one row of the table each."),
    ] = (1, 8, 32, 128)
    batch_size: Annotated[Size, Field(description="Patients per step of momentum and Adam; one of batch_sizes.")] = 32
    momentum: Annotated[float, Field(gt=0, lt=1, description="Share of the last step that the next one keeps.")] = 0.9
    learning_rates: Annotated[
        tuple[Rate, ...], Field(min_length=1, max_length=10, description="Each optimizer takes the best of these.")
    ] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    seeds: Annotated[int, Field(ge=2, le=20, description="Networks for each optimizer and learning rate.")] = 5
    epochs: Annotated[int, Field(ge=2, le=200, description="Passes over the patients.")] = 25
    target: Annotated[float, Field(gt=0, lt=0.69, description="Training loss to reach; 0.69 is a coin toss.")] = 0.3

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        for name, values in (("batch_sizes", self.batch_sizes), ("learning_rates", self.learning_rates)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} (={', '.join(f'{v:g}' for v in values)}) must name each value once")
        if self.batch_size not in self.batch_sizes:
            sizes = ", ".join(map(str, self.batch_sizes))
            raise ValueError(f"batch_size (={self.batch_size}) must be one of batch_sizes (={sizes}), to be compared")
        return self


@plain_dataclass(frozen=True)
class Raced:
    """One optimizer at its best learning rate.

    recipe: at one of the rates. size: patients per step. steps: steps per pass. seconds: seconds per step. losses:
    (rates, seeds, epochs + 1), the training loss before the first step and after each pass. best: the position of the
    best rate. reached: passes to the target at that rate, one number for each seed that gets there.
    """

    name: str
    recipe: Recipe
    size: int
    steps: int
    seconds: float
    losses: Numbers
    best: int
    reached: Sequence[int]

    @property
    def is_plain(self) -> bool:
        """Whether a step goes down the slope as it is, without momentum and not by Adam."""
        return self.recipe.optimizer != "adam" and not self.recipe.momentum

    @property
    def passes(self) -> float:
        """Passes to the target, the mean over `reached`; infinite if no seed gets there."""
        return sum(self.reached) / len(self.reached) if self.reached else float("inf")

    @property
    def time(self) -> float:
        """Seconds to the target."""
        return self.passes * self.steps * self.seconds


def batch_noise(size: int, rows: int) -> float:
    """Standard error of a mini-batch's gradient, in units of the spread between the gradients of single patients.

    sqrt((n - B) / (B (n - 1))) for B of n rows drawn without replacement (Cochran, Sampling Techniques, 1977, th. 2.2).
    """
    return ((rows - size) / (size * (rows - 1))) ** 0.5


def momentum_steps(gradients: Sequence[float], rate: float, momentum: float) -> list[float]:
    """What momentum adds to a weight at each step: v = momentum x v - rate x gradient (Polyak, 1964)."""
    velocity, steps = 0.0, []
    for gradient in gradients:
        velocity = momentum * velocity - rate * gradient
        steps.append(velocity)
    return steps


def adam_steps(
    gradients: Sequence[float], rate: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-7
) -> list[float]:
    """What Adam adds to a weight at each step (Kingma and Ba, 2015, sec. 2, last form; the constants are Keras's).

    m and v are running means of the gradient and of its square; the step is -rate m / sqrt(v), both corrected for
    their start at 0.
    """
    m, v, steps = 0.0, 0.0, []
    for t, gradient in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        steps.append(-rate * (1 - beta2**t) ** 0.5 / (1 - beta1**t) * m / (v**0.5 + eps))
    return steps


def passes_to(losses: Sequence[float], target: float) -> int | None:
    """How many passes bring the loss to `target` or below; the first loss is the one before any step."""
    return next((i for i, loss in enumerate(losses) if loss <= target), None)


def best_rate(losses: Numbers, target: float) -> int:
    """The position of the learning rate that wins, from losses (rates, seeds, epochs + 1).

    Most seeds reach the target with it; ties go to the fewest passes, then to the lowest loss at the end.
    """
    import numpy as np

    def rank(at_rate: Numbers) -> tuple[float, float, float]:
        passes = [p for p in (passes_to(curve, target) for curve in at_rate) if p is not None]
        final = float(at_rate[:, -1].mean())
        return -len(passes), float(np.mean(passes)) if passes else 0.0, final if np.isfinite(final) else np.inf

    return min(range(len(losses)), key=lambda i: rank(losses[i]))


def run(settings: Settings) -> Lesson:
    """Train every optimizer at every learning rate, and compare the best of each."""
    import numpy as np

    size = settings.batch_size
    kinds = {"gd": Recipe(optimizer="gd")}
    kinds |= {f"sgd {b}": Recipe(optimizer="sgd", batch_size=b) for b in settings.batch_sizes}
    kinds[f"momentum {size}"] = Recipe(optimizer="sgd", batch_size=size, momentum=settings.momentum)
    kinds[f"adam {size}"] = Recipe(batch_size=size)
    raced = _race(kinds, settings)
    metrics: dict[str, float] = {}
    for one in raced:
        metrics |= {
            f"learning rate/{one.name}": settings.learning_rates[one.best],
            f"final loss/{one.name}": float(one.losses[one.best, :, -1].mean()),
            f"passes/{one.name}": one.passes,
            f"steps/{one.name}": one.passes * one.steps,
            f"seconds/{one.name}": one.time,
        }
    metrics = {name: value for name, value in metrics.items() if np.isfinite(value)}
    curves = {f"training loss/{one.name}": one.losses[one.best].mean(axis=0).tolist() for one in raced}
    return Lesson(TITLE, _text(raced, settings), _figure(raced, settings), metrics, curves)


def _race(kinds: Mapping[str, Recipe], settings: Settings) -> list[Raced]:
    """Every kind, trained on all patients, each in a call of its own, so that it is timed alone."""
    import time

    import numpy as np

    from heart_disease.data import sources
    from heart_disease.evaluation import estimates
    from heart_disease.model import schema
    from heart_disease.training.batches import Job
    from heart_disease.training.engine import TEST_LOSS, Networks, train
    from heart_disease.training.network import initial_weights

    frame = sources.load().frame
    labels, rows = schema.label(frame).to_numpy(), np.arange(len(frame))
    inputs = Inputs.fitted(frame, [rows])
    raced = []
    for name, recipe in kinds.items():
        size = len(rows) if recipe.optimizer == "gd" else recipe.batch_size
        steps = -(-len(rows) // size)
        recipes = [
            replace(recipe, learning_rate=rate, weight_decay=0.0, epochs=settings.epochs, seed=seed)
            for rate in settings.learning_rates
            for seed in range(settings.seeds)
        ]
        clock = replace(recipes[0], epochs=max(settings.epochs, TIMED_STEPS // steps) + 1)  # long enough to be timed
        # The watched rows are the training rows: this gives their loss at the end of every pass.
        timed, *jobs = (Job(recipe, rows, rows) for recipe in (clock, *recipes))
        marks: list[tuple[int, float]] = []

        def mark(done: int, _: int, marks: list[tuple[int, float]] = marks) -> None:
            marks.append((done, time.perf_counter()))

        networks = train(inputs, labels, [*jobs, timed], progress=mark)
        networks = networks.pick(lambda job: job is not timed)  # noqa: B023 - it is called at once
        (first, start), (last, end) = marks[0], marks[-1]  # the first segment includes the compilation
        flat = [np.concatenate([w.ravel() for w in initial_weights(recipe, inputs.width)])[None] for recipe in recipes]
        untrained = Networks(tuple(jobs), tuple(flat), {}, networks.device)
        before = [estimates.losses(labels, p[None]).mean() for p in untrained.probabilities(inputs)]
        curves = np.column_stack([before, networks.curves[TEST_LOSS][:, : settings.epochs]])
        of = {(job.recipe.learning_rate, job.recipe.seed): curve for job, curve in zip(jobs, curves, strict=True)}
        losses = np.array([[of[rate, seed] for seed in range(settings.seeds)] for rate in settings.learning_rates])
        best = best_rate(losses, settings.target)
        passes = [passes_to(curve, settings.target) for curve in losses[best]]
        reached = [p for p in passes if p is not None]
        raced.append(Raced(name, recipe, size, steps, (end - start) / (last - first), losses, best, reached))
    return raced


def _text(raced: Sequence[Raced], settings: Settings) -> str:
    target, rates, patients = settings.target, settings.learning_rates, raced[0].size
    header = ["optimizer", "rate", f"passes to {target:g}", "steps", "ms per step", "seconds", "noise"]
    lines = []
    for one in raced:
        passes, cost = "not reached", ["-", "-"]
        if one.reached:
            few = f", {len(one.reached)} of {settings.seeds} seeds" * (len(one.reached) < settings.seeds)
            passes = f"{one.passes:.1f} ({min(one.reached)} to {max(one.reached)}{few})"
            cost = [f"{one.passes * one.steps:.0f}", f"{one.time:.3f}"]
        noise = f"{batch_noise(one.size, patients):.2f}"
        lines.append([one.name, f"{rates[one.best]:g}", passes, cost[0], f"{one.seconds * 1e3:.2f}", cost[1], noise])
    slope = momentum_steps([1.0] * 100, 1.0, settings.momentum)
    network = "-".join(map(str, raced[0].recipe.widths))
    steep, flat = (-adam_steps([gradient], 1.0)[0] for gradient in (1000.0, 0.001))
    return f"""\
Every optimizer repeats one idea: find the slope of the loss in each weight, and move the weights downhill.

* `gd`: the slope over all {patients} patients, `w <- w - rate x slope`; one step per pass over the data.
* `sgd B`: the slope over only B patients, and so {patients} / B steps per pass. The fewer, the noisier: the error is
  `sqrt((n - B) / (B (n - 1)))` times the spread between single patients (last column).
* `momentum`: `v <- m v - rate x slope`, then `w <- w + v`, here with m = {settings.momentum:g}. On an even slope the
  100th step is {-slope[-1]:.1f} times a plain one.
* `adam`: a running mean of the slope, divided by the root of the running mean of its square. Its first step is
  {steep:.3g} x rate on a slope of 1000 and {flat:.3g} x rate on one of 0.001: the rate says how far a weight moves.

All train the {network} network on all patients, without regularisation, from the same {settings.seeds} sets of initial
weights, at the rates {", ".join(f"{rate:g}" for rate in rates)}. Each is shown at the rate with which most seeds reach
a training loss of {target:g}; ties go to the fewest passes, then to the lowest final loss. That is hindsight, but the
same for all.

{table(header, lines)}

Passes: mean over the seeds, and range. Seconds: steps times the measured time of one, without the compilation; a step
moves {len(rates) * settings.seeds + 1} networks at once (every rate and seed, and one for the clock), and a pass ends
with measuring the loss.

{_findings(raced, settings)}

**For the heart-disease network**: {patients} patients are few, all these times are short, and the choice is one of
convenience. A low training loss soon is not the aim either: the next lesson shows what it is worth for other
patients.
"""


def _findings(raced: Sequence[Raced], settings: Settings) -> str:
    """What the table says, in sentences that follow its numbers."""
    rates = settings.learning_rates
    few, soon = min(raced, key=lambda one: one.passes), min(raced, key=lambda one: one.time)
    if not few.reached:
        return (
            f"Nothing reaches {settings.target:g} within {settings.epochs} passes: allow more, or set a higher target."
        )
    said = [
        f"**Fewest passes**: {few.name}, {few.passes:.1f}. **Least time**: {soon.name}, {soon.time:.3f} s; times as "
        "short as these change places from run to run."
    ]
    batches = sorted((it for it in raced if it.is_plain and it.recipe.optimizer == "sgd"), key=lambda it: it.size)
    one, big = batches[0], batches[-1]
    if one.size < big.size and one.reached:
        plural = "s" * (one.size > 1)
        said.append(
            f"**What mini-batches of {one.size} cost**: {one.steps} steps per pass, one after the other. A step on "
            f"{one.size} patient{plural} takes {one.seconds * 1e3:.2f} ms and one on {big.size} "
            f"{big.seconds * 1e3:.2f} ms: {big.size / one.size:.0f} times the patients in "
            f"{big.seconds / one.seconds:.1f} times the time. So {one.passes:.1f} passes take "
            f"{one.time / soon.time:.0f} times as long as {soon.name}. The best rate is {rates[one.best]:g} for "
            f"{one.size} and {rates[big.best]:g} for {big.size}."
        )
    edge = [it.name for it in raced if len(rates) > 2 and rates[it.best] in (min(rates), max(rates))]
    if edge:
        said.append(
            f"The best rate of {', '.join(edge)} is at an end of the list: one beyond it might be better still."
        )
    return " ".join(said)


def _figure(raced: Sequence[Raced], settings: Settings) -> Figure:
    from matplotlib.figure import Figure

    plain = [one for one in raced if one.is_plain]
    colors = dict(zip((one.name for one in plain), COLORS, strict=False))
    colors |= {one.name: GREEN if one.recipe.momentum else PINK for one in raced if not one.is_plain}
    same_size = [one for one in raced if one.recipe.optimizer != "gd" and one.size == settings.batch_size]
    figure = Figure(figsize=(9, 7.4), layout="constrained")
    (by_size, by_method), (by_time, by_rate) = figure.subplots(2, 2)

    def line(axes: Axes, one: Raced, x: Sequence[float], y: Numbers, **marker: Any) -> None:
        style = "--" if one.name == "gd" else "-"
        axes.plot(x, y, color=colors[one.name], label=one.name, linestyle=style, linewidth=1.6, **marker)

    for axes, shown, title in (
        (by_size, plain, "How many patients per step"),
        (by_method, same_size, f"Which rule, batches of {settings.batch_size}"),
    ):
        for one in shown:
            best, passes = one.losses[one.best], range(settings.epochs + 1)
            line(axes, one, passes, best.mean(axis=0))
            axes.fill_between(
                passes, best.min(axis=0), best.max(axis=0), color=colors[one.name], alpha=0.15, linewidth=0
            )
        axes.set(xlabel="passes over the patients", title=title)
        axes.legend(title=f"mean of {settings.seeds} seeds, band: range", fontsize=9, title_fontsize=8)
    order = sorted(range(len(settings.learning_rates)), key=settings.learning_rates.__getitem__)
    for one in raced:
        seconds = [i * one.steps * one.seconds for i in range(1, settings.epochs + 1)]
        line(by_time, one, seconds, one.losses[one.best, :, 1:].mean(axis=0))
        finals = one.losses[order, :, -1].mean(axis=1)
        line(by_rate, one, [settings.learning_rates[i] for i in order], finals, marker="o", markersize=4)
    by_time.set(xscale="log", xlabel="seconds of the trainer", title="The same by time")
    by_rate.set(xscale="log", xlabel="learning rate", title=f"After {settings.epochs} passes, by learning rate")
    by_time.legend(fontsize=8)
    for axes in (by_size, by_method, by_time, by_rate):
        axes.set(ylim=(0, 1), ylabel="training loss")
        axes.axhline(settings.target, color="#777777", linewidth=1, linestyle=":")
    return figure
