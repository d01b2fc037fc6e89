"""Files of patients, or a folder of them, as Arrow tables, batch by batch: what is written there, cell by cell.

CSV, Parquet, Excel and JSON lines; what is elsewhere is fetched first (remote/snapshots.py). A cell of a CSV file is
its text; one of Excel and JSON lines becomes what it would be there. A column of a Parquet file keeps its type. So a
patient's number, ``00042`` or one with 19 digits, leaves as it came. Memory holds one batch, whatever the length of the
file; only a workbook is held as a whole.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heart_disease.data.formats import csv_text, json_lines, parquet, sheets
from heart_disease.data.remote import addresses, snapshots
from heart_disease.data.remote.snapshots import Snapshot
from heart_disease.model.errors import SourceError

EMPTY = "'{}' is empty; expected a header line and one line per patient."
NO_ROWS = "'{}' has a header and no rows; expected one line per patient."
KINDS = (".csv", *parquet.SUFFIXES, *json_lines.SUFFIXES, *sheets.SUFFIXES)
MOST_COLUMNS = 10_000
BATCH_ROWS = parquet.BATCH_ROWS


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

    source: the path or address as a message names it. paths: the file, or the folder's files by name.
    columns: the names of the columns; all files of a folder have the same, in any order.
    index: the columns in which pandas stored a frame's index: they number the rows, and say nothing about patients.
    styles: how each CSV file is written; none for other files. snapshot: what was fetched, if it is elsewhere.
    sheet: the sheet of a workbook that holds the patients; empty for the only one with cells.
    """

    source: str
    paths: tuple[Path, ...]
    columns: tuple[str, ...]
    index: tuple[str, ...] = ()
    styles: tuple[csv_text.Style, ...] = ()
    snapshot: Snapshot | None = None
    sheet: str = ""

    @property
    def is_parquet(self) -> bool:
        """Whether its columns have types; those of other files are text."""
        return _is(self.paths[0], parquet.SUFFIXES)

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
        with _named(self.snapshot):
            for i, path in enumerate(self.paths):
                for cells, blank_lines in self._rows(path, i):
                    yield Batch(cells.select(list(self.columns)), first, blank_lines)
                    first += len(cells)

    def _rows(self, path: Path, number: int) -> Iterator[tuple[Any, int]]:
        if self.is_parquet:
            return parquet.blocks(path, self.index)
        if _is(path, sheets.SUFFIXES):
            return sheets.blocks(path, self.sheet)
        if _is(path, json_lines.SUFFIXES):
            return json_lines.blocks(path, self.columns)
        return _csv_rows(path, self.styles[number])


def check(source: str | Path) -> None:
    """Refuse a source that is not there, before anything is started for it; an address is read, but not asked.

    Raises:
        SourceError: as `find`.
        UsageError: it is no address that can be used.
    """
    if addresses.is_remote(source):
        addresses.parse(str(source))
    else:
        find(source)


def find(source: str | Path) -> tuple[Path, ...]:
    """The file `source`, or the files of that folder or pattern by name; none is opened.

    Raises:
        SourceError: there is no such file, or it is empty or a pipe; or the folder holds other things.
    """
    source, _ = addresses.sheet_of(source)
    path = Path(source)
    try:
        if path.is_dir() and source != "":
            parts = _parts(f"'{path}' is a folder", sorted(path.iterdir()))
        elif not path.exists() and (found := glob.glob(str(source))):  # noqa: PTH207  a pattern may begin at the root
            parts = _parts(f"'{source}' is a pattern", sorted(map(Path, found)))
        else:
            return (_one(path, source),)
        return tuple(_one(part, part) for part in parts)
    except OSError as error:
        raise _unreadable(path, error) from error


def _one(path: Path, source: str | Path) -> Path:
    if source == "" or not path.exists():
        raise SourceError(
            f"no file '{source}'; expected a file of patients: CSV, Parquet, Excel or JSON lines. Check the path."
        )
    if not path.is_file():
        raise SourceError(f"'{path}' is a pipe or a device; expected a file. Save the patients to one first.")
    if path.stat().st_size == 0:
        raise SourceError(EMPTY.format(path))
    return path


def look(source: str | Path) -> File:
    """See which columns `source` has. Its name says the kind: .parquet, .xlsx, .jsonl, otherwise CSV; or a folder.

    What is at an address is fetched: that is one snapshot.

    Raises:
        SourceError: there is no such file, or it cannot be read as a table.
        UsageError, UnavailableError: see `snapshots.take`; only for an address.
    """
    if addresses.is_remote(source):
        return of_snapshot(snapshots.take(str(source)))
    _, sheet = addresses.sheet_of(source)
    return together(source, [look_at(path, sheet) for path in find(source)])


def of_snapshot(snapshot: Snapshot) -> File:
    """Do as `look`, for what was fetched."""
    sheet = addresses.sheet_of(snapshot.source)[1]
    with _named(snapshot):
        found = together(snapshot.source, [look_at(path, sheet) for path in snapshot.paths])
    return replace(found, snapshot=snapshot)


@contextmanager
def _named(snapshot: Snapshot | None) -> Iterator[None]:
    """Let an error name the address, and not the file in the cache."""
    try:
        yield
    except SourceError as error:
        text = str(error)
        for path in snapshot.paths if snapshot else ():
            text = text.replace(str(path), snapshot.source if snapshot else "")
        raise (SourceError(text) if text != str(error) else error) from error.__cause__


def look_at(path: Path, sheet: str = "") -> File:
    """Do as `look`, for one file that `find` has found. sheet: the one that was named."""
    try:
        return _look(path, sheet)
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
    name = str(source) if addresses.is_remote(source) else str(Path(source))
    return File(name, paths, columns, tuple(name for name in columns if name in index), styles, sheet=found[0].sheet)


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


def _is(path: Path, suffixes: Sequence[str]) -> bool:
    return path.name.lower().removesuffix(".gz").removesuffix(".zip").endswith(tuple(suffixes))


def _parts(what: str, paths: Sequence[Path]) -> tuple[Path, ...]:
    """The files of a folder or pattern, all of one kind; a name that begins with . or _ is another program's note."""
    found = tuple(path for path in paths if path.name[0] not in "._")
    kinds = {path.suffix.lower() for path in found}
    if len(kinds) != 1 or not kinds <= {*KINDS} or not all(path.is_file() for path in found):
        names = ", ".join(repr(path.name) for path in found[:5]) + ", ..." * (len(found) > 5)
        raise SourceError(
            f"{what} with {names or 'no files'}; expected a file of patients, or a folder with parts of one "
            f"kind: {', '.join(f'all *{kind}' for kind in KINDS)}."
        )
    return found


def _unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(f"'{path}' cannot be read: {error.strerror or error}. Check the path and its permissions.")


def _look(path: Path, sheet: str) -> File:
    if sheet and not _is(path, sheets.SUFFIXES):
        raise SourceError(f"'{path}' is no workbook; expected one that has a sheet '{sheet}', or no --table.")
    index: list[str] = []
    styles: tuple[csv_text.Style, ...] = ()
    if _is(path, parquet.SUFFIXES):
        names, index = parquet.header(path)
    elif _is(path, sheets.SUFFIXES):
        names = sheets.header(path, sheet)
    elif _is(path, json_lines.SUFFIXES):
        names = json_lines.header(path)
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
    return File(str(path), (path,), tuple(names), tuple(index), styles, sheet=sheet)


def _csv_rows(path: Path, style: csv_text.Style) -> Iterator[tuple[Any, int]]:
    try:
        yield from csv_text.blocks(path, style)
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise SourceError(f"'{path}' was changed while it was read. Expected a file that stays as it is.") from error
