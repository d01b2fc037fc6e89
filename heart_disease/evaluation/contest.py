"""The contest of two recipes on the same folds: who trains on what, how good each is, and the model that is shipped.

Everything that trains a recipe to judge it uses a `Contest`: a training does, and so does its reproduction years later.
So both train the same networks in the same order, which decides the last bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from heart_disease.data import identities
from heart_disease.evaluation import groups
from heart_disease.evaluation.estimates import (
    HALF,
    Estimate,
    Numbers,
    difference,
    estimate,
    losses,
    measure,
    resamples,
)
from heart_disease.evaluation.folds import Splits, split
from heart_disease.evaluation.groups import GroupDifference
from heart_disease.evaluation.influence import Influence, influences
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model import drivers, schema, support
from heart_disease.model.encoding import Encoder
from heart_disease.model.folds import Folds
from heart_disease.model.patient_model import PatientModel
from heart_disease.training.batches import Floats, Ints, Job
from heart_disease.training.engine import Networks
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import Recipe
from heart_disease.training.stacked import stacked

NETWORK, CHAMPION, LOGISTIC, PREVALENCE = "network", "champion", "logistic_regression", "prevalence"
ALL_COLUMNS = "all_columns"  # the same recipe with the columns that it leaves out
# More patients move none of the 29 coefficients of logistic regression by anything that is seen.
LOGISTIC_ROWS = 500_000
# Log loss that averaging must gain to be worth a model of several times the size; some gain is certain.
WORTH_AVERAGING = 0.001


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    rows: (n,) the numbers of the tested rows. labels: (n,) of these. probabilities: (R, n) by model. metrics: by model,
    then by the names in `METRICS`. differences: network minus each other model, in log loss, patient by patient; below
    0 the network is better. curves: by the names in `engine.CURVES`, (fits, epochs). members: how many networks are
    averaged into one answer. without: the columns that the network does not get; if there are some, `ALL_COLUMNS` is
    among the models, and what leaving them out costs among the differences. averaging: if the recipe asks for several,
    the loss of their mean probability minus the mean of their losses; never above 0, since the loss is convex.
    influences: what the network makes of each column that it gets; none if nobody asked. groups: network minus
    champion in each group of patients that can be judged; none without a champion. sensitivity: what was asked for;
    threshold: the probability from which on the model answers yes, so that it finds so many of the sick; the metrics
    are at 0.5 all the same, because those of the other models are. landscape: a picture (PNG) of the loss around the
    network that is shipped; empty if nobody asked.
    """

    description: str
    rows: Ints
    labels: Numbers
    probabilities: Mapping[str, Numbers]
    metrics: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Estimate]
    curves: Mapping[str, Floats]
    members: int = 1
    averaging: Estimate | None = None
    without: tuple[str, ...] = ()
    influences: tuple[Influence, ...] = ()
    groups: tuple[GroupDifference, ...] = ()
    sensitivity: float | None = None
    threshold: float = HALF
    landscape: bytes = b""


@dataclass(frozen=True, eq=False)
class Contest:
    """`recipe` on the patients of `frame` with labels (n,), judged on `splits`, beside the champion's recipe `rival`.

    The rival trains on the same folds and from the challenger's seed, so that only the recipes differ. sensitivity: the
    share of the sick that the shipped model's answer must find; None leaves its threshold at 0.5.
    """

    frame: pd.DataFrame
    labels: Numbers
    recipe: Recipe
    splits: Splits
    rival: Recipe | None = None
    sensitivity: float | None = None

    @classmethod
    def on(cls, frame: pd.DataFrame, recipe: Recipe, evaluation: Evaluation, rival: Recipe | None = None) -> Contest:
        """A contest on the patients of `frame`, judged as `evaluation` says.

        Raises:
            UsageError: there are too few patients for the folds.
        """
        labels = schema.label(frame).to_numpy()
        return cls(frame, labels, recipe, split(labels, evaluation, recipe.seed), rival, evaluation.sensitivity)

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """The challenger's networks on the folds, those that may be shipped, the champion's, those with all columns."""
        rivals = fold_jobs(replace(self.rival, seed=self.recipe.seed), self.splits, CHAMPION) if self.rival else []
        shipped = shipped_jobs(self.recipe, self.splits, len(self.labels))
        whole = with_all_columns(self.recipe)
        others = fold_jobs(whole, self.splits, ALL_COLUMNS) if whole else []
        return (*fold_jobs(self.recipe, self.splits), *shipped, *rivals, *others)

    @cached_property
    def inputs(self) -> Inputs:
        """The patients, with a matrix for each fold, fitted on its training rows, and one fitted on all rows."""
        fitted_on = [train for train, _ in self.splits.pairs]
        everyone = [np.arange(len(self.labels))] if self._ships_more else []
        return Inputs.fitted(self.frame, [*fitted_on, *everyone])

    @property
    def _ships_more(self) -> bool:
        """Whether other networks are shipped than those that are tested; with one held-out part they are the same."""
        return len(self.splits.pairs) > 1

    @property
    def shipped_fold(self) -> int | None:
        """What `job.fold` is for the networks of the challenger that are shipped."""
        return None if self._ships_more else 0

    def model(self, networks: Networks, members: int, threshold: float = HALF) -> PatientModel:
        """The model to ship: the average of `members` networks that learned from all rows.

        networks: those trained for `jobs`. threshold: the probability from which on it answers yes.
        """
        fold = self.shipped_fold
        own = networks.pick(lambda job: job.side == NETWORK and job.fold == fold and job.member < members)
        rows, network = own.jobs[0].rows, own.keras_average(self.recipe.widths[0])
        known = identities.learned_from(self.frame, rows, self.recipe.without)
        encoder = Encoder.fit(self.frame, rows).leaving_out(self.recipe.without)
        references = drivers.references(self.frame, rows)
        folds: Folds = ()  # with one held-out part, the networks that are tested are shipped
        if self._ships_more:
            inputs = self.inputs.leaving_out(self.recipe.without)
            folds = stacked(self._tested(networks, members), inputs, len(self.splits.pairs))
        usual = support.fit(encoder, self.frame, rows, self.splits.once)
        return PatientModel(encoder, network, threshold, known, references, folds, usual)

    def influences(self, networks: Networks, members: int) -> tuple[Influence, ...]:
        """What the challenger's networks, `members` per fold, make of each column; see influence.py.

        networks: those trained for `jobs`.
        """
        own = self._tested(networks, members)
        return influences(self.frame, self.labels, self.inputs, own, self.splits, self.recipe)

    def _tested(self, networks: Networks, members: int) -> Networks:
        """The challenger's networks that patients are held out from, in the order of fold and member."""
        return networks.pick(lambda job: job.side == NETWORK and job.fold is not None and job.member < members)

    # On matrices this small, BLAS threads only wait for each other; with one, 50 fits take 0.1 s instead of up to 7.
    @threadpool_limits.wrap(limits=1, user_api="blas")
    def report(self, networks: Networks) -> Report:
        """Compare the challenger with the champion, logistic regression and the prevalence, patient by patient.

        A recipe that leaves columns out is compared with itself with all columns as well.

        If the average of several members is not worth its price, the first member is judged, and shipped, alone.

        networks: those trained for `jobs`.
        """
        found = self._judge(networks, self.recipe.members)
        if found.averaging and not averaging_helps(found.averaging):
            found = replace(self._judge(networks, 1), averaging=found.averaging)
        return found

    def _judge(self, networks: Networks, members: int) -> Report:
        splits, labels, inputs = self.splits, self.labels, self.inputs
        own = networks.pick(lambda job: job.side == NETWORK and job.member < members)
        each = by_member(own, inputs, splits)  # (M, R, n)
        probabilities = {NETWORK: each.mean(axis=0)}
        if self.rival:
            rivals = networks.pick(lambda job: job.side == CHAMPION)
            probabilities[CHAMPION] = by_member(rivals, inputs, splits).mean(axis=0)
        known = inputs.leaving_out(self.recipe.without)
        logistic = [_logistic(known, labels, i, train, test) for i, (train, test) in enumerate(splits.pairs)]
        prevalence = [np.full(len(test), labels[train].mean()) for train, test in splits.pairs]
        probabilities |= {LOGISTIC: splits.out_of_fold(logistic), PREVALENCE: splits.out_of_fold(prevalence)}
        if self.recipe.without:
            whole = networks.pick(lambda job: job.side == ALL_COLUMNS and job.member < members)
            probabilities[ALL_COLUMNS] = by_member(whole, inputs, splits).mean(axis=0)
        rows = splits.test_rows
        tested, weights = labels[rows], resamples(len(rows), self.recipe.seed)

        def minus(theirs: Numbers) -> Estimate:
            return difference(tested, probabilities[NETWORK], theirs, weights, splits.widening)

        averaging = None
        if members > 1:
            gain = losses(tested, each.mean(axis=0)) - losses(tested, np.concatenate(list(each)))
            averaging = estimate(gain, weights, splits.widening)
        return Report(
            splits.description,
            rows,
            tested,
            probabilities,
            {model: measure(tested, p, weights) for model, p in probabilities.items()},
            {model: minus(p) for model, p in probabilities.items() if model != NETWORK},
            own.pick(lambda job: job.fold is not None).curves,
            members,
            averaging,
            self.recipe.without,
            groups=self._groups(tested, probabilities),
            sensitivity=self.sensitivity,
            threshold=self._threshold(tested, probabilities[NETWORK]),
        )

    def threshold(self, networks: Networks, members: int) -> float:
        """The probability from which on the shipped model of `members` networks answers yes; see `Report`.

        networks: those trained for `jobs`.
        """
        if self.sensitivity is None:
            return HALF
        each = by_member(self._tested(networks, members), self.inputs, self.splits)
        return self._threshold(self.labels[self.splits.test_rows], each.mean(axis=0))

    def _threshold(self, tested: Numbers, probabilities: Numbers) -> float:
        """The probability from which on the shipped model answers yes. tested: the labels of the tested rows."""
        if self.sensitivity is None:
            return HALF
        from heart_disease.evaluation import clinical  # imports statsmodels, which few need

        return clinical.threshold_for(self.sensitivity, tested, probabilities, self.recipe.seed).value

    def _groups(self, tested: Numbers, probabilities: Mapping[str, Numbers]) -> tuple[GroupDifference, ...]:
        """The network minus the champion, group by group. tested: the labels of the tested rows."""
        if not self.rival:
            return ()
        masks = {name: mask[self.splits.test_rows] for name, mask in groups.members(self.frame).items()}
        ours, theirs = probabilities[NETWORK], probabilities[CHAMPION]
        return groups.differences(masks, tested, ours, theirs, self.splits.widening)


def with_all_columns(recipe: Recipe) -> Recipe | None:
    """The same recipe with all columns; None if it leaves none out."""
    return replace(recipe, without=()) if recipe.without else None


def fold_jobs(recipe: Recipe, splits: Splits, side: str = NETWORK) -> list[Job]:
    """The networks of each pair of `splits`, one per member: job.fold is the number of the pair, and of its matrix."""
    seeds = _seeds(recipe, len(splits.pairs) + 1)
    return [
        Job(replace(recipe, seed=seed, members=1), train, test, i, side=side, fold=i, member=member)
        for i, (train, test) in enumerate(splits.pairs)
        for member, seed in enumerate(seeds[i])
    ]


def shipped_jobs(recipe: Recipe, splits: Splits, rows: int) -> list[Job]:
    """The networks to ship, which learn from all rows; none with one held-out part, which ships the tested ones."""
    pairs = len(splits.pairs)
    if pairs == 1:
        return []
    everyone, nobody = np.arange(rows), np.arange(0)
    own = [recipe.seed, *_seeds(recipe, pairs + 1)[-1][1:]]
    return [
        Job(replace(recipe, seed=seed, members=1), everyone, nobody, pairs, side=NETWORK, member=member)
        for member, seed in enumerate(own)
    ]


def _seeds(recipe: Recipe, pairs: int) -> list[list[int]]:
    """A seed for each pair and member; those of the first members do not depend on how many there are."""
    members = [
        np.random.SeedSequence([recipe.seed, m] if m else recipe.seed).generate_state(pairs) >> 1
        for m in range(recipe.members)
    ]
    return np.stack(members, axis=1).tolist()


def by_member(networks: Networks, inputs: Inputs, splits: Splits) -> Numbers:
    """Out-of-fold probabilities of each member (M, R, n), of networks that include those of `fold_jobs`."""
    answers = {
        (job.member, job.fold): answer[-1]
        for job, answer in zip(networks.jobs, networks.watched(inputs), strict=True)
        if job.fold is not None
    }
    members = range(1 + max(member for member, _ in answers))
    return np.stack([splits.out_of_fold([answers[m, i] for i in range(len(splits.pairs))]) for m in members])


def averaging_helps(gain: Estimate) -> bool:
    """Whether the average of several networks is surely better than one of them by `WORTH_AVERAGING`; see `Report`."""
    return gain.high < -WORTH_AVERAGING


def _logistic(inputs: Inputs, labels: Numbers, fold: int, train: Ints, test: Ints) -> Numbers:
    """scikit-learn's logistic regression with its default regularisation, on the same inputs as the network.

    It learns from at most `LOGISTIC_ROWS` of the training rows, evenly spaced; they are in the order of their digests.
    """
    train = train[:: -(-len(train) // LOGISTIC_ROWS)]
    x, y = (inputs.take(np.array([fold]), rows[None])[0].astype(np.float64) for rows in (train, test))
    return LogisticRegression(max_iter=1000).fit(x, labels[train]).predict_proba(y)[:, 1]
