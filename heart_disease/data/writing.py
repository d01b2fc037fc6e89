"""Writing a CSV or Parquet file batch by batch: it is complete, or is as it was before."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from heart_disease.data import files


class Writer:
    """Writes Arrow tables with the same columns below each other, to a .parquet file or else as CSV.

    A context manager. The rows go to a hidden file beside `path`, which takes its name at the end; an error or Ctrl-C
    deletes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if self._file is not None:
                self._file.close()
            if kind is None:
                self._temporary.replace(self.path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def write(self, cells: Any) -> None:
        """Append the rows of a `pyarrow.Table`.

        Raises:
            OSError: the file cannot be written.
            pyarrow.ArrowException: a column cannot be given the type that it had in the first table.
        """
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
