"""Patients: a file, a folder of files, or an address -> Table, or frame after frame.

Reading is lenient about values (validation judges those, and names the cells) and strict about form: a file that
is missing, empty, binary or without a usable header is refused (files.py). A published copy of this data in other codes
is translated to UCI's, or refused if it cannot be (recognition.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heart_disease.data import digests, files, recognition
from heart_disease.data.copies.translation import Finding
from heart_disease.data.digests import Digests
from heart_disease.data.files import Batch, File
from heart_disease.data.formats import csv_text
from heart_disease.data.remote import snapshots
from heart_disease.data.remote.snapshots import Snapshot
from heart_disease.data.sites import SITES
from heart_disease.model import schema
from heart_disease.model.errors import RejectedError, SourceError, UsageError
from heart_disease.model.words import reason

log = logging.getLogger("heart")
BUNDLED = SITES["cleveland"]


@dataclass(frozen=True, eq=False)
class Table:
    """Patients as they were read.

    frame: one row per patient. A column of the schema is float64 if all its cells parse, otherwise text; no number is
        made of any other column. The index is the row's number in the source, counted from 1 for the first patient.
        The rows are sorted by `row_ids`, so that a file gives the same table whatever its order.
    source: where the rows came from. snapshot: what was fetched, if that is an address.
    digest: a digest of the content; it does not depend on the order of rows and columns, or on how values are written.
    row_ids: one digest per row (n,), in the frame's order; see digests.py. Only rows with the same cells share one.
    blank_lines: how many rows of the source without a single cell were left out.
    finding: the published copy that the source is, if it is one in other codes: `frame` is then its translation.
    """

    frame: pd.DataFrame
    source: str
    digest: str
    row_ids: Digests
    blank_lines: int = 0
    finding: Finding | None = None
    snapshot: Snapshot | None = None

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a source.

    columns: by name. One of the schema is a NumPy array (n,): float64 with NaN for a blank if all its cells in these
        rows parse, otherwise objects, text and None. Any other is Arrow text.
    index: the rows' numbers (n,). blank_lines: rows without a cell, left out.
    """

    columns: dict[str, Any]
    index: pd.Index
    blank_lines: int = 0

    @cached_property
    def row_ids(self) -> Digests:
        """One digest per row (n,)."""
        return digests.of_rows(
            {
                name: digests.of_values(column) if isinstance(column, np.ndarray) else digests.of_text(column)
                for name, column in self.columns.items()
            }
        )

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a frame like `Table.frame`, in their order."""
        columns = {name: _as_series([column]) for name, column in self.columns.items()}
        return pd.DataFrame(columns, copy=False).set_axis(self.index)


def load(
    source: str | Path | None = None, snapshot: str = "", *, copy: str | None = None, force: bool = False
) -> Table:
    """Read `source` (see `files.look`), or the bundled 303 Cleveland patients.

    snapshot: the digest of the one to take, if it is still in the cache, instead of reading an address again.
    copy, force: see `recognition.recognise`. Memory holds the table once (8 bytes a cell) and a few columns.

    Raises:
        SourceError: there is no such file, or it cannot be read as a table.
        RejectedError: it is a published copy of this data that cannot be turned into UCI codes.
        UsageError: there is no such copy, or no source that could be one; or see `snapshots.take`.
        UnavailableError: an address does not answer.
    """
    return from_file(look(source, snapshot), copy=copy, force=force)


def look(source: str | Path | None = None, snapshot: str = "") -> File:
    """The columns of `source`, or of the bundled patients, or of the snapshot; see `load`."""
    if snapshot:
        if kept := snapshots.kept(snapshot, str(source)):
            return files.of_snapshot(kept)
        log.warning("source    snapshot %s of %s is gone; what is there now is read", snapshot[:8], source)
    return files.look(BUNDLED if source is None else source)


def from_file(file: File, *, copy: str | None = None, force: bool = False) -> Table:
    """The patients of a file, in UCI codes if it is a published copy in other ones.

    Raises:
        SourceError: it is damaged, or a column holds something that pandas cannot.
        RejectedError: it is a published copy of this data that cannot be turned into UCI codes.
    """
    table = _table(rows_of(file), file.source, file.capacity)
    finding = None if _is_bundled(file, copy) else recognition.recognise(table.frame, declared=copy, force=force)
    found = table if finding is None else translated(finding, file.source, table.blank_lines)
    return replace(found, snapshot=file.snapshot)


def recognised(
    file: File, *, drop_foreign: bool = False, copy: str | None = None, force: bool = False, whole: bool = True
) -> tuple[Finding, int] | None:
    """What `recognition.recognise` finds in a file, and its blank rows.

    The beginning of a long file decides whether it is used as it is or refused. Only to translate it is all of it read;
    whole: whether it is to be translated, and not only named.

    Raises:
        SourceError: as `from_file`.
    """
    if _is_bundled(file, copy):
        return None
    chunks: list[Rows] = []
    rows, length = rows_of(file), 0
    for chunk in rows:
        chunks.append(chunk)
        length += len(chunk.index)
        if length > recognition.MOST_ROWS:
            break
    finding = _recognised(chunks, file, drop_foreign, copy, force)
    if finding and length > recognition.MOST_ROWS:
        if whole and not finding.refusal:
            chunks += rows
            finding = _recognised(chunks, file, drop_foreign, copy, force)
        elif next(rows, None):
            finding = replace(finding, known=f"{finding.known}, as far as it was read")
    return (finding, sum(chunk.blank_lines for chunk in chunks)) if finding else None


def _is_bundled(file: File, copy: str | None) -> bool:
    if file.paths == (BUNDLED,) and copy not in (None, "uci"):
        raise UsageError(f"--copy {copy}: expected a source with it; the bundled patients are in UCI's codes")
    return file.paths == (BUNDLED,)


def _recognised(
    chunks: Iterable[Rows], file: File, drop_foreign: bool, copy: str | None, force: bool
) -> Finding | None:
    frame = _table(chunks, file.source).frame
    return recognition.recognise(frame, drop_foreign=drop_foreign, declared=copy, force=force)


def translated(finding: Finding, source: str, blank_lines: int = 0) -> Table:
    """The patients of a published copy, in UCI codes.

    Raises:
        RejectedError: the copy cannot be turned into them.
    """
    if finding.refusal:
        said = "\n".join(finding.lines())
        raise RejectedError(f"'{source}' cannot be used: {finding.refusal}.\n{said}\nSee docs/copies.md.")
    return replace(make_table(finding.frame, source, blank_lines), finding=finding)


def rows_of(file: File) -> Iterator[Rows]:
    """The patients of a file, batch by batch, in its order.

    Raises:
        SourceError: as `from_file`.
    """
    return (rows_in(batch, file) for batch in file.batches())


def rows_of_part(part: File) -> Iterator[Rows]:
    """Do as `rows_of`, for one part of a folder, which may have no rows; they are numbered from 1."""
    return (rows_in(batch, part) for batch in part.batches_of_part(1))


def rows_in(batch: Batch, file: File) -> Rows:
    """The patients of one batch of a file.

    Raises:
        SourceError: a column holds something that pandas cannot.
    """
    try:
        columns = {
            name: _cells(batch.cells[name]) if name in schema.BY_NAME else files.in_text(batch.cells[name])
            for name in file.names
        }
    except Exception as error:  # Arrow's and pandas' own: they differ by type, and there are many types
        raise SourceError(
            f"'{file.source}' cannot be read as a table: {reason(error)}. Expected numbers and text in its columns."
        ) from error
    index = pd.RangeIndex(batch.first, batch.first + len(batch.cells), name="row")
    return Rows(columns, index, batch.blank_lines)


def make_table(frame: pd.DataFrame, source: str, blank_lines: int = 0) -> Table:
    """A table of `frame`, whose index names the rows; the frame itself is not changed."""
    import pyarrow as pa

    columns = {
        str(name): cells(frame[name])
        if name in schema.BY_NAME
        else pa.array(frame[name].astype("str"), pa.string(), from_pandas=True)
        for name in frame
    }
    return _table([Rows(columns, frame.index, blank_lines)], source)


def _table(chunks: Iterable[Rows], source: str, capacity: int = 0) -> Table:
    """One table of these rows, sorted; capacity: how many there may be, if that is known."""
    parts: dict[str, Any] = {}
    row_ids, indexes, blank_lines = _Growing(capacity, np.dtype("uint64")), list[pd.Index](), 0
    for rows in chunks:
        row_ids.add(rows.row_ids)
        indexes.append(rows.index)
        blank_lines += rows.blank_lines
        for name, column in rows.columns.items():
            if isinstance(column, np.ndarray):
                parts.setdefault(name, _Growing(capacity, np.dtype("float64"))).add(column)
            else:
                parts.setdefault(name, []).append(column)
    order = np.argsort(row_ids.cells, kind="stable")
    names, ids = list(parts), row_ids.cells[order]
    columns = {}
    for name in names:
        part = parts.pop(name)
        columns[name] = _as_series([part.cells] if isinstance(part, _Growing) else part, order)
    frame = pd.DataFrame(columns, copy=False).set_axis(_joined(indexes).take(order))
    return Table(frame, source, digests.of_table(names, ids), ids, blank_lines)


class _Growing:
    """A column that grows at its end. A page of memory that is not yet written to costs nothing."""

    def __init__(self, capacity: int, dtype: np.dtype[Any]) -> None:
        self._all: NDArray[Any] = np.empty(capacity, dtype)
        self._n = 0

    def add(self, cells: NDArray[Any]) -> None:
        """Append; from the first text on, all is text."""
        if cells.dtype == object and self._all.dtype != object:
            self._all = _text(self.cells)
        elif self._all.dtype == object:
            cells = _text(cells)
        end = self._n + len(cells)
        if end > len(self._all):
            larger = np.empty(max(end, 2 * self._n), self._all.dtype)
            larger[: self._n] = self.cells
            self._all = larger
        self._all[self._n : end] = cells
        self._n = end

    @property
    def cells(self) -> NDArray[Any]:
        """What was added (n,)."""
        return self._all[: self._n]


def _joined(indexes: list[pd.Index]) -> pd.Index:
    return indexes[0].append(indexes[1:]) if len(indexes) > 1 else indexes[0]


def _as_series(parts: list[Any], order: NDArray[np.int64] | None = None) -> pd.Series:
    """A column, numbers or text in one NumPy array or Arrow text in several, its rows taken in this order."""
    if isinstance(parts[0], np.ndarray):
        [column] = parts
        column = column if order is None else column[order]
        return pd.Series(column, copy=False) if column.dtype != object else pd.Series(column, dtype="str")
    import pyarrow as pa

    text = pa.chunked_array([chunk for part in parts for chunk in getattr(part, "chunks", [part])], pa.string())
    series = pd.Series(text.to_pandas(), dtype="str")
    return series if order is None else series.take(order).reset_index(drop=True)


def _text(cells: NDArray[Any]) -> NDArray[np.object_]:
    """Numbers as text, if another part of their column has words; text as it is."""
    if cells.dtype == object:
        return cells
    found: NDArray[np.object_] = np.array(
        [None if np.isnan(cell) else f"{cell:.15g}" for cell in cells.tolist()], object
    )
    return found


def _cells(column: Any) -> NDArray[Any]:
    """The cells of an Arrow column as in `Rows`."""
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())  # with blanks, pandas would take it for text
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.cast(pa.float64(), safe=False).to_numpy()
    if pa.types.is_string(column.type):
        for text in (column, csv_text.stripped(column)):
            try:
                numbers = text.cast(pa.float64())
            except pa.ArrowException:
                continue
            found: NDArray[np.float64] = numbers.to_numpy()
            if np.isnan(found).sum() == numbers.null_count:  # the word `nan` is no number here
                return found
    return cells(column.to_pandas())


def cells(values: pd.Series) -> NDArray[Any]:
    """The cells of a pandas column as in `Rows`, text without spaces around it."""
    if not pd.api.types.is_numeric_dtype(values):
        text = values.astype("object").where(values.notna(), "").astype(str).str.strip()
        values = text.where(text != "")
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    if (numbers.isna() & values.notna()).any():
        return values.astype("object").where(values.notna(), None).to_numpy()
    return numbers.to_numpy()
