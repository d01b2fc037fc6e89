"""Table -> Validation: run the suite with Great Expectations, in memory.

Nothing is written, nothing is sent and nothing is printed. An expectation that cannot be judged because a column
is missing or holds text does not fail itself: the missing column or the text fails, once, and everything else is
judged on the cells that can be read. The caller decides whether a refused table stops the work.
"""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from expectations.explain import explain
from expectations.failure import Cell, Failure
from heart_disease.data.sources import Table
from heart_disease.model import schema

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

__all__ = ["Cell", "Failure", "Seen", "Validation", "validate"]

# These kinds are judged on the table as it came, all others on the numbers in it.
ON_ARRIVAL = frozenset({"columns", "rows", "number", "blank", "blank share", "duplicates"})
# Great Expectations keeps its context in a global; the logger and warnings that `_quiet` changes are global too.
_ALONE = threading.Lock()


@dataclass(frozen=True)
class Seen:
    """What a column holds, in numbers.

    least, middle, most: smallest value, median and greatest; None if no cell is a number.
    blank, unreadable, unusual: cells that are blank, are not numbers, or lie outside what is usual.
    counts: for a column of codes, the rows with each code that it may hold.
    """

    name: str
    least: float | None
    middle: float | None
    most: float | None
    blank: int
    unreadable: int
    unusual: int
    counts: dict[int, int]


@dataclass(frozen=True)
class Validation:
    """What validation says about a table of `rows` patients from `source`, whose content is `digest`.

    checked: how many expectations could be judged.
    failures: errors first; none, or warnings only, if the table can be used.
    seen: for each column of the schema that is there, what it holds.
    result: all that Great Expectations answered, as plain JSON values; row numbers are those of the table.
    """

    source: str
    rows: int
    digest: str
    checked: int
    failures: tuple[Failure, ...]
    seen: tuple[Seen, ...]
    result: dict[str, Any]

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
    """Judge `table`; its frame is not changed. Row order changes nothing but the order in `result`."""
    frame = table.frame.rename_axis(index=None)  # without the index's name, results hold the row numbers alone
    with _ALONE, _quiet():
        from expectations import suite

        arrived = suite.batch(frame)
        text = [name for name in schema.BY_NAME if name in frame and not pd.api.types.is_numeric_dtype(frame[name])]
        rules = [rule for rule in suite.build().expectations if suite.can_be_judged(rule, arrived)]
        first = [rule for rule in rules if not text or _kind(rule) in ON_ARRIVAL]
        result = _run(first, arrived)
        if text:
            numbers = arrived.assign(**{name: pd.to_numeric(frame[name], errors="coerce") for name in text})
            result["results"] += _run([rule for rule in rules if rule not in first], numbers)["results"]
    result = _plain(_count(result))
    return Validation(
        source=table.source,
        rows=len(frame),
        digest=table.digest,
        checked=len(rules),
        failures=explain(result["results"], frame),
        seen=tuple(_seen(frame[name], column) for name, column in schema.BY_NAME.items() if name in frame),
        result=result,
    )


def _kind(rule: Expectation) -> str:
    return str((rule.meta or {})["kind"])


def _run(rules: Sequence[Expectation], frame: pd.DataFrame) -> dict[str, Any]:
    """Great Expectations' answer, in the order of `rules`, with every row of those that fail."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    # Without a configuration it makes a temporary folder for documentation that nobody reads.
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("patients")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    # It copies every `meta` a hundred times over, and listing rows is slow even if there are none. So it gets a
    # number as `meta`, and is asked for rows only if an expectation failed: that is a third faster.
    bare = [rule.copy(update={"meta": {"rule": i}, "notes": None}) for i, rule in enumerate(rules)]

    def ask(some: Sequence[Expectation], result_format: str) -> dict[str, Any]:
        suite = gx.ExpectationSuite(name="patients", expectations=list(some))
        answer = batch.validate(suite, result_format={"result_format": result_format})
        plain: dict[str, Any] = answer.to_json_dict()
        return plain

    result = ask(bare, "BASIC")
    by_rule = {_number(one): one for one in result["results"]}
    failed = [bare[i] for i, one in by_rule.items() if not one["success"]]
    if failed:
        by_rule.update((_number(one), one) for one in ask(failed, "COMPLETE")["results"])
    for i, one in by_rule.items():
        one["expectation_config"].update(meta=rules[i].meta, notes=rules[i].notes)
    return {**result, "results": [by_rule[i] for i in sorted(by_rule)]}


def _number(result: dict[str, Any]) -> int:
    return int(result["expectation_config"]["meta"]["rule"])


def _count(result: dict[str, Any]) -> dict[str, Any]:
    """`result` with the statistics of all its results, which may come from two runs."""
    results = result["results"]
    met = sum(one["success"] for one in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": met,
        "unsuccessful_expectations": len(results) - met,
        "success_percent": 100 * met / len(results),
    }
    return {**result, "success": met == len(results), "statistics": statistics}


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it: NumPy scalars become numbers, and floats that JSON lacks become text."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _seen(values: pd.Series, column: schema.Column) -> Seen:
    from_text = pd.to_numeric(values, errors="coerce").astype("float64")
    unreadable = schema.unparsable(values)
    numbers = from_text[~unreadable].dropna()
    known = len(numbers) > 0
    least, middle, most = (float(f()) if known else None for f in (numbers.min, numbers.median, numbers.max))
    unusual = int((~numbers.between(*column.usual)).sum()) if column.usual else 0
    counts = {code: int((numbers == code).sum()) for code in column.codes}
    return Seen(column.name, least, middle, most, int(values.isna().sum()), int(unreadable.sum()), unusual, counts)


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
