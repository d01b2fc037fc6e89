"""`heart predict` for one patient: the options, and what is wrong with them."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from heart_disease.cli.pipeline import remembered
from heart_disease.data import sources
from heart_disease.model import drivers, schema, support
from heart_disease.model.encoding import NUMBERED, Encoder
from heart_disease.model.patient_model import PatientModel
from tests.harness.command import speaking
from tests.harness.data import patients
from tests.harness.models import models


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command with values by column, and perhaps other words."""
    encoder = Encoder.fit(sources.load().frame)
    model = PatientModel(encoder, lambda inputs: np.full((len(inputs), 1), 0.7312))
    monkeypatch.setattr(remembered, "champion", lambda: ("heart-disease version 1", model))

    def call(values: dict[str, Any], *more: str) -> tuple[int, str, str]:
        options = [word for name, value in values.items() for word in (f"--{name}", str(value))]
        return speaking(capsys)("predict", *options, *more)

    return call


def test_the_answer_of_one_patient(predict: Any) -> None:
    assert predict(patients.FIRST) == (0, "probability 0.731, disease yes\n", "heart-disease version 1 (champion)")


def test_what_drives_the_answer_is_said_in_words(predict: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = sources.load().frame
    weights = {schema.INPUT_NAMES.index("oldpeak"): 0.8, schema.INPUT_NAMES.index("age"): -0.3}

    def network(inputs: np.ndarray) -> np.ndarray:
        return expit(sum(inputs[:, [NUMBERED.index(k)]] * weight for k, weight in weights.items()))

    known = drivers.references(table, np.arange(len(table)))
    model = PatientModel(Encoder.fit(table), network, references=known)
    monkeypatch.setattr(remembered, "champion", lambda: ("heart-disease version 1", model))
    code, out, _ = predict(patients.FIRST)
    first, *lines = out.splitlines()
    assert code == 0
    assert [re.sub(r"\d\.\d{3}", "P", line) for line in lines] == [
        "On average it is P. What moves it for this patient:",
        "  raises it by P  ST depression by exercise, relative to rest: 2.3 mm",
        "  lowers it by P  age: 63 years",
    ]
    start, *moves = [float(re.findall(r"\d\.\d{3}", line)[0]) for line in lines]
    assert start + moves[0] - moves[1] == pytest.approx(float(first.split()[1].rstrip(",")), abs=0.002)


def test_programs_get_the_answer_as_json(predict: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.make(sources.load().frame, folds=12)
    monkeypatch.setattr(remembered, "champion", lambda: ("heart-disease version 1", model))
    code, out, err = predict(patients.FIRST, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    cells = np.array([float(patients.FIRST[name]) for name in schema.INPUT_NAMES])
    assert found["probability"] == pytest.approx(model.score(cells[None]).probability[0])
    assert found["networks"]["networks"] == 12
    assert found["version"] == "heart-disease version 1"


def test_the_answers_of_a_file_are_written_and_not_printed_as_json(predict: Any) -> None:
    code, _, err = predict({}, "patients.csv", "--json")
    assert code == 2
    assert "-o OUT.csv" in err


def test_how_far_networks_differ_is_said(predict: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.make(sources.load().frame, folds=12)
    monkeypatch.setattr(remembered, "champion", lambda: ("heart-disease version 1", model))
    _, out, _ = predict(patients.FIRST)
    spread = model.spread(np.array([float(patients.FIRST[name]) for name in schema.INPUT_NAMES]))
    assert spread
    assert out.splitlines()[1] == (
        f"12 networks, each trained without some of the patients: {spread.lowest:.3f} to {spread.highest:.3f}"
    )


@pytest.mark.parametrize("column", schema.COLUMNS, ids=lambda column: column.name)
def test_only_what_may_be_blank_may_be_left_out(column: schema.Column, predict: Any) -> None:
    code, _, err = predict({name: value for name, value in patients.FIRST.items() if name != column.name})
    assert code == (0 if column.optional else 2)
    assert (f"one patient also needs --{column.name}; see" in err) != column.optional


def test_what_the_champion_does_not_take_need_not_be_given(predict: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder.fit(sources.load().frame).leaving_out(["slope"])
    model = PatientModel(encoder, lambda inputs: np.full((len(inputs), 1), 0.7312))
    monkeypatch.setattr(remembered, "champion", lambda: ("heart-disease version 2", model))
    assert predict({name: value for name, value in patients.FIRST.items() if name != "slope"})[0] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"age": 630}, "not scored: column 'age' has 630; expected 18 to 100 years"),
        ({"cp": 0}, "column 'cp' has 0, which no patient of the training had; expected 1, 2, 3 or 4"),
        ({"chol": "nan"}, "column 'chol' is blank; expected 70 to 700 mg/dl"),
    ],
)
def test_a_value_that_breaks_a_limit_is_refused(change: dict[str, Any], said: str, predict: Any) -> None:
    code, out, err = predict(patients.FIRST | change)
    assert (code, out) == (3, "")
    assert said in err


def test_a_patient_unlike_those_of_the_training_is_flagged_or_gets_no_answer(
    predict: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = sources.load().frame
    encoder, rows = Encoder.fit(table), np.arange(len(table))
    halves = [(rows[::2], rows[1::2]), (rows[1::2], rows[::2])]
    usual = support.fit(encoder, table, rows, halves)
    model = PatientModel(encoder, lambda inputs: np.full((len(inputs), 1), 0.7312), support=usual)
    monkeypatch.setattr(remembered, "champion", lambda: ("heart-disease version 1", model))
    why = "unlike the patients of the training, mostly in chol"
    code, out, _ = predict(patients.FIRST | {"chol": 600})
    assert code == 0
    assert out.startswith("probability 0.731, disease yes\nThis patient is ")
    assert why in out
    code, out, err = predict(patients.FIRST | {"chol": 600}, "--abstain")
    assert (code, out) == (3, "")
    assert f"not scored: {why}" in err
    assert predict(patients.FIRST, "--abstain")[:2] == (0, "probability 0.731, disease yes\n")


def test_a_version_that_does_not_know_who_is_unusual_cannot_abstain(predict: Any) -> None:
    code, _, err = predict(patients.FIRST, "--abstain")
    assert (code, "Train it again, or leave out --abstain" in err) == (3, True)


@pytest.mark.parametrize("more", [["a.csv"], ["-o", "out.csv"], ["--anyway"], ["--prefix", "x"]])
def test_a_patient_and_a_file_do_not_go_together(more: list[str], predict: Any) -> None:
    code, _, err = predict(patients.FIRST, *more)
    assert (code, "expected a file of patients (heart predict FILE), or the values of one patient" in err) == (2, True)


def test_neither_a_file_nor_a_patient_is_nothing_to_score(predict: Any) -> None:
    assert predict({})[0] == 2


def test_help_names_every_code(predict: Any) -> None:
    _, out, _ = predict({}, "--help")
    text = " ".join(out.split())
    assert "--age X age, 18 to 100 years" in text
    assert "chest pain type: 0 unknown, 1 typical angina, 2 atypical angina, 3 non-anginal pain, 4 asymptomatic" in text
