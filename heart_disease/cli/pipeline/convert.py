"""`heart convert`: a published copy of the data in, UCI codes out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_copy, add_selection
from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, RejectedError, UnavailableError, UsageError
from heart_disease.model.words import count
from heart_disease.reporting.terminal import wrapped

if TYPE_CHECKING:
    import pandas as pd


def add(parser: argparse.ArgumentParser) -> None:
    """Options: what to convert, and where to write it."""
    parser.add_argument("source", metavar="SOURCE", help="file or address of a published copy of the heart data")
    add_selection(parser)
    parser.add_argument("output", metavar="OUT", help="CSV or Parquet file to write")
    parser.add_argument("--drop-foreign", action="store_true", help="leave out the rows that do not belong to the rest")
    add_copy(parser)
    parser.add_argument("--force", action="store_true", help="with --copy: whatever the patients and their codes say")


def run(options: argparse.Namespace) -> int:
    """Write the patients in UCI codes, in the file's order, and print what was changed.

    Raises:
        UsageError: the output has no known suffix.
        DataError: the file cannot be read, is no copy that is known, or cannot be turned into UCI codes.
        UnavailableError: the output cannot be written.
    """
    output = Path(options.output)
    if output.suffix not in (".csv", ".parquet"):
        raise UsageError(f"output '{output}': expected a name that ends in .csv or .parquet")
    if not output.parent.is_dir():
        raise UnavailableError(f"output '{output}': there is no folder '{output.parent}'")
    import pyarrow as pa

    from heart_disease.data import files, sources
    from heart_disease.data.writing import Writer

    file = files.look(options.source)
    found = sources.recognised(file, drop_foreign=options.drop_foreign, copy=options.copy, force=options.force)
    if found is None:
        raise RejectedError(
            f"'{file.source}' is no published copy in other codes than UCI's, as far as its patients tell; nothing was "
            "written. If it is in UCI codes, use it as it is; `heart check` looks at it. If you know that it is in "
            "other ones: --copy NAME."
        )
    finding, blank_lines = found
    frame = sources.translated(finding, file.source, blank_lines).frame.sort_index()
    with Writer(output) as writer:
        writer.write(pa.Table.from_pandas(_plain(frame), preserve_index=False).replace_schema_metadata(None))
    if options.json:
        write_json({"output": output, "patients": len(frame), "copy": finding.title, "notes": finding.lines()})
        return ExitCode.DONE
    for line in finding.lines():
        print(wrapped(line))
    print(f"{count(len(frame), 'patient')} written to {output}")
    return ExitCode.DONE


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers are written as such: a code is 3, not 3.0."""
    whole = {
        str(name): cells.astype("Int64")
        for name, cells in frame.items()
        if cells.dtype == "float64" and (cells.isna() | (cells % 1 == 0)).all()
    }
    return frame.assign(**whole)


COMMAND = Command(
    name="convert",
    help="write a published copy of the heart data in UCI codes",
    description="Write a published copy of the heart data in UCI codes. The copy is recognised by the patients in it, "
    "or named with --copy.",
    add=add,
    run=run,
)
