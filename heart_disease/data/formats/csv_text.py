"""A CSV file -> Arrow tables of text, block by block, so that a file of any length needs the memory of a block.

Python's reader decides what a cell is. If a block has no quotes and no lone carriage returns, a cell is what stands
between commas, and Arrow's reader, 20 times as fast, finds the same; what it refuses, Python's reader reads again.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from heart_disease.data.formats import text
from heart_disease.data.formats.text import Form
from heart_disease.model import schema
from heart_disease.model.errors import SourceError

BLOCK_BYTES, BLOCK_ROWS = 1 << 23, 65_536
MOST_LINE = 1 << 20  # bytes of a line that goes on in the next block; 10,000 columns have a tenth of it
WHITESPACE = "".join(sign for sign in map(chr, range(0x3001)) if sign.isspace())  # there is none above


@dataclass(frozen=True)
class Style:
    """How a CSV file is written.

    spaced: spaces before an opening quote belong to the style; everywhere else they belong to the cell.
    plain: it has neither quotes nor lone carriage returns. form: how its text is packed and laid out.
    """

    spaced: bool
    plain: bool
    form: Form = text.PLAIN


def style_of(path: Path) -> Style:
    """Read the file once, and see how it is written.

    Raises:
        SourceError: it is not text, or is a binary or a damaged file.
        OSError: it cannot be read.
    """
    form = text.form_of(path)
    try:
        return _style(path, form)
    except _NotUtf8Error as error:
        if not error.may_be_windows or form.encoding != "utf-8":
            raise
        return _style(path, replace(form, encoding=text.WINDOWS), error)


class _NotUtf8Error(SourceError):
    """A block is not UTF-8 text. may_be_windows: it may be Windows-1252."""

    may_be_windows = False


def _style(path: Path, form: Form, otherwise: SourceError | None = None) -> Style:
    """Read the file in this form; `otherwise`: the error to raise if a part of it cannot be read so."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    spaced, plain, done = False, True, 0
    opening = re.compile(rb'(?:^|%s) +"(?!")' % re.escape(form.separator.encode()), re.MULTILINE)
    with text.binary(path, form) as file:
        for block in _blocks_of_lines(file, path, otherwise):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                raise _not_text(path, error, done, text.is_windows(block)) from error
            if b"\0" in block:
                raise SourceError(f"'{path}' is a binary file; expected a CSV file, or a Parquet file named *.parquet.")
            if otherwise and not text.is_windows(block.decode().encode(text.WINDOWS)):
                raise otherwise
            plain = plain and b'"' not in block and block.count(b"\r") == block.count(b"\r\n")
            spaced = spaced or opening.search(block) is not None
            done += len(block)
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise _not_text(path, error, done - len(error.object), text.is_windows(error.object)) from error
    return Style(spaced, plain, form)


def _blocks_of_lines(file: io.BufferedIOBase, path: Path, otherwise: SourceError | None) -> Iterator[bytes]:
    """The file in blocks that end where a line does."""
    left = b""
    while piece := _read(file, path, otherwise):
        block = left + piece
        # A carriage return at the very end may be half of a line end.
        end = 1 + max(block.rfind(b"\n"), block.rfind(b"\r", 0, len(block) - 1))
        block, left = block[:end], block[end:]
        if len(left) > MOST_LINE:
            raise SourceError(
                f"'{path}' has a line of more than {MOST_LINE:,} bytes; expected one line per patient. Export it again "
                "as CSV, or name a Parquet file *.parquet."
            )
        if block:
            yield block
    if left:
        yield left


def _read(file: io.BufferedIOBase, path: Path, otherwise: SourceError | None) -> bytes:
    try:
        return file.read(BLOCK_BYTES)
    except UnicodeDecodeError as error:
        raise otherwise or SourceError(
            f"'{path}' is not {error.encoding.upper()} text: {error.reason} at offset {error.start}. "
            "Expected a CSV file; export it again as UTF-8."
        ) from error


def header(path: Path, style: Style) -> list[str]:
    """The names in the first line that is not blank; none if all lines are.

    Raises:
        SourceError: this is not a CSV table.
    """
    with text.opened(path, style.form) as file:
        return _Rows(path, style, file).header()


def blocks(path: Path, style: Style) -> Iterator[tuple[Any, int]]:
    """The rows below the header: tables of text, each with the number of blank rows that were left out of it.

    Raises:
        SourceError: a row has more or fewer cells than the header, or this is not a CSV table.
    """
    with text.opened(path, style.form) as file:
        rows = _Rows(path, style, file)
        names = rows.header()
        above = rows.above
        for cells, blank in _quick(rows, names) if style.plain else rows.blocks(names):
            yield cells, above + blank
            above = 0


def _quick(rows: _Rows, names: Sequence[str]) -> Iterator[tuple[Any, int]]:
    """Do as `rows.blocks`, for a plain file, with Arrow's reader if it agrees."""
    import pyarrow as pa

    before = rows.line
    while lines := rows.file.readlines(BLOCK_BYTES):
        part = "".join(lines)
        try:
            yield _without_blanks(_by_arrow(part.encode(), names, rows.style.form.separator))
        except pa.ArrowException:  # some row is too short or too long: Python's reader says which, or skips a blank one
            yield from _Rows(rows.path, rows.style, io.StringIO(part, newline=""), before).blocks(names)
        before += len(lines)


def _by_arrow(block: bytes, names: Sequence[str], separator: str) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow

    return arrow.read_csv(
        pa.BufferReader(codecs.BOM_UTF8 + block),  # Arrow leaves out one such mark, which may be a block's first cell
        arrow.ReadOptions(block_size=len(block) + 4, column_names=list(names)),
        arrow.ParseOptions(delimiter=separator, quote_char=False, ignore_empty_lines=True),
        arrow.ConvertOptions(column_types={name: pa.string() for name in names}, check_utf8=False),
    )


def _without_blanks(cells: Any) -> tuple[Any, int]:
    import pyarrow as pa

    blank = np.ones(len(cells), bool)
    for column in cells.columns:
        if not blank.any():
            return cells, 0
        blank &= stripped(column).is_null().to_numpy()
    return cells.filter(pa.array(~blank)), int(blank.sum()) if cells.num_columns > 1 else 0


def stripped(column: Any) -> Any:
    """Arrow text without spaces around it, as Python strips it; null if nothing is left."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim(column, WHITESPACE)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)


class _Rows:
    """The rows of an open file as Python's reader finds them.

    before: the lines of the CSV file above this part. above: the blank rows above the header, once that is read.
    """

    def __init__(self, path: Path, style: Style, file: io.TextIOBase, before: int = 0) -> None:
        self.path, self.style, self.file, self._before, self.above = path, style, file, before, 0
        # `readline`, not iteration: a file that is iterated over gives no lines to anybody else.
        self._reader = csv.reader(
            iter(file.readline, ""), delimiter=style.form.separator, skipinitialspace=style.spaced, strict=True
        )

    @property
    def line(self) -> int:
        """The number of the line that was read last."""
        return self._before + self._reader.line_num

    def header(self) -> list[str]:
        """See `header`."""
        if self.style.form.headless:
            return list(schema.BY_NAME)
        for row in self._read():
            if any(cell.strip() for cell in row):
                return [name.strip() for name in row]
            self.above += len(row) > 1
        return []

    def blocks(self, names: Sequence[str]) -> Iterator[tuple[Any, int]]:
        """See `blocks`."""
        import pyarrow as pa

        more = True
        while more:
            full: list[list[str]] = []
            blank, more = 0, False
            for row in self._read():
                if not any(cell.strip() for cell in row):
                    blank += len(row) > 1  # a sheet's ",,,,"; a line without even a comma is nothing to tell about
                elif len(row) != len(names):  # pandas would fill a cut-off row with blanks, which may be allowed there
                    above = " If the header is further down, delete what is above it." * (len(row) > len(names))
                    raise SourceError(
                        f"'{self.path}' has {len(row)} cells in line {self.line}; expected {len(names)}, as in the "
                        f"header. Correct that line, or put text with a comma in quotes.{above}"
                    )
                else:
                    full.append(row)
                if more := len(full) == BLOCK_ROWS:
                    break
            columns = zip(*full, strict=True) if full else ([] for _ in names)
            cells = {name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)}
            yield pa.table(cells), blank

    def _read(self) -> Iterator[list[str]]:
        try:
            yield from self._reader
        except csv.Error as error:
            raise SourceError(f"'{self.path}' is not a CSV table: line {self.line}: {error}. Correct it.") from error


def _not_text(path: Path, error: UnicodeDecodeError, before: int, may_be_windows: bool) -> _NotUtf8Error:
    found = _NotUtf8Error(
        f"'{path}' is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset {before + error.start}. "
        "Expected a CSV file; export it again as UTF-8, or name a Parquet file *.parquet."
    )
    found.may_be_windows = may_be_windows
    return found
