"""`heart snapshots`: what was fetched from addresses and is kept."""

from __future__ import annotations

import argparse

from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode
from heart_disease.model.words import count
from heart_disease.reporting.terminal import wrapped


def add(parser: argparse.ArgumentParser) -> None:
    """Options: whether to delete them."""
    parser.add_argument("--empty", action="store_true", help="delete them all")


def run(options: argparse.Namespace) -> int:
    """List the snapshots, or delete them.

    Raises:
        UnavailableError: they cannot be deleted.
    """
    from heart_disease.data.remote import snapshots

    if options.empty:
        deleted = snapshots.empty()
        write_json({"deleted": deleted}) if options.json else print(f"{count(deleted, 'snapshot')} deleted")
        return ExitCode.DONE
    found = snapshots.every()
    if options.json:
        write_json(found)
        return ExitCode.DONE
    for one in found:
        use = ", trained from" if one.learned else ""
        print(wrapped(f"{one.digest[:8]}  {one.taken}  {one.size:,} bytes{use}  {one.source}", indent=" " * 10))
    most = f"{snapshots.MOST_KEPT >> 30} GiB"
    print(wrapped(f"{count(len(found), 'snapshot')} in {snapshots.cache()}, which holds at most {most}"))
    return ExitCode.DONE


COMMAND = Command(
    name="snapshots",
    help="list or delete what was fetched from addresses",
    description="List the snapshots: the patients that were read from the web, an object store or a database, as they "
    "were then. Trainings are reproduced from them. The least recently used make room for new ones; those that a "
    "training used go last.",
    add=add,
    run=run,
)
