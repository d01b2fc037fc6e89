"""The `heart` command: the list of its commands, and what happens if one fails."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from heart_disease.cli import output, parser
from heart_disease.cli.champion import champion, compare, evaluate, explain, history, promote, reproduce, rollback
from heart_disease.cli.operate import completion, monitor, notify, prune, reconcile, schedule, serve, snapshots, ui
from heart_disease.cli.options import select
from heart_disease.cli.pipeline import check, convert, distribute, learn, predict, sweep, train
from heart_disease.model.errors import ExitCode, HeartError, hide
from heart_disease.processes import garbage
from heart_disease.processes.loopback import spare_from_proxies
from heart_disease.reporting.terminal import replace_unknown_signs, wrapped
from heart_disease.training.interrupts import not_lost

DESCRIPTION = "Train, check and use the heart-disease model."
# The only list of commands; the parser, docs/commands.md and the tests are derived from it.
GROUPS = {
    "data and model": (
        train.COMMAND, sweep.COMMAND, distribute.COMMAND, check.COMMAND, convert.COMMAND,
        predict.COMMAND, learn.COMMAND,
    ),
    "champion and runs": (
        champion.COMMAND, history.COMMAND, promote.COMMAND, rollback.COMMAND, compare.COMMAND, explain.COMMAND,
        evaluate.COMMAND, reproduce.COMMAND,
    ),
    "operation": (
        schedule.COMMAND, monitor.COMMAND, notify.COMMAND, reconcile.COMMAND, prune.COMMAND, snapshots.COMMAND,
        serve.COMMAND, ui.COMMAND, completion.COMMAND,
    ),
}  # fmt: skip
# Defaults for variables that are not set: less noise, no telemetry, and an error within seconds, not minutes.
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
# What to do if the system refuses a file, by the number of its error.
ADVICE = {
    (errno.ENOSPC, errno.EDQUOT): "Make room on that disk, then run the command again.",
    (errno.EACCES, errno.EPERM): "Expected a file or folder that you may use: change its permissions, or name another.",
    (errno.EROFS,): "Expected a disk that can be written to: name a place on another one.",
    (errno.ENOENT, errno.ENOTDIR): "Expected it to be there: check the path, also that of the working directory.",
    (errno.EMFILE, errno.ENFILE): "Too many files are open: raise the limit (`ulimit -n`), or end other programs.",
}


class Terminated(SystemExit):
    """SIGTERM has come."""


def make_parser() -> parser.Parser:
    """The parser of all commands."""
    return parser.make_parser(GROUPS, DESCRIPTION)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    gc.set_threshold(garbage.OBJECTS)
    # At its end Python looks through all objects three times, those of TensorFlow too, for garbage that nobody needs.
    atexit.register(gc.freeze)
    given = list(sys.argv[1:] if arguments is None else arguments)
    known = make_parser()
    replace_unknown_signs()
    if not given:
        known.print_help()
        return ExitCode.DONE
    options = known.parse_args(given)
    output.apply(options)
    spare_from_proxies()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with _set({**_store(), **ENVIRONMENT, **output.variables(options)}), not_lost():
            select(options)
            return int(options.run(options))
    except HeartError as error:
        if options.verbose:
            output.write_origin(error)
        print(wrapped(f"heart: {error}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("heart: stopped", file=sys.stderr)
        return ExitCode.STOPPED
    except Terminated:
        print("heart: stopped", file=sys.stderr)
        raise
    except BrokenPipeError:
        # The reader of the output is gone (`heart check | head`); writing what is still buffered must not fail again.
        with suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # a file, a folder, a full disk
        if options.verbose:
            output.write_origin(error)
        where = f"'{error.filename}' cannot be used: " if error.filename else ""
        print(wrapped(hide(f"heart: {where}{error.strerror or error}. {_then(error)}")), file=sys.stderr)
        return ExitCode.UNAVAILABLE


@contextmanager
def _set(defaults: Mapping[str, str]) -> Iterator[None]:
    """Set the variables that are not set until the command ends; a program may run another command after it."""
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ |= added
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _store() -> dict[str, str]:
    """The address of MLflow's default store in this folder, if MLflow's own would be wrong.

    MLflow quotes it as if it were a file's (my%20project), but SQLAlchemy reads it literally up to a question mark.
    """
    path = str(Path("mlflow.db").absolute())
    if quote(path) == path:
        return {}
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{'mlflow.db' if '?' in path else path}"}


def _then(error: OSError) -> str:
    """What to do about it, as far as the system's error tells."""
    for numbers, advice in ADVICE.items():
        if error.errno in numbers:
            return advice
    return "With -v the command says which part of the program asked for it."


def _terminate(number: int, frame: object) -> None:
    raise Terminated(ExitCode.TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
