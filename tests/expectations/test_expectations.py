"""What the gate refuses, what it warns about, and what it says."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from expectations import suite
from expectations.gate import Cell, Validation, validate
from heart_disease.data import sources
from heart_disease.data.sources import Table
from heart_disease.model import schema
from tests.harness.data import patients
from tests.harness.data.judging import Change, judge, put


def turned(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(num=(frame["num"] == 0).astype(float))


def repeated(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows 35 and 50 repeat the patient of row 20, whose `ca` is blank, with another label."""
    frame = frame.copy()
    frame.loc[20, "ca"] = np.nan
    frame.loc[[35, 50], list(schema.INPUT_NAMES)] = frame.loc[[20, 20], list(schema.INPUT_NAMES)].to_numpy()
    return frame.assign(num=frame["num"].where(~frame.index.isin([35, 50]), 4 - frame["num"]))


@pytest.fixture(scope="module")
def cleveland() -> Validation:
    return validate(sources.load())


def test_cleveland_passes_with_the_warnings_it_deserves(cleveland: Validation) -> None:
    assert cleveland.passed
    assert cleveland.errors == ()
    assert [failure.cells for failure in cleveland.warnings] == [
        (Cell(153, "chol", "564"),),
        (Cell(133, "thalach", "202"), Cell(246, "thalach", "71")),
        (Cell(92, "oldpeak", "6.2"), Cell(124, "oldpeak", "5.6")),
    ]
    assert cleveland.checked == len(suite.build().expectations)


@pytest.mark.parametrize("seed", range(3))
def test_drawn_patients_pass_without_warnings(seed: int) -> None:
    assert judge(patients.make(60, seed=seed)).messages() == []


# Every reason to be refused: exactly one error each, which says what came, where, and what to do.
REFUSED: dict[str, tuple[Change, list[str]]] = {
    "missing column": (
        lambda f: f.drop(columns="chol"),
        ["error: column 'chol' is missing; expected all of age, sex,"],
    ),
    "two missing columns": (lambda f: f.drop(columns=["ca", "thal"]), ["error: columns 'ca' and 'thal' are missing;"]),
    "extra column": (lambda f: f.assign(hospital=1), ["error: column 'hospital' is unknown; expected only age, sex,"]),
    "extra column, named as the index": (lambda f: f.assign(row=1), ["error: column 'row' is unknown;"]),
    "extra column, named as a derived one": (
        lambda f: f.assign(disease=1),
        ["error: column 'disease' is unknown;"],
    ),
    "misspelt column": (
        lambda f: f.rename(columns={"thalach": "thalac"}),
        ["error: column 'thalac' is unknown; did you mean 'thalach'? Expected 'thalach' (maximum heart rate"],
    ),
    "two misspelt columns": (
        lambda f: f.rename(columns={"thalach": "Thalach", "exang": "exng"}),
        ["error: column 'Thalach' is unknown; did you mean 'thalach'?", "error: column 'exng' is unknown; did you"],
    ),
    "missing label": (lambda f: f.drop(columns="num"), ["error: column 'num' is missing;"]),
    "text in a number": (
        put("chol", (12, "high"), (15, "1,2")),
        ["error: column 'chol' has 'high' in row 12 and '1,2' in row 15 (2 of 120 rows); expected 70 to 700 mg/dl."],
    ),
    "words for codes": (
        put("thal", (12, "fixed")),
        ["error: column 'thal' has 'fixed' in row 12; expected 3, 6, 7 or blank. The codes: 3 normal, 6 fixed defect,"],
    ),
    "a mark for missing": (
        put("ca", (9, "?")),
        ["error: column 'ca' has '?' in row 9; expected 0, 1, 2, 3 or blank. Where a value is missing, leave the"],
    ),
    "a column of text": (
        lambda f: f.assign(age="old"),
        ["error: column 'age' has 'old' in rows 1, 2, 3, 4, 5, 6, 7, 8, 9 and 10 and 110 more (120 of 120 rows);"],
    ),
    "control characters": (put("age", (5, "\x1b[2J")), [r"error: column 'age' has '\x1b[2J' in row 5;"]),
    "blank": (
        put("age", (5, None)),
        ["error: column 'age' is blank in row 5; expected 18 to 100 years. Only 'ca' and 'thal' may be blank:"],
    ),
    "blank label": (put("num", (5, None)), ["error: column 'num' is blank in row 5; expected 0, 1, 2, 3 or 4."]),
    "blank too often": (
        lambda f: f.assign(ca=f["ca"].where(f.index > 13)),
        ["rows, 12.5 %); expected at most 10 % blank."],
    ),
    "no such code": (put("sex", (7, 2)), ["error: column 'sex' has 2 in row 7; expected 0 or 1."]),
    "half a code": (put("slope", (7, 1.5)), ["error: column 'slope' has 1.5 in row 7; expected 1, 2 or 3."]),
    "0 for missing": (put("thal", (7, 0)), ["expected 3, 6, 7 or blank. The codes: 3 normal, 6 fixed defect, 7"]),
    "codes of another copy": (put("ca", (7, 4)), ["expected 0, 1, 2, 3 or blank. The codes: 0 none, 1 one, 2 two"]),
    "above the limit": (
        put("chol", (15, 999), (12, 999), (20, 701)),
        ["error: column 'chol' has 999 in rows 12 and 15 and 701 in row 20 (3 of 120 rows); expected 70 to 700 mg/dl."],
    ),
    "below the limit": (put("chol", (3, 0)), ["column 'chol' has 0 in row 3; expected 70 to 700 mg/dl. Correct the"]),
    "infinity": (put("oldpeak", (3, np.inf)), ["error: column 'oldpeak' has inf in row 3; expected -3 to 10 mm."]),
    "infinity below": (put("oldpeak", (3, -np.inf)), ["error: column 'oldpeak' has -inf in row 3;"]),
    "infinite code": (put("thal", (3, np.inf)), ["error: column 'thal' has inf in row 3;"]),
    "all ill": (lambda f: f.assign(num=1.0), ["error: 100 % of the 120 patients have heart disease (num > 0); expec"]),
    "all healthy": (lambda f: f.assign(num=0.0), ["error: 0 % of the 120 patients have heart disease (num > 0); exp"]),
    "too few patients": (lambda f: f.head(49), ["error: the table has 49 rows; expected at least 50."]),
    "duplicates": (
        repeated,
        ["error: rows 35 and 50 repeat row 20 (2 of 120 rows); expected each patient once. Keep one of each."],
    ),
    "inverted label": (
        turned,
        ["the label looks inverted: it rises with 'thalach'", "the label looks inverted: it falls with 'oldpeak'"],
    ),
    "one column inverted": (
        lambda f: f.assign(oldpeak=4 - f["oldpeak"].clip(upper=4)),
        ["error: the label falls with 'oldpeak', ST depression by exercise, relative to rest (correlation -"],
    ),
    "constant column": (lambda f: f.assign(oldpeak=1.0), ["error: the label does not depend on 'oldpeak'"]),
    "text, and a value out of limits beside it": (
        put("chol", (3, "high"), (4, 999)),
        ["error: column 'chol' has 'high' in row 3;", "error: column 'chol' has 999 in row 4;"],
    ),
    "text beside faults in other columns": (
        lambda f: put("chol", (3, "high"))(turned(repeated(f))),
        ["column 'chol' has 'high' in row 3;", "repeat row 20", "rises with 'thalach'", "falls with 'oldpeak'"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    change, parts = REFUSED[name]
    validation = judge(change(patients.make()))
    assert not validation.passed
    messages = [message for message in validation.messages() if message.startswith("error: ")]
    assert len(messages) == len(parts), messages
    for part in parts:
        assert any(part in message for message in messages), (part, messages)
    assert all(message.endswith(".") for message in messages)


WARNED: dict[str, tuple[Change, list[str]]] = {
    "unusual number": (
        put("trestbps", (8, 85)),
        ["warning: column 'trestbps' has 85 in row 8; expected 90 to 200 mm Hg, the usual range."],
    ),
    "unusual code": (put("cp", (8, 0)), ["warning: column 'cp' has 0 in row 8; expected no row with 0 (unknown)."]),
    "code too often": (
        lambda f: f.assign(restecg=f["restecg"].where(f.index > 30, 1)),
        ["expected at most 10 % with 1 (ST-T wave abnormality)."],
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_warned_but_not_refused(name: str) -> None:
    change, parts = WARNED[name]
    validation = judge(change(patients.make()))
    assert validation.passed
    assert len(validation.warnings) == len(parts)
    assert all(part in message for part, message in zip(parts, validation.messages(), strict=True))


def test_the_bounds_themselves_are_allowed() -> None:
    frame = patients.make(60)
    for column in schema.COLUMNS:
        if column.limits is not None:
            frame.loc[[3, 4], column.name] = column.limits
    assert judge(frame).errors == ()


def test_a_refused_cell_causes_no_warning_as_well() -> None:
    validation = judge(put("chol", (3, 999), (4, 600))(patients.make()))
    assert [(failure.severity, failure.cells) for failure in validation.failures] == [
        ("critical", (Cell(3, "chol", "999"),)),
        ("warning", (Cell(4, "chol", "600"),)),
    ]


def test_errors_come_first() -> None:
    frame = put("num", (9, 7))(put("age", (3, 99))(patients.make()))
    assert [failure.severity for failure in judge(frame).failures] == ["critical", "warning"]


def test_a_message_names_as_many_cells_as_asked() -> None:
    frame = put("chol", *((row, 999) for row in range(1, 31)))(patients.make())
    assert "has 999 in rows 1 and 2 and 28 more (30 of 120 rows)" in judge(frame).messages(most=2)[0]


@pytest.mark.parametrize("share", [0.361, 0.459])
def test_the_class_shares_of_hungary_and_cleveland_pass(share: float) -> None:
    frame = patients.make(200)
    ill = frame["num"].rank(method="first") > 200 * (1 - share)
    assert judge(frame.assign(num=ill.astype(float))).passed


def test_row_order_changes_nothing() -> None:
    frame = put("chol", (3, "high"), (90, 999))(turned(repeated(patients.make())))
    shuffled = judge(frame.sample(frac=1, random_state=0))
    assert shuffled.failures == judge(frame).failures
    assert shuffled.digest == judge(frame).digest


def test_the_table_is_not_changed() -> None:
    table = sources.make_table(put("chol", (3, "high"))(patients.make()), "test.csv")
    before = table.frame.copy()
    validate(table)
    pd.testing.assert_frame_equal(table.frame, before)
    assert table.frame.index.name == "row"


def test_a_table_of_another_type_is_refused_even_if_no_cell_is_at_fault() -> None:
    frame = patients.make().astype({"age": "int64"})
    (failure,) = validate(Table(frame, "by hand", "0", np.zeros(len(frame), np.uint64))).failures
    assert failure.message() == "error: column 'age' is of type int64; expected 18 to 100 years. Convert it to float64."


def test_the_result_is_complete_and_plain_json() -> None:
    validation = judge(put("oldpeak", (3, np.inf))(put("chol", (9, "high"))(patients.make())))
    assert json.loads(json.dumps(validation.result, allow_nan=False)) == validation.result
    assert (
        len(validation.result["results"])
        == validation.checked
        == validation.result["statistics"]["evaluated_expectations"]
    )
    assert not validation.result["success"]
    failed = [one for one in validation.result["results"] if not one["success"]]
    assert [one["expectation_config"]["meta"]["rule"] for one in failed] == [
        "column 'chol' holds numbers",
        "column 'oldpeak' within -3 to 10 mm",
        "column 'oldpeak' usually 0 to 4.5 mm",
    ]
    assert failed[1]["result"]["unexpected_index_list"] == [3]
    assert not any(one["exception_info"].get("raised_exception") for one in validation.result["results"])


def test_nothing_is_printed_or_logged(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    judge(put("chol", (9, "high"))(patients.make().drop(columns="age")))
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name.startswith("great_expectations")] == []
    assert logging.getLogger("great_expectations").propagate


def test_importing_the_gate_does_not_import_great_expectations() -> None:
    code = "import sys, expectations.gate; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=suite.FILE.parent.parent).returncode == 0
