"""Parquet files, batch by batch; a column keeps its type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from heart_disease.model.errors import SourceError
from heart_disease.model.words import reason

SUFFIXES = (".parquet",)
BATCH_ROWS = 1 << 18
BUFFER_BYTES = 1 << 20  # bytes of a column that are read at once


def header(path: Path) -> tuple[list[str], list[str]]:
    """The names of the columns; and those in which pandas stored a frame's index.

    Raises:
        SourceError: it is damaged, or no Parquet file.
        OSError: it cannot be read.
    """
    with _damage(path), _opened(path) as file:
        names = list(file.schema_arrow.names)
        described = (file.schema_arrow.pandas_metadata or {}).get("index_columns", [])
        return names, [name for name in names if name in described]


def blocks(path: Path, index: Sequence[str]) -> Iterator[tuple[Any, int]]:
    """The rows as tables, each with the number of blank rows that were left out of it; `index` says nothing of those.

    Raises:
        SourceError, OSError: as `header`.
    """
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
