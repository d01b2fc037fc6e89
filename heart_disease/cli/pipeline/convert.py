"""`heart convert`: a published copy of the data -> the same patients in UCI's codes."""

from __future__ import annotations

import argparse
from pathlib import Path

from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, RejectedError, UnavailableError, UsageError
from heart_disease.model.words import count
from heart_disease.reporting.terminal import wrapped


def add(parser: argparse.ArgumentParser) -> None:
    """Options: the copy, and where to write its patients."""
    parser.add_argument("source", metavar="FILE", help="CSV or Parquet file: a published copy of the data")
    parser.add_argument("output", metavar="OUT", help="CSV or Parquet file to write, in UCI's codes")
    parser.add_argument(
        "--drop-foreign", action="store_true", help="leave out rows in other codes than the rest, instead of refusing"
    )


def run(options: argparse.Namespace) -> int:
    """Translate the patients, each once, and say what was found.

    Raises:
        UsageError: the output has no known suffix.
        SourceError: the file cannot be read.
        RejectedError: its patients are not known, or what it says about them cannot be translated.
        UnavailableError: there is no folder for the output.
        OSError: the output cannot be written.
    """
    output = Path(options.output)
    if output.suffix not in (".csv", ".parquet"):
        raise UsageError(f"output '{output}': expected a name that ends in .csv or .parquet")
    if not output.parent.is_dir():
        raise UnavailableError(f"output '{output}': there is no folder '{output.parent}'")
    import pyarrow as pa

    from heart_disease.data import files, sources, writing
    from heart_disease.data.recognition import recognise
    from heart_disease.model import schema

    file = files.look(options.source)
    table = sources.understood(sources.from_file(file), drop_foreign=options.drop_foreign)
    found = table.finding or recognise(table.frame)
    if not found:
        raise RejectedError(
            f"'{file.source}' holds other patients than those of the known copies, so nothing tells what its codes "
            f"mean; nothing was written. {count(len(table), 'row')} were looked up."
        )
    frame = table.frame.sort_index()[[name for name in schema.BY_NAME if name in table.frame]]
    with writing.Writer(output) as writer:
        writer.write(pa.Table.from_pandas(frame, preserve_index=False))
    print("\n".join(wrapped(line, indent="    ") for line in found.lines()))
    print(f"{count(len(frame), 'patient')} written to {output}")
    return ExitCode.DONE


COMMAND = Command(
    name="convert",
    help="turn a published copy of the data into UCI's codes",
    description="Recognise a published copy of the data by the patients in it, and write them in UCI's codes, each "
    "once.",
    add=add,
    run=run,
)
