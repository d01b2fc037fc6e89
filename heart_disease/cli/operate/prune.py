"""`heart prune`: delete old runs that are no longer needed."""

from __future__ import annotations

import argparse
from datetime import timedelta

from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode
from heart_disease.model.words import count
from heart_disease.reporting.terminal import wrapped

HIDDEN = (
    "Their records are hidden in the database of the MLflow server. The service `cleaner` of docker-compose.yml "
    "removes them after a month. On another server's machine, `mlflow gc` removes them, and everything else that "
    "anyone has deleted in MLflow."
)


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
        from heart_disease.operations.deployments import interval

        age = interval(options.older_than, "--older-than")
        server.wait()
        prune(age, delete=options.yes, as_json=options.json)
    return ExitCode.DONE


def prune(age: timedelta, *, delete: bool, as_json: bool) -> None:
    """List what is older than `age` and not needed, delete it if asked to, and say what has come of it.

    Raises:
        UnavailableError: a store does not answer.
    """
    from heart_disease.operations import prune

    found = prune.find(age)
    if not as_json:
        print(f"older than {count(age.days, 'day')}, and not needed:" if age.days else "not needed:")
        print("\n".join(f"  {line}" for line in found.lines()))
    for_good = prune.delete(found) if delete else False
    if as_json:
        write_json({**vars(found), "deleted": delete, "for_good": for_good})
    elif not delete:
        print("nothing was deleted; --yes deletes them")
    else:
        print("deleted")
        if not for_good and found.unneeded.runs:
            print(wrapped(HIDDEN))


COMMAND = Command(
    name="prune",
    help="delete old runs that are no longer needed",
    description="Delete old runs from both stores, with their files and versions. A run is kept if it is or was "
    "champion, has an alias, or is needed by the history. Without --yes it only says what would be deleted.",
    add=add,
    run=run,
)
