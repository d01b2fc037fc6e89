"""What only the table as a whole shows: other codes, lost columns; and what a message may not claim to know."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from expectations.gate import Validation, validate
from heart_disease.data import sources
from heart_disease.lessons.columns import FOREIGN
from heart_disease.model import schema
from tests.harness.data import patients

PATIENTS = sources.load().frame.sort_index()
KAGGLE = PATIENTS.replace(FOREIGN).fillna({"ca": 4, "thal": 0}).assign(num=1 - schema.label(PATIENTS))


def judge(frame: pd.DataFrame) -> Validation:
    return validate(sources.make_table(frame, "test.csv"))


def test_another_copy_is_refused_even_after_its_codes_were_given_numbers_that_exist() -> None:
    converted = KAGGLE.replace({"thal": {0: np.nan, 1: 3, 2: 6, 3: 7}, "ca": {4: np.nan}})
    converted = converted.assign(slope=KAGGLE["slope"] + 1, num=1 - KAGGLE["num"])
    found = judge(converted)
    assert [(error.columns, error.rule) for error in found.errors] == [
        (("cp",), "column 'cp' mostly not 0"),
        (("restecg",), "column 'restecg' mostly not 1"),
    ]
    assert "(144 of 303 rows, 47.5 %); expected at most 40 % with 0 (unknown)." in found.messages()[0]
    assert "(151 of 303 rows, 49.8 %); expected at most 40 % with 1 (ST-T wave abnormality)." in found.messages()[1]
    assert found.doubts == found.errors
    assert not {"cp", "restecg"} & {name for warning in found.warnings for name in warning.columns}


@pytest.mark.parametrize("frame", [KAGGLE, patients.make(60, thal=2.0), PATIENTS.replace({"slope": {1: 0}})])
def test_no_message_says_how_to_convert_what_may_be_another_copy(frame: pd.DataFrame) -> None:
    messages = [message for message in judge(frame).messages() if message.startswith("error: ")]
    assert messages
    for message in messages:
        assert "see docs/copies.md before you change any." in message
        assert not re.search(r"convert|stands for|1 minus|leave the cell blank", message)


@pytest.mark.parametrize(("rows", "doubts"), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)])
def test_codes_that_do_not_exist_in_over_a_quarter_of_the_rows_make_the_others_doubtful(rows: int, doubts: int) -> None:
    frame = patients.make(12).assign(thal=[2.0] * rows + [3.0] * (12 - rows), num=7)
    found = judge(frame)
    assert len(found.doubts) == doubts  # the label is not asked
    assert any(error.columns == ("thal",) for error in found.errors)


def test_one_wrong_row_of_two_does_not_make_the_other_doubtful() -> None:
    assert judge(PATIENTS.head(2).assign(thal=[2.0, 3.0])).doubts == ()


@pytest.mark.parametrize(("value", "rows", "doubtful"), [(5.2, 15, False), (5.2, 16, True), (0.0, 60, False)])
def test_numbers_that_nobody_has_make_a_column_doubtful_unless_they_are_0(
    value: float, rows: int, doubtful: bool
) -> None:
    frame = patients.make(60)
    found = judge(frame.assign(chol=[value] * rows + frame["chol"].tolist()[rows:]))
    assert [error.columns for error in found.errors] == [("chol",)]
    assert bool(found.doubts) == doubtful


@pytest.mark.parametrize(("rows", "refused"), [(8, False), (9, True)])
def test_a_rare_code_is_an_error_above_40_percent(rows: int, refused: bool) -> None:
    found = judge(patients.make(20).assign(restecg=[1.0] * rows + [2.0] * (20 - rows)))
    assert [error.columns for error in found.doubts] == [("restecg",)] * refused
    assert [warning.columns for warning in found.warnings] == [("restecg",)] * (not refused)


def test_in_fewer_than_20_rows_a_rare_code_is_only_unusual() -> None:
    found = judge(patients.make(19, cp=0, restecg=1))
    assert found.doubts == ()
    assert [warning.columns for warning in found.warnings] == [("cp",), ("restecg",)]


@pytest.mark.parametrize(("rows", "doubtful"), [(49, False), (50, True)])
def test_a_column_that_was_lost_makes_a_table_of_50_rows_doubtful(rows: int, doubtful: bool) -> None:
    found = judge(patients.make(rows, ca=np.nan))
    assert [error.columns for error in found.doubts] == [("ca",)] * doubtful


def test_one_reversed_direction_alone_does_not_make_the_label_look_inverted() -> None:
    frame = patients.make(60)
    found = judge(frame.assign(num=(frame["num"] == 0).astype(float), oldpeak=np.nan))
    assert [error.columns for error in found.errors] == [("oldpeak",), ("num", "thalach")]
    assert "error: the label rises with 'thalach'" in found.messages()[1]


# A column of which nothing can be used.

USELESS = {"blank": np.nan, "text": "x", "infinite": np.inf, "blank or infinite": [np.nan, np.inf] * 30}
DEPENDENT = ["thalach", "num", "thal"]  # with a correlation, with the classes, and neither


@pytest.mark.parametrize("column", DEPENDENT)
@pytest.mark.parametrize("kind", USELESS)
def test_a_column_without_a_number_is_an_error_once(kind: str, column: str) -> None:
    errors = judge(patients.make(60, **{column: USELESS[kind]})).errors
    assert {error.columns for error in errors} == {(column,)}
    assert len(errors) == (1 + (kind == "blank or infinite")), [error.message() for error in errors]


def test_a_column_that_is_known_in_one_class_only_is_an_error_once() -> None:
    frame = patients.make(60)
    errors = judge(frame.assign(thalach=frame["thalach"].where(frame["num"] > 0))).errors
    assert [error.columns for error in errors] == [("thalach",)]


def test_a_table_without_a_single_number_is_refused_with_each_column_once() -> None:
    errors = judge(patients.make(60).assign(**dict.fromkeys(schema.BY_NAME, "x"))).errors
    named = [error.columns[0] for error in errors if len(error.columns) == 1]
    assert sorted(named) == sorted(schema.BY_NAME)
