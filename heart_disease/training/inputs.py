"""What the networks take in: every patient encoded once, and how each fold standardises that."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heart_disease.model import schema
from heart_disease.model.encoding import NUMBERS, Encoder, positions
from heart_disease.training.batches import Floats, Ints


@dataclass(frozen=True, eq=False)
class Inputs:
    """F matrices of the same n patients and d inputs; matrix f is ``(rows - means[f]) * factors[f]``.

    rows: (n, d). means, factors: (F, d). A fold costs 2 d numbers, and no copy of its patients.
    """

    rows: Floats
    means: Floats
    factors: Floats

    @classmethod
    def plain(cls, rows: Floats) -> Inputs:
        """One matrix: the rows (n, d) as they are."""
        unit = np.ones((1, rows.shape[1]), np.float32)
        return cls(rows, 0 * unit, unit)

    @classmethod
    def fitted(cls, frame: pd.DataFrame, parts: Sequence[Ints]) -> Inputs:
        """The patients of `frame`, with one matrix for each set of row numbers that its encoder is fitted on."""
        return cls.of(frame, [Encoder.fit(frame, rows) for rows in parts])

    @classmethod
    def of(cls, frame: pd.DataFrame, encoders: Sequence[Encoder]) -> Inputs:
        """The patients of `frame`, with one matrix for each encoder.

        The schema's limits scale all patients first. So float32 loses next to nothing, wherever a column's numbers lie,
        and what a network sees of its training rows depends on no other row.
        """
        common = _by_the_schema()
        rows = common.transform(frame)
        means, factors = np.zeros((len(encoders), rows.shape[1])), np.ones((len(encoders), rows.shape[1]))
        for f, own in enumerate(encoders):
            means[f, : len(NUMBERS)] = np.subtract(own.means, common.means) / common.scales
            factors[f, : len(NUMBERS)] = np.divide(common.scales, own.scales)
        return cls(rows, means.astype(np.float32), factors.astype(np.float32))

    def of_others(self, cells: NDArray[np.float64]) -> Inputs:
        """The same matrices of other patients, in UCI codes: (n, 13), as `Encoder.encode` takes them."""
        return Inputs(_by_the_schema().encode(cells), self.means, self.factors)

    def __len__(self) -> int:
        return len(self.means)

    @property
    def width(self) -> int:
        """The number d of inputs of a network."""
        return int(self.rows.shape[1])

    def leaving_out(self, without: Collection[str]) -> Inputs:
        """The same matrices, which have all columns, without the inputs of these."""
        if not without:
            return self
        kept = positions(without)
        return Inputs(self.rows[:, kept], self.means[:, kept], self.factors[:, kept])

    def __getitem__(self, f: int) -> Floats:
        """All patients as matrix `f` has them: (n, d)."""
        return self.standardised(self.rows, np.array(f))

    def take(self, matrices: Ints, rows: Ints) -> Floats:
        """The patients with the numbers `rows` (T, V), as the matrices (T,) have them: (T, V, d)."""
        return self.standardised(self.rows[rows], matrices[:, None])

    def standardised(self, rows: Any, matrices: Ints) -> Any:
        """Encoded patients (..., d) as the matrices (...) have them; of TensorFlow, if the patients are."""
        return (rows - self.means[matrices]) * self.factors[matrices]


def _by_the_schema() -> Encoder:
    """An encoder that maps each number's range, by its limits or codes, to -1 to 1."""
    ends = [(it.limits or (min(it.codes), max(it.codes))) for it in schema.COLUMNS if it.is_number]
    return Encoder(tuple((low + high) / 2 for low, high in ends), tuple((high - low) / 2 for low, high in ends))
