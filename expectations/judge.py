"""Great Expectations as the judge of a table that comes in parts.

It computes what its expectations need (its metrics) on each part. Counts are added, and the first failing rows kept;
then each expectation judges the sums, as it would judge those of the whole table. The means of the derived columns come
from `Statistics`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.validator.metrics_calculator import MetricsCalculator

from expectations import suite
from expectations.failure import AS_GIVEN
from expectations.limits import MOST_CELLS
from expectations.statistics import Statistics
from heart_disease.model import schema

# These kinds are judged on the table as it came, all others on the numbers in it; or on statistics of all of it.
ON_ARRIVAL = frozenset({"columns", "rows", "number", "blank", "blank share"})
ON_STATISTICS = frozenset({"balance", "direction", "duplicates"})
COUNTS: dict[str, Any] = {"result_format": "BASIC", "partial_unexpected_count": 0}
ROWS: dict[str, Any] = {"result_format": "COMPLETE"}
TYPES, KNOWN_SHARE = "table.column_types", "column.non_null_proportion"


@dataclass
class Tally:
    """What the parts so far say about one expectation.

    metrics: Great Expectations', by name, added up. known: cells that are not blank.
    count: failing cells; rows, cells: the first of them, a row's number and its cell.
    broken: whether Great Expectations could not compute its metrics.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    known: int = 0
    count: int = 0
    rows: list[int] = field(default_factory=list)
    cells: list[Any] = field(default_factory=list)
    broken: bool = False

    @property
    def is_full(self) -> bool:
        """Whether enough failing rows are known."""
        return len(self.rows) >= MOST_CELLS

    def measure(self, metric: str, value: Any, column: str | None) -> None:
        """Add a metric of some rows: counts add up; of types, the first that is not float64 stays."""
        if metric == TYPES:
            if metric not in self.metrics or _type(self.metrics[TYPES], column) == np.float64:
                self.metrics[metric] = value
        elif isinstance(value, int | np.integer):
            self.metrics[metric] = self.metrics.get(metric, 0) + int(value)
        else:
            self.metrics[metric] = value

    def fail(self, rows: list[int], cells: list[Any], count: int) -> None:
        """Count failing cells, and keep some of them."""
        self.count += count
        room = MOST_CELLS - len(self.rows)
        self.rows += rows[:room]
        self.cells += cells[:room]

    def join(self, below: Tally, column: str | None, rows: int) -> None:
        """Add what the rows below these `rows`, numbered from 1, say about the same expectation."""
        for metric, value in below.metrics.items():
            self.measure(metric, value, column)
        self.known += below.known
        self.broken |= below.broken
        self.fail([row + rows for row in below.rows], below.cells, below.count)


class Judge:
    """Add every part of a table once, or join what other judges found in theirs; then ask for the results."""

    def __init__(self) -> None:
        self.rules = list(suite.build().expectations)
        self.tallies = [Tally() for _ in self.rules]
        # Great Expectations copies every `meta` a hundred times over, so it gets none.
        self._bare = [rule.copy(update={"meta": None, "notes": None}) for rule in self.rules]
        self._engine = PandasExecutionEngine()
        self._types: dict[Hashable, Any] = {}
        self._known_needs: dict[tuple[int, str, Any], dict[str, Any]] = {}
        self.columns: set[object] = set()

    def add(self, part: pd.DataFrame) -> None:
        """Some rows, indexed by row number, each number above those before; the columns are the same in every part."""
        part = part.rename(columns={name: name + AS_GIVEN for name in suite.DERIVED if name in part})
        self.columns = set(part)
        text = [name for name in schema.BY_NAME if name in part and not pd.api.types.is_numeric_dtype(part[name])]
        numbers = part.assign(**{name: pd.to_numeric(part[name], errors="coerce") for name in text}) if text else part
        here = [i for i, rule in enumerate(self.rules) if set((rule.meta or {})["columns"]) <= self.columns]
        self._judge([i for i in here if self._kind(i) in ON_ARRIVAL], part, part)
        self._judge([i for i in here if self._kind(i) not in ON_ARRIVAL | ON_STATISTICS], numbers, part)

    def join(self, tallies: Sequence[Tally], columns: set[object], rows: int) -> None:
        """Add what another judge found in the rows below these `rows`, numbered from 1."""
        self.columns |= columns
        # An expectation asks for the types in a loaded batch before it says which metrics it needs: all are numbers.
        self._load(pd.DataFrame(columns=sorted(map(str, self.columns)), dtype="float64"))
        for rule, ours, theirs in zip(self.rules, self.tallies, tallies, strict=True):
            ours.join(theirs, getattr(rule, "column", None), rows)

    def results(self, found: Statistics) -> list[tuple[dict[str, Any], Tally]]:
        """Great Expectations' answers, as plain values, in the order of the rules that can be judged, with the tallies.

        found: of the same rows.
        """
        means = suite.derived_means(found, self.columns)
        columns = self.columns | set(means)
        return [
            (self._result(i, means, sorted(map(str, columns | set(suite.DERIVED)))), self.tallies[i])
            for i, rule in enumerate(self.rules)
            if suite.can_be_judged(rule, columns, found.rows)
        ]

    def _load(self, judged: pd.DataFrame) -> None:
        self._engine.load_batch_data("part", judged)
        self._types = judged.dtypes.to_dict()

    def _kind(self, i: int) -> str:
        return str((self.rules[i].meta or {})["kind"])

    def _judge(self, rules: Sequence[int], judged: pd.DataFrame, part: pd.DataFrame) -> None:
        """Add what Great Expectations computes on `judged`; `part` has the same cells as they came."""
        self._load(judged)
        failing = []
        for i, metrics in self._computed(rules, COUNTS).items():
            tally, name = self.tallies[i], getattr(self.rules[i], "column", None)
            tally.broken |= not metrics
            unexpected = 0
            for metric, value in metrics.items():
                if metric == KNOWN_SHARE:
                    tally.known += round(value * len(judged))
                    continue
                tally.measure(metric, value, name)
                if isinstance(value, int | np.integer) and metric.endswith("unexpected_count"):
                    unexpected = unexpected if "nonnull" in metric else int(value)
            match self._kind(i):
                case "number" if part[name].dtype != judged[name].dtype or not pd.api.types.is_numeric_dtype(
                    part[name]
                ):
                    words = pd.to_numeric(part[name], errors="coerce").isna() & part[name].notna()
                    tally.fail(*_first(part[name][words]), int(words.sum()))
                case "blank" | "blank share":
                    blank = part[name].isna()
                    tally.fail(*_first(part[name][blank]), int(blank.sum()))
                case _ if unexpected and tally.is_full:
                    tally.count += unexpected
                case _ if unexpected:
                    failing.append((i, unexpected))
        for i, metrics in self._computed([i for i, _ in failing], ROWS).items():
            name, count = self.rules[i].column, dict(failing)[i]
            [rows] = [rows for metric, rows in metrics.items() if metric.endswith("unexpected_index_list")]
            self.tallies[i].fail(*_first(part.loc[sorted(rows[:MOST_CELLS]), name]), count)

    def _computed(self, rules: Iterable[int], result_format: dict[str, Any]) -> dict[int, dict[str, Any]]:
        """For each rule its metrics by name; none if Great Expectations cannot compute them."""
        wanted = {i: self._needs(i, result_format) for i in rules}
        every = [metric for needs in wanted.values() for metric in needs.values()]
        found, _ = MetricsCalculator(self._engine).compute_metrics(every)
        return {
            i: {name: found[metric.id] for name, metric in needs.items()}
            if all(metric.id in found for metric in needs.values())
            else {}
            for i, needs in wanted.items()
        }

    def _needs(self, i: int, result_format: dict[str, Any]) -> dict[str, Any]:
        """The metrics that an expectation needs, by name.

        Great Expectations takes a millisecond or two to say that, and each expectation is asked several times. What it
        says depends on the type of its column in the loaded batch.
        """
        rule = self._bare[i]
        key = (i, result_format["result_format"], self._types.get(getattr(rule, "column", None)))
        if key not in self._known_needs:
            self._known_needs[key] = rule.get_validation_dependencies(
                execution_engine=self._engine, runtime_configuration={"result_format": dict(result_format)}
            ).metric_configurations
        return self._known_needs[key]

    def _result(self, i: int, means: Mapping[str, float], columns: list[str]) -> dict[str, Any]:
        rule, tally = self.rules[i], self.tallies[i]
        result: dict[str, Any] = {}
        if not tally.broken:
            given = {**tally.metrics, "table.columns": columns, "column.mean": means.get(getattr(rule, "column", ""))}
            if self._kind(i) in ("blank", "blank share"):
                given[KNOWN_SHARE] = tally.known / (tally.known + tally.count)
            result = self._answer(i, given, tally, COUNTS)
            if not result["success"]:
                result = self._answer(i, given, tally, ROWS)
        config = rule.configuration.to_json_dict()
        config |= {"meta": rule.meta, "notes": rule.notes, "severity": rule.severity.value}
        return {"success": False, "result": {}, **result, "expectation_config": config}

    def _answer(self, i: int, given: Mapping[str, Any], tally: Tally, result_format: dict[str, Any]) -> dict[str, Any]:
        """What the expectation says of these metrics."""
        metrics: dict[Any, Any] = {}
        for name, metric in self._needs(i, result_format).items():
            if name.endswith("unexpected_values"):
                metrics[metric.id] = tally.cells
            elif name.endswith("unexpected_index_list"):
                metrics[metric.id] = tally.rows
            else:
                metrics[metric.id] = given.get(name)
        answer = self._bare[i].metrics_validate(
            metrics, runtime_configuration={"result_format": dict(result_format)}, execution_engine=self._engine
        )
        plain: dict[str, Any] = answer.to_json_dict()
        return plain


def _first(cells: pd.Series) -> tuple[list[int], list[Any]]:
    """The numbers and the cells of the first rows."""
    cells = cells.iloc[:MOST_CELLS]
    return cells.index.tolist(), cells.tolist()


def _type(types: Sequence[Mapping[str, Any]], name: str | None) -> Any:
    return next(one["type"] for one in types if one["name"] == name)
