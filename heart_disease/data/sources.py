"""Read patients: a CSV or Parquet file -> Table.

Reading is lenient about values (validation judges those, and names the cells) and strict about form: a file that
is missing, empty, binary or without a usable header is refused here.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heart_disease.model import schema
from heart_disease.model.errors import SourceError

EMPTY = "'{}' is empty; expected a header line and one line per patient."
BUNDLED = Path(__file__).resolve().with_name("cleveland.csv")


@dataclass(frozen=True)
class Table:
    """Patients as they were read.

    frame: one row per patient; a column whose cells all parse is float64, any other keeps its text. The index is
        the row's number in the source, counted from 1 for the first patient. The rows are sorted by `row_ids`, so
        that a file gives the same table whatever its order.
    source: where the rows came from.
    digest: a digest of the content; it does not depend on the order of rows and columns, or on how values are written.
    row_ids: one digest per row, in the frame's order.
    """

    frame: pd.DataFrame
    source: str
    digest: str
    row_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frame)


def load(source: str | Path | None = None) -> Table:
    """Read `source` (.csv or .parquet), or the bundled 303 Cleveland patients.

    Raises:
        SourceError: there is no such file, or it cannot be read as a table.
    """
    path = BUNDLED if source is None else Path(source)
    try:
        if not path.exists() or source == "":
            raise SourceError(f"no file '{source}'; expected a CSV or Parquet file of patients. Check the path.")
        if path.is_dir():
            raise SourceError(f"'{path}' is a folder; expected a CSV or Parquet file of patients.")
        if not path.is_file():
            raise SourceError(f"'{path}' is a pipe or a device; expected a file. Save the patients to one first.")
        if path.stat().st_size == 0:
            raise SourceError(EMPTY.format(path))
        frame = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except OSError as error:
        raise SourceError(
            f"'{path}' cannot be read: {error.strerror or error}. Check the path and its permissions."
        ) from error
    if frame.empty:
        raise SourceError(f"'{path}' has a header and no rows; expected one line per patient.")
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return make_table(frame, str(path))


def make_table(frame: pd.DataFrame, source: str) -> Table:
    """A table of `frame`, whose index names the rows; the frame itself is not changed."""
    frame = frame.apply(_as_numbers)
    known = [name for name in schema.BY_NAME if name in frame]
    names = [*known, *sorted(str(name) for name in frame if name not in schema.BY_NAME)]
    cells = [[_canonical(value) for value in frame[name]] for name in names]
    ids = [_digest("\x1f".join(row)) for row in zip(*cells, strict=True)]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    row_ids = tuple(ids[i] for i in order)
    return Table(frame.iloc[order], source, _digest("\x1e".join([*names, *row_ids])), row_ids)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"'{path}' is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset {error.start}. "
            "Expected a CSV file; export it again as UTF-8, or name a Parquet file *.parquet."
        ) from error
    if "\0" in text:
        raise SourceError(f"'{path}' is a binary file; expected a CSV file, or a Parquet file named *.parquet.")
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    names: list[str] = []
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row) and len(row) < 2:
                continue  # an empty line
            if not names:
                names = [name.strip() for name in row]
                other = next((mark for mark in (";", "\t") if len(names) == 1 and mark in names[0]), None)
                if other:
                    raise SourceError(f"'{path}' has {other!r} between its columns; expected commas. Export it again.")
                _refuse_duplicates(path, names)
            elif len(row) != len(names):  # pandas would fill a cut-off row with blanks, which may be allowed there
                raise SourceError(
                    f"'{path}' has {len(row)} cells in line {reader.line_num}; expected {len(names)}, as in the "
                    "header. Correct that line, or put text with a comma in quotes."
                )
            else:
                rows.append(row)
    except csv.Error as error:
        raise SourceError(f"'{path}' is not a CSV table: line {reader.line_num}: {error}. Correct it.") from error
    if not names:
        raise SourceError(EMPTY.format(path))
    return pd.DataFrame(rows, columns=names, dtype=str)


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = path.read_bytes()
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
        _refuse_duplicates(path, table.column_names)
        return table.to_pandas()  # what pandas stored as its index is not a column
    # Damage to text, or to pandas' own description of the columns, is found only while they are read.
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SourceError(
            f"'{path}' is not a Parquet file: {reason}. Write it again, or name a CSV file *.csv."
        ) from error


def _refuse_duplicates(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"'{path}' has the column '{twice[0]}' {names.count(twice[0])} times; expected each once.")


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
