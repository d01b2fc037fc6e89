"""Runs side by side, as people read them: recipes, metrics, and each one's difference from the first."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields

from rich.cells import cell_len

from heart_disease.evaluation.estimates import METRICS, Estimate
from heart_disease.evaluation.verdict import Comparison
from heart_disease.evaluation.versions.comparison import DATA, EVALUATION, setting_of, title_of
from heart_disease.reporting import tables
from heart_disease.training.recipe import Recipe

NONE = "-"  # a cell without a value
RECIPE = tuple(field.name for field in fields(Recipe))

Cells = list[tuple[str, ...]]


def settings(params: Mapping[str, Mapping[str, str]]) -> Cells:
    """A header, and each part of recipe, evaluation and data in which not all runs agree; `params` by run."""
    names = [*RECIPE, *EVALUATION, DATA]
    rows = [(title_of(name), *(setting_of(name, one, NONE) for one in params.values())) for name in names]
    return [("recipe", *params), *(row for row in rows if len(set(row[1:])) > 1)]


def metrics(found: Mapping[str, Mapping[str, float]]) -> Cells:
    """A header, and each metric with its interval as the runs recorded it; `found` by run."""
    return [
        ("metric", *found),
        *((METRICS[name], *(_figure(name, one) for one in found.values())) for name in METRICS),
    ]


def pairs(rows: Sequence[tuple[str, Comparison | None, int]], first: str) -> Cells:
    """A header, and for each run its difference from the first one, the verdict, and the number of patients."""
    header = ("run", f"log loss minus {first}", "verdict", "patients")
    nothing = ("not available", NONE, NONE)
    return [
        header,
        *((name, *((d.difference.signed, d.kind, str(n)) if d else nothing)) for name, d, n in rows),
    ]


def transposed(table: Cells) -> Cells:
    """The same table with one run per row."""
    corner = ("run", *(row[0] for row in table[1:]))
    return [corner, *((name, *(row[i] for row in table[1:])) for i, name in enumerate(table[0]) if i)]


def blocks(table: Cells, width: int | None = None) -> list[str]:
    """The table as text, in as many parts as it takes to stay within `width`; each has the first column.

    width: in characters, the terminal's by default.
    """
    width = width or shutil.get_terminal_size().columns
    widths = [max(map(cell_len, column)) + 2 for column in zip(*table, strict=True)]
    parts: list[list[int]] = [[]]
    for i in range(1, len(widths)):
        if parts[-1] and sum(widths[j] for j in [0, *parts[-1], i]) - 2 > width:
            parts.append([])
        parts[-1].append(i)
    return [tables.aligned([[row[j] for j in [0, *part]] for row in table], width) for part in parts]


def _figure(name: str, found: Mapping[str, float]) -> str:
    estimate = Estimate.find(name, found)
    if estimate:
        return str(estimate)
    return f"{found[name]:.3f}" if name in found else NONE
