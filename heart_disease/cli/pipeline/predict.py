"""`heart predict`: raw patient rows in, the champion's probability and answer out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, RejectedError, UsageError
from heart_disease.model.words import count
from heart_disease.reporting.terminal import wrapped

TERMINAL_ROWS = 50


def add(parser: argparse.ArgumentParser) -> None:
    """Options: what to score, and where to write the answers."""
    parser.add_argument("source", metavar="FILE", help="CSV or Parquet file, in UCI codes")
    parser.add_argument("-o", "--output", metavar="OUT", help="CSV or Parquet file to write (default: the terminal)")


def run(options: argparse.Namespace) -> int:
    """Score the rows in the file's order, and write them to a file (every column and the answer) or the terminal.

    Rows that break a hard limit get a reason instead of an answer; stderr reports them.

    Raises:
        DataError: the file cannot be read, lacks a column, or has no row that can be scored.
        UnavailableError: there is no champion.
        OSError: the output cannot be written.
    """
    source, output = options.source, options.output
    if output and Path(output).suffix not in (".csv", ".parquet"):
        raise UsageError(f"output '{output}': expected a name that ends in .csv or .parquet")
    from heart_disease import registry
    from heart_disease.data import sources

    patients = sources.load(source).frame.sort_index()
    ref = registry.champion()
    answers = registry.load_model(ref).predict(patients)
    refused = answers[answers["problem"] != ""]
    if len(refused) == len(answers):
        raise RejectedError(f"no row of '{source}' can be scored; row {refused.index[0]}: {refused['problem'].iloc[0]}")
    print(
        f"{ref.name} version {ref.version} (champion): {count(len(answers) - len(refused), 'row')} scored",
        file=sys.stderr,
    )
    if output:
        path = Path(output)
        table = patients.assign(**answers)
        temporary = path.with_name(f".{path.name}.part")
        if path.suffix == ".csv":
            table.to_csv(temporary)
        else:
            table.to_parquet(temporary)
        temporary.replace(path)
    else:
        shown = answers.loc[answers["problem"] == "", ["probability", "disease"]].head(TERMINAL_ROWS)
        print(shown.reset_index().to_string(index=False, formatters={"probability": "{:.3f}".format}))
        if len(answers) - len(refused) > TERMINAL_ROWS:
            print(f"... the first {TERMINAL_ROWS}; -o FILE writes all", file=sys.stderr)
    for row, problem in refused["problem"].head(TERMINAL_ROWS).items():
        print(wrapped(f"row {row} not scored: {problem}"), file=sys.stderr)
    if len(refused) > TERMINAL_ROWS:
        print(f"... and {count(len(refused) - TERMINAL_ROWS, 'more row')} not scored", file=sys.stderr)
    return ExitCode.DONE


COMMAND = Command(
    name="predict",
    help="score patients with the champion",
    description="Score raw rows of patients with the champion.",
    add=add,
    run=run,
)
