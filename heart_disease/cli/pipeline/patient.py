"""One patient on the command line: the options, and the answer."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from heart_disease.cli.output import write_json
from heart_disease.model import schema
from heart_disease.model.errors import ExitCode, RejectedError, UsageError
from heart_disease.model.schema import Column
from heart_disease.model.words import count
from heart_disease.reporting.terminal import say, wrapped

if TYPE_CHECKING:  # `heart --help` needs neither
    import numpy as np
    from numpy.typing import NDArray

    from heart_disease.model.drivers import Drivers

HERE = "patient."  # this sets these options apart from all others
LEAST = 0.02  # a column that moves the probability by less is not named


def add(parser: argparse.ArgumentParser) -> None:
    """An option for each column that the model takes."""
    optional = " and ".join(column.name for column in schema.COLUMNS if column.optional)
    group = parser.add_argument_group(
        "one patient",
        "Instead of a file. Columns that the champion does not take may be left out;\n"
        f"{optional} also if they are not known.",
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


def score(values: dict[str, float], *, abstain: bool, as_json: bool) -> int:
    """Print what the champion says about one patient; nothing with `abstain`, if it knows no such patients.

    Raises:
        UsageError: a column is missing that may not be blank.
        RejectedError: a value breaks a limit, or nothing shall be said of such a patient.
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
    scores = (model.abstaining() if abstain else model).score(cells)
    if scores.problem[0]:
        raise RejectedError(f"not scored: {scores.problem[0]}")
    spread, found = model.spread(cells[0]), model.drivers(cells[0])
    if as_json:
        answer = {"probability": scores.probability[0], "disease": scores.disease[0], "unusual": scores.unusual[0]}
        write_json({"version": title, **answer, "networks": spread, "drivers": found})
        return ExitCode.DONE
    say(f"{title} (champion)")
    print(f"probability {scores.probability[0]:.3f}, disease {scores.disease[0]}")
    if spread:
        networks = count(spread.networks, "network")
        print(f"{networks}, each trained without some of the patients: {spread.lowest:.3f} to {spread.highest:.3f}")
    if scores.unusual[0]:
        print(wrapped(f"This patient is {scores.unusual[0]}: the probability may be wrong."))
    if found:
        print("\n".join(in_words(found, cells[0])))
    return ExitCode.DONE


def in_words(found: Drivers, cells: NDArray[np.float64]) -> list[str]:
    """What drives the probability of a patient with these values (13,), line by line, the strongest first."""
    held = dict(zip(schema.INPUT_NAMES, cells.tolist(), strict=True))
    strong = {name: by for name, by in found.each.items() if abs(by) >= LEAST}
    lines = [f"On average it is {found.average:.3f}. What moves it for this patient:"]
    for name, by in sorted(strong.items(), key=lambda item: -abs(item[1])):
        lines.append(f"  {_moves(by)}  {schema.BY_NAME[name].says(held[name])}")
    others, rest = len(found.each) - len(strong), sum(found.each.values()) - sum(strong.values())
    if f"{abs(rest):.3f}" != "0.000":
        lines.append(f"  {_moves(rest)}  {count(others, 'other column')}{' together' * (others > 1)}")
    return lines


def _moves(by: float) -> str:
    return f"{'raises' if by > 0 else 'lowers'} it by {abs(by):.3f}"
