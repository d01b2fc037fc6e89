"""The course's 300 epochs without regularisation against the recipe of this pipeline, on patients they did not see.

The loss on training rows and out of fold at every epoch shows where learning turns into learning by heart. Then the
lesson shows what weight decay changes, and what averaging the probabilities of several networks changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from heart_disease.lessons.lesson import Lesson, table
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import LECTURE, Recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from heart_disease.evaluation.estimates import Estimate, Numbers
    from heart_disease.evaluation.folds import Splits

TITLE = "Overfitting: what more epochs, weight decay and averaging do"
COURSE, LONG, SHORT = "no decay", "decay", "decay, stopped"
GREY, ORANGE, BLUE = "#777777", "#D55E00", "#0072B2"


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What may be changed."""

    folds: Annotated[int, Field(ge=2, le=50, description="Folds of the cross-validation.")] = 10
    repeats: Annotated[
        int, Field(ge=1, le=20, description="Repeats of the cross-validation, with other folds each time.")
    ] = 5
    epochs: Annotated[int, Field(ge=2, le=2000, description="Epochs of the long trainings.")] = LECTURE.epochs
    stop: Annotated[int, Field(ge=1, le=2000, description="Epochs of the short training.")] = Recipe().epochs
    weight_decay: Annotated[float, Field(gt=0, le=100, description="Weight decay of the recipes that have it.")] = (
        Recipe().weight_decay
    )
    members: Annotated[int, Field(ge=2, le=8, description="Networks that are averaged.")] = 3
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Decides folds, weights, shuffles and intervals.")] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.stop > self.epochs:
            raise ValueError(f"stop (={self.stop}) must not exceed epochs (={self.epochs})")
        if (networks := self.folds * self.repeats * self.members * 3) > 5000:
            raise ValueError(f"3 recipes x folds x repeats x members is {networks} networks; at most 5000")
        return self


@plain_dataclass(frozen=True)
class Fitted:
    """One recipe, trained for every fold and member.

    train, test: (M, epochs), the loss of each member on the rows that it is trained on, and out of fold.
    probabilities: (M, R, n), each from a network that did not learn from its row. size: number of weights. norm:
    length of their vector, the mean over the networks.
    """

    recipe: Recipe
    train: Numbers
    test: Numbers
    probabilities: Numbers
    size: int
    norm: float


def pooled(curves: Numbers, rows: Numbers) -> Numbers:
    """The mean loss of patients at each epoch: folds' means (..., fits, epochs), weighted by their rows (fits,)."""
    import numpy as np

    return np.average(curves, axis=-2, weights=rows)


def turn(losses: Numbers) -> int:
    """The epoch, from 1, with the lowest loss of (epochs,)."""
    return int(losses.argmin()) + 1


def lowest(losses: Numbers) -> float:
    """The lowest mean loss of (M, epochs) over the members."""
    return float(losses.mean(axis=0).min())


def kept(recipe: Recipe, rows: int) -> float:
    """What weight decay alone leaves of a weight: (1 - rate x decay)^steps (Loshchilov and Hutter, 2019, eq. 1)."""
    steps = recipe.epochs * -(-rows // recipe.batch_size)
    return (1 - recipe.learning_rate * recipe.weight_decay) ** steps


def loss_by_number(labels: Numbers, probabilities: Numbers) -> list[float]:
    """Log loss of the mean probability of 1, 2, ... M networks, the mean over every choice of them.

    labels: (n,). probabilities: (M, R, n).
    """
    import numpy as np

    from heart_disease.evaluation.estimates import losses

    members = range(len(probabilities))
    return [
        float(np.mean([losses(labels, probabilities[list(c)].mean(axis=0)).mean() for c in combinations(members, m)]))
        for m in range(1, len(probabilities) + 1)
    ]


def run(settings: Settings) -> Lesson:
    """Train every recipe for every fold and member in one call, and compare."""
    from heart_disease.data import sources
    from heart_disease.evaluation import estimates, folds
    from heart_disease.model import schema

    frame = sources.load().frame
    labels = schema.label(frame).to_numpy()
    splits = folds.cross_validation(labels, settings.folds, settings.repeats, settings.seed)
    default = replace(Recipe(), weight_decay=settings.weight_decay)
    recipes = {
        COURSE: replace(LECTURE, epochs=settings.epochs),
        LONG: replace(default, epochs=settings.epochs),
        SHORT: replace(default, epochs=settings.stop),
    }
    fitted = _fit(recipes, settings, splits)
    weights = estimates.resamples(len(labels), settings.seed)

    found: dict[str, dict[str, Estimate]] = {}
    for name, one in fitted.items():
        single, mean = one.probabilities.reshape(-1, len(labels)), one.probabilities.mean(axis=0)
        found[name] = estimates.measure(labels, single, weights)  # each member alone; their mean
        found[name]["averaged"] = estimates.measure(labels, mean, weights)["log_loss"]
        found[name]["gain"] = estimates.difference(labels, mean, single, weights)
    ours, theirs = (fitted[name].probabilities.reshape(-1, len(labels)) for name in (SHORT, COURSE))
    gained = estimates.difference(labels, ours, theirs, weights)

    metrics, curves = {"difference/log loss": gained.value}, {}
    for name, one in fitted.items():
        key = name.replace(",", "")
        metrics |= {
            f"training loss/{key}": float(one.train[:, -1].mean()),
            f"log loss/{key}": found[name]["log_loss"].value,
            f"log loss averaged/{key}": found[name]["averaged"].value,
            f"accuracy/{key}": found[name]["accuracy"].value,
            f"best epoch/{key}": turn(one.test.mean(axis=0)),
            f"weight norm/{key}": one.norm,
        }
        curves[f"training loss/{key}"] = one.train.mean(axis=0).tolist()
        curves[f"out-of-fold loss/{key}"] = one.test.mean(axis=0).tolist()
    text = _text(fitted, found, gained, settings, splits, len(labels))
    return Lesson(TITLE, text, _figure(fitted, labels, settings), metrics, curves)


def _fit(recipes: Mapping[str, Recipe], settings: Settings, splits: Splits) -> dict[str, Fitted]:
    import numpy as np

    from heart_disease.data import sources
    from heart_disease.evaluation.contest import by_member, fold_jobs
    from heart_disease.model import schema
    from heart_disease.training.engine import TEST_LOSS, TRAIN_LOSS, train

    frame = sources.load().frame
    labels = schema.label(frame).to_numpy()
    # The same members for every recipe: equal initial weights and equal shuffles, fold by fold.
    jobs = [
        replace(job, side=name, member=member)
        for name, recipe in recipes.items()
        for member in range(settings.members)
        for job in fold_jobs(replace(recipe, seed=settings.seed + member), splits)
    ]
    inputs = Inputs.fitted(frame, [rows for rows, _ in splits.pairs])
    networks = train(inputs, labels, jobs)
    train_rows, test_rows = (np.array([len(pair[i]) for pair in splits.pairs]) for i in (0, 1))
    fitted = {}
    for name, recipe in recipes.items():
        own = networks.pick(lambda job, name=name: job.side == name)  # type: ignore[misc]
        members = [own.pick(lambda job, m=m: job.member == m) for m in range(settings.members)]  # type: ignore[misc]
        train_loss, test_loss = (
            pooled(np.stack([one.curves[curve][:, : recipe.epochs] for one in members]).astype("float64"), rows)
            for curve, rows in ((TRAIN_LOSS, train_rows), (TEST_LOSS, test_rows))
        )
        weights = np.concatenate(own.weights)  # (members x folds, P)
        norm = float(np.linalg.norm(weights, axis=1).mean())
        probabilities = by_member(own, inputs, splits)
        fitted[name] = Fitted(recipe, train_loss, test_loss, probabilities, weights.shape[1], norm)
    return fitted


def _text(
    fitted: Mapping[str, Fitted], found: Mapping[str, Mapping[str, Estimate]], gained: Estimate, settings: Settings,
    splits: Splits, patients: int,
) -> str:  # fmt: skip
    recipes, averages = [], []
    for name, one in fitted.items():
        inside, outside = one.train[:, -1].mean(), found[name]["log_loss"]
        least = f"{turn(one.test.mean(axis=0))} ({lowest(one.test):.3f})"
        accuracy = f"{found[name]['accuracy'].value:.3f}"
        gap = f"{outside.value - inside:.3f}"
        recipes.append(
            [name, one.recipe.epochs, f"{inside:.3f}", str(outside), gap, least, accuracy, f"{one.norm:.1f}"]
        )
        spread = f"{one.probabilities.std(axis=0).mean():.3f}"
        averages.append([name, f"{outside.value:.3f}", f"{found[name]['averaged'].value:.3f}",
                         str(found[name]["gain"]), spread])  # fmt: skip
    course, seeming = fitted[COURSE], min(fitted, key=lambda name: fitted[name].train[:, -1].mean())
    best = turn(course.test.mean(axis=0))
    rows = len(splits.pairs[0][0])
    turned = (
        "From there on it fits the training rows better and other patients worse: what it still learns is the noise "
        "of these rows."
        if best < settings.epochs
        else "The out-of-fold loss still falls at the last epoch: with more epochs it would turn."
    )
    return f"""\
A network of {course.size} weights that learns from {rows} patients can come to know them by heart. Whether it does
shows only on patients that it has not learned from. So {settings.repeats} times the patients are cut into
{settings.folds} parts, and each part is judged by networks that learned from the others: the mean loss of all patients
is the out-of-fold loss. {len(splits.pairs)} folds x {settings.members} networks x {len(fitted)} recipes are trained at
once.

{table(["recipe", "epochs", "training", "out of fold [95 %]", "gap", "lowest at", "accuracy", "weights"], recipes)}

The columns: loss on training rows, the mean over the last epoch while the weights still move; loss out of fold, with an
interval from resampling patients; the gap between the two; the epoch with the lowest loss out of fold; and the length
of the vector of all weights.

**Where it turns.** Without decay the out-of-fold loss is lowest after {best} epochs. {turned} The loss shows it more
clearly than the accuracy, because it penalises being sure and wrong (last panel). An epoch that is picked by the rows
that judge it looks a little better than it is.

**What weight decay changes.** Each step also shrinks every weight by rate x decay; without any gradient,
{kept(fitted[LONG].recipe, rows):.2g} of it would be left after {settings.epochs} epochs, so only weights that the
data keep pushing stay large. Stopping alone, after {best} epochs, comes to {lowest(course.test):.3f}; decay alone,
after {settings.epochs}, to {found[LONG]["log_loss"].value:.3f}; neither, to {found[COURSE]["log_loss"].value:.3f}.
Both together change that last loss, patient by patient, by {gained}.

**What averaging changes.** {settings.members} networks that differ only in their seed, and the mean of their
probabilities p:

{table(["recipe", "one network", f"mean of {settings.members}", "difference [95 %]", "SD of p"], averages)}

The mean never loses more than the networks do on average. That is Jensen's inequality: -log p is convex, so for every
patient -log(mean of p) <= mean of -log p, equal only if all agree. It promises to beat the average network, not the
best one, and it pays if they disagree.

**For the heart-disease network**: judged on the training rows, the recipe "{seeming}" would look best. The
default of `heart train` is the last one, and every network is judged on patients that it has not learned from.
"""


def _figure(fitted: Mapping[str, Fitted], labels: Numbers, settings: Settings) -> Figure:
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7.4), layout="constrained")
    (without, decayed), (averaged, sure) = figure.subplots(2, 2)
    top = 1.05 * max(fitted[name].test.max() for name in (COURSE, LONG))
    _curves(without, fitted[COURSE], f"Without decay, {settings.epochs} epochs", top)
    _curves(decayed, fitted[LONG], f"With weight decay {settings.weight_decay:g}", top)
    decayed.axvline(settings.stop, color=BLUE, linestyle=":", linewidth=1.2, label=f"stopped at {settings.stop}")
    decayed.legend(fontsize=9, title=without.get_legend().get_title().get_text(), title_fontsize=8)
    for name, color in ((COURSE, ORANGE), (SHORT, BLUE)):
        probabilities = fitted[name].probabilities
        numbers = range(1, len(probabilities) + 1)
        averaged.plot(numbers, loss_by_number(labels, probabilities), "o-", color=color, label=name)
        share = np.full(probabilities.size, labels.size / probabilities.size)  # the bars add up to the patients
        sure.hist(
            probabilities.ravel(), bins=20, range=(0, 1), weights=share, histtype="step", color=color, linewidth=1.6,
            label=name,
        )  # fmt: skip
    averaged.set(
        xlabel="networks averaged", ylabel="out-of-fold loss", title="The mean of several networks", ylim=(0, top)
    )
    averaged.set_xticks(range(1, settings.members + 1))
    sure.set(xlabel="probability, out of fold", ylabel="patients", title="How sure one network is")
    for axes in (averaged, sure):
        axes.legend(fontsize=9)
    return figure


def _curves(axes: Axes, one: Fitted, title: str, top: float) -> None:
    epochs = range(1, one.test.shape[1] + 1)
    for losses, color, label in ((one.train, GREY, "training rows"), (one.test, ORANGE, "out of fold")):
        axes.plot(epochs, losses.mean(axis=0), color=color, label=f"{label}: {losses[:, -1].mean():.3f} at the end")
        axes.fill_between(epochs, losses.min(axis=0), losses.max(axis=0), color=color, alpha=0.2, linewidth=0)
    best = turn(one.test.mean(axis=0))
    value = lowest(one.test)
    axes.plot([best], [value], "v", color="#000000", markersize=7, label=f"lowest: {value:.3f} at epoch {best}")
    axes.set(xlabel="epoch", ylabel="loss", title=title, ylim=(0, top))
    axes.legend(fontsize=9, title=f"mean of {len(one.test)} networks, band: range", title_fontsize=8)
