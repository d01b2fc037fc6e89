"""CSV and Parquet files, or a folder of them, as Arrow tables, batch by batch: what is written there, cell by cell.

A cell of a CSV file is its text. A column of a Parquet file keeps its type. So a patient's number, ``00042`` or one
with 19 digits, leaves as it came. Memory holds one batch, whatever the length of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from heart_disease.data import csv_text
from heart_disease.model.errors import SourceError

EMPTY = "'{}' is empty; expected a header line and one line per patient."
NO_ROWS = "'{}' has a header and no rows; expected one line per patient."
MOST_COLUMNS = 10_000
BATCH_ROWS = 1 << 18
BUFFER_BYTES = 1 << 20  # of a column in a Parquet file that is read at once


@dataclass(frozen=True)
class Batch:
    """Some rows of a file. cells: a `pyarrow.Table` of n rows. blank_lines: rows without a cell, which were left out.

    first: the number of its first row in the file, from 1, without blank rows.
    """

    cells: Any
    first: int
    blank_lines: int = 0


@dataclass(frozen=True)
class File:
    """A file of patients, or a folder of them; its rows are read by `batches`.

    source: the path as a message names it. paths: the file, or the folder's files by name.
    columns: the names of the columns; all files of a folder have the same, in any order.
    index: the columns in which pandas stored a frame's index: they number the rows, and say nothing about patients.
    styles: how each CSV file is written; none for Parquet files.
    """

    source: str
    paths: tuple[Path, ...]
    columns: tuple[str, ...]
    index: tuple[str, ...] = ()
    styles: tuple[csv_text.Style, ...] = ()

    @property
    def is_parquet(self) -> bool:
        """Whether its columns have types; those of a CSV file are text."""
        return _is_parquet(self.paths[0])

    @property
    def names(self) -> list[str]:
        """The columns that say something about patients."""
        return [name for name in self.columns if name not in self.index]

    @property
    def notes(self) -> list[str]:
        """What is unusual about how its text is written, a clause each."""
        return sorted({note for style in self.styles for note in style.form.notes})

    @property
    def capacity(self) -> int:
        """How many rows it has, blank ones among them; 0 if only reading tells."""
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(path).num_rows for path in self.paths) if self.is_parquet else 0

    @property
    def parts(self) -> list[File]:
        """Each file of a folder alone."""
        return [replace(self, paths=(path,), styles=self.styles[i : i + 1]) for i, path in enumerate(self.paths)]

    def batches(self) -> Iterator[Batch]:
        """The rows, in the order of the files.

        Raises:
            SourceError: the file is damaged, or has no rows.
        """
        rows = 0
        for batch in self.batches_of_part(1):
            rows += len(batch.cells)
            yield batch
        if not rows:
            raise SourceError(NO_ROWS.format(self.source))

    def batches_of_part(self, first: int) -> Iterator[Batch]:
        """Do as `batches`, for a part of a folder, which may have no rows. first: the number of its first row."""
        for i, path in enumerate(self.paths):
            rows = _parquet_rows(path, self.index) if self.is_parquet else _csv_rows(path, self.styles[i])
            for cells, blank_lines in rows:
                yield Batch(cells.select(list(self.columns)), first, blank_lines)
                first += len(cells)


def find(source: str | Path) -> tuple[Path, ...]:
    """The file `source`, or the files of that folder by name; none is opened.

    Raises:
        SourceError: there is no such file, or it is empty or a pipe; or the folder holds other things.
    """
    path = Path(source)
    try:
        if source == "" or not path.exists():
            raise SourceError(f"no file '{source}'; expected a CSV or Parquet file of patients. Check the path.")
        if path.is_dir():
            return tuple(part for each in _parts(path) for part in find(each))
        if not path.is_file():
            raise SourceError(f"'{path}' is a pipe or a device; expected a file. Save the patients to one first.")
        if path.stat().st_size == 0:
            raise SourceError(EMPTY.format(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    return (path,)


def look(source: str | Path) -> File:
    """See which columns `source` has: a Parquet file if its name ends in .parquet, otherwise CSV; or a folder of them.

    Raises:
        SourceError: there is no such file, or it cannot be read as a table.
    """
    return together(source, [look_at(path) for path in find(source)])


def look_at(path: Path) -> File:
    """Do as `look`, for one file that `find` has found."""
    try:
        return _look(path)
    except OSError as error:
        raise _unreadable(Path(error.filename or path), error) from error


def together(source: str | Path, found: Sequence[File]) -> File:
    """The files of a folder as one.

    Raises:
        SourceError: they do not have the same columns.
    """
    columns, paths = found[0].columns, tuple(path for one in found for path in one.paths)
    for one in found:
        if set(one.columns) != set(columns):
            raise SourceError(
                f"'{one.source}' has the columns {', '.join(one.columns)}; expected those of '{paths[0]}': "
                f"{', '.join(columns)}. Give all files of a folder the same columns."
            )
    index = {name for one in found for name in one.index}
    styles = tuple(style for one in found for style in one.styles)
    return File(str(Path(source)), paths, columns, tuple(name for name in columns if name in index), styles)


def as_text(column: Any) -> list[str | None]:
    """Each cell of an Arrow column as text, exactly; None for a missing one, also if it is written as NaN."""
    texts: list[str | None] = in_text(column).to_pylist()
    return texts


def in_text(column: Any) -> Any:
    """Do as `as_text`, but as an Arrow column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        return column
    try:
        texts = column.cast(pa.string())
    except pa.ArrowException:  # Arrow has no text for lists, records and bytes
        return pa.array([str(value) if value.is_valid else None for value in column], pa.string())
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_null(column, nan_is_null=True), pa.scalar(None, pa.string()), texts)
    return texts


def reason(error: Exception) -> str:
    """The first line of a library's message, without a full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _parts(folder: Path) -> tuple[Path, ...]:
    """The files of a folder by name, all of one kind; a name that begins with . or _ is another program's note."""
    found = tuple(sorted(path for path in folder.iterdir() if path.name[0] not in "._"))
    kinds = {path.suffix.lower() for path in found}
    if len(kinds) != 1 or not kinds <= {".csv", ".parquet"} or not all(path.is_file() for path in found):
        what = ", ".join(repr(path.name) for path in found[:5]) + ", ..." * (len(found) > 5)
        raise SourceError(
            f"'{folder}' is a folder with {what or 'no files'}; expected a CSV or Parquet file of patients, or a "
            "folder with parts of one kind: all *.csv, or all *.parquet."
        )
    return found


def _unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(f"'{path}' cannot be read: {error.strerror or error}. Check the path and its permissions.")


def _look(path: Path) -> File:
    index: list[str] = []
    styles: tuple[csv_text.Style, ...] = ()
    if _is_parquet(path):
        with _damage(path), _opened(path) as file:
            names = list(file.schema_arrow.names)
            described = (file.schema_arrow.pandas_metadata or {}).get("index_columns", [])
            index = [name for name in names if name in described]
    else:
        styles = (csv_text.style_of(path),)
        names = csv_text.header(path, styles[0])
        if not names:
            raise SourceError(EMPTY.format(path))
    if len(names) > MOST_COLUMNS:
        raise SourceError(
            f"'{path}' has {len(names):,} columns; expected those of docs/columns.md, and at most {MOST_COLUMNS:,}."
        )
    twice = sorted((name, n) for name, n in Counter(names).items() if n > 1)
    if twice:
        raise SourceError(f"'{path}' has the column '{twice[0][0]}' {twice[0][1]} times; expected each once.")
    return File(str(path), (path,), tuple(names), tuple(index), styles)


def _csv_rows(path: Path, style: csv_text.Style) -> Iterator[tuple[Any, int]]:
    try:
        yield from csv_text.blocks(path, style)
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise SourceError(f"'{path}' was changed while it was read. Expected a file that stays as it is.") from error


def _parquet_rows(path: Path, index: Sequence[str]) -> Iterator[tuple[Any, int]]:
    import pyarrow as pa

    with _damage(path), _opened(path) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            cells = pa.Table.from_batches([batch]).replace_schema_metadata(None)
            cells.validate(full=True)
            yield _without_blanks(cells, index)


def _without_blanks(cells: Any, index: Sequence[str]) -> tuple[Any, int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    blank = np.ones(len(cells), bool)
    for name in cells.column_names:
        if not blank.any():
            return cells, 0
        if name not in index:
            blank &= pc.is_null(cells[name], nan_is_null=True).to_numpy()
    return cells.filter(pa.array(~blank)), int(blank.sum())


def _opened(path: Path) -> Any:
    import pyarrow.parquet as pq

    with path.open("rb"):  # Arrow raises an OSError for damage as well
        pass
    return pq.ParquetFile(path, buffer_size=BUFFER_BYTES)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Damage is found only while the file is read, and depending on where it is, any error may come of it."""
    try:
        yield
    except PermissionError:
        raise
    except Exception as error:
        raise SourceError(
            f"'{path}' cannot be read as a Parquet file: {reason(error)}. Write it again, or name a CSV file *.csv."
        ) from error
