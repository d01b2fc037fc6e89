"""`heart check`: load and validate a file, without training."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_copy, add_selection
from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode
from heart_disease.model.words import count
from heart_disease.reporting.terminal import short, wrapped

if TYPE_CHECKING:
    from expectations.gate import Validation


def add(parser: argparse.ArgumentParser) -> None:
    """Options: the file, and the page about it."""
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="file, folder, pattern or address of patients (default: the bundled patients)",
    )
    add_selection(parser)
    add_copy(parser)
    parser.add_argument("--force", action="store_true", help="with --copy: whatever the patients and their codes say")
    parser.add_argument("--dask", metavar="ADDRESS", help="read a folder's parts on a Dask cluster that shares it")
    parser.add_argument("--page", metavar="FILE", help="write the validation page (HTML) to this file")


def run(options: argparse.Namespace) -> int:
    """Print what validation found.

    Raises:
        DataError: the file cannot be read, or is a published copy of this data that cannot be used.
        UnavailableError: the page cannot be written, or the cluster cannot be used.
    """
    from heart_disease.cli.pipeline.places import place
    from heart_disease.data import sources, writing

    with place(options.dask) as where:
        file = where.look(sources.BUNDLED if options.source is None else options.source)
        from expectations import gate
        from heart_disease.reporting import validation_page

        notes = [f"The file: {'; '.join(file.notes)}."] if file.notes else []
        found = sources.recognised(file, copy=options.copy, force=options.force)
        if found is None:
            validation = where.validate(file)
        else:
            finding, blank_lines = found
            validation = gate.validate(sources.translated(finding, file.source, blank_lines))
            notes += finding.lines()
    if options.page:
        writing.write_text(Path(options.page), validation_page.render(validation))
    if options.json:
        write_json(_facts(validation, notes))
    else:
        _show(validation, notes)
    return ExitCode.DONE if validation.passed else ExitCode.REJECTED


def _facts(validation: Validation, notes: Sequence[str]) -> dict[str, object]:
    """What Great Expectations answered is left out, being long; the page has it."""
    names = ("source", "digest", "rows", "blank_lines", "passed", "checked")
    found = {name: getattr(validation, name) for name in names}
    failures = [{"message": one.message(), **vars(one)} for one in validation.failures]
    return {**found, "failures": failures, "notes": notes}


def _show(validation: Validation, notes: Sequence[str]) -> None:
    for note in notes:
        print(wrapped(note))
    print(wrapped(f"{count(validation.rows, 'row')} of {short(validation.source)}, digest {validation.digest}"))
    if validation.blank_lines:
        print(f"{count(validation.blank_lines, 'blank row')} left out")
    for message in validation.messages():
        print(wrapped(message))
    summary = (
        f"{count(validation.checked, 'check')}, {count(len(validation.errors), 'error')}, "
        f"{count(len(validation.warnings), 'warning')}"
    )
    print(f"{'passed' if validation.passed else 'REJECTED'}: {summary}")


COMMAND = Command(
    name="check",
    help="load and validate a file, without training",
    description="Load and validate a file of patients, of any length: memory holds a part of it at a time.",
    add=add,
    run=run,
)
