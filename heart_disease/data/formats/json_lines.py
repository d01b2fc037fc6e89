"""JSON lines, one object per line, as tables of text: a number as it is written, a line without a key as a blank.

The file is read twice: once for the names of the columns, which no line needs to have all of, and once for the cells.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from heart_disease.data.formats import text
from heart_disease.data.formats.text import GZIP, ZIP, Form
from heart_disease.model.errors import SourceError

SUFFIXES = (".jsonl", ".ndjson")
MOST_LINE = 1 << 20  # bytes
MOST_COLUMNS = 10_000
BATCH_ROWS = 1 << 16


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key appears twice")
    return found


# A number stays the text that it is; NaN and Infinity, which are no JSON, are blanks.
AS_TEXT: dict[str, Any] = {
    "parse_float": str, "parse_int": str, "parse_constant": lambda _: None, "object_pairs_hook": _once,
}  # fmt: skip


def header(path: Path) -> list[str]:
    """The keys of all objects, in the order in which they appear.

    Raises:
        SourceError: a line is no object, holds a list or an object in a cell, or is longer than `MOST_LINE`.
        OSError: it cannot be read.
    """
    names: dict[str, None] = {}
    for row in _objects(path):
        names |= dict.fromkeys(row)
        if len(names) > MOST_COLUMNS:
            raise SourceError(f"'{path}' has more than {MOST_COLUMNS:,} columns; expected a table of patients.")
    return list(names)


def blocks(path: Path, names: Sequence[str]) -> Iterator[tuple[Any, int]]:
    """The rows as tables of text with these columns, each with the number of blank rows that were left out of it.

    Raises:
        SourceError, OSError: as `header`.
    """
    full: list[dict[str, str | None]] = []
    blank = 0
    for row in _objects(path):
        if any(row.values()):
            full.append(row)
        else:
            blank += 1
        if len(full) == BATCH_ROWS:
            yield _table(full, names), blank
            full, blank = [], 0
    yield _table(full, names), blank


def _table(rows: list[dict[str, str | None]], names: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})


def _objects(path: Path) -> Iterator[dict[str, str | None]]:
    with path.open("rb") as file:
        start = file.read(4)
    packed = "gzip" if start.startswith(GZIP) else "zip" if start == ZIP else ""
    with text.binary(path, Form(packed)) as lines:
        yield from _parsed(path, lines)


def _parsed(path: Path, lines: io.BufferedIOBase) -> Iterator[dict[str, str | None]]:
    number = 0
    while line := lines.readline(MOST_LINE + 1):
        number += 1
        if len(line) > MOST_LINE:
            raise SourceError(
                f"'{path}': line {number} is longer than {MOST_LINE:,} bytes; expected one patient per line."
            )
        if not line.strip():
            continue
        try:
            found = json.loads(line.decode("utf-8-sig"), **AS_TEXT)
        except (ValueError, RecursionError) as error:
            raise SourceError(
                f"'{path}': line {number} is no JSON: {error}. Expected one object per line, such as "
                '{"age": 63, "sex": 1}.'
            ) from error
        if not isinstance(found, dict):
            raise SourceError(
                f"'{path}': line {number} holds {_kind(found)}; expected one object per line, such as "
                '{"age": 63, "sex": 1}.'
            )
        yield {name.strip(): _cell(path, number, name, value) for name, value in found.items()}


def _cell(path: Path, number: int, name: str, value: Any) -> str | None:
    if isinstance(value, list | dict):
        raise SourceError(f"'{path}': line {number} has {_kind(value)} as '{name}'; expected a number or a word.")
    return str(int(value)) if isinstance(value, bool) else value


def _kind(value: Any) -> str:
    return {list: "a list", dict: "an object", type(None): "null", bool: "true or false"}.get(type(value), "a value")
