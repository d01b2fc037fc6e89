"""`heart ui`: the MLflow and Prefect pages."""

from __future__ import annotations

import argparse

from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode


def add(parser: argparse.ArgumentParser) -> None:
    """Options: the ports."""
    parser.add_argument("--mlflow-port", type=int, default=5000, help="port of MLflow's page (default %(default)s)")
    parser.add_argument("--prefect-port", type=int, default=4200, help="port of Prefect's page (default %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Run both pages until Ctrl-C.

    Raises:
        UnavailableError: one of them could not start, or ended by itself.
    """
    from heart_disease.operations.server import ui

    ui.run(options.mlflow_port, options.prefect_port)
    return ExitCode.DONE


COMMAND = Command(
    name="ui",
    help="start the MLflow and Prefect pages",
    description="Run both pages on the embedded stores, until Ctrl-C.",
    add=add,
    run=run,
    no_facts="It runs until it is ended.",
)
