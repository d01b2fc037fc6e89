"""`heart prune`: delete old runs that are no longer needed."""

from __future__ import annotations

import argparse

from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode


def add(parser: argparse.ArgumentParser) -> None:
    """Options: how old, and whether to delete."""
    parser.add_argument(
        "--older-than", metavar="AGE", default="90d",
        help="how old runs must be, such as 12h, 90d or 26w (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="delete them")


def run(options: argparse.Namespace) -> int:
    """List what would be deleted; with --yes, delete it.

    Raises:
        UsageError: the age makes no sense.
        UnavailableError: a store does not answer.
    """
    from heart_disease.operations.server.server import prefect_server

    with prefect_server() as server:
        from heart_disease.operations import prune
        from heart_disease.operations.deployments import interval

        age = interval(options.older_than, "--older-than")
        server.wait()
        if options.json:
            found = prune.find(age)
            for_good = prune.delete(found) if options.yes else False
            write_json({**vars(found), "deleted": options.yes, "for_good": for_good})
        else:
            prune.run(age, options.yes)
    return ExitCode.DONE


COMMAND = Command(
    name="prune",
    help="delete old runs that are no longer needed",
    description="Delete old runs from both stores, with their files and versions. A run is kept if it is or was "
    "champion, has an alias, or is needed by the history. Without --yes it only says what would be deleted.",
    add=add,
    run=run,
    facts=True,
)
