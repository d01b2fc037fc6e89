"""Which patients each network may learn from, and which test it: repeated cross-validation, or one held-out part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split

from heart_disease.evaluation.estimates import Numbers
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import UsageError
from heart_disease.model.words import count
from heart_disease.training.batches import Floats, Ints


@dataclass(frozen=True)
class Splits:
    """Which rows each fit may use. `pairs` are (training rows, test rows), repeat by repeat."""

    pairs: tuple[tuple[Ints, Ints], ...]
    repeats: int
    description: str

    @property
    def test_rows(self) -> Ints:
        """The rows that are tested, each once per repeat, ascending."""
        return np.unique(np.concatenate([test for _, test in self.pairs]))

    @property
    def per_repeat(self) -> int:
        """The number of pairs of a repeat."""
        return len(self.pairs) // self.repeats

    @property
    def once(self) -> tuple[tuple[Ints, Ints], ...]:
        """The pairs of the first repeat."""
        return self.pairs[: self.per_repeat]

    @property
    def widening(self) -> float:
        """How much wider a difference's interval is than resampling patients alone makes it.

        The variance of a mean over J splits with n1 training and n2 test rows is (1 / J + n2 / n1) of the variance of
        one split's (Nadeau and Bengio, Inference for the generalization error, Machine Learning 52, 2003; for repeated
        cross-validation Bouckaert and Frank, PAKDD 2004). If v is the variance between patients, one split's is
        v / n2 and that of resampling v / n, so the ratio is n / n2 (1 / J + n2 / n1): for k folds and R repeats,
        1 / R + k / (k - 1).
        """
        n1, n2 = (np.mean([len(pair[part]) for pair in self.pairs]) for part in (0, 1))
        return float(np.sqrt(len(self.test_rows) / n2 * (1 / len(self.pairs) + n2 / n1)))

    def out_of_fold(self, answers: Sequence[Numbers | Floats]) -> Numbers:
        """Probabilities of the tested rows (R, n), from the `answers` to the test rows of each pair."""
        tested = self.test_rows
        out = np.full((self.repeats, len(tested)), np.nan)
        for i, ((_, test), answer) in enumerate(zip(self.pairs, answers, strict=True)):
            out[i // self.per_repeat, np.searchsorted(tested, test)] = answer
        return out


def split(labels: Numbers, evaluation: Evaluation, seed: int) -> Splits:
    """Split as `evaluation` says; see `cross_validation` and `holdout`."""
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
    description = f"{folds}-fold cross-validation, {count(repeats, 'repeat')}, {count(len(labels), 'patient')}"
    return Splits(tuple(splitter.split(labels, labels)), repeats, description)


def holdout(labels: Numbers, share: float, seed: int) -> Splits:
    """One stratified split; nothing is fitted on its test rows.

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
