"""The schema -> one Great Expectations suite of built-in expectations; `patients.json` is the same, as a file.

Severity `critical` refuses a table; `warning` only says what is worth a look. The `meta` of each expectation has
`kind` (what it is about), `rule` and `expected` (both in words) and `columns` (those it needs to be judged).

No built-in expectation judges two columns at once in pandas, or a table in parts, so `batch` adds derived columns whose
mean is the statistic:

    disease              1 where num > 0, else 0; its mean is the share of patients with heart disease
    disease_by_thalach   the product of `disease` and `thalach`, both standardised; its mean is their correlation
    disease_by_oldpeak   likewise
    repeated             1 where a row has the inputs of another one above it, else 0; all 0 if chance explains as many

To use the suite elsewhere: ``gx.ExpectationSuite(**json.load(open("expectations/patients.json")))``, on a batch
that has these four columns (`batch` makes them for pandas, as constants; in SQL they are a view).

    python -m expectations.suite     writes patients.json again
"""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Iterator
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from expectations.failure import AS_GIVEN, percent
from expectations.limits import LEAST_CLASS_SHARE, LEAST_ROWS, MOST_BLANK, MOST_RARE, RARE_ROWS
from expectations.repeats import NONE_UP_TO
from expectations.statistics import DIRECTION, Statistics
from heart_disease.model import schema
from heart_disease.model.schema import LABEL, Column

FILE = Path(__file__).with_name("patients.json")

DISEASE, REPEATED = "disease", "repeated"
DERIVED = (DISEASE, *(f"{DISEASE}_by_{name}" for name in DIRECTION), REPEATED)


def build() -> gx.ExpectationSuite:
    """The suite for a batch made by `batch`."""
    return gx.ExpectationSuite(
        name="patients",
        expectations=[*_table(), *(rule for column in schema.BY_NAME.values() for rule in _column(column)), *_label()],
        notes="Patients of the UCI Heart Disease data, in UCI codes. Made from the schema: change that, not this.",
    )


def as_json() -> str:
    """The suite as JSON, without the version of the library that wrote it."""
    suite: dict[str, Any] = build().to_json_dict()
    return json.dumps({key: suite[key] for key in ("name", "notes", "expectations")}, indent=2) + "\n"


def batch(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` of shape (n, columns) with the derived columns, as far as their sources are there.

    Each holds its statistic in every row, which is then its mean.
    """
    found = Statistics()
    found.add(frame.rename_axis(index=None).sort_index())
    derived = frame.rename(columns={name: name + AS_GIVEN for name in DERIVED if name in frame})
    return derived.assign(**derived_means(found, set(frame)))


def derived_means(found: Statistics, columns: Container[object]) -> dict[str, float]:
    """The mean of each derived column of a table with these columns; without those that cannot be computed."""
    repeats, by_chance, _ = found.repeats
    means: dict[str, float | None] = {DISEASE: found.share if LABEL.name in columns else None}
    means |= {f"{DISEASE}_by_{name}": found.correlation(name) for name in DIRECTION}
    if all(name in columns for name in schema.INPUT_NAMES):
        means[REPEATED] = repeats / found.rows if repeats > by_chance else 0.0
    return {name: mean for name, mean in means.items() if mean is not None}


def can_be_judged(rule: Expectation, columns: Collection[object], rows: int) -> bool:
    """Whether a table of this many rows with these columns, derived ones among them, has what `rule` needs."""
    meta = rule.meta or {}
    derived = getattr(rule, "column", None)
    if not set(meta["columns"]) <= set(columns) or (derived in DERIVED and derived not in columns):
        return False
    return meta["kind"] != "rare share" or rows >= RARE_ROWS


def _meta(kind: str, rule: str, expected: str, *columns: str) -> dict[str, Any]:
    return {"kind": kind, "rule": rule, "expected": expected, "columns": list(columns)}


def _table() -> Iterator[Expectation]:
    inputs = list(schema.INPUT_NAMES)
    yield gxe.ExpectTableColumnsToMatchSet(
        column_set=[*schema.BY_NAME, *DERIVED],
        exact_match=True,
        meta=_meta("columns", "the columns", f"the {len(schema.BY_NAME)} columns {', '.join(schema.BY_NAME)}"),
        notes="A column that is missing, misspelt or unknown. The derived columns are added by the gate.",
    )
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=LEAST_ROWS,
        meta=_meta("rows", "enough patients", f"at least {LEAST_ROWS}"),
        notes="Fewer patients leave too few of a class in a fold to judge a model on.",
    )
    yield gxe.ExpectColumnMeanToBeBetween(
        column=REPEATED,
        max_value=0,
        meta=_meta("duplicates", "no patient twice", "each patient once", *inputs),
        notes="A patient in both the training and the test rows flatters a model. Blank equals blank. Among more than "
        f"{NONE_UP_TO} patients, as many repeats as chance explains are none.",
    )


def _column(column: Column) -> Iterator[Expectation]:
    name, title = column.name, f"column '{column.name}'"
    about = f"{column.meaning}. "
    yield gxe.ExpectColumnValuesToBeOfType(
        column=name,
        type_="float64",
        meta=_meta("number", f"{title} holds numbers", column.expected, name),
        notes=about + "A column in which a cell is not a number is read as text.",
    )
    if column.optional:
        blanks = _meta("blank share", f"{title} mostly known", f"at most {percent(MOST_BLANK)} blank", name)
        why = "Blank means missing; if that is common, it tells about the hospital, not the patient."
    else:
        blanks, why = _meta("blank", f"{title} never blank", column.expected, name), "A value is required."
    yield gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(
        column=name, min_value=1 - MOST_BLANK if column.optional else 1, meta=blanks, notes=about + why
    )
    if column.limits is not None:
        low, high = column.limits
        yield gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=low,
            max_value=high,
            meta=_meta("limits", f"{title} within {column.expected}", column.expected, name),
            notes=about + "A value outside is an error of measurement or of typing; so is infinity.",
        )
    else:
        yield gxe.ExpectColumnValuesToBeInSet(
            column=name,
            value_set=list(column.codes),
            meta=_meta("codes", f"{title} is {column.expected}", column.expected, name),
            notes=about + "; ".join(f"{code} {meaning}" for code, meaning in column.codes.items()) + ".",
        )
    if column.usual is not None:
        low, high = column.usual
        usual = f"{low:g} to {high:g} {column.unit}"
        yield gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=low,
            max_value=high,
            severity=FailureSeverity.WARNING,
            meta=_meta("usual", f"{title} usually {usual}", f"{usual}, the usual range", name),
            notes=about + "Possible, but rare among the Cleveland patients.",
        )
    for code, share in column.usual_share.items():
        most = f"at most {percent(share)}" if share else "no row"
        meaning = f"with {code} ({column.codes[code]})"
        if share < MOST_RARE:
            yield gxe.ExpectColumnValuesToNotBeInSet(
                column=name,
                value_set=[code],
                mostly=1 - MOST_RARE,
                meta=_meta("rare share", f"{title} mostly not {code}", f"at most {percent(MOST_RARE)} {meaning}", name),
                notes=about + "No hospital whose patients can be used here has so many.",
            )
        yield gxe.ExpectColumnValuesToNotBeInSet(
            column=name,
            value_set=[code],
            mostly=1 - share,
            severity=FailureSeverity.WARNING,
            meta=_meta("usual share", f"{title} rarely {code}", f"{most} {meaning}", name),
            notes=about + "Allowed, but rarer among the Cleveland patients.",
        )


def _label() -> Iterator[Expectation]:
    low, high = LEAST_CLASS_SHARE, 1 - LEAST_CLASS_SHARE
    expected = f"{percent(low)} to {percent(high)} of the patients with heart disease"
    yield gxe.ExpectColumnMeanToBeBetween(
        column=DISEASE,
        min_value=low,
        max_value=high,
        meta=_meta("balance", "both classes", expected, LABEL.name),
        notes="A label that is nearly all one class teaches nothing. `disease` is 1 where num > 0, else 0.",
    )
    for name, sign in DIRECTION.items():
        word, bound = ("rises", "min") if sign > 0 else ("falls", "max")
        bounds: dict[str, Any] = {f"{bound}_value": 0, f"strict_{bound}": True}
        yield gxe.ExpectColumnMeanToBeBetween(
            column=f"{DISEASE}_by_{name}",
            meta=_meta("direction", f"heart disease {word} with '{name}'", f"a label that {word}", LABEL.name, name),
            notes="The mean of the products is the correlation; its sign is reversed if 1 means healthy.",
            **bounds,
        )


if __name__ == "__main__":
    FILE.write_text(as_json(), encoding="utf-8")
