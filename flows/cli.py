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
from tasks.params import PRESETS, Evaluation, Params, Promotion, Search

if TYPE_CHECKING:
    from flows.train import Outcome

NOT_PROMOTED, NOT_REPRODUCED = 5, 6
EXIT_CODES = """exit codes:
  0  done                        4  nothing to use: no champion, run, store or server
  1  unexpected failure          5  trained, but not promoted; or the champion was
  2  wrong usage                    moved by someone else meanwhile
  3  the data was rejected       6  not reproduced
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
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
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
    train.add_argument("--force", action="store_true", help="train even if nothing changed since the champion")
    add_options(train.add_argument_group("evaluation"), Evaluation)
    add_options(train.add_argument_group("promotion", "When the new model becomes champion."), Promotion)
    recipe = train.add_argument_group("recipe", "A preset, and what to change in it.")
    recipe.add_argument("--preset", choices=sorted(PRESETS), default="default", help="lecture: the course's 300 epochs")
    add_options(recipe, Params)

    sweep = commands.add_parser(
        "sweep",
        help="search the recipe: many configurations on the same folds",
        description="Cross-validate many recipes at once, choose the simplest of the good ones, and re-estimate it. "
        "Stopped, the same command goes on from there.",
    )
    sweep.set_defaults(run=_sweep)
    sweep.add_argument("--source", metavar="PATH", help="CSV or Parquet file; default: the bundled 303 patients")
    sweep.add_argument("--space", metavar="FILE", help="YAML: what to search; see the README for the default")
    sweep.add_argument("--grid", action="store_true", help="all combinations of the space, which must be lists")
    add_options(sweep, Search)
    sweep.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="the GPU where there is one")
    cluster = sweep.add_mutually_exclusive_group()
    cluster.add_argument("--dask", metavar="ADDRESS", help="train on a Dask cluster, such as tcp://10.0.0.1:8786")
    cluster.add_argument("--ray", metavar="ADDRESS", help="train on a Ray cluster, such as ray://10.0.0.1:10001")
    add_options(sweep.add_argument_group("evaluation"), Evaluation, leave_out=("holdout",))

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

    champion = commands.add_parser(
        "champion", help="which version is used, since when and why", description="Show the champion."
    )
    champion.set_defaults(run=_champion)

    history = commands.add_parser(
        "history", help="every champion there was", description="Every move of the champion, newest first."
    )
    history.set_defaults(run=_history)

    promote = commands.add_parser(
        "promote",
        help="make a version the champion by hand",
        description="Make a version the champion by hand, if it loads and scores.",
    )
    promote.set_defaults(run=_promote)
    promote.add_argument("version", metavar="VERSION", help="its number, or challenger: the newest version")
    promote.add_argument("--because", metavar="WHY", required=True, help="the reason, for the history")

    rollback = commands.add_parser(
        "rollback",
        help="make the champion before this one champion again",
        description="Make the champion before the present one champion again; repeated, the one before that.",
    )
    rollback.set_defaults(run=_rollback)
    rollback.add_argument("--because", metavar="WHY", help="the reason, for the history")

    compare = commands.add_parser(
        "compare",
        help="runs side by side: recipes, metrics, differences",
        description="Put runs side by side: where their recipes differ, their metrics, and by how much each is better "
        "or worse than the first, patient by patient.",
    )
    compare.set_defaults(run=_compare)
    compare.add_argument(
        "runs", nargs="*", metavar="RUN",
        help="a version, an alias, a run id or its beginning, or a run's name; default: champion and challenger",
    )  # fmt: skip
    compare.add_argument(
        "--on", metavar="FILE", help="compare two registered models on the patients of FILE that neither learned from"
    )
    margin = Promotion.__pydantic_fields__["margin"]  # type: ignore[attr-defined]
    compare.add_argument(
        "--margin", dest="Promotion.margin", metavar="X",
        help=f"log loss by which a run may at most be worse to count as not worse (default {margin.default})",
    )  # fmt: skip

    reproduce = commands.add_parser(
        "reproduce",
        help="train a version again and compare",
        description="Train a registered version again from its recorded recipe, seed and data, and compare what the "
        "two say about every patient.",
    )
    reproduce.set_defaults(run=_reproduce)
    reproduce.add_argument("version", metavar="VERSION", help="its number or alias")
    reproduce.add_argument("--source", metavar="PATH", help="CSV or Parquet file; default: the one that was recorded")
    reproduce.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="auto: the GPU where there is one"
    )

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
    evaluation, promotion = made(Evaluation, options, {}), made(Promotion, options, {})
    from flows.server import prefect_server

    with progress(), prefect_server() as server:
        from flows.train import Unchanged, train

        server.wait()
        outcome = train(options.source, recipe, evaluation, promotion, options.device, options.force)
    if isinstance(outcome, Unchanged):
        print(f"{outcome.champion.name} version {outcome.champion.version} is champion; nothing to do (see --force)")
        return 0
    _print_outcome(outcome)
    return 0 if outcome.decision.promote else NOT_PROMOTED


def _sweep(options: argparse.Namespace) -> int:
    from flows.server import prefect_server
    from tasks import space

    evaluation, search = made(Evaluation, options, {}), made(Search, options, {})
    wanted = space.read_space(Path(options.space) if options.space is not None else None)
    if options.grid:
        space.grid(space.make_space(wanted))  # so that it is refused before anything starts
    with progress(), prefect_server() as server:
        import_tensorflow()
        from flows import sweep

        server.wait()
        outcome = sweep.run(
            options.source, wanted, "grid" if options.grid else "random", search.configurations, evaluation,
            search.inner_folds, search.seed, options.device, dask=options.dask, ray=options.ray,
        )  # fmt: skip
        sweep.show(outcome)
    return 0


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


def _champion(options: argparse.Namespace) -> int:
    from flows import champion

    champion.show()
    return 0


def _history(options: argparse.Namespace) -> int:
    from flows import champion

    champion.show_history()
    return 0


def _promote(options: argparse.Namespace) -> int:
    from flows import champion

    champion.promote(options.version, options.because)
    return 0


def _rollback(options: argparse.Namespace) -> int:
    from flows import champion

    champion.rollback(options.because)
    return 0


def _compare(options: argparse.Namespace) -> int:
    margin = made(Promotion, options, {}).margin
    from flows import compare

    return compare.run(options.runs, options.on, margin)


def _reproduce(options: argparse.Namespace) -> int:
    from flows import reproduce

    return 0 if reproduce.run(options.version, options.source, options.device) else NOT_REPRODUCED


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
