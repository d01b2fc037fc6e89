"""`heart train`: validate, train, evaluate and register, here or on the Prefect server."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_training, training
from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, UsageError, hide
from heart_disease.reporting.terminal import progress, wrapped

if TYPE_CHECKING:
    from flows.train import Outcome


def add(parser: argparse.ArgumentParser) -> None:
    """Options: what to train on which patients, and where."""
    parser.add_argument(
        "--force", action="store_true",
        help="train even if nothing changed since the champion; with --copy, whatever the patients and their codes say",
    )  # fmt: skip
    parser.add_argument(
        "--on-server", action="store_true",
        help="let the deployment on the Prefect server do it (see `heart schedule`), and follow its run to the end; "
        "options that you do not give keep the deployment's values",
    )  # fmt: skip
    parser.add_argument(
        "--landscape", action="store_true",
        help="train the network once more, and draw the loss around it with the path of its training",
    )  # fmt: skip
    add_training(parser)


def run(options: argparse.Namespace) -> int:
    """Train, and print the result.

    Raises:
        HeartError: parameters, data, a store or a server cannot be used.
    """
    parameters = training(options)
    if options.on_server:
        if options.json:
            raise UsageError("--json is not available with --on-server; `heart champion --json` has the result")
        from heart_disease.operations import deployments
        from heart_disease.operations.server import follow

        with follow.server() as client:
            found = follow.deployment(client)
            parameters = training(options, found.parameters)
            return follow.run(client, found, deployments.parameters(**parameters))
    from heart_disease.data import files
    from heart_disease.operations.server.server import prefect_server

    if parameters["source"] is not None:
        files.check(parameters["source"])  # before any server starts
    with progress(), prefect_server() as server:
        from flows.train import Unchanged, train

        server.wait()
        outcome = train(**parameters)
    if isinstance(outcome, Unchanged):
        if options.json:
            write_json({"outcome": outcome.end, "version": outcome.champion, "why": outcome.why})
        else:
            print(outcome.message)
        return ExitCode.DONE
    if options.json:
        write_json(_facts(outcome))
    else:
        _show(outcome)
    return ExitCode.DONE if outcome.decision.promote else ExitCode.NOT_PROMOTED


def _facts(outcome: Outcome) -> dict[str, object]:
    from heart_disease.evaluation.estimates import MINUS

    report = outcome.report
    facts = {"outcome": outcome.end, "version": outcome.model, "decision": outcome.decision}
    facts["threshold"] = report.threshold
    judged = {"judged_by": report.description, "metrics": report.metrics, MINUS: report.differences}
    return facts | judged | {"pages": _pages(outcome)}


def _pages(outcome: Outcome) -> dict[str, str]:
    """The addresses of the run, of its report and of its flow run."""
    from prefect.settings import get_current_settings

    from heart_disease import registry
    from heart_disease.reporting.report import report_page

    prefect = hide(get_current_settings().ui_url or "http://127.0.0.1:4200").rstrip("/")
    return {
        "run": registry.run_url(outcome.run),
        "report": registry.file_url(outcome.run, f"{report_page.FOLDER}/{report_page.FILE}"),
        "flow_run": f"{prefect}/runs/flow-run/{outcome.flow_run_id}",
    }


def _show(outcome: Outcome) -> None:
    from prefect.settings import get_current_settings

    from heart_disease import registry
    from heart_disease.reporting import tables

    print(f"\n{tables.text(outcome.report)}\n")
    print(outcome.headline)
    print(wrapped(f"  {outcome.decision.reason}") + "\n")
    if outcome.report.sensitivity is not None:
        print(
            wrapped(
                f"  It answers yes from {outcome.report.threshold:.3f} on, which finds "
                f"{100 * outcome.report.sensitivity:g} % of the sick out of fold; the table above is at 0.5."
            )
            + "\n"
        )
    if not registry.uri().startswith("http") or not get_current_settings().api.url:  # servers show their own pages
        print("To see both runs: heart ui, in this folder")
    for page in _pages(outcome).values():
        print(f"  {page}")


COMMAND = Command(
    name="train",
    help="validate, train, evaluate and register",
    description="Validate the data, train and evaluate the network, and register it.",
    add=add,
    run=run,
    aliases=("retrain",),
    facts_of="not with --on-server: `heart champion --json` tells the result",
)
