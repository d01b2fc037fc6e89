"""The `heart` command: call and print. Heavy imports are inside the commands, so that --help answers at once."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heart_disease.cli.options import made
from heart_disease.cli.parser import make_parser
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.model.errors import HeartError, UnavailableError
from heart_disease.reporting.terminal import import_tensorflow, progress, wrapped
from heart_disease.search.settings import Search
from heart_disease.training.recipe import MANY_ROWS, PRESETS, Recipe

if TYPE_CHECKING:
    from flows.train import Outcome

NOT_PROMOTED, NOT_REPRODUCED = 5, 6
# Set where they are unset: less noise, no telemetry, and an error within seconds instead of minutes.
ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "heart",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = make_parser(lessons="learn" in given).parse_args(given)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return COMMANDS[options.command](options)
    except HeartError as error:
        print(wrapped(f"heart: {error}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("heart: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of the output has gone (`heart check | head`); what is still buffered must not fail once more.
        with suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # a file, a folder, a full disk
        where = f"'{error.filename}' cannot be used: " if error.filename else ""
        print(wrapped(f"heart: {where}{error.strerror or error}"), file=sys.stderr)
        return UnavailableError.exit_code


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _training(options: argparse.Namespace, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The flow's parameters: what was given, and the rest from `base`, or as the flow has it."""
    base = base or {}
    preset = PRESETS[options.preset].as_dict() if options.preset else base.get("recipe", {})
    return {
        "source": base.get("source") if options.source is None else options.source,
        "recipe": made(Recipe, options, preset),
        "evaluation": made(Evaluation, options, base.get("evaluation", {})),
        "promotion": made(Promotion, options, base.get("promotion", {})),
        "device": options.device or base.get("device", "auto"),
    }


def _train(options: argparse.Namespace) -> int:
    training = _training(options)
    if options.on_server:
        from heart_disease.operations import deployments, follow

        with follow.server() as client:
            found = follow.deployment(client)
            training = _training(options, found.parameters)
            return follow.run(client, found, deployments.parameters(**training, force=options.force))
    from heart_disease.processes.server import prefect_server

    with progress(), prefect_server() as server:
        from flows.train import Unchanged, train

        server.wait()
        outcome = train(**training, force=options.force)
    if isinstance(outcome, Unchanged):
        print(outcome.message)
        return 0
    _print_outcome(outcome)
    return 0 if outcome.decision.promote else NOT_PROMOTED


def _schedule(options: argparse.Namespace) -> int:
    training = _training(options)
    with progress():
        from flows.reconcile import reconcile
        from flows.train import train
        from heart_disease.operations import deployments, schedule

        when = deployments.When(options.cron, options.every, options.timezone, options.on_data, options.if_running)
        served = [
            deployments.retrain(train, when, deployments.parameters(**training)),
            deployments.reconcile(reconcile),
        ]
        schedule.run(served, when, options.port)
    return 0


def _notify(options: argparse.Namespace) -> int:
    from heart_disease.operations import notify

    page = notify.by_mail(options.mail) if options.mail else notify.by_webhook(options.webhook)
    print(f"{', '.join(options.mail or ['the webhook'])}: will be told. To pause or delete that:\n  {page}")
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from heart_disease.processes.server import prefect_server
    from heart_disease.search import space

    evaluation, search = made(Evaluation, options, {}), made(Search, options, {})
    wanted = space.read_space(Path(options.space) if options.space is not None else None)
    if options.grid:
        space.grid(space.make_space(wanted))  # so that it is refused before anything starts
    with progress(), prefect_server() as server:
        import_tensorflow()
        from flows import sweep
        from heart_disease.cli.sweep import show

        server.wait()
        outcome = sweep.run(
            options.source, wanted, "grid" if options.grid else "random", search.configurations, evaluation,
            search.inner_folds, search.seed, options.device, dask=options.dask, ray=options.ray,
        )  # fmt: skip
        show(outcome)
    return 0


def _print_outcome(outcome: Outcome) -> None:
    from prefect.settings import get_current_settings

    from heart_disease import registry
    from heart_disease.reporting import tables

    print(f"\n{tables.text(outcome.report)}\n")
    print(outcome.headline)
    print(wrapped(f"  {outcome.decision.reason}") + "\n")
    if not registry.uri().startswith("http"):  # else its pages are there
        print(f"{_program('mlflow')} ui --backend-store-uri {registry.uri()}")
    print(f"  {registry.run_url(outcome.run)}")
    if not get_current_settings().api.url:
        print(f"{_program('prefect')} server start")
    page = get_current_settings().ui_url or "http://127.0.0.1:4200"
    print(f"  {page.rstrip('/')}/runs/flow-run/{outcome.flow_run_id}")


def _program(name: str) -> str:
    """How to call a program of this environment: by its name if that is found, else by its path."""
    here = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    return name if found and Path(found) == here else os.path.relpath(here)


def _distribute(options: argparse.Namespace) -> int:
    from heart_disease.cli import distribute

    recipe = made(Recipe, options, MANY_ROWS.as_dict())
    return distribute.run(options.source, recipe, options.output, options.shuffle_rows, options.wait)


def _check(options: argparse.Namespace) -> int:
    from heart_disease.data import sources

    table = sources.load(options.source)
    from expectations import gate
    from heart_disease.reporting import validation_page

    verdict = gate.validate(table)
    if options.page:
        Path(options.page).write_text(validation_page.render(verdict), encoding="utf-8")
    print(f"{len(table)} rows of {table.source}, digest {table.digest}")
    for message in verdict.messages():
        print(wrapped(message))
    found = f"{verdict.checked} checks, {len(verdict.errors)} errors, {len(verdict.warnings)} warnings"
    print(f"{'passed' if verdict.passed else 'REJECTED'}: {found}")
    return 0 if verdict.passed else 3


def _predict(options: argparse.Namespace) -> int:
    from heart_disease.cli import predict

    return predict.run(options.source, options.output)


def _champion(options: argparse.Namespace) -> int:
    from heart_disease.cli import champions

    champions.show()
    return 0


def _history(options: argparse.Namespace) -> int:
    from heart_disease.cli import champions

    champions.show_history()
    return 0


def _promote(options: argparse.Namespace) -> int:
    from heart_disease.cli import champions

    champions.promote(options.version, options.because)
    return 0


def _rollback(options: argparse.Namespace) -> int:
    from heart_disease.cli import champions

    champions.rollback(options.because)
    return 0


def _compare(options: argparse.Namespace) -> int:
    margin = made(Promotion, options, {}).margin
    from heart_disease.cli import compare

    return compare.run(options.runs, options.on, margin)


def _reproduce(options: argparse.Namespace) -> int:
    from heart_disease.cli import reproduce

    return 0 if reproduce.run(options.version, options.source, options.device) else NOT_REPRODUCED


def _reconcile(options: argparse.Namespace) -> int:
    from heart_disease.processes.server import prefect_server

    with progress(), prefect_server() as server:
        from flows.reconcile import reconcile

        server.wait()
        reconcile(options.patience)
    return 0


def _prune(options: argparse.Namespace) -> int:
    from heart_disease.processes.server import prefect_server

    with prefect_server() as server:
        from heart_disease.operations import prune
        from heart_disease.operations.deployments import interval

        age = interval(options.older_than, "--older-than")
        server.wait()
        prune.run(age, options.yes)
    return 0


def _learn(options: argparse.Namespace) -> int:
    from heart_disease.cli import learn
    from heart_disease.lessons.lesson import find

    if options.notebook:
        learn.write_notebook(Path(options.notebook))
    elif options.lesson is None:
        learn.show_list()
    else:
        import_tensorflow()
        if options.lesson == "all":
            learn.run_all(Path(options.output))
        else:
            learn.run(options.lesson, made(find(options.lesson).Settings, options, {}))
    return 0


def _serve(options: argparse.Namespace) -> int:
    from heart_disease.serving import api

    return api.run(options.host, options.port, options.version)


def _ui(options: argparse.Namespace) -> int:
    from heart_disease.operations import ui

    return ui.run(options.mlflow_port, options.prefect_port)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "train": _train,
    "schedule": _schedule,
    "notify": _notify,
    "sweep": _sweep,
    "distribute": _distribute,
    "check": _check,
    "predict": _predict,
    "champion": _champion,
    "history": _history,
    "promote": _promote,
    "rollback": _rollback,
    "compare": _compare,
    "reproduce": _reproduce,
    "reconcile": _reconcile,
    "prune": _prune,
    "learn": _learn,
    "serve": _serve,
    "ui": _ui,
}


if __name__ == "__main__":
    sys.exit(main())
