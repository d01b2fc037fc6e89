"""Options of the output, shared by commands: -q and -v say how much is shown, --json prints facts for programs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import sys
import traceback
from collections.abc import Mapping

from heart_disease.model.errors import hide

TITLE = "output"
# What libraries say with --verbose; otherwise main.py's defaults keep them silent.
TALKATIVE = {
    "MLFLOW_LOGGING_LEVEL": "INFO",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
    "TF_CPP_MIN_LOG_LEVEL": "1",
}


def add(parser: argparse.ArgumentParser, *, facts: bool, which: str = "") -> None:
    """Add -q and -v; if the command prints facts, also --json. which: what its help adds to that."""
    group = parser.add_argument_group(TITLE)
    if facts:
        what = "print the facts as one JSON document, for programs"
        group.add_argument("--json", action="store_true", help=f"{what}; {which}" if which else what)
    how_much = group.add_mutually_exclusive_group()
    how_much.add_argument("-q", "--quiet", action="store_true", help="only the result and errors, no progress")
    how_much.add_argument(
        "-v", "--verbose", action="store_true", help="also what libraries say, and where an error comes from"
    )


def apply(options: argparse.Namespace) -> None:
    """Let this process say as much as the options want."""
    logging.getLogger("heart").setLevel(logging.WARNING if options.quiet else logging.INFO)


def variables(options: argparse.Namespace) -> Mapping[str, str]:
    """The environment variables by which libraries say as much as the options want."""
    return TALKATIVE if options.verbose else {}


def write_json(facts: object) -> None:
    """Print facts as one JSON document in UTF-8's ASCII part: dataclasses become objects, and NaN becomes null."""
    print(json.dumps(_plain(facts), indent=2))


def write_origin(error: BaseException) -> None:
    """Print where an error comes from, without passwords."""
    print(hide("".join(traceback.format_exception(error))), file=sys.stderr, end="")


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):  # a number or an array of NumPy's
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    # The rest, such as a path, the ID of a flow run or a time, is text.
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
