"""What changed between two versions, and what each change accounts for: the data, the recipe, and the rest.

Up to four kinds of networks are trained on the same folds from the same seeds: each recipe on each version's patients.
All are judged on the later version's patients, each by networks that did not learn from them, and differences in log
loss are taken patient by patient. So the new recipe on the old data shows what the recipe did, the new data with the
old recipe shows what the data did, and what both together do beyond that is a figure of its own.

Code and libraries cannot be brought back. What they did together is what the earlier version's recipe gives today on
its own data and folds, minus what it recorded then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from heart_disease.data import digests, identities
from heart_disease.data.sources import Table
from heart_disease.evaluation import by_rows, folds
from heart_disease.evaluation.contest import NETWORK, Contest, by_member, fold_jobs
from heart_disease.evaluation.estimates import Estimate, Numbers, difference, estimate, losses, resamples
from heart_disease.evaluation.folds import Splits
from heart_disease.evaluation.settings import Evaluation
from heart_disease.evaluation.versions import comparison
from heart_disease.evaluation.versions.comparison import OutOfFold
from heart_disease.model import schema
from heart_disease.training.batches import Ints, Job
from heart_disease.training.engine import Networks
from heart_disease.training.engine import train as train_networks
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import Recipe, RecipeOptions

OLD, NEW = "old", "new"


@dataclass(frozen=True)
class Effect:
    """What a change does to log loss; below 0 it is an improvement."""

    change: str
    difference: Estimate


@dataclass(frozen=True, eq=False)
class Trials:
    """The networks that tell the changes apart.

    before: the patients of the earlier version; None if they are gone, or the same as `after`. old, new: what was asked
    for of the two recipes, which the number of patients completes.
    """

    before: Table | None
    after: Table
    old: RecipeOptions
    new: RecipeOptions
    evaluation: Evaluation
    seed: int

    @cached_property
    def _together(self) -> tuple[pd.DataFrame, dict[str, Ints]]:
        """All patients, those of `after` first; and the rows among them that each version learned from."""
        n = len(self.after)
        everyone = {NEW: np.arange(n)}
        if self.before is None:
            return self.after.frame, everyone
        known, both = comparison.same(digests.as_text(self.before.row_ids), digests.as_text(self.after.row_ids))
        gone = np.setdiff1d(np.arange(len(self.before)), known)
        frame = pd.concat([self.after.frame, self.before.frame.iloc[gone]], ignore_index=True)
        return frame, everyone | {OLD: np.concatenate([np.sort(both), n + np.arange(len(gone))])}

    @property
    def frame(self) -> pd.DataFrame:
        """The patients of both: those of `after`, then those that only `before` has."""
        return self._together[0]

    @property
    def learners(self) -> dict[str, Ints]:
        """The rows of `frame` that each version learned from, if they are there."""
        return self._together[1]

    @cached_property
    def labels(self) -> Numbers:
        """The labels of `frame`."""
        return schema.label(self.frame).to_numpy()

    @cached_property
    def splits(self) -> dict[str, Splits]:
        """For each version's patients, the folds: rows to learn from, and rows of `after` to be tested on.

        A patient who is in both, even with another label, is in one fold.
        """
        _, first, who = np.unique(identities.patient_ids(self.frame), return_index=True, return_inverse=True)
        made = folds.split(self.labels[first], self.evaluation, self.seed)
        found = {}
        for name, rows in self.learners.items():
            pairs = []
            for train, test in made.pairs:
                learns, tested = (np.isin(who, part) for part in (train, test))
                pairs.append((rows[learns[rows]], np.flatnonzero(tested[: len(self.after)])))
            found[name] = Splits(tuple(pairs), made.repeats, made.description)
        return found

    @cached_property
    def recipes(self) -> dict[str, RecipeOptions]:
        """The recipes that are told apart; one, if they are equal."""
        return {OLD: self.old, NEW: self.new} if self.old != self.new else {NEW: self.new}

    @cached_property
    def trained(self) -> dict[tuple[str, str], Recipe]:
        """The recipes as they are trained, by the name of the data and the recipe."""
        return {
            (data, name): replace(by_rows.recipe_for(len(rows), asked), seed=self.seed)
            for data, rows in self.learners.items()
            for name, asked in self.recipes.items()
        }

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """All networks; the side of each names its recipe and its data."""
        found: list[Job] = []
        for d, (data, splits) in enumerate(self.splits.items()):
            for name in self.recipes:
                jobs = fold_jobs(self.trained[data, name], splits, "")
                found += [replace(job, side=(name, data), matrix=job.matrix + d * len(splits.pairs)) for job in jobs]
        return tuple(found)

    def train(self, device: str) -> dict[tuple[str, str], Numbers]:
        """The loss of each patient that was tested (n,), by recipe and data."""
        parts = [rows for splits in self.splits.values() for rows, _ in splits.pairs]
        inputs = Inputs.fitted(self.frame, parts)
        networks = train_networks(inputs, self.labels, self.jobs, device=device)
        keys = [(recipe, data) for data in self.splits for recipe in self.recipes]
        return {(recipe, data): self._losses(networks, inputs, recipe, data) for recipe, data in keys}

    def _losses(self, networks: Networks, inputs: Inputs, recipe: str, data: str) -> Numbers:
        own = networks.pick(lambda job: job.side == (recipe, data))
        splits = self.splits[data]
        return losses(self.labels[splits.test_rows], by_member(own, inputs, splits).mean(axis=0))

    @property
    def judged(self) -> Ints:
        """The rows of `after` that were tested."""
        return self.splits[NEW].test_rows

    def effects(self, found: Mapping[tuple[str, str], Numbers]) -> list[Effect]:
        """What each change does, from what `train` found."""
        weights = resamples(len(self.judged), self.seed)
        widening = max(splits.widening for splits in self.splits.values())

        def effect(change: str, each: Numbers) -> Effect:
            return Effect(change, estimate(each, weights, widening))

        if len(self.splits) == 1:
            return [effect("the new recipe", found[NEW, NEW] - found[OLD, NEW])] if len(self.recipes) == 2 else []
        if len(self.recipes) == 1:
            return [effect("the new data", found[NEW, NEW] - found[NEW, OLD])]
        start, recipe, data, both = (found[key] for key in ((OLD, OLD), (NEW, OLD), (OLD, NEW), (NEW, NEW)))
        return [
            effect("the new recipe on the old data", recipe - start),
            effect("the new data with the old recipe", data - start),
            effect("both", both - start),
            effect("both, beyond the sum of the two", both - recipe - data + start),
        ]


def the_rest(table: Table, recipe: Recipe, evaluation: Evaluation, recorded: OutOfFold, device: str) -> Estimate:
    """What a version's recipe gives today on its own data and folds, minus what it recorded, in log loss.

    recipe: with as many members as were judged. So this is what code, libraries and device did since.

    Raises:
        ValueError: what was recorded is about other patients.
    """
    contest = Contest.on(table.frame, recipe, evaluation)
    jobs = [job for job in contest.jobs if job.fold is not None and job.side == NETWORK]
    networks = train_networks(contest.inputs, contest.labels, jobs, device=device)
    rows = contest.splits.test_rows
    today = OutOfFold(
        tuple(digests.as_text(table.row_ids[rows])),
        contest.labels[rows],
        by_member(networks, contest.inputs, contest.splits).mean(axis=0),
    )
    ours, theirs = comparison.shared(today, recorded)
    if len(ours.patients) < len(today.patients):
        raise ValueError("it is about other patients")
    n = len(ours.patients)
    weights = resamples(n, recipe.seed)
    return difference(ours.labels, ours.probabilities, theirs.probabilities, weights, contest.splits.widening)
