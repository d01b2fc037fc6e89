"""Reading, for any table and any bytes: equal content has one digest, and nothing but a DataError is raised."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.model.errors import DataError
from tests.harness.data import patients

ALL = schema.BY_NAME.values()
NUMBERS = some.floats(-1e6, 1e6, allow_nan=False).map(lambda value: float(f"{value:.7g}"))
# Other codes than UCI's, such as 0 in cp, are another subject: copies. The first column has no blanks, because a row
# without a single cell is left out.
CODES = {column.name: sorted(set(column.codes) - {0} if column.name == "cp" else column.codes) for column in ALL}
VALUES = [some.sampled_from(CODES[column.name]) if column.codes else NUMBERS for column in ALL]
ROWS = some.tuples(VALUES[0], *(some.none() | values for values in VALUES[1:]))
TABLES = some.lists(ROWS, min_size=1, max_size=5).map(
    lambda rows: pd.DataFrame(rows, columns=list(schema.BY_NAME), dtype="float64")
)


def read(data: bytes, name: str) -> sources.Table:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        return sources.load(path)


def as_csv(frame: pd.DataFrame, **how: str) -> bytes:
    return frame.to_csv(index=False, **how).encode()


def as_parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()


def damaged(change: tuple[bytes, float, int]) -> bytes:
    """A file with one byte replaced."""
    data, where, byte = change
    at = int(where * len(data))
    return data[:at] + bytes([byte]) + data[at + 1 :]


OWN = {
    "name": "a",
    "seen": pd.Timestamp("2026-01-01"),
    "ward": pd.Categorical(["x", "y", "x"]),
    "visits": [[1], [], [2]],
}
FILES = [write(patients.make(3).assign(**OWN)) for write in (as_csv, as_parquet)]
# Bytes of all sorts: arbitrary ones, near-tables, and tables with a fault.
BYTES = (
    some.binary(max_size=200)
    | some.text(some.sampled_from("ab,;\"'\n\r\t 01.-e\x00é\ufeff"), max_size=200).map(str.encode)
    | some.tuples(some.sampled_from(FILES), some.floats(0, 1, exclude_max=True), some.integers(0, 255)).map(damaged)
)


@pytest.mark.slow
@given(TABLES)
def test_a_table_is_the_same_through_csv_and_through_parquet(frame: pd.DataFrame) -> None:
    expected = sources.make_table(frame, "memory")
    for found in (read(as_csv(frame), "a.csv"), read(as_parquet(frame), "a.parquet")):
        assert (found.digest, found.row_ids.tolist()) == (expected.digest, expected.row_ids.tolist())
        assert np.array_equal(found.frame.to_numpy(), expected.frame.to_numpy(), equal_nan=True)


@given(TABLES, some.randoms(use_true_random=False))
def test_the_order_of_rows_and_of_columns_changes_nothing(frame: pd.DataFrame, random: Random) -> None:
    rows, columns = list(frame.index), list(frame.columns)
    random.shuffle(rows)
    random.shuffle(columns)
    found = read(as_csv(frame.loc[rows, columns]), "a.csv")
    assert found.digest == sources.make_table(frame, "memory").digest


@given(TABLES, some.sampled_from(["%.6e", "%+.7g", "%12.7g", "%.10g"]))
def test_the_notation_of_numbers_changes_nothing(frame: pd.DataFrame, written: str) -> None:
    found = read(as_csv(frame, float_format=written), "a.csv")
    assert found.digest == sources.make_table(frame, "memory").digest


@given(TABLES)
def test_a_cell_that_changes_makes_another_table(frame: pd.DataFrame) -> None:
    changed = frame.copy()
    changed.loc[0, "chol"] = 1.0 if frame.loc[0, "chol"] != 1.0 else 2.0
    assert sources.make_table(changed, "memory").digest != sources.make_table(frame, "memory").digest


@pytest.mark.slow
@settings(max_examples=500)
@given(BYTES, some.sampled_from(["a.csv", "a.parquet"]))
def test_any_bytes_are_a_table_or_a_data_error(data: bytes, name: str) -> None:
    with suppress(DataError):
        table = read(data, name)
        assert len(table) == len(table.row_ids) > 0
