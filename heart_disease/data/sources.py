"""Patients: a CSV or Parquet file -> Table.

Reading is lenient about values (validation judges those, and names the cells) and strict about form: a file that
is missing, empty, binary or without a usable header is refused (files.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heart_disease.data import files
from heart_disease.data.files import File
from heart_disease.model import schema
from heart_disease.model.errors import SourceError

BUNDLED = Path(__file__).resolve().with_name("cleveland.csv")


@dataclass(frozen=True)
class Table:
    """Patients as they were read.

    frame: one row per patient. A column of the schema is float64 if all its cells parse, otherwise text; no number is
        made of any other column. The index is the row's number in the source, counted from 1 for the first patient.
        The rows are sorted by `row_ids`, so that a file gives the same table whatever its order.
    source: where the rows came from.
    digest: a digest of the content; it does not depend on the order of rows and columns, or on how values are written.
    row_ids: one digest per row, in the frame's order.
    blank_lines: how many rows of the source without a single cell were left out.
    """

    frame: pd.DataFrame
    source: str
    digest: str
    row_ids: tuple[str, ...]
    blank_lines: int = 0

    def __len__(self) -> int:
        return len(self.frame)


def load(source: str | Path | None = None) -> Table:
    """Read `source` (.csv or .parquet), or the bundled 303 Cleveland patients.

    Raises:
        SourceError: there is no such file, or it cannot be read as a table.
    """
    return from_file(files.read(BUNDLED if source is None else source))


def from_file(file: File) -> Table:
    """The patients of a file.

    Raises:
        SourceError: a column holds something that pandas cannot.
    """
    names = [name for name in file.cells.column_names if name not in file.index]
    rows = pd.RangeIndex(1, len(file.cells) + 1, name="row")
    try:
        columns = {name: _column(name, file.cells[name]) for name in names}
        return make_table(pd.DataFrame(columns).set_axis(rows), file.source, file.blank_lines)
    except Exception as error:  # Arrow's and pandas' own: they differ by type, and there are many types
        raise SourceError(
            f"'{file.source}' cannot be read as a table: {files.reason(error)}. Expected numbers and text in its "
            "columns."
        ) from error


def _column(name: str, column: Any) -> pd.Series:
    """A column of the schema as pandas has it, any other as text, exactly."""
    import pyarrow as pa

    if name not in schema.BY_NAME:
        return pd.Series(files.as_text(column), dtype="str")
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())  # with blanks, pandas would take it for text
    return column.to_pandas()


def make_table(frame: pd.DataFrame, source: str, blank_lines: int = 0) -> Table:
    """A table of `frame`, whose index names the rows; the frame itself is not changed."""
    known = [name for name in schema.BY_NAME if name in frame]
    frame = frame.assign(**{name: _as_numbers(frame[name]) for name in known})
    names = [*known, *sorted(str(name) for name in frame if name not in schema.BY_NAME)]
    cells = [[_canonical(value) for value in frame[name]] for name in names]
    ids = [_digest("\x1f".join(row)) for row in zip(*cells, strict=True)]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    row_ids = tuple(ids[i] for i in order)
    return Table(frame.iloc[order], source, _digest("\x1e".join([*names, *row_ids])), row_ids, blank_lines)


def _as_numbers(values: pd.Series) -> pd.Series:
    """float64 if every cell is blank or a number; otherwise stripped text, with blanks as missing."""
    if not pd.api.types.is_numeric_dtype(values):
        text = values.astype("object").where(values.notna(), "").astype(str).str.strip()
        values = text.where(text != "")
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return values if (numbers.isna() & values.notna()).any() else numbers


def patient_ids(frame: pd.DataFrame) -> list[str]:
    """A digest of each patient's 13 inputs, whatever else a file says about them."""
    cells = [[_canonical(value) for value in _as_numbers(frame[name])] for name in schema.INPUT_NAMES]
    return [_digest("\x1f".join(row)) for row in zip(*cells, strict=True)]


def _canonical(value: Any) -> str:
    # 7 digits are what a file of 32-bit numbers keeps of a value, and more than any of these columns has.
    numeric = isinstance(value, (int, float))
    return "" if pd.isna(value) else repr(float(f"{value:.7g}") + 0.0) if numeric else str(value)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
