"""`heart reconcile`: close runs that a dead process left RUNNING."""

from __future__ import annotations

import argparse

from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode
from heart_disease.reporting.terminal import progress


def add(parser: argparse.ArgumentParser) -> None:
    """Options: how long to listen."""
    parser.add_argument(
        "--patience", type=float, metavar="SECONDS", default=300.0,
        help="how long to listen for heartbeats, which flow runs send at least every 180 seconds (default 300)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Close such runs, and say which.

    Raises:
        UnavailableError: a store does not answer.
    """
    from heart_disease.operations.server.server import prefect_server

    with progress(), prefect_server() as server:
        from flows.reconcile import reconcile

        server.wait()
        closed = reconcile(options.patience)
    if options.json:
        write_json({"closed": closed})
    return ExitCode.DONE


COMMAND = Command(
    name="reconcile",
    help="close runs left RUNNING by a process that died",
    description="Close the runs of both stores that say RUNNING although their process is gone. A process on another "
    "machine cannot be inspected; its runs are closed if they give no sign of life for some minutes.",
    add=add,
    run=run,
)
