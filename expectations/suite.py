"""The schema -> one Great Expectations suite of built-in expectations; `patients.json` is the same, as a file.

Severity `critical` refuses a table; `warning` only says what is worth a look. The `meta` of each expectation has
`kind` (what it is about), `rule` and `expected` (both in words) and `columns` (those it needs to be judged).

No built-in expectation judges two columns at once in pandas, so `batch` adds derived columns whose mean is the
statistic:

    disease              1 where num > 0, else 0; its mean is the share of patients with heart disease
    disease_by_thalach   the product of `disease` and `thalach`, both standardised; its mean is their correlation
    disease_by_oldpeak   likewise

To use the suite elsewhere: ``gx.ExpectationSuite(**json.load(open("expectations/patients.json")))``, on a batch
that has these three columns (`batch` makes them for pandas; in SQL they are a view).

    python -m expectations.suite     writes patients.json again
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from expectations.failure import AS_GIVEN, percent
from heart_disease.model import schema
from heart_disease.model.schema import LABEL, Column

FILE = Path(__file__).with_name("patients.json")

# Fewer patients than this leave about two per class in each of ten folds.
LEAST_ROWS = 50
# Cleveland has 1.3 % of `ca` blank. "Missing" is an input of the network: if it is common, it says which
# hospital a patient comes from, and the network learns that.
MOST_BLANK = 0.10
# A code that the schema calls rare is an error above this share. 0 for chest pain is in none of UCI's files; 1 for the
# ECG in 1 % (Cleveland), 18 % (Hungary), 24 % (Switzerland) and 47 % (Long Beach, whose blanks are errors anyway). In
# copies with other codes, 47 % have the one and 50 % the other.
MOST_RARE = 0.40
# In fewer rows, chance alone may bring that share.
RARE_ROWS = 20
# Each class has at least this share: 36 % (Hungary) and 46 % (Cleveland) pass; one class alone does not.
LEAST_CLASS_SHARE = 0.10
# The sign of the correlation with heart disease, -0.42 and +0.42 in Cleveland; an inverted label reverses it.
DIRECTION = {"thalach": -1, "oldpeak": +1}

DISEASE = "disease"
DERIVED = (DISEASE, *(f"{DISEASE}_by_{name}" for name in DIRECTION))


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

    Only cells that are finite numbers count. A correlation with a constant is taken to be 0.
    """
    clash = {name: name + AS_GIVEN for name in DERIVED if name in frame}
    derived = frame.rename(columns=clash)
    if LABEL.name in frame:
        number = readable(frame[LABEL.name])
        disease = schema.label(number.to_frame()).where(number.notna())
        derived[DISEASE] = disease
        for name in DIRECTION:
            if name in frame:
                derived[f"{DISEASE}_by_{name}"] = _products(disease, readable(frame[name]))
    return derived


def readable(values: pd.Series) -> pd.Series:
    """float64: the finite numbers among `values`, NaN elsewhere."""
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(~schema.unparsable(values))


def can_be_judged(rule: Expectation, derived: pd.DataFrame) -> bool:
    """Whether `derived` has what `rule` needs: the columns, both classes among the known values, enough rows."""
    meta = rule.meta or {}
    if not set(meta["columns"]) <= set(derived):
        return False
    match meta["kind"]:
        case "balance":
            return bool(derived[DISEASE].notna().any())
        case "direction":
            label = derived.loc[derived[rule.column].notna(), DISEASE]
            return bool((label == 0).any() and (label == 1).any())
        case "rare share":
            return len(derived) >= RARE_ROWS
    return True


def _products(a: pd.Series, b: pd.Series) -> pd.Series:
    known = a.notna() & b.notna()
    x, y = a[known].to_numpy(), b[known].to_numpy()
    spread = x.std() * y.std() if known.any() else 0.0
    products = (x - x.mean()) * (y - y.mean()) / spread if spread > 0 else 0.0 * x
    return pd.Series(products, index=a.index[known]).reindex(a.index)


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
    yield gxe.ExpectCompoundColumnsToBeUnique(
        column_list=inputs,
        ignore_row_if="never",
        meta=_meta("duplicates", "no patient twice", "each patient once", *inputs),
        notes="A patient in both the training and the test rows flatters a model. Blank equals blank.",
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
