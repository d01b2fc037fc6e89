"""How good a network is, against baselines on the same rows, each figure with an interval.

Every model gives each test row a probability that was made without that row: by repeated cross-validation, R
probabilities a patient, or by one held-out part, R = 1. A metric is the mean over the repeats; its 95 % interval comes
from resampling patients (percentile bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).
It says how far the figure would move with other patients, for the models as they were trained.

A difference between two models is taken patient by patient, and judges their recipes: its interval also has to cover
that other training rows make other models. Folds share training rows and repeats share all of them, so what they
find is not independent; the deviations of the resamples are widened for it, see `Splits.widening`. How often such an
interval errs was simulated: benchmarks/error_rates.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits

from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import UsageError
from heart_disease.training.batches import Floats, Ints, Job
from heart_disease.training.engine import Networks
from heart_disease.training.recipe import Recipe

NETWORK, CHAMPION, LOGISTIC, PREVALENCE = "network", "champion", "logistic_regression", "prevalence"
METRICS = ("log_loss", "brier", "roc_auc", "accuracy", "sensitivity", "specificity")
RESAMPLES = 2000

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Splits:
    """Which rows each fit may touch. `pairs` of (training rows, test rows), repeat by repeat."""

    pairs: tuple[tuple[Ints, Ints], ...]
    repeats: int
    description: str

    @property
    def test_rows(self) -> Ints:
        """The rows that are tested, each once a repeat, ascending."""
        return np.unique(np.concatenate([test for _, test in self.pairs]))

    @property
    def widening(self) -> float:
        """How much wider a difference's interval is than resampling patients alone makes it.

        The variance of a mean over J splits with n1 training and n2 test rows is (1 / J + n2 / n1) of the variance of
        one split's (Nadeau and Bengio, Inference for the generalization error, Machine Learning 52, 2003; for repeated
        cross-validation Bouckaert and Frank, PAKDD 2004). One split's is the variance of a patient / n2, and that of
        resampling is it / n, so the ratio is n / n2 (1 / J + n2 / n1): for k folds and R repeats, 1 / R + k / (k - 1).
        """
        n1, n2 = (np.mean([len(pair[part]) for pair in self.pairs]) for part in (0, 1))
        return float(np.sqrt(len(self.test_rows) / n2 * (1 / len(self.pairs) + n2 / n1)))


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    rows: (n,) the numbers of the tested rows, labels: (n,) theirs. probabilities: (R, n) by model. metrics: by model,
    then by the names in `METRICS`. differences: network minus each other model, in log loss, patient by patient; below
    0 the network is better. averaging: where there are several members, the loss of their mean probability minus
    the mean of their losses; never above 0, since the loss is convex.
    curves: by the names in `training.CURVES`, (fits, epochs).
    """

    description: str
    rows: Ints
    labels: Numbers
    probabilities: Mapping[str, Numbers]
    metrics: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Estimate]
    curves: Mapping[str, Floats]
    averaging: Estimate | None = None


def split(labels: Numbers, evaluation: Evaluation, seed: int) -> Splits:
    """As `evaluation` says; see `cross_validation` and `holdout`."""
    if evaluation.holdout is not None:
        return holdout(labels, evaluation.holdout, seed)
    return cross_validation(labels, evaluation.folds, evaluation.repeats, seed)


def cross_validation(labels: Numbers, folds: int, repeats: int, seed: int) -> Splits:
    """Repeated stratified folds.

    Raises:
        UsageError: a class has fewer rows than there are folds.
    """
    smallest = int(min(labels.sum(), len(labels) - labels.sum()))
    if smallest < folds:
        raise UsageError(
            f"{folds} folds need at least {folds} patients of each class; the smaller class has {smallest}"
        )
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    description = f"{folds}-fold cross-validation, {repeats} repeat{'s' * (repeats > 1)}, {len(labels)} patients"
    return Splits(tuple(splitter.split(labels, labels)), repeats, description)


def holdout(labels: Numbers, share: float, seed: int) -> Splits:
    """One stratified split, whose test rows no fitting touches.

    Raises:
        UsageError: a part would not hold both classes.
    """
    try:
        train, test = train_test_split(np.arange(len(labels)), test_size=share, stratify=labels, random_state=seed)
    except ValueError as error:
        raise UsageError(f"holdout of {share:g} cannot be split off {len(labels)} rows: {error}") from error
    if any(len(np.unique(labels[part])) < 2 for part in (train, test)):
        raise UsageError(
            f"holdout of {share:g} leaves one part of {len(labels)} rows with a single class; choose a share nearer 0.5"
        )
    return Splits(((np.sort(train), np.sort(test)),), 1, f"one split: {len(test)} patients held out of {len(labels)}")


def jobs(params: Recipe, splits: Splits, rows: int) -> list[Job]:
    """The networks of each pair of `splits`, one a member, then those that are shipped.

    The shipped networks learn from all rows, or, with one held-out part, are the networks that the part tests.
    """
    *seeds, own = _seeds(params, len(splits.pairs) + 1)
    fits = [
        Job(replace(params, seed=seed, members=1), train, test, i)
        for i, (train, test) in enumerate(splits.pairs)
        for seed in seeds[i]
    ]
    if len(splits.pairs) == 1:
        return fits
    everyone, nobody = np.arange(rows), np.arange(0)
    shipped = [
        Job(replace(params, seed=seed, members=1), everyone, nobody, len(splits.pairs))
        for seed in [params.seed, *own[1:]]
    ]
    return [*fits, *shipped]


def encoders(splits: Splits, rows: int) -> list[Ints]:
    """The rows that each matrix of `jobs` is standardised on: the training rows of each pair, then all rows."""
    return [*(train for train, _ in splits.pairs), *([np.arange(rows)] if len(splits.pairs) > 1 else [])]


def _seeds(params: Recipe, pairs: int) -> list[list[int]]:
    """A seed for each pair and member; those of the first members do not depend on how many there are."""
    members = [
        np.random.SeedSequence([params.seed, m] if m else params.seed).generate_state(pairs) >> 1
        for m in range(params.members)
    ]
    return np.stack(members, axis=1).tolist()


# On matrices this small the threads of a BLAS only wait for each other: 50 fits take 0.1 s instead of up to 7.
@threadpool_limits.wrap(limits=1, user_api="blas")
def report(
    networks: Networks,
    inputs: Floats,
    labels: Numbers,
    splits: Splits,
    *,
    seed: int = 0,
    members: int = 1,
    champion: Networks | None = None,
    champion_members: int = 1,
) -> Report:
    """Compare the cross-validated networks with the champion's, logistic regression and the prevalence, row by row.

    inputs: (F, n, 29), the matrix of each pair of `splits` first. labels: (n,). seed: of the resampling of patients.
    networks, champion: in the order of `jobs`.
    """
    each = by_member(networks, inputs, splits, members)
    probabilities = {NETWORK: each.mean(axis=0)}
    if champion:
        probabilities[CHAMPION] = by_member(champion, inputs, splits, champion_members).mean(axis=0)
    probabilities |= {
        LOGISTIC: out_of_fold(splits, lambda i, train, test: _logistic(inputs[i], labels, train, test)),
        PREVALENCE: out_of_fold(splits, lambda i, train, test: np.full(len(test), labels[train].mean())),
    }
    rows = splits.test_rows
    tested, resamples = labels[rows], bootstrap_weights(len(rows), seed)

    def minus(ours: Numbers, theirs: Numbers) -> Estimate:
        return difference(tested, ours, theirs, resamples, splits.widening)

    return Report(
        splits.description,
        rows,
        tested,
        probabilities,
        {model: measure(tested, p, resamples) for model, p in probabilities.items()},
        {model: minus(probabilities[NETWORK], p) for model, p in probabilities.items() if model != NETWORK},
        {name: curve[: len(splits.pairs) * members] for name, curve in networks.curves.items()},
        estimate(
            losses(tested, each.mean(axis=0)) - losses(tested, np.concatenate(list(each))), resamples, splits.widening
        )
        if members > 1
        else None,
    )


def by_member(networks: Networks, inputs: Floats, splits: Splits, members: int = 1) -> Numbers:
    """Out-of-fold probabilities of each member (M, R, n), of networks in the order of `jobs`."""
    watched = networks.watched(inputs)

    def of(member: int) -> Numbers:
        return out_of_fold(splits, lambda i, train, test: watched[i * members + member])

    return np.stack([of(member) for member in range(members)])


def bootstrap_weights(n: int, seed: int) -> Numbers:
    """How often each patient is drawn in each resample: (RESAMPLES + 1, n); the first row is the sample itself."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return np.vstack([np.ones(n), drawn]).astype(np.float64)


def measure(labels: Numbers, probabilities: Numbers, weights: Numbers) -> dict[str, Estimate]:
    """All metrics of probabilities (R, n) for labels (n,), with intervals from `bootstrap_weights` (W, n).

    Accuracy, sensitivity and specificity are at the threshold 0.5. The area under the ROC curve is the share of pairs
    of a sick and a healthy patient that are in the right order, ties counting half (Hanley and McNeil, 1982).
    """
    sick = labels > 0.5
    hits = ((probabilities >= 0.5) == sick).mean(axis=0)  # (n,) over the repeats
    a, b = probabilities[:, sick, None], probabilities[:, None, ~sick]
    ordered = ((a > b) + 0.5 * (a == b)).mean(axis=0)  # (sick, healthy)
    w_sick, w_healthy = weights[:, sick], weights[:, ~sick]
    with np.errstate(invalid="ignore"):  # a resample without one of the classes has no rate; nanquantile leaves it out
        found = {
            "log_loss": _mean(losses(labels, probabilities), weights),
            "brier": _mean(((probabilities - labels) ** 2).mean(axis=0), weights),
            "roc_auc": np.einsum("ws,sh,wh->w", w_sick, ordered, w_healthy, optimize=True)
            / (w_sick.sum(axis=1) * w_healthy.sum(axis=1)),
            "accuracy": _mean(hits, weights),
            "sensitivity": _mean(hits[sick], w_sick),
            "specificity": _mean(hits[~sick], w_healthy),
        }
    return {metric: _estimate(found[metric]) for metric in METRICS}


def difference(labels: Numbers, ours: Numbers, theirs: Numbers, weights: Numbers, widening: float = 1.0) -> Estimate:
    """Log loss of probabilities `ours` minus `theirs`, each (R, n), paired patient by patient.

    The repeats of a patient are averaged first: the unit is the patient. widening: see `Splits.widening`.
    """
    return estimate(losses(labels, ours) - losses(labels, theirs), weights, widening)


def estimate(values: Numbers, weights: Numbers, widening: float = 1.0) -> Estimate:
    """The mean of one number a patient (n,), with its interval from `bootstrap_weights` (W, n)."""
    means = _mean(values, weights)
    return _estimate(means[0] + widening * (means - means[0]))


def losses(labels: Numbers, probabilities: Numbers) -> Numbers:
    """The binary cross-entropy of each patient (n,), the mean over the repeats of (R, n)."""
    # Clipped as scikit-learn's log_loss clips: a probability of exactly 0 or 1 must not cost infinity.
    eps = np.finfo(np.float64).eps
    p = np.clip(probabilities, eps, 1 - eps)
    return -(labels * np.log(p) + (1 - labels) * np.log1p(-p)).mean(axis=0)


def _mean(values: Numbers, weights: Numbers) -> Numbers:
    return weights @ values / weights.sum(axis=1)


def _estimate(values: Numbers) -> Estimate:
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return Estimate(float(values[0]), float(low), float(high))


def out_of_fold(splits: Splits, predict: Callable[[int, Ints, Ints], Sequence[float] | Numbers | Floats]) -> Numbers:
    """(R, n) probabilities of the tested rows."""
    tested = splits.test_rows
    out = np.full((splits.repeats, len(tested)), np.nan)
    per_repeat = len(splits.pairs) // splits.repeats
    for i, (train, test) in enumerate(splits.pairs):
        out[i // per_repeat, np.searchsorted(tested, test)] = predict(i, train, test)
    return out


def _logistic(inputs: Floats, labels: Numbers, train: Ints, test: Ints) -> Numbers:
    """scikit-learn's logistic regression with its default regularisation, on the very inputs of the network."""
    model = LogisticRegression(max_iter=1000).fit(inputs[train].astype(np.float64), labels[train])
    return model.predict_proba(inputs[test].astype(np.float64))[:, 1]
