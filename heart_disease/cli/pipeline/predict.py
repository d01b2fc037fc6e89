"""`heart predict`: raw patient rows in, the champion's probability and answer out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, RejectedError, UnavailableError, UsageError
from heart_disease.model.words import count
from heart_disease.reporting.terminal import wrapped

if TYPE_CHECKING:
    import pandas as pd

    from heart_disease.data.files import File
    from heart_disease.data.sources import Table

TERMINAL_ROWS = 50
TERMINAL_ID = 30  # characters
ANSWERS = ("row", "probability", "disease", "problem")


def add(parser: argparse.ArgumentParser) -> None:
    """Options: what to score, and where to write the answers."""
    parser.add_argument("source", metavar="FILE", help="CSV or Parquet file, in UCI codes")
    parser.add_argument("-o", "--output", metavar="OUT", help="CSV or Parquet file to write (default: the terminal)")
    parser.add_argument(
        "--prefix", metavar="TEXT", default="",
        help=f"put this before the names of the answers' columns ({', '.join(ANSWERS)}), if the file has such columns",
    )  # fmt: skip
    parser.add_argument(
        "--anyway", action="store_true",
        help="score the rows that break no rule, even if the file as a whole seems to be in other codes",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Score the rows in the file's order, and write them to a file, every cell as it came, or show them.

    Rows that break a limit get a reason instead of an answer; stderr reports them.

    Raises:
        UsageError: the output has no known suffix, or its columns would have the names of the file's own.
        DataError: the file cannot be read, lacks a column, is wrong as a whole, or has no row that can be scored.
        UnavailableError: there is no champion, or no folder for the output.
        OSError: the output cannot be written.
    """
    source, output = options.source, options.output
    if output and Path(output).suffix not in (".csv", ".parquet"):
        raise UsageError(f"output '{output}': expected a name that ends in .csv or .parquet")
    if output and not Path(output).parent.is_dir():
        raise UnavailableError(f"output '{output}': there is no folder '{Path(output).parent}'")
    import pyarrow as pa

    from heart_disease import registry
    from heart_disease.data import files, sources
    from heart_disease.data.writing import Writer

    file = files.look(source)
    _refuse_collisions(file, options.prefix)
    table = sources.from_file(file)
    cells = pa.concat_tables([batch.cells for batch in file.batches()])
    patients = table.frame.sort_index()
    ref = registry.champion()
    _check_as_a_whole(table, options.anyway)
    answers = registry.load_model(ref).predict(patients)
    refused = answers[answers["problem"] != ""]
    if len(refused) == len(answers):
        raise RejectedError(f"no row of '{source}' can be scored; row {refused.index[0]}: {refused['problem'].iloc[0]}")
    if table.blank_lines:
        print(f"{count(table.blank_lines, 'blank row')} left out", file=sys.stderr)
    print(
        f"{ref.name} version {ref.version} (champion): {count(len(answers) - len(refused), 'row')} scored",
        file=sys.stderr,
    )
    if output:
        with Writer(Path(output)) as writer:
            columns = _columns(file, cells, patients, answers, options.prefix, Path(output).suffix)
            writer.write(pa.table(columns))
    else:
        print(_shown(cells, answers, options.prefix))
        if len(answers) - len(refused) > TERMINAL_ROWS:
            print(f"... the first {TERMINAL_ROWS}; -o FILE writes all", file=sys.stderr)
    for row, problem in refused["problem"].head(TERMINAL_ROWS).items():
        print(wrapped(f"row {row} not scored: {problem}"), file=sys.stderr)
    if len(refused) > TERMINAL_ROWS:
        print(f"... and {count(len(refused) - TERMINAL_ROWS, 'more row')} not scored", file=sys.stderr)
    return ExitCode.DONE


def _refuse_collisions(file: File, prefix: str) -> None:
    taken = [prefix + name for name in ANSWERS if prefix + name in file.columns]
    if taken:
        raise UsageError(
            f"'{file.source}' has the column{'s' * (len(taken) > 1)} {', '.join(map(repr, taken))}; expected names "
            f"that the answers do not have. Name the answers differently with --prefix, or rename the file's columns."
        )


def _check_as_a_whole(table: Table, anyway: bool) -> None:
    """Refuse a table whose rows are doubtful even if they break no rule; `anyway`: only say why."""
    from expectations import gate

    validation = gate.validate(table)
    if validation.doubts and not anyway:
        why = validation.refusal("nothing was scored", validation.doubts)
        raise RejectedError(f"{why}\nThe other rows may be wrong as well. To score them all the same: --anyway")
    for failure in validation.doubts:
        print(wrapped(failure.message()), file=sys.stderr)


def _columns(
    file: File, cells: Any, patients: pd.DataFrame, answers: pd.DataFrame, prefix: str, suffix: str
) -> dict[str, Any]:
    """The columns to write: row number, the file's own cells as they came, answers."""
    import pyarrow as pa

    from heart_disease.model import schema

    held = {name: cells[name] for name in file.columns}
    if suffix == ".parquet" and not file.is_parquet:  # a CSV file's columns have no types
        held |= {name: pa.array(patients[name], from_pandas=True) for name in held if name in schema.BY_NAME}
    given = {prefix + name: pa.array(answers[name], from_pandas=True) for name in ANSWERS[1:]}
    return {f"{prefix}row": pa.array(answers.index), **held, **given}


def _shown(cells: Any, answers: pd.DataFrame, prefix: str) -> str:
    """The first answers as a table for the terminal, with the first column that is the file's own."""
    from heart_disease.data import files
    from heart_disease.model import schema

    shown = answers.loc[answers["problem"] == "", ["probability", "disease"]].head(TERMINAL_ROWS)
    shown["probability"] = shown["probability"].map("{:.3f}".format)
    shown = shown.reset_index().rename(columns=lambda name: prefix + name)
    own = next((name for name in cells.column_names if name not in schema.BY_NAME), None)
    if own is not None:
        rows = shown[f"{prefix}row"].to_numpy() - 1
        shown.insert(1, _short(own), [_short(text or "") for text in files.as_text(cells[own].take(rows))])
    return shown.to_string(index=False)


def _short(text: str) -> str:
    """A cell in at most `TERMINAL_ID` characters, none of which moves the cursor."""
    plain = text if text.isprintable() else repr(text)[1:-1]
    return plain if len(plain) <= TERMINAL_ID else f"{plain[: TERMINAL_ID - 3]}..."


COMMAND = Command(
    name="predict",
    help="score patients with the champion",
    description="Score raw rows of patients with the champion.",
    add=add,
    run=run,
)
