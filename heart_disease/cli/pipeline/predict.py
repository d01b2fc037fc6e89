"""`heart predict`: raw patient rows in, the champion's probability and answer out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_selection
from heart_disease.cli.parser import Command
from heart_disease.cli.pipeline import patient
from heart_disease.model import schema
from heart_disease.model.errors import ExitCode, RejectedError, UnavailableError, UsageError
from heart_disease.reporting.terminal import wrapped

if TYPE_CHECKING:
    from heart_disease.cli.pipeline.places import Place
    from heart_disease.data.files import File

ANYWAY = "To score them all the same: --anyway"


def add(parser: argparse.ArgumentParser) -> None:
    """Options: what to score, and where to write the answers."""
    parser.add_argument(
        "source", nargs="?", metavar="SOURCE", help="file, folder, pattern or address of patients in UCI codes"
    )
    add_selection(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="CSV or Parquet file to write (default: the terminal)")
    parser.add_argument(
        "--prefix", metavar="TEXT", default="",
        help=f"put this before the names of the answers' columns ({', '.join(schema.ANSWERS)}), if the file has such "
        "columns",
    )  # fmt: skip
    parser.add_argument(
        "--anyway", action="store_true",
        help="score the rows that break no rule, even if the file as a whole seems to be in other codes",
    )  # fmt: skip
    parser.add_argument(
        "--abstain", action="store_true",
        help="give no probability to a patient who is unlike those that the champion learned from, but the reason",
    )  # fmt: skip
    parser.add_argument(
        "--dask", metavar="ADDRESS",
        help="score a folder's parts on a Dask cluster that shares it; OUT is then a new folder, with the same parts",
    )  # fmt: skip
    patient.add(parser)


def run(options: argparse.Namespace) -> int:
    """Score the rows in the file's order, and write them to a file, every cell as it came, or show them.

    Rows that break a limit get a reason instead of an answer; stderr reports them. A patient who is unlike those that
    the champion learned from is flagged, with the reason, or gets no answer with --abstain.

    Raises:
        UsageError: the output has no known suffix or is there already, or its columns would have the names of the
            file's own.
        DataError: the file cannot be read, lacks a column, is wrong as a whole, or has no row that can be scored.
        UnavailableError: there is no champion, or the output cannot be written, or the cluster cannot be used.
    """
    source, output = options.source, options.output
    values = patient.given(options)
    if (source is None) != bool(values) or (values and (output or options.prefix or options.anyway or options.dask)):
        raise UsageError(
            "expected a file of patients (heart predict FILE), or the values of one patient and no option for a file "
            "(heart predict --age 63 --sex 1 ...)"
        )
    if values:
        return patient.score(values, abstain=options.abstain, as_json=options.json)
    if options.json:
        raise UsageError("--json prints the answer about one patient; the answers of a file: -o OUT.csv or OUT.parquet")
    if output and options.dask and Path(output).exists():
        raise UsageError(f"output '{output}' is there already; expected the name of a new folder with --dask")
    if output and not options.dask and Path(output).suffix not in (".csv", ".parquet"):
        raise UsageError(f"output '{output}': expected a name that ends in .csv or .parquet")
    if output and not Path(output).parent.is_dir():
        raise UnavailableError(f"output '{output}': there is no folder '{Path(output).parent}'")
    from heart_disease.cli.pipeline.places import place

    with place(options.dask) as where:
        _score(where, source, Path(output) if output else None, options)
    return ExitCode.DONE


def _score(where: Place, source: str, output: Path | None, options: argparse.Namespace) -> None:
    from heart_disease.cli.pipeline import remembered, scored

    prefix, anyway = options.prefix, options.anyway

    file = where.look(source)
    taken = [prefix + name for name in schema.ANSWERS if prefix + name in file.columns]
    if taken:
        raise UsageError(
            f"'{file.source}' has the column{'s' * (len(taken) > 1)} {', '.join(map(repr, taken))}; expected names "
            f"that the answers do not have. Name the answers differently with --prefix, or rename the file's columns."
        )
    title, model = remembered.champion()
    model = model.abstaining() if options.abstain else model
    screen = where.look_through(file)
    if screen.may_be_doubted:
        _ask_validation(where, file, model.columns, anyway)
    if not anyway and (copy := _in_other_codes(file)):
        raise RejectedError(f"'{file.source}' was rejected; nothing was scored.\n{copy}\n{ANYWAY}")
    found = where.score(file, model, output, prefix, screen.words)
    own = next((name for name in file.columns if name not in schema.BY_NAME), None)
    scored.tell(found, f"{title} (champion)", own, prefix, shown=not output)


def _in_other_codes(file: File) -> str:
    """Which published copy of this data the file is, and what to do; empty if its codes may be UCI's."""
    from heart_disease.data import sources

    found = sources.recognised(file, whole=False)
    if found is None:
        return ""
    finding, _ = found
    then = f"Not usable: {finding.refusal}." if finding.refusal else ""
    then += " Score what `heart convert` makes of it." if not finding.refusal or "(--copy" in finding.refusal else ""
    return "\n".join([*finding.lines(), then])


def _ask_validation(where: Place, file: File, taken: Collection[str], anyway: bool) -> None:
    """Refuse a file whose rows are doubtful even if they break no rule; `anyway`: only say why.

    taken: the columns that the model takes.
    """
    validation = where.validate(file)
    doubts = validation.doubts_about(taken)
    if doubts and not anyway:
        why = validation.refusal("nothing was scored", doubts)
        copy = _in_other_codes(file)
        raise RejectedError(
            "\n".join([why, *([copy] if copy else []), f"The other rows may be wrong as well. {ANYWAY}"])
        )
    for failure in doubts:
        print(wrapped(failure.message()), file=sys.stderr)


COMMAND = Command(
    name="predict",
    help="score patients with the champion",
    description="Score raw rows of patients with the champion: a file of any length, or one patient.",
    add=add,
    run=run,
    facts_of="only for one patient: -o writes the answers of a file",
)
