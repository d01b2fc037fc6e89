"""`heart monitor`: whether new patients differ from those that the champion learned from."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_copy, add_selection
from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode
from heart_disease.model.words import count
from heart_disease.reporting.terminal import progress, wrapped

if TYPE_CHECKING:
    from flows.monitor import Found


def add(parser: argparse.ArgumentParser) -> None:
    """Options: which patients, and what to compare them with."""
    parser.add_argument(
        "source", metavar="SOURCE",
        help="file, folder, pattern or address of patients, with or without the diagnosis",
    )  # fmt: skip
    add_selection(parser)
    add_copy(parser)
    parser.add_argument("--force", action="store_true", help="with --copy: whatever the patients and their codes say")
    parser.add_argument(
        "--model", metavar="VERSION", default="champion", help="a version's number or alias (default: champion)"
    )


def run(options: argparse.Namespace) -> int:
    """Compare, and print what differs; the exit code says whether something does.

    Raises:
        HeartError: the file, the version or the store cannot be used.
    """
    from heart_disease.data import files
    from heart_disease.operations.server.server import prefect_server

    files.check(options.source)  # before any server starts
    with progress(), prefect_server() as server:
        from flows.monitor import monitor

        server.wait()
        found = monitor(options.source, options.model, options.copy, options.force)
    if options.json:
        write_json(_facts(found))
    else:
        _show(found)
    return ExitCode.DONE if found.end == "NoDrift" else ExitCode.DRIFTED


def _facts(found: Found) -> dict[str, object]:
    from heart_disease import registry
    from tasks import compare

    names = ("end", "version", "source", "known", "broken", "drift")
    page = registry.file_url(found.run, f"{compare.FOLDER}/{compare.FILE}")
    return {name: getattr(found, name) for name in names} | {"page": page}


def _show(found: Found) -> None:
    from heart_disease import registry
    from heart_disease.data.remote import addresses
    from heart_disease.reporting import hospital
    from tasks import compare

    drift = found.drift
    if found.known:
        print(wrapped(f"{count(found.known, 'patient')} left out: {found.version} learned from them"))
    for failure in found.broken:
        print(wrapped(failure.message()))
    for test in drift.shifted:
        print(wrapped(f"{test.what}: {test.before}; now {test.now} ({test.how}, adjusted p {test.adjusted:.2g})"))
    if drift.judgement:
        print(f"\n{hospital.text({addresses.title(found.source): drift.judgement})}\n")
    print(
        wrapped(
            f"With {count(drift.rows, 'patient')}, a number that moves by {drift.shift:.2g} standard deviations, or a "
            f"share of one half that moves by {drift.share:.0%}, is found four times in five."
        )
    )
    print(wrapped(found.message))
    print(f"  {registry.file_url(found.run, f'{compare.FOLDER}/{compare.FILE}')}")


COMMAND = Command(
    name="monitor",
    help="compare new patients with those that the champion learned from",
    description="Compare a batch of patients with those that the champion learned from: rules, columns, probabilities "
    "and, if the file has the diagnosis, calibration and log loss. At most 5 % of the batches that do not differ "
    "are reported as different.",
    add=add,
    run=run,
)
