"""One patient on the command line: the options, and the answer."""

from __future__ import annotations

import argparse
import math
import sys

from heart_disease.model import schema
from heart_disease.model.errors import ExitCode, RejectedError, UsageError
from heart_disease.model.schema import Column

HERE = "patient."  # before the names of these options among all


def add(parser: argparse.ArgumentParser) -> None:
    """An option for each column that the model takes."""
    optional = " and ".join(column.name for column in schema.COLUMNS if column.optional)
    group = parser.add_argument_group(
        "one patient",
        f"Instead of a file; {optional} may be left out if not known, and so may what the champion does not take.",
    )
    for column in schema.COLUMNS:
        group.add_argument(f"--{column.name}", dest=HERE + column.name, metavar="X", type=float, help=_help(column))


def _help(column: Column) -> str:
    if column.limits:
        return f"{column.meaning}, {column.expected}"
    return f"{column.meaning}: {', '.join(f'{code} {meaning}' for code, meaning in column.codes.items())}"


def given(options: argparse.Namespace) -> dict[str, float]:
    """What the command line says about one patient, by column."""
    values = {column.name: getattr(options, HERE + column.name) for column in schema.COLUMNS}
    return {name: value for name, value in values.items() if value is not None}


def score(values: dict[str, float]) -> int:
    """Print what the champion says about one patient.

    Raises:
        UsageError: a column is missing that may not be blank.
        RejectedError: a value breaks a limit.
        UnavailableError: there is no champion, or it cannot be used.
    """
    import numpy as np

    from heart_disease.cli.pipeline import remembered

    title, model = remembered.champion()
    needed = [column.name for column in model.encoder.columns if not column.optional]
    missing = [f"--{name}" for name in needed if name not in values]
    if missing:
        raise UsageError(f"one patient also needs {', '.join(missing)}; see `heart predict --help` for the codes.")
    cells = np.array([[values.get(name, math.nan) for name in schema.INPUT_NAMES]])
    scores = model.score(cells)
    if scores.problem[0]:
        raise RejectedError(f"not scored: {scores.problem[0]}")
    print(f"{title} (champion)", file=sys.stderr)
    print(f"probability {scores.probability[0]:.3f}, disease {scores.disease[0]}")
    return ExitCode.DONE
