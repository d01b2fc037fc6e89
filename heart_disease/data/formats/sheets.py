"""Excel workbooks as tables of text: each cell as it would stand in a CSV file, 63 and not 63.0.

A workbook is read as a whole, and once, although its rows are asked for several times.
"""

from __future__ import annotations

import re
import shlex
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from heart_disease.model.errors import SourceError
from heart_disease.model.words import reason

SUFFIXES = (".xlsx", ".xlsm", ".xls")
MOST_UNPACKED = 1 << 29  # bytes; a sheet of a million patients has 0.4 GB
# The reader makes room for the rectangle around all cells, so that a single one far away would fill the memory.
MOST_CELLS = 50_000_000
REFERENCE = re.compile(rb"""\sr\s*=\s*["']([A-Za-z]{0,3})([0-9]{1,7})["']""")  # where a cell is, or a row alone
BATCH_ROWS = 1 << 16


Blocks = list[tuple[Any, int]]


def header(path: Path, sheet: str = "") -> list[str]:
    """The names in the first row that is not blank; none if all are. sheet: empty for the only one with cells.

    Raises:
        SourceError: it is no workbook, has no such sheet, or several with cells, or a column has no name.
        OSError: it cannot be read.
    """
    return _read(path, sheet, *_stamp(path))[0]


def blocks(path: Path, sheet: str = "") -> Iterator[tuple[Any, int]]:
    """The rows below the header: tables of text, each with the number of blank rows that were left out of it.

    Raises:
        SourceError, OSError: as `header`.
    """
    yield from _read(path, sheet, *_stamp(path))[1]


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=1)
def _read(path: Path, sheet: str, *_: int) -> tuple[list[str], Blocks]:
    """The header and the blocks of rows. The numbers change with the file, so that another one is read again."""
    import pyarrow as pa

    rows = _rows(path, sheet)
    if not rows:
        return [], []
    names, made = _names(path, rows), []
    for start in range(1, len(rows), BATCH_ROWS):
        found = rows[start : start + BATCH_ROWS]
        full = [row for row in found if any(row)]
        # A name that is there twice is refused later.
        cells = [pa.array([row[i] for row in full], pa.string()) for i, _ in enumerate(names)]
        made.append((pa.Table.from_arrays(cells, names=names), len(found) - len(full)))
    return names, made


def _rows(path: Path, sheet: str) -> list[list[str]]:
    """The rows of a sheet from the first that is not blank; all of one length."""
    from python_calamine import CalamineWorkbook, SheetTypeEnum

    with path.open("rb"):  # an OSError now is one of the file, not of what it holds
        pass
    try:
        _check_size(path)
        with CalamineWorkbook.from_path(str(path)) as book:
            names = [one.name for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
            if sheet and sheet not in names:
                raise SourceError(f"'{path}' has no sheet '{sheet}'; expected one of {', '.join(map(repr, names))}.")
            asked = [sheet] if sheet else names
            found = {name: cells for name in asked if (cells := book.get_sheet_by_name(name).to_python())}
    except SourceError:
        raise
    except Exception as error:  # damage shows as errors of many types, of zipfile's, zlib's and the reader's
        raise SourceError(
            f"'{path}' cannot be read as an Excel workbook: {reason(error)}. Save it again, or export it as CSV."
        ) from error
    if len(found) > 1:
        first_sheet = next(iter(found))
        at_the_end = re.sub("[%+&]", lambda sign: quote(sign[0]), first_sheet)  # `addresses` reads it so
        raise SourceError(
            f"'{path}' has {len(found)} sheets with cells, {', '.join(map(repr, found))}; expected one with patients. "
            f"Name it: --table {shlex.quote(first_sheet)}, or if there is no such option, #table={at_the_end} at "
            "the end of the source."
        )
    rows = [[_text(cell) for cell in row] for row in next(iter(found.values()), [])]
    first = next((i for i, row in enumerate(rows) if any(row)), len(rows))
    return rows[first:]


def _names(path: Path, rows: list[list[str]]) -> list[str]:
    """The header's names; columns at its end without a name or a cell are left out."""
    names = [name.strip() for name in rows[0]]
    while names and not names[-1] and not any(row[len(names) - 1] for row in rows):
        names.pop()
    if "" in names:
        raise SourceError(
            f"'{path}' has no name for column {names.index('') + 1}; expected the names of the columns in the first "
            "row that is not blank."
        )
    return names


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    return cell.isoformat() if isinstance(cell, date | datetime | time) else str(cell).strip()


def _check_size(path: Path) -> None:
    """Refuse what would not fit into the memory, before the reader tries."""
    if not zipfile.is_zipfile(path):
        return  # .xls has at most 65,536 rows of 256 columns
    with zipfile.ZipFile(path) as book:
        parts = book.infolist()
        if sum(part.file_size for part in parts) > MOST_UNPACKED:
            raise SourceError(f"'{path}' unpacks to more than {MOST_UNPACKED:,} bytes; expected a sheet of patients.")
        for part in parts:
            if part.filename.startswith("xl/worksheets/") and part.filename.endswith(".xml"):
                rows, columns, tail = 0, 0, b""
                with book.open(part) as file:
                    while piece := file.read(1 << 20):
                        for column, row in REFERENCE.findall(tail + piece):
                            rows, columns = max(rows, int(row)), max(columns, _number(column))
                        tail = piece[-20:]
                if rows * columns > MOST_CELLS:
                    raise SourceError(
                        f"'{path}' has cells up to row {rows:,} and column {columns:,}; expected a sheet of patients. "
                        "Delete what is far from the others."
                    )


def _number(column: bytes) -> int:
    """``A`` -> 1, ``AA`` -> 27."""
    found = 0
    for sign in column.upper():
        found = 26 * found + sign - ord("A") + 1
    return found
