"""A CSV or Parquet file <-> an Arrow table, cell by cell: what is written there, and nothing made of it.

A cell of a CSV file is its text. A column of a Parquet file keeps its type. So a patient's number, ``00042`` or one
with 19 digits, leaves as it came.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heart_disease.model.errors import SourceError

EMPTY = "'{}' is empty; expected a header line and one line per patient."


@dataclass(frozen=True)
class File:
    """What a file of patients holds.

    cells: a `pyarrow.Table`, one row per patient, in the file's order.
    source: the file.
    index: the columns in which pandas stored a frame's index: they number the rows, and say nothing about patients.
    blank_lines: how many rows without a single cell were left out.
    """

    cells: Any
    source: str
    index: tuple[str, ...] = ()
    blank_lines: int = 0


def find(source: str | Path) -> Path:
    """The file `source`, which is not opened.

    Raises:
        SourceError: there is no such file, or it is empty, a folder, or a pipe.
    """
    path = Path(source)
    try:
        if source == "" or not path.exists():
            raise SourceError(f"no file '{source}'; expected a CSV or Parquet file of patients. Check the path.")
        if path.is_dir():
            raise SourceError(f"'{path}' is a folder; expected a CSV or Parquet file of patients.")
        if not path.is_file():
            raise SourceError(f"'{path}' is a pipe or a device; expected a file. Save the patients to one first.")
        if path.stat().st_size == 0:
            raise SourceError(EMPTY.format(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    return path


def read(source: str | Path) -> File:
    """Read `source`, a Parquet file if its name ends in .parquet, otherwise CSV.

    Raises:
        SourceError: there is no such file, or it cannot be read as a table.
    """
    path = find(source)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    file = _read_parquet(path, data) if path.suffix.lower() == ".parquet" else _read_csv(path, data)
    if not len(file.cells):
        raise SourceError(f"'{path}' has a header and no rows; expected one line per patient.")
    return file


def write(path: Path, columns: Mapping[str, Any]) -> None:
    """Write Arrow columns to a .csv or .parquet file, at once: the file is complete, or is as it was before.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        _write(temporary, columns, parquet=path.suffix.lower() == ".parquet")
        temporary.replace(path)
    except BaseException:  # also Ctrl-C
        temporary.unlink(missing_ok=True)
        raise


def _write(path: Path, columns: Mapping[str, Any], *, parquet: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if parquet:
        pq.write_table(pa.table(dict(columns)), path)
        return
    texts = [["" if text is None else text for text in as_text(column)] for column in columns.values()]
    # Python's writer leaves a carriage return without quotes, and readers take that for the end of the line.
    returns = any("\r" in text for column in texts for text in column)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
        writer.writerow(columns)
        writer.writerows(zip(*texts, strict=True))


def as_text(column: Any) -> list[str | None]:
    """Each cell of an Arrow column as text, exactly; None for a missing one, also if it is written as NaN."""
    import pyarrow as pa

    try:
        texts: list[str | None] = column.cast(pa.string()).to_pylist()
    except pa.ArrowException:  # Arrow has no text for lists, records and bytes
        texts = [str(value) if value.is_valid else None for value in column]
    if pa.types.is_floating(column.type):
        return [None if text == "nan" else text for text in texts]
    return texts


def reason(error: Exception) -> str:
    """The first line of a library's message, without a full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(f"'{path}' cannot be read: {error.strerror or error}. Check the path and its permissions.")


def _read_csv(path: Path, data: bytes) -> File:
    import pyarrow as pa

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"'{path}' is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset {error.start}. "
            "Expected a CSV file; export it again as UTF-8, or name a Parquet file *.parquet."
        ) from error
    if "\0" in text:
        raise SourceError(f"'{path}' is a binary file; expected a CSV file, or a Parquet file named *.parquet.")
    # Where spaces stand before an opening quote they belong to the file's style, everywhere else to the cell.
    spaced = re.search(r'(?:^|,) +"(?!")', text, re.MULTILINE) is not None
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=spaced, strict=True)
    names: list[str] = []
    rows: list[list[str]] = []
    blank_lines = 0
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                blank_lines += len(row) > 1  # a sheet's ",,,,"; a line without even a comma is nothing to tell about
            elif not names:
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
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    cells = pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})
    return File(cells, str(path), blank_lines=blank_lines)


def _read_parquet(path: Path, data: bytes) -> File:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        cells = pq.ParquetFile(pa.BufferReader(data)).read()
        cells.validate(full=True)
        described = (cells.schema.pandas_metadata or {}).get("index_columns", [])
        index = tuple(name for name in cells.column_names if name in described)
        cells = cells.replace_schema_metadata(None)
    # Damage is found only while the file is read, and depending on where it is, any error may come of it.
    except Exception as error:
        raise SourceError(
            f"'{path}' cannot be read as a Parquet file: {reason(error)}. Write it again, or name a CSV file *.csv."
        ) from error
    _refuse_duplicates(path, cells.column_names)
    held = [name for name in cells.column_names if name not in index]
    known = [pc.invert(pc.is_null(cells[name], nan_is_null=True)) for name in held]
    if not known:
        return File(cells.slice(0, 0), str(path), index)
    some = known[0]
    for one in known[1:]:
        some = pc.or_(some, one)
    full = cells.filter(some)
    return File(full, str(path), index, len(cells) - len(full))


def _refuse_duplicates(path: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"'{path}' has the column '{twice[0]}' {names.count(twice[0])} times; expected each once.")
