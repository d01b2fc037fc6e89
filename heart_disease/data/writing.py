"""Writing a file at once or batch by batch: it is complete, or is as it was before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from heart_disease.data import files
from heart_disease.model.errors import UnavailableError
from heart_disease.model.words import reason


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text, whole or not at all.

    Raises:
        UnavailableError: it cannot be written.
    """
    temporary = _beside(path)
    with _written(path):
        if path.exists() and not path.is_file():  # a terminal or a pipe
            path.write_text(text, encoding="utf-8")
            return
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


class Writer:
    """Writes Arrow tables with the same columns below each other, to a .parquet file or else as CSV.

    A context manager. The rows go to a hidden file beside `path`, which takes its name at the end; an error or Ctrl-C
    deletes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = _beside(path)
        self._file: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                with _written(self.path):
                    if self._file is not None:
                        self._file.close()
                    self._temporary.replace(self.path)
        finally:
            if self._file is not None:
                with suppress(OSError):  # a full disk has no room for the end of a file either
                    self._file.close()
            self._temporary.unlink(missing_ok=True)

    def write(self, cells: Any) -> None:
        """Append the rows of a `pyarrow.Table`.

        Raises:
            UnavailableError: the file cannot be written.
            pyarrow.ArrowException: a column cannot be given the type that it had in the first table.
        """
        with _written(self.path):
            self._write(cells)

    def _write(self, cells: Any) -> None:
        if self.path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            if self._file is None:
                self._file = pq.ParquetWriter(self._temporary, cells.schema)
            self._file.write_table(cells.cast(self._file.schema))
            return
        import pyarrow as pa

        if self._file is None:
            self._file = self._temporary.open("w", encoding="utf-8", newline="")
            header = pa.table({str(i): [name] for i, name in enumerate(cells.column_names)})
            self._file.write(_as_csv(header))
        self._file.write(_as_csv(cells))


def _beside(path: Path) -> Path:
    """A hidden name in the same folder, which no other process has, on whichever machine."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.part")


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else reason(error)
        raise UnavailableError(
            f"'{path}' cannot be written: {why}. Nothing was changed; expected a folder that you may write to, with "
            "room for it."
        ) from error


def _as_csv(cells: Any) -> str:
    import pyarrow.compute as pc

    columns = [_quoted(pc.fill_null(files.in_text(column), "")) for column in cells.columns]
    lines = pc.binary_join_element_wise(*columns, ",").to_pylist()
    return "\n".join([*lines, ""])


def _quoted(text: Any) -> Any:
    """Arrow text with quotes around what a reader would take for two cells or two lines."""
    import pyarrow.compute as pc

    special = pc.match_substring_regex(text, '[",\r\n]')
    if not pc.any(special).as_py():
        return text
    inside = pc.replace_substring(text, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', inside, '"', ""), text)
