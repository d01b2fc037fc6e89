"""The encoder's steps by hand, and the public copy against known facts about that file."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from expectations.gate import validate
from heart_disease.data import sources
from heart_disease.lessons import columns
from heart_disease.lessons.lesson import Lesson
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import UsageError

PATIENTS = sources.load().frame
COPY = columns.public_copy(PATIENTS)


def walked(row: int) -> dict[str, tuple[str, str]]:
    return {name: (cell, put) for name, cell, put in columns.walk(PATIENTS, row, Encoder.fit(PATIENTS))}


# --- one patient


def test_a_number_is_standardised_as_by_hand() -> None:
    age = PATIENTS["age"]
    value = (57 - age.mean()) / age.std(ddof=0)
    assert walked(298)["`age`"] == ("57 years", f"(57 - 54.44) / 9.02 = {value:+.3f}")


def test_a_code_becomes_one_input_among_those_of_its_column() -> None:
    steps = walked(298)
    assert list(steps) == [f"`{name}`" for name in schema.INPUT_NAMES]
    assert steps["`cp`"] == ("4 asymptomatic", "`cp=asymptomatic` is 1, the other 4 are 0")
    assert steps["`sex`"] == ("0 female", "`sex=female` is 1, the other is 0")
    assert steps["`slope`"][0] == "2 flat"


def test_a_blank_is_an_input_too() -> None:
    assert walked(193)["`ca`"] == ("blank", "`ca=blank` is 1, the other 4 are 0")


# --- the copy


def test_the_copy_has_the_size_and_the_labels_of_the_public_file() -> None:
    assert len(COPY) == 303
    assert COPY["num"].isin([0, 1]).all()
    assert int(COPY["num"].sum()) == 83
    own = COPY.index[COPY.index <= 303]
    assert len(own) == 297
    assert int(((COPY.loc[own, "num"] == 0) & (PATIENTS.loc[own, "num"] > 0)).sum()) == 54


def test_the_pasted_rows_are_those_of_the_public_file() -> None:
    # As in that file; its thal 'normal' is 3.
    assert COPY.tail(6)[list(schema.BY_NAME)].to_numpy().tolist() == [
        [59, 1, 0, 164, 176, 1, 0, 90, 0, 1.0, 1, 2, 1, 0],
        [57, 0, 0, 140, 241, 0, 1, 123, 1, 0.2, 1, 0, 3, 0],
        [45, 1, 3, 110, 264, 0, 1, 132, 0, 1.2, 1, 0, 3, 0],
        [68, 1, 0, 144, 193, 1, 1, 141, 0, 3.4, 1, 2, 3, 0],
        [57, 1, 0, 130, 131, 0, 1, 115, 1, 1.2, 1, 1, 3, 0],
        [57, 0, 1, 130, 236, 0, 0, 174, 0, 0.0, 1, 1, 2, 0],
    ]
    assert COPY.index.is_unique


def test_the_29_inputs_of_the_public_file_need_the_pasted_rows() -> None:
    assert columns.vocabulary(COPY) == 29
    assert columns.vocabulary(COPY.iloc[:-6]) == 26


def test_making_the_copy_changes_nothing() -> None:
    before = PATIENTS.copy()
    columns.public_copy(PATIENTS)
    assert PATIENTS.equals(before)


def test_validation_finds_two_pasted_rows_but_no_wrong_labels() -> None:
    validation = validate(sources.make_table(COPY, "copy"))
    assert [(cell.row, cell.column) for failure in validation.errors for cell in failure.cells] == [
        (304, "thal"),
        (309, "thal"),
    ]
    assert validate(sources.make_table(COPY.drop(index=[304, 309]), "copy")).passed


# --- the lesson


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return columns.run(columns.Settings(patient=193, folds=2))


def test_the_lesson_counts_and_follows(lesson: Lesson) -> None:
    text = " ".join(lesson.text.split())
    assert "29 x 16 + 16 + 16 x 1 + 1 = 497, as counted" in text
    assert "It has 29 inputs as well" in text
    assert lesson.metrics["parameters"] == 497
    assert "The patient in row 193:" in text
    assert "`ca=blank` is 1" in text
    assert "| patients | rows |" in text
    assert "| public copy | 303 | 83 | 27.4% | 54 + 6 |" in text
    assert "It refuses the copy: * error: column 'thal' has 1 in row 304 and 2 in row 309" in text
    assert "see docs/copies.md before you change any" in text
    assert "convert" not in text  # 1 and 2 mean something else in each of the known copies


@pytest.mark.parametrize("model", ["network", "logistic_regression"])
def test_models_that_learned_from_the_copy_find_fewer_sick_patients(lesson: Lesson, model: str) -> None:
    true, copied = (
        {name: lesson.metrics[f"{label}/{model}/{name}"] for name in ("log_loss", "sensitivity", "mean_probability")}
        for label in ("true_label", "copied_label")
    )
    assert copied["log_loss"] > true["log_loss"] + 0.05
    assert copied["sensitivity"] < true["sensitivity"] - 0.1
    # A calibrated model's mean is the share of sick labels: 137 and 83 of 297.
    assert true["mean_probability"] == pytest.approx(137 / 297, abs=0.03)
    assert copied["mean_probability"] == pytest.approx(83 / 297, abs=0.03)


def test_the_figure_has_every_input_and_every_patient(lesson: Lesson) -> None:
    inputs, answers = lesson.figure.axes
    assert len(inputs.patches) == 29
    widths = [patch.get_width() for patch in inputs.patches]
    assert sum(widths[6:]) == 7
    assert sum(len(line.get_xdata()) for line in answers.lines) == 297 + 2
    for axes in (inputs, answers):
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_legend() is not None
    assert np.isfinite(list(lesson.metrics.values())).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patient": 0}, "greater than or equal to 1"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"row": 3}, "Unexpected keyword argument"),
    ],
)
def test_nonsense_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        columns.Settings(**change)


def test_a_row_without_a_patient_is_refused() -> None:
    with pytest.raises(UsageError, match="--patient 304: expected the row of a bundled patient, 1 to 303"):
        columns.run(columns.Settings(patient=304))
