"""What the networks use: how much each column matters, and which way, asked of networks that never saw the patient.

Each patient's value in one column is replaced by the values of the others, one after another, and all other columns
stay. How much log loss rises is the column's permutation importance, as its mean over all permutations (Breiman, Random
forests, 2001; Fisher, Rudin and Dominici, JMLR 20(177), 2019, "model reliance"). The probability at each value is the
patient's individual line (Goldstein et al., JCGS 24, 2015), and the mean of the lines is the partial dependence
(Friedman, Annals of Statistics 29, 2001). A column with more than `POINTS` different values has as many, evenly drawn
from its sorted cells. So nothing is random, and a column costs at most `POINTS` answers per patient and repeat.

Both describe the networks and not the heart: of two columns that go together, the networks may use either, and some of
the replaced values make patients who do not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from heart_disease.evaluation.estimates import Estimate, Numbers, estimate, losses, resamples
from heart_disease.evaluation.folds import Splits
from heart_disease.model import schema
from heart_disease.model.drivers import evenly
from heart_disease.training.batches import Ints
from heart_disease.training.engine import Networks
from heart_disease.training.inputs import Inputs
from heart_disease.training.recipe import Recipe

POINTS = 20
MOST_ROWS = 2_000  # patients that are asked, evenly spaced, if there are more
LINES = 40  # individual lines that are kept


@dataclass(frozen=True)
class Influence:
    """What the networks make of one column.

    importance: how much log loss rises if the value is another patient's. grid: (G,) values in UCI codes, ascending,
    NaN for a blank, last. mean: (G,) the mean probability if all patients had that value. lines: (G, L) those of L
    patients.
    """

    column: str
    importance: Estimate
    grid: Numbers
    mean: Numbers
    lines: Numbers


def influences(
    frame: pd.DataFrame, labels: Numbers, inputs: Inputs, networks: Networks, splits: Splits, recipe: Recipe
) -> tuple[Influence, ...]:
    """Each column's influence, the most important first.

    frame, labels: all patients. networks: those of `contest.fold_jobs`; the members of a fold are averaged. inputs:
    their matrices, with all columns. recipe: whose they are; columns that it leaves out have no influence.
    """
    asked = splits.test_rows[:: -(-len(splits.test_rows) // MOST_ROWS)]
    cells = frame[list(schema.INPUT_NAMES)].iloc[asked].to_numpy("float64")  # (n, C)
    y, weights = labels[asked], resamples(len(asked), recipe.seed)
    tested = [np.flatnonzero(np.isin(asked, test)) for _, test in splits.pairs]
    usual = losses(y, _answers(cells[None], inputs, networks, tested, splits.repeats)[0])  # (n,)
    shown = evenly(len(asked), min(LINES, len(asked)))
    found = []
    for k, column in enumerate(schema.COLUMNS):
        if column.name in recipe.without:
            continue
        values, shares = spread(cells[:, k])
        changed = np.repeat(cells[None], len(values), axis=0)  # (G, n, C)
        changed[:, :, k] = values[:, None]
        p = _answers(changed, inputs, networks, tested, splits.repeats)  # (G, R, n)
        risen = shares @ np.stack([losses(y, one) for one in p]) - usual  # (n,)
        lines = p.mean(axis=1)
        found.append(Influence(column.name, estimate(risen, weights), values, lines.mean(axis=1), lines[:, shown]))
    return tuple(sorted(found, key=lambda one: -one.importance.value))


def spread(cells: Numbers) -> tuple[Numbers, Numbers]:
    """The values (G,) that a column is given, ascending, and the share of the patients (G,) that each stands for."""
    values, counts = np.unique(cells, return_counts=True)  # one NaN, which is last
    if len(values) > POINTS:
        values, counts = np.unique(np.sort(cells)[evenly(len(cells), POINTS)], return_counts=True)
    return values, counts / counts.sum()


def _answers(cells: Numbers, inputs: Inputs, networks: Networks, tested: Sequence[Ints], repeats: int) -> Numbers:
    """Out-of-fold probabilities (G, R, n) of G copies of the patients (G, n, C).

    tested: which of the n patients each fold tests, repeat by repeat.
    """
    copies, n, columns = cells.shape
    members = 1 + max(job.member for job in networks.jobs)
    starts = n * np.arange(copies)[:, None]
    folds = [job.fold or 0 for job in networks.jobs]
    jobs = [replace(job, watch=(starts + tested[i]).ravel()) for job, i in zip(networks.jobs, folds, strict=True)]
    answers = replace(networks, jobs=tuple(jobs)).watched(inputs.of_others(cells.reshape(-1, columns)))
    found = np.zeros((copies, repeats, n))
    for i, answer in zip(folds, answers, strict=True):
        found[:, i // (len(tested) // repeats), tested[i]] += answer[-1].reshape(copies, -1) / members
    return found
