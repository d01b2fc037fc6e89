"""Which patients a table holds and a model learned from: digests of the inputs, whatever else a file says."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heart_disease.data import digests, files, sources
from heart_disease.data.digests import Digests
from heart_disease.model import schema

if TYPE_CHECKING:
    from heart_disease.model.patient_model import PatientModel

MOST_REMEMBERED = 1_000_000


def patient_ids(frame: pd.DataFrame, without: Collection[str] = ()) -> Digests:
    """A digest of each patient's 13 inputs (n,), or of those that are not left out, whatever else a file says."""
    found, names = np.empty(len(frame), np.uint64), [name for name in schema.INPUT_NAMES if name not in without]
    for start in range(0, len(frame), files.BATCH_ROWS):
        part = frame.iloc[start : start + files.BATCH_ROWS]
        columns = {name: digests.of_values(sources.cells(part[name])) for name in names}
        found[start : start + len(part)] = digests.of_rows(columns)
    return found


def learned_from(frame: pd.DataFrame, rows: NDArray[np.int64], without: Collection[str] = ()) -> Digests:
    """The digests of these patients, by number, each once, ascending; none if they are more than `MOST_REMEMBERED`.

    A model of so many patients would mostly consist of them, and no single one matters to it.
    """
    return np.unique(patient_ids(frame.iloc[rows], without)) if len(rows) <= MOST_REMEMBERED else np.empty(0, np.uint64)


def rows_learned(frame: pd.DataFrame, model: PatientModel) -> NDArray[np.bool_]:
    """The rows (n,) of `frame` that `model` learned from, as far as it remembers: by the columns that it takes."""
    return np.isin(patient_ids(frame, model.encoder.without), model.learned_from)
