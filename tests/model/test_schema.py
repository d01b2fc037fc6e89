"""The columns: what is derived from them, and which cells they allow."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from heart_disease.data import sources
from heart_disease.model import encoding, schema
from heart_disease.model.schema import BY_NAME, COLUMNS, LABEL
from heart_disease.training import network
from heart_disease.training.recipe import Recipe


def allowed(column: str, *cells: object) -> list[bool]:
    return (~schema.forbidden(pd.Series(cells, dtype="object"), BY_NAME[column])).tolist()


def test_29_inputs_and_497_parameters_follow_from_the_columns() -> None:
    numbers = sum(column.is_number for column in COLUMNS)
    coded = sum(len(column.codes) + column.optional for column in COLUMNS if not column.is_number)
    assert (numbers, coded) == (6, 23)
    assert len(encoding.input_names()) == numbers + coded == 29
    shapes = network.layer_shapes(Recipe(), len(encoding.input_names()))
    assert sum(int(np.prod(shape)) for shape in shapes) == 29 * 16 + 16 + 16 * 1 + 1 == 497


def test_every_column_is_declared_once_and_is_either_a_number_with_limits_or_has_codes() -> None:
    assert len(BY_NAME) == len(COLUMNS) + 1 == 14
    assert LABEL.name not in schema.INPUT_NAMES
    for column in BY_NAME.values():
        assert bool(column.codes) != (column.limits is not None), column.name
        assert set(column.usual_share) <= set(column.codes)
        if column.limits is not None and column.usual is not None:
            assert column.limits[0] <= column.usual[0] < column.usual[1] <= column.limits[1], column.name


@pytest.mark.parametrize("name", BY_NAME)
def test_the_bundled_patients_break_no_limit_and_no_code(name: str) -> None:
    values = sources.load().frame[name]
    assert not schema.forbidden(values, BY_NAME[name]).any()
    assert not schema.unparsable(values).any()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("age", "18 to 100 years"),
        ("trestbps", "60 to 260 mm Hg"),
        ("oldpeak", "-3 to 10 mm"),
        ("sex", "0 or 1"),
        ("cp", "0, 1, 2, 3 or 4"),
        ("slope", "1, 2 or 3"),
        ("ca", "0, 1, 2, 3 or blank"),
        ("thal", "3, 6, 7 or blank"),
        ("num", "0, 1, 2, 3 or 4"),
    ],
)
def test_expected_says_what_a_cell_may_hold(name: str, expected: str) -> None:
    assert BY_NAME[name].expected == expected


@pytest.mark.parametrize("column", [column for column in COLUMNS if column.limits], ids=lambda column: column.name)
def test_limits_include_their_ends_and_nothing_beyond(column: schema.Column) -> None:
    assert column.limits is not None
    low, high = column.limits
    outside = [np.nextafter(low, -np.inf), np.nextafter(high, np.inf)]
    assert allowed(column.name, low, high, *outside) == [True, True, False, False]


@pytest.mark.parametrize("column", [column for column in COLUMNS if column.codes], ids=lambda column: column.name)
def test_only_codes_are_allowed(column: schema.Column) -> None:
    codes = list(column.codes)
    assert all(allowed(column.name, *codes))
    assert not any(allowed(column.name, min(codes) - 1, max(codes) + 1, codes[0] + 0.5))


@pytest.mark.parametrize("name", BY_NAME)
def test_no_column_allows_text_or_infinity_and_only_optional_ones_a_blank(name: str) -> None:
    assert not any(allowed(name, "fixed", "?", "nan", "NA", "", " ", "1,5", np.inf, -np.inf, "inf"))
    optional = name in {"ca", "thal"}
    assert allowed(name, np.nan, None, pd.NA) == [optional] * 3


def test_numbers_written_as_text_are_read() -> None:
    assert allowed("age", "63", "63.0", " 63 ", "6.3e1") == [True] * 4


@pytest.mark.parametrize(
    "dtype", ["float64", "object", "str", "string", "Int64", "Float64", "int64[pyarrow]", "category"]
)
def test_columns_of_every_type_are_judged_alike(dtype: str) -> None:
    text = dtype in {"str", "string"}
    values = pd.Series(["63", None, "200"] if text else [63, None, 200]).astype(dtype)
    assert schema.forbidden(values, BY_NAME["age"]).tolist() == [False, True, True]
    codes = pd.Series(["3", None, "4"] if text else [3, None, 4]).astype(dtype)
    assert schema.forbidden(codes, BY_NAME["thal"]).tolist() == [False, False, True]


def test_forbidden_keeps_the_rows_and_leaves_the_values_alone() -> None:
    values = pd.Series([63, "x", None], index=[7, 3, 9], dtype="object")
    before = values.copy()
    bad = schema.forbidden(values, BY_NAME["age"])
    assert bad.dtype == bool
    assert list(bad.index) == [7, 3, 9]
    pd.testing.assert_series_equal(values, before)


def test_unparsable_cells_are_neither_blank_nor_a_finite_number() -> None:
    cells = pd.Series([63, "63", "x", "", None, np.nan, np.inf, "-inf", "nan", 1e300], dtype="object")
    assert schema.unparsable(cells).tolist() == [False, False, True, True, False, False, True, True, True, False]


def test_the_label_is_any_narrowing_over_half() -> None:
    found = schema.label(pd.DataFrame({"num": [0.0, 1, 2, 3, 4]}))
    assert found.tolist() == [0, 1, 1, 1, 1]
    assert found.dtype == "float64"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (150, "150"),
        (150.0, "150"),
        (np.int64(150), "150"),
        (2.3, "2.3"),
        (-0.5, "-0.5"),
        (1234567, "1234567"),
        (100.0001, "100.0001"),  # outside the limits of age, so it must not be shown as 100
        (float("inf"), "inf"),
        ("fixed", "'fixed'"),
        ("", "''"),
        ("\x1b[2J", r"'\x1b[2J'"),  # must not reach a terminal unescaped
        (None, "blank"),
        (float("nan"), "blank"),
        (pd.NA, "blank"),
        ([1, None], "'[1, None]'"),
    ],
)
def test_show(value: object, shown: str) -> None:
    assert schema.show(value) == shown


def test_a_value_is_said_in_words() -> None:
    assert schema.BY_NAME["oldpeak"].says(2.3) == "ST depression by exercise, relative to rest: 2.3 mm"
    assert schema.BY_NAME["thal"].says(6.0) == "thallium scan: fixed defect"
    assert schema.BY_NAME["ca"].says(float("nan")) == "major vessels coloured by fluoroscopy: not known"
