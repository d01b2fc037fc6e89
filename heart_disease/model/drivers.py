"""What drives one patient's probability: the exact Shapley value of every column.

A coalition S is a set of columns that are known of the patient. Its worth v(S) is the network's mean probability if
these columns have the patient's values and all others those of a reference patient, over `REFERENCES` of them. The
value of column i is its gain, averaged over all orders in which the C columns can become known:

    phi_i = sum over S without i of |S|! (C - |S| - 1)! / C! (v(S + i) - v(S))

(Shapley, A value for n-person games, 1953; for models Lundberg and Lee, NeurIPS 2017, with the interventional v of
Janzing, Minorics and Bloebaum, AISTATS 2020.) The values add up to the probability minus the references' mean, and a
column on which the network does not depend has 0. Every coalition is scored, so nothing is estimated.

The reference patients are nobody's: each column's values are drawn evenly from its sorted training values, and the
columns are shuffled apart. So no row of a patient is kept with a model, and no column answers for another one that
goes with it. The price is that some references are combinations that hardly any patient has. For the champion of the
bundled patients, 32 references give values within 0.01 of those of 500.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import schema
from .encoding import Encoder

if TYPE_CHECKING:
    import pandas as pd

REFERENCES = 32
MOST_COLUMNS = 16  # with more columns, the coalitions could take seconds and gigabytes
LEARNED_FROM = 100_000  # rows that the references are drawn from, evenly spaced, if there are more
SEED = 0  # the seed of the shuffle


@dataclass(frozen=True)
class Drivers:
    """What moves a patient's probability away from the average.

    average: the mean probability of the reference patients. each: what each column that the model takes adds to it, by
    name; the average and all of them add up to the patient's probability.
    """

    average: float
    each: dict[str, float]


def references(frame: pd.DataFrame, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The reference patients (`REFERENCES`, 13) of the training rows (by number) of `frame`, in UCI codes."""
    rows = rows[:: -(-len(rows) // LEARNED_FROM)]
    held = np.sort(frame[list(schema.INPUT_NAMES)].iloc[rows].to_numpy("float64"), axis=0)  # blanks come last
    return np.random.default_rng(SEED).permuted(held[evenly(len(held), REFERENCES)], axis=0)


def evenly(n: int, wanted: int) -> NDArray[np.int64]:
    """The positions of `wanted` of n sorted values, one from the middle of each equal part: (wanted,)."""
    return ((np.arange(wanted) + 0.5) * n / wanted).astype(np.int64)


def explain(
    network: Callable[[NDArray[np.float32]], Any], encoder: Encoder, known: NDArray[np.float64], cells: NDArray[Any]
) -> Drivers:
    """What drives the probability of one patient, exactly, in 10 to 30 milliseconds for 13 columns.

    The values are means of those against one reference each. There, columns in which both patients are alike have 0
    and can be left out, so 2^m coalitions are scored for m columns that differ.

    known: the reference patients (K, 13). cells: the patient's values (13,), allowed by the schema; those of columns
    that the model does not take are ignored.
    """
    own, averages, each = encoder.encode(cells[None])[0], [], np.zeros(len(cells))
    for reference, other in zip(known, encoder.encode(known), strict=True):
        alike = (reference == cells) | (np.isnan(reference) & np.isnan(cells))
        differ = np.flatnonzero(~(alike | encoder.ignored))
        taken, weights = _coalitions(len(differ))
        which = np.zeros((len(taken), len(cells)), bool)
        which[:, differ] = taken
        worth = np.asarray(network(np.where(which[:, encoder.input_columns], own, other)), np.float64)[:, 0]
        averages.append(worth[0])
        each[differ] += weights.T @ worth / len(known)
    named = dict(zip(schema.INPUT_NAMES, each.tolist(), strict=True))
    return Drivers(float(np.mean(averages)), {column.name: named[column.name] for column in encoder.columns})


@cache
def _coalitions(columns: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which columns each coalition holds, and what its worth counts for each column's value: both (2^m, m)."""
    taken = (np.arange(2**columns)[:, None] >> np.arange(columns) & 1).astype(bool)
    size = taken.sum(axis=1, keepdims=True)
    share = np.array([1 / (columns * comb(columns - 1, s)) for s in range(columns)] or [0.0])
    with_it, without = share[np.maximum(size - 1, 0)], share[np.minimum(size, columns - 1)]
    return taken, np.where(taken, with_it, -without)
