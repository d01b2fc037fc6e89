"""The `heart` command: parse, call, print. Heavy imports are inside the commands, so that --help answers at once."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flows.options import add_options, made
from flows.terminal import import_tensorflow, progress, wrapped
from tasks.errors import HeartError, UnavailableError
from tasks.params import MANY_ROWS, PRESETS, Evaluation, Params

if TYPE_CHECKING:
    from flows.train import Outcome

NOT_PROMOTED = 5
EXIT_CODES = """exit codes:
  0  done                        3  the data was rejected
  1  unexpected failure          4  nothing to use: no champion, store or server
  2  wrong usage                 5  trained, but not promoted
"""
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
    "PREFECT_LOGGING_EXTRA_LOGGERS": "heart",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(lessons="learn" in given).parse_args(given)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return int(options.run(options))
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


def _parser(lessons: bool) -> argparse.ArgumentParser:
    """The commands; the options of each lesson only where they are asked for."""
    parser = argparse.ArgumentParser(
        prog="heart",
        description="Train, check and use the heart-disease model.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    train = commands.add_parser(
        "train",
        help="validate, train, evaluate and register",
        description="Validate the data, train and evaluate the network, and register it.",
    )
    train.set_defaults(run=_train)
    train.add_argument("--source", metavar="PATH", help="CSV or Parquet file; default: the bundled 303 patients")
    train.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="auto: the GPU where there is one"
    )
    add_options(train.add_argument_group("evaluation"), Evaluation)
    recipe = train.add_argument_group("recipe", "A preset, and what to change in it.")
    recipe.add_argument("--preset", choices=sorted(PRESETS), default="default", help="lecture: the course's 300 epochs")
    add_options(recipe, Params)

    distribute = commands.add_parser(
        "distribute",
        help="train with other machines, each on its part of the rows",
        description="This machine's share of training one network on more rows than one machine holds. Start the same "
        "command on every machine, each with its own part and its own TF_CONFIG. The first worker keeps the result.",
    )
    distribute.set_defaults(run=_distribute)
    distribute.add_argument("--source", metavar="PART", required=True, help="Parquet file: this machine's part")
    distribute.add_argument("-o", "--output", metavar="FOLDER", help="the first worker writes the model there, too")
    for name, metavar, default, what in (
        ("--shuffle-rows", "N", 100_000, "rows that are held in memory to be shuffled; 0: the file's order"),
        ("--wait", "SECONDS", 120, "how long to wait for the other workers"),
    ):
        distribute.add_argument(name, type=int, metavar=metavar, default=default, help=f"{what} (default {default})")
    add_options(distribute.add_argument_group("recipe", "The same on every machine."), Params, MANY_ROWS)

    check = commands.add_parser(
        "check", help="load and validate a file, without training", description="Load and validate a file of patients."
    )
    check.set_defaults(run=_check)
    check.add_argument("source", nargs="?", metavar="SOURCE", help="CSV or Parquet file; default: the bundled patients")
    check.add_argument("--page", metavar="FILE", help="write the validation page (HTML) there")

    predict = commands.add_parser(
        "predict", help="score patients with the champion", description="Score raw patient rows with the champion."
    )
    predict.set_defaults(run=_predict)
    predict.add_argument("source", metavar="FILE", help="CSV or Parquet file, in UCI codes")
    predict.add_argument("-o", "--output", metavar="OUT", help="CSV or Parquet file to write; default: the terminal")

    learn = commands.add_parser(
        "learn",
        help="the course beside it: lessons on this very network",
        description="Lessons on how the network learns. Without a name: the list of them.",
    )
    learn.set_defaults(run=_learn, lesson=None)
    learn.add_argument("--notebook", metavar="FILE", help="write a notebook of all lessons (.ipynb)")
    if lessons:
        from tasks.lessons.lesson import NAMES, find

        names = learn.add_subparsers(title="lessons", metavar="NAME")
        for name in NAMES:
            module = find(name)
            one = names.add_parser(name, help=module.TITLE, description=module.__doc__)
            one.set_defaults(lesson=name)
            add_options(one, module.Settings)
        every = names.add_parser("all", help="all of them, and one page of HTML", description="Run all, write a page.")
        every.set_defaults(lesson="all")
        every.add_argument("-o", "--output", metavar="FILE", default="lessons.html", help="default lessons.html")

    ui = commands.add_parser(
        "ui",
        help="start the MLflow and Prefect pages",
        description="Start both pages on the embedded stores, until Ctrl-C.",
    )
    ui.set_defaults(run=_ui)
    ui.add_argument("--mlflow-port", type=int, default=5000, help="default 5000")
    ui.add_argument("--prefect-port", type=int, default=4200, help="default 4200")
    return parser


def _train(options: argparse.Namespace) -> int:
    recipe = made(Params, options, PRESETS[options.preset].as_dict())
    evaluation = made(Evaluation, options, {})
    from flows.server import prefect_server

    with progress(), prefect_server() as server:
        import_tensorflow()
        from flows.train import train

        server.wait()
        outcome = train(options.source, recipe, evaluation, options.device)
    _print_outcome(outcome)
    return 0 if outcome.decision.promote else NOT_PROMOTED


def _print_outcome(outcome: Outcome) -> None:
    from flows import publish
    from tasks import registry, report

    print(f"\n{report.text(outcome.report)}\n")
    state = "champion" if outcome.decision.promote else "NOT promoted, challenger"
    print(f"{outcome.model.name} version {outcome.model.version}: {state}")
    print(wrapped(f"  {outcome.decision.reason}") + "\n")
    print(f"{_program('mlflow')} ui --backend-store-uri {registry.uri()}")
    print(f"  {publish.run_url(outcome.run)}")
    print(f"{_program('prefect')} server start")
    print(f"  http://127.0.0.1:4200/runs/flow-run/{outcome.flow_run_id}")


def _program(name: str) -> str:
    """How to call a program of this environment: by its name if that is found, else by its path."""
    here = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    return name if found and Path(found) == here else os.path.relpath(here)


def _distribute(options: argparse.Namespace) -> int:
    from flows import distribute

    recipe = made(Params, options, MANY_ROWS.as_dict())
    return distribute.run(options.source, recipe, options.output, options.shuffle_rows, options.wait)


def _check(options: argparse.Namespace) -> int:
    from tasks import sources

    table = sources.load(options.source)
    from expectations import gate, page

    verdict = gate.validate(table)
    if options.page:
        Path(options.page).write_text(page.render(verdict), encoding="utf-8")
    print(f"{len(table)} rows of {table.source}, digest {table.digest}")
    for message in verdict.messages():
        print(wrapped(message))
    found = f"{verdict.checked} checks, {len(verdict.errors)} errors, {len(verdict.warnings)} warnings"
    print(f"{'passed' if verdict.passed else 'REJECTED'}: {found}")
    return 0 if verdict.passed else 3


def _predict(options: argparse.Namespace) -> int:
    from flows import predict

    return predict.run(options.source, options.output)


def _learn(options: argparse.Namespace) -> int:
    from flows import learn
    from tasks.lessons.lesson import find

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


def _ui(options: argparse.Namespace) -> int:
    from flows import ui

    return ui.run(options.mlflow_port, options.prefect_port)


if __name__ == "__main__":
    sys.exit(main())
