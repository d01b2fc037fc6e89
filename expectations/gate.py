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
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from expectations.failure import Cell, Failure
from expectations.statistics import Seen, Statistics
from heart_disease.data import digests, sources
from heart_disease.data.digests import Digests
from heart_disease.data.files import BATCH_ROWS, NO_ROWS, File
from heart_disease.data.sources import Rows, Table
from heart_disease.model.errors import SourceError
from heart_disease.processes.garbage import uncollected

if TYPE_CHECKING:
    from expectations.judge import Judge, Tally

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


@dataclass
class Findings:
    """What one pass over some rows finds, for `validate_parts` to add up. It can be sent to another process.

    tallies: one per expectation. columns: the names of the rows' columns.
    ids: a digest of each row, batch by batch. blank_lines: rows without a cell, left out.
    """

    tallies: list[Tally]
    columns: set[object]
    statistics: Statistics
    ids: list[Digests]
    blank_lines: int


def validate(table: Table) -> Validation:
    """Judge `table`; its frame is not changed. Row order changes nothing."""
    rows = np.argsort(table.frame.index.to_numpy(), kind="stable")
    parts = (table.frame.iloc[rows[i : i + BATCH_ROWS]] for i in range(0, max(len(rows), 1), BATCH_ROWS))
    with _ALONE, _quiet():
        judge, statistics = _seen_by_judge(parts)
        return _validation(judge, statistics, table.source, table.digest, table.blank_lines)


def validate_file(file: File) -> Validation:
    """Judge the patients of `file`, in the memory of a batch and 40 bytes per row.

    Raises:
        SourceError: the file is damaged, has no rows, or cannot be read as a table.
    """
    counted = _Counted()
    with _ALONE, _quiet():
        judge, statistics = _seen_by_judge(counted.frames(sources.rows_of(file)))
        return _validation(judge, statistics, file.source, _digest(file, counted.ids), counted.blank_lines)


def look_through(part: File) -> Findings:
    """What `validate_parts` needs of one part of a folder.

    Raises:
        SourceError: the part is damaged, or cannot be read as a table.
    """
    counted = _Counted()
    with _ALONE, _quiet():
        judge, statistics = _seen_by_judge(counted.frames(sources.rows_of_part(part)))
        return Findings(judge.tallies, judge.columns, statistics, counted.ids, counted.blank_lines)


def validate_parts(file: File, parts: Iterable[Findings]) -> Validation:
    """Judge the patients of a folder from what was found in each of its parts, in their order.

    The verdict is that of `validate_file`, to the last bit.

    Raises:
        SourceError: none of the parts has a row.
    """
    ids: list[Digests] = []
    blank_lines = 0
    with _ALONE, _quiet():
        judge, statistics = _seen_by_judge([])
    for part in parts:
        judge.join(part.tallies, part.columns, statistics.rows)
        statistics.join(part.statistics)
        ids += part.ids
        blank_lines += part.blank_lines
    if not statistics.rows:
        raise SourceError(NO_ROWS.format(file.source))
    with _ALONE, _quiet():
        return _validation(judge, statistics, file.source, _digest(file, ids), blank_lines)


@dataclass
class _Counted:
    """Counts what `Findings` says besides the judge."""

    ids: list[Digests] = field(default_factory=list)
    blank_lines: int = 0

    def frames(self, chunks: Iterable[Rows]) -> Iterator[pd.DataFrame]:
        for rows in chunks:
            self.ids.append(rows.row_ids)
            self.blank_lines += rows.blank_lines
            if len(rows.index):
                yield rows.frame


def _digest(file: File, ids: Sequence[Digests]) -> str:
    return digests.of_table(file.names, np.sort(np.concatenate(ids)))


def _seen_by_judge(frames: Iterable[pd.DataFrame]) -> tuple[Judge, Statistics]:
    """Great Expectations' judge and the statistics, after these rows."""
    with uncollected():
        from expectations.judge import Judge

    judge, statistics = Judge(), Statistics()
    for one in frames:
        frame = one.rename_axis(index=None)  # without the index's name, results hold the row numbers alone
        judge.add(frame)
        statistics.add(frame)
    return judge, statistics


def _validation(judge: Judge, statistics: Statistics, source: str, digest: str, blank_lines: int) -> Validation:
    from expectations.explain import explain

    results = judge.results(statistics)
    return Validation(
        source=source,
        rows=statistics.rows,
        digest=digest,
        checked=len(results),
        failures=explain(results, statistics),
        seen=statistics.seen,
        result=_plain(_counted([result for result, _ in results])),
        blank_lines=blank_lines,
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
