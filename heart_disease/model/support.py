"""Which patients are unlike those that a network learned from: several unusual values together, or one extreme one.

The measure is the distance of Mahalanobis (On the generalised distance in statistics, 1936) between a patient's d
inputs x and the mean m of the training's, with their covariance C:

    D(x) = (x - m)' (C + RIDGE I)^-1 (x - m)

The limit is the quantile `USUAL` of the distances of patients whose own fold gave neither m nor C. So about 1 % of
patients like those of the training are flagged; how many are is measured again, with limits that other patients gave.

No row of a patient can be read off: there are means and covariances, and patients with a code that fewer than `FEWEST`
have count for nothing in the covariances of its column, as those would give away what these patients have. (To leave
out that code alone would not do: the codes of a column add up to 1, so the others' covariances would say the same.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import schema
from .encoding import NUMBERS, Encoder

if TYPE_CHECKING:
    import pandas as pd

USUAL = 0.99  # share of patients like those of the training who are not flagged
# This is added to each variance. A code that one in nine patients has varies by 0.1 itself: rarer ones weigh no more
# than that by themselves, and a standardised number, whose variance is 1, hardly less than without it.
RIDGE = 0.1
FEWEST = 10  # patients who must have a code
NAMED = 3  # at most this many columns are named
GROUPS = 10  # parts of the patients who give the limit; each in turn measures the rate of false flags
MOST_ROWS = 100_000  # rows that are looked at, evenly spaced, if there are more


@dataclass(frozen=True, eq=False)
class Support:
    """What is known of the training's patients, for the d inputs of an encoder in its order; made by `fit`.

    mean: (d,). precision: (d, d), the inverse of covariance and ridge. limit: the distance from which on a patient is
    flagged. patients: how many gave it. flagged: the share of such patients, left out of it, who are flagged.
    """

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    limit: float
    patients: int
    flagged: float

    def distances(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """The distance of each patient: encoded (n, d) -> (n,)."""
        return _parts(inputs, self.mean, self.precision).sum(axis=1)

    def unusual(self, inputs: NDArray[Any], encoder: Encoder) -> NDArray[np.object_]:
        """Why each patient is flagged, in words, or "" for most: encoded (n, d) -> (n,)."""
        said: NDArray[np.object_] = np.full(len(inputs), "", "object")
        rows = np.flatnonzero(self.distances(inputs) > self.limit)
        if not len(rows):
            return said
        names = [column.name for column in encoder.columns]
        behind = [schema.INPUT_NAMES.index(name) for name in names]
        of_column = np.asarray(encoder.input_columns)[:, None] == behind  # (d, columns)
        shares = _parts(inputs[rows], self.mean, self.precision) @ of_column  # (flagged, columns)
        first = np.argsort(-shares, axis=1, kind="stable")[:, :NAMED]
        which, back = np.unique(first, axis=0, return_inverse=True)  # words are made for each set of columns once
        words = [f"unlike the patients of the training, mostly in {_listed([names[k] for k in one])}" for one in which]
        said[rows] = np.array(words, "object")[back.ravel()]
        return said

    def to_json(self) -> str:
        """All that `from_json` needs."""
        kept = {"limit": self.limit, "patients": self.patients, "flagged": self.flagged}
        return json.dumps({**kept, "mean": self.mean.tolist(), "precision": self.precision.tolist()})

    @classmethod
    def from_json(cls, text: str, width: int) -> Support:
        """The support that `to_json` wrote, for this many inputs.

        Raises:
            ValueError, LookupError: `to_json` did not write this, or it did for other columns.
        """
        stored = json.loads(text)
        mean, precision = (np.array(stored[name], "float64") for name in ("mean", "precision"))
        if (mean.shape, precision.shape) != ((width,), (width, width)):
            raise ValueError(
                f"mean {mean.shape} and precision {precision.shape}; expected ({width},) and ({width}, {width})"
            )
        return cls(mean, precision, float(stored["limit"]), int(stored["patients"]), float(stored["flagged"]))


def fit(
    encoder: Encoder,
    frame: pd.DataFrame,
    rows: NDArray[np.int64],
    pairs: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> Support:
    """The support that the rows (by number) of `frame` give; the limit is set on the test rows of `pairs`.

    pairs: training and test rows, each row tested at most once.
    """
    far = []
    for train, test in pairs:
        mean, precision = _moments(encoder.transform(frame.iloc[_some(train)]), encoder)
        far.append(_parts(encoder.transform(frame.iloc[_some(test)]), mean, precision).sum(axis=1))
    distances = np.concatenate(far)
    mean, precision = _moments(encoder.transform(frame.iloc[_some(rows)]), encoder)
    return Support(mean, precision, float(np.quantile(distances, USUAL)), len(distances), _rate(distances))


def _rate(distances: NDArray[np.float64]) -> float:
    """The share of the patients beyond a limit that nine tenths of the others gave."""
    group, flagged = np.arange(len(distances)) % GROUPS, 0
    for one in range(GROUPS):
        others = distances[group != one]
        if len(others):
            flagged += int((distances[group == one] > np.quantile(others, USUAL)).sum())
    return flagged / len(distances)


def _moments(inputs: NDArray[Any], encoder: Encoder) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,) and precision (d, d) of encoded patients (n, d)."""
    inputs = inputs.astype(np.float64)  # a copy
    mean = inputs.mean(axis=0)
    numbers = sum(name not in encoder.without for name in NUMBERS)  # they come first
    rare = np.flatnonzero(inputs[:, numbers:].sum(axis=0) < FEWEST) + numbers
    behind, within = encoder.input_columns, []
    for column in np.unique(behind[rare]):
        codes = np.flatnonzero(behind == column)
        few = inputs[:, np.intersect1d(codes, rare)].any(axis=1)
        within.append((np.ix_(codes, codes), np.cov(inputs[:, codes].T, bias=True)))  # says how many have which code
        others = inputs[np.ix_(~few, codes)]
        inputs[np.ix_(few, codes)] = others.sum(axis=0) / max(len(others), 1)  # their mean adds to no covariance
    apart = inputs - inputs.mean(axis=0)
    covariance = apart.T @ apart / len(inputs)
    for where, known in within:
        covariance[where] = known
    own = covariance[rare, rare]
    covariance[rare], covariance[:, rare] = 0, 0
    covariance[rare, rare] = own
    return mean, np.linalg.inv(covariance + RIDGE * np.eye(len(mean)))


def _parts(inputs: NDArray[Any], mean: NDArray[np.float64], precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each input adds to the distance of each patient (n, d)."""
    apart = inputs - mean.astype(inputs.dtype)  # stays in float32: a batch has 262,144 rows
    found: NDArray[np.float64] = apart * (apart @ precision.astype(inputs.dtype))
    return found


def _some(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[:: -(-len(rows) // MOST_ROWS)]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
