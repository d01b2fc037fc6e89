"""`heart schedule`: retrain by itself."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from heart_disease.cli.options import add_training, not_empty, training
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, SourceError, UsageError
from heart_disease.reporting.terminal import progress, wrapped

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment


def add(parser: argparse.ArgumentParser) -> None:
    """Options: when to train, and what."""
    times = parser.add_mutually_exclusive_group()
    times.add_argument("--cron", metavar="X", help="times to train at, such as '0 6 * * 1' for Mondays at 6")
    times.add_argument("--every", metavar="X", help="interval between trainings, such as 30m, 6h, 1d or 2w")
    parser.add_argument(
        "--timezone", metavar="X", default="UTC",
        help="time zone of these times, such as Europe/Berlin (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--on-data", metavar="SOURCE", type=not_empty, help="train on SOURCE whenever it has new content"
    )
    parser.add_argument(
        "--monitor", metavar="SOURCE", type=not_empty,
        help="once a day, compare SOURCE with what the champion learned from, as `heart monitor` does; Prefect's page "
        "can change the times",
    )  # fmt: skip
    parser.add_argument(
        "--if-running", choices=("wait", "skip"), default="wait",
        help="what a second run does while one is running (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, default=4200, help="port of the Prefect server that is started (default %(default)s)"
    )
    add_training(parser)


def run(options: argparse.Namespace) -> int:
    """Serve the training until Ctrl-C.

    Raises:
        UsageError: a parameter makes no sense, or a work pool runs the deployment already.
        UnavailableError: the port is taken, or the server does not answer.
    """
    training(options)  # refuses wrong usage before the heavy imports
    with progress():
        from flows.monitor import monitor
        from flows.prune import prune
        from flows.reconcile import reconcile
        from flows.train import train
        from heart_disease.data import files
        from heart_disease.operations import deployments, schedule

        when = deployments.When(options.cron, options.every, options.timezone, options.on_data, options.if_running)

        def deploy(before: Mapping[str, Any]) -> list[RunnerDeployment]:
            try:
                found = training(options, before)
            except UsageError as error:  # the options alone make sense
                print(wrapped(f"The deployment's earlier parameters no longer fit, and are reset: {error}"))
                found = training(options)
            given = deployments.parameters(**found)
            made = [deployments.retrain(train, when, given), deployments.reconcile(reconcile), deployments.prune(prune)]
            if options.monitor is not None:
                made.append(deployments.monitor(monitor, options.monitor, options.copy))
            return made

        if options.source is not None:
            try:
                files.check(options.source)
            except SourceError as error:  # it may come
                print(wrapped(f"{error} Until then, every run ends as rejected."))
        schedule.run(deploy, when, options.port)
    return ExitCode.DONE


COMMAND = Command(
    name="schedule",
    help="retrain by itself: at set times, or when its data changes",
    description="Serve the training as a Prefect deployment from this machine, until Ctrl-C. It runs at the set "
    "times, when a source has new content, and when somebody triggers it. Starts a Prefect server unless "
    "PREFECT_API_URL names one. If runs were missed, one makes up for all. Started again, it keeps what was "
    "changed in Prefect's page: pauses, added schedules, and the parameters that no option here sets.",
    add=add,
    run=run,
    no_facts="It runs until it is ended; Prefect's API says what its runs did.",
)
