"""Table or file -> Validation: run the suite with Great Expectations, in memory, part by part.

Nothing is written, nothing is sent and nothing is printed. An expectation that cannot be judged because a column
is missing or holds text does not fail itself: the missing column or the text fails, once, and everything else is
judged on the cells that can be read. The caller decides whether a refused table stops the work.
"""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from expectations.failure import Cell, Failure
from expectations.statistics import Seen, Statistics
from heart_disease.data import digests, sources
from heart_disease.data.digests import Digests
from heart_disease.data.files import BATCH_ROWS, File
from heart_disease.data.sources import Table

__all__ = ["Cell", "Failure", "Seen", "Validation", "validate"]

# Great Expectations keeps its context in a global; the logger and warnings that `_quiet` changes are global too.
_ALONE = threading.Lock()


@dataclass(frozen=True)
class Validation:
    """What validation says about a table of `rows` patients from `source`, whose content is `digest`.

    checked: how many expectations could be judged.
    failures: errors first; none, or warnings only, if the table can be used.
    seen: for each column of the schema that is there, what it holds.
    result: all that Great Expectations answered, as plain JSON values; row numbers are those of the table.
    blank_lines: how many rows without a single cell were left out.
    """

    source: str
    rows: int
    digest: str
    checked: int
    failures: tuple[Failure, ...]
    seen: tuple[Seen, ...]
    result: dict[str, Any]
    blank_lines: int = 0

    @property
    def errors(self) -> tuple[Failure, ...]:
        """The failures that refuse the table."""
        return tuple(failure for failure in self.failures if failure.severity == "critical")

    @property
    def warnings(self) -> tuple[Failure, ...]:
        """The failures that are worth a look, but refuse nothing."""
        return tuple(failure for failure in self.failures if failure.severity != "critical")

    @property
    def doubts(self) -> tuple[Failure, ...]:
        """The errors that make every row doubtful, even those that break no rule. The label is not asked."""
        return tuple(failure for failure in self.errors if failure.whole)

    def doubts_about(self, columns: Collection[str]) -> tuple[Failure, ...]:
        """The `doubts` that concern some of these columns."""
        return tuple(failure for failure in self.doubts if set(failure.columns) & set(columns))

    @property
    def passed(self) -> bool:
        """Whether the table can be used: it has no error, with or without warnings."""
        return not self.errors

    def refusal(self, undone: str, errors: Sequence[Failure] | None = None) -> str:
        """Why the table is refused: one line, then one per error. undone: for example ``nothing was trained``."""
        found = self.errors if errors is None else errors
        return "\n".join([f"'{self.source}' was rejected; {undone}.", *(failure.message() for failure in found)])

    def messages(self, most: int = 10) -> list[str]:
        """One line per failure, errors first, each naming at most `most` cells."""
        return [failure.message(most) for failure in self.failures]


def validate(table: Table) -> Validation:
    """Judge `table`; its frame is not changed. Row order changes nothing."""
    rows = np.argsort(table.frame.index.to_numpy(), kind="stable")
    parts = (table.frame.iloc[rows[i : i + BATCH_ROWS]] for i in range(0, max(len(rows), 1), BATCH_ROWS))
    return _validated(parts, table.source, lambda: table.digest, lambda: table.blank_lines)


def validate_file(file: File) -> Validation:
    """Judge the patients of `file`, in the memory of a batch and 40 bytes per row.

    Raises:
        SourceError: the file is damaged, has no rows, or cannot be read as a table.
    """
    ids: list[Digests] = []
    blank_lines = 0

    def parts() -> Iterator[pd.DataFrame]:
        nonlocal blank_lines
        for rows in sources.rows_of(file):
            ids.append(rows.row_ids)
            blank_lines += rows.blank_lines
            yield rows.frame

    def digest() -> str:
        return digests.of_table(file.names, np.sort(np.concatenate(ids)))

    return _validated(parts(), file.source, digest, lambda: blank_lines)


def _validated(
    parts: Iterable[pd.DataFrame], source: str, digest: Callable[[], str], blank_lines: Callable[[], int]
) -> Validation:
    """digest, blank_lines: asked after the last part."""
    with _ALONE, _quiet():
        from expectations.explain import explain
        from expectations.judge import Judge

        judge, found = Judge(), Statistics()
        for part in parts:
            frame = part.rename_axis(index=None)  # without the index's name, results hold the row numbers alone
            judge.add(frame)
            found.add(frame)
        results = judge.results(found)
        failures = explain(results, found)
    return Validation(
        source=source,
        rows=found.rows,
        digest=digest(),
        checked=len(results),
        failures=failures,
        seen=found.seen,
        result=_plain(_counted([result for result, _ in results])),
        blank_lines=blank_lines(),
    )


def _counted(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The results as Great Expectations reports those of a suite."""
    met = sum(one["success"] for one in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": met,
        "unsuccessful_expectations": len(results) - met,
        "success_percent": 100 * met / len(results),
    }
    return {"success": met == len(results), "suite_name": "patients", "statistics": statistics, "results": results}


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it: NumPy scalars become numbers, and floats that JSON lacks become text."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Great Expectations' log lines and warnings off the terminal: what matters is in the validation."""
    logger = logging.getLogger("great_expectations")
    before, nowhere = logger.propagate, logging.NullHandler()
    logger.propagate = False  # its level would not do: some of its modules set their own
    logger.addHandler(nowhere)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.propagate = before
        logger.removeHandler(nowhere)
