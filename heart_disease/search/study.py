"""Search the recipe: every configuration on the same folds, the simplest of the good ones, and what it is really worth.

The winner of a search looks better than it is: it was chosen on the patients that it is judged on. So the search
itself is judged, by nested cross-validation (Varma and Simon, BMC Bioinformatics 7:91, 2006): for each outer fold,
configurations are cross-validated inside the other folds alone, a winner is chosen there by the same rule, and its
network answers for the outer fold. The outer folds are the first repeat of the main cross-validation: every
configuration has been trained on their training rows already, so the nested estimate costs the inner folds only.

The rule is that of one standard error (Breiman et al., Classification and Regression Trees, 1984, sec. 3.4.3): the
simplest configuration whose loss is within one standard error of the best one's. The standard error is that of the
difference between the two, patient by patient; that of a loss alone is mostly the difference between patients, which
both have in common, and would let nearly everything pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from heart_disease.evaluation import estimates, folds
from heart_disease.evaluation.contest import fold_jobs
from heart_disease.evaluation.estimates import Estimate, Numbers
from heart_disease.evaluation.folds import Splits
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model import schema
from heart_disease.model.errors import UsageError
from heart_disease.training.batches import Floats, Ints, Job
from heart_disease.training.engine import TEST_LOSS, TRAIN_LOSS, train
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import Recipe


@dataclass(frozen=True)
class Study:
    """What all configurations of a sweep have in common: patients, folds, and the epochs that are measured.

    frame: the raw patients. seed: the seed of folds, networks and intervals. inner_folds: the folds of the nested
    cross-validation; 0 for none, if nothing is to be summarised.

    Raises:
        UsageError: there are too few patients for the folds (when these are made), or part of them is to be held out.
    """

    frame: pd.DataFrame
    evaluation: Evaluation
    epochs: tuple[int, ...]
    inner_folds: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.evaluation.holdout is not None:
            raise UsageError(f"a search cross-validates; expected folds, not a holdout (={self.evaluation.holdout:g})")

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: the fields, but not what they lead to, which is a hundred times as large."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def labels(self) -> Numbers:
        """(n,) of 0 and 1."""
        return schema.label(self.frame).to_numpy()

    @cached_property
    def splits(self) -> Splits:
        """The main cross-validation."""
        return folds.cross_validation(self.labels, self.evaluation.folds, self.evaluation.repeats, self.seed)

    @cached_property
    def inner(self) -> list[Splits]:
        """The folds inside the training rows of each outer fold, as numbers of rows of `frame`."""
        found = []
        for outer, (rows, _) in enumerate(self.outer if self.inner_folds else ()):
            try:
                splits = folds.cross_validation(self.labels[rows], self.inner_folds, 1, self.seed + 1 + outer)
            except UsageError as error:
                raise UsageError(f"inside each of the outer folds {error}") from error
            pairs = tuple((rows[a], rows[b]) for a, b in splits.pairs)
            found.append(replace(splits, pairs=pairs))
        return found

    @cached_property
    def resamples(self) -> Numbers | None:
        """See `estimates.resamples`."""
        return estimates.resamples(len(self.frame), self.seed)

    @property
    def outer(self) -> Sequence[tuple[Ints, Ints]]:
        """The outer folds: the first repeat of the main cross-validation."""
        return self.splits.once

    @property
    def fits(self) -> int:
        """The number of networks per configuration."""
        return len(self.splits.pairs) + sum(len(splits.pairs) for splits in self.inner)

    @cached_property
    def inputs(self) -> Inputs:
        """The patients, with a matrix for each fold of `splits`, then for each of `inner`."""
        everywhere = [self.splits, *self.inner]
        return Inputs.fitted(self.frame, [rows for splits in everywhere for rows, _ in splits.pairs])

    def jobs(self, recipe: Recipe) -> list[Job]:
        """The networks of one configuration, each taken after all of `epochs`: main folds, then inside each outer fold.

        job.outer: the outer fold that job.fold lies in; None for the main folds.
        """
        found = fold_jobs(recipe, self.splits)
        for outer, splits in enumerate(self.inner):
            # The seeds differ from those of the main folds, and of the other outer folds.
            own = fold_jobs(replace(recipe, seed=(recipe.seed + 1 + outer) % 2**31), splits)
            found += [replace(job, matrix=job.matrix + len(found), outer=outer) for job in own]
        return [replace(job, epochs=self.epochs) for job in found]


@dataclass(frozen=True)
class Result:
    """What cross-validation found about one configuration, at each of the study's epochs.

    probabilities: (E, R, n), out of fold. inner: (E, O, n), the loss of each patient inside each outer fold; nan for
    the patients of that fold. train, validation: (epochs,), the mean curves of the main folds. A network that has
    diverged gives no answers; these count as certain and wrong.
    """

    recipe: Recipe
    probabilities: Floats
    inner: Floats
    train: Floats
    validation: Floats

    @staticmethod
    def to_arrays(results: Sequence[Result]) -> dict[str, Floats]:
        """The numbers of several results by name, one row per result."""
        return {name: np.stack([getattr(one, name) for one in results]) for name in _NUMBERS}

    @staticmethod
    def from_arrays(recipes: Sequence[Recipe], arrays: Mapping[str, Floats]) -> list[Result]:
        """The results that `to_arrays` took apart."""
        rows = zip(*(arrays[name] for name in _NUMBERS), strict=True)
        return [Result(recipe, *row) for recipe, row in zip(recipes, rows, strict=True)]


_NUMBERS = tuple(field.name for field in fields(Result) if field.name != "recipe")


def cross_validate(
    study: Study, recipes: Sequence[Recipe], *, device: str = "auto", progress: Callable[[int, int], None] | None = None
) -> list[Result]:
    """Train every configuration on every fold, in as few batches as there are shapes; see `Result`."""
    jobs = [replace(job, side=t) for t, recipe in enumerate(recipes) for job in study.jobs(recipe)]
    networks = train(study.inputs, study.labels.astype(np.float32), jobs, device=device, progress=progress)
    wrong = 1 - study.labels
    answers = {
        (job.side, job.outer, job.fold): np.where(np.isnan(p), wrong[job.watch], p)  # (E, V)
        for job, p in zip(jobs, networks.watched(study.inputs), strict=True)
    }
    main = [k for k, job in enumerate(jobs) if job.outer is None]
    results = []
    for t, recipe in enumerate(recipes):
        probabilities = []
        inner = np.full((len(study.epochs), len(study.inner), len(study.frame)), np.nan, np.float32)
        for e in range(len(study.epochs)):
            found = [answers[t, None, i][e] for i in range(len(study.splits.pairs))]
            probabilities.append(study.splits.out_of_fold(found))
            for o, splits in enumerate(study.inner):
                rows = splits.test_rows
                p = splits.out_of_fold([answers[t, o, i][e] for i in range(study.inner_folds)])
                inner[e, o, rows] = estimates.losses(study.labels[rows], p)
        own = [k for k in main if jobs[k].side == t]
        curves = [networks.curves[name][own].mean(axis=0) for name in (TRAIN_LOSS, TEST_LOSS)]
        results.append(Result(recipe, np.stack(probabilities).astype(np.float32), inner, *curves))
    return results


@dataclass(frozen=True)
class Choice:
    """One configuration at one number of epochs: `results[number]`, `epochs[epoch]`."""

    number: int
    epoch: int


def choose(losses: Numbers, recipes: Sequence[Recipe], epochs: Sequence[int], widening: float) -> tuple[Choice, Choice]:
    """The best and, by the rule of one standard error, the simplest of the good ones.

    losses: (T, E, n), one per patient. widening: the factor of the standard error, see `Splits.widening`.
    """
    means = losses.mean(axis=2)  # (T, E)
    best = Choice(*(int(i) for i in np.unravel_index(np.argmin(means), means.shape)))
    apart = losses - losses[best.number, best.epoch]  # (T, E, n)
    standard_error = widening * apart.std(axis=2, ddof=1) / np.sqrt(losses.shape[2])
    good = [Choice(int(t), int(e)) for t, e in np.argwhere(apart.mean(axis=2) <= standard_error)]
    return best, min(
        good, key=lambda one: (*simplicity(recipes[one.number], epochs[one.epoch]), means[one.number, one.epoch])
    )


def simplicity(recipe: Recipe, epochs: int) -> tuple[float, ...]:
    """A key that sorts the simplest first: fewer weights, then more weight decay, more dropout, fewer epochs."""
    return recipe.size, -recipe.weight_decay, -recipe.dropout, epochs


@threadpool_limits.wrap(limits=1, user_api="blas")
def measure(study: Study, result: Result) -> tuple[Recipe, dict[str, Estimate]]:
    """A configuration at its own best epochs, and all its metrics there."""
    by_epochs = [estimates.losses(study.labels, p.astype(np.float64)).mean() for p in result.probabilities]
    best = int(np.argmin(by_epochs))
    found = estimates.measure(study.labels, result.probabilities[best].astype(np.float64), study.resamples)
    return replace(result.recipe, epochs=study.epochs[best]), found


@dataclass(frozen=True)
class Summary:
    """What a sweep found.

    best, chosen: see `choose`. ranked: every configuration at its own best epochs, the best first. loss: of each in
    `ranked`. of_chosen, of_best: their out-of-fold log loss, flattered by the choice. nested: the log loss of the whole
    search, which is not flattered. apart: chosen minus best. picks: what was chosen for each outer fold.
    """

    best: Recipe
    chosen: Recipe
    ranked: Sequence[Recipe]
    loss: Sequence[Estimate]
    of_best: Estimate
    of_chosen: Estimate
    nested: Estimate
    apart: Estimate
    picks: Sequence[Recipe]


def summarise(study: Study, results: Sequence[Result]) -> Summary:
    """Choose, and estimate what the choice is worth."""
    recipes = [result.recipe for result in results]
    labels, weights = study.labels, study.resamples
    losses = np.stack([[estimates.losses(labels, p.astype(np.float64)) for p in one.probabilities] for one in results])

    def recipe(one: Choice) -> Recipe:
        return replace(recipes[one.number], epochs=study.epochs[one.epoch])

    def estimate(one: Choice) -> Estimate:
        return estimates.estimate(losses[one.number, one.epoch], weights)

    best, chosen = choose(losses, recipes, study.epochs, study.splits.widening)
    own_best = [Choice(t, int(e)) for t, e in enumerate(losses.mean(axis=2).argmin(axis=1))]
    ranked = sorted(own_best, key=lambda one: losses[one.number, one.epoch].mean())

    nested, picks = np.empty(len(labels)), []
    inner = np.stack([result.inner for result in results]).astype(np.float64)  # (T, E, O, n)
    for o, (rows, test) in enumerate(study.outer):
        _, pick = choose(inner[:, :, o, rows], recipes, study.epochs, study.inner[o].widening)
        p = results[pick.number].probabilities[pick.epoch, 0, test].astype(np.float64)
        nested[test] = estimates.losses(labels[test], p[None])
        picks.append(recipe(pick))
    return Summary(
        recipe(best),
        recipe(chosen),
        [recipe(one) for one in ranked],
        [estimate(one) for one in ranked],
        estimate(best),
        estimate(chosen),
        estimates.estimate(nested, weights),
        estimates.estimate(
            losses[chosen.number, chosen.epoch] - losses[best.number, best.epoch], weights, study.splits.widening
        ),
        picks,
    )
