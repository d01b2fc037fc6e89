"""A model on the patients of a hospital: who is judged, why others are not, and figures as scikit-learn has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from heart_disease.data import identities, sources
from heart_disease.data.sites import SITES
from heart_disease.evaluation.other_patients import hospital
from heart_disease.evaluation.other_patients.hospital import Obstacle
from heart_disease.model import support
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import RejectedError
from heart_disease.model.patient_model import PatientModel
from heart_disease.reporting import hospital as words
from tests.harness.data import patients

# A model that needs no training: older patients with a lower heart rate are sick.
TABLE = sources.load()
MODEL = PatientModel(Encoder.fit(TABLE.frame), lambda x: expit(x[:, :1] - x[:, 3:4]))


def table(frame: pd.DataFrame) -> sources.Table:
    return sources.make_table(frame, "ward.csv")


def obstacles(frame: pd.DataFrame) -> set[Obstacle]:
    return set(hospital.fit_to_judge(MODEL, table(frame))[1])


def test_the_figures_are_those_of_scikit_learn() -> None:
    frame = patients.make(200, seed=4)
    found = hospital.judge_there(MODEL, table(frame), seed=0).judgement
    p, y = MODEL.predict(frame)["probability"], frame["num"] > 0
    assert (found.patients, found.sick) == (200, y.sum())
    assert found.predicted == pytest.approx(p.mean())
    assert found.constant_loss == pytest.approx(log_loss(y, np.full(200, y.mean())))
    assert found.metrics["log_loss"].value == pytest.approx(log_loss(y, p))
    assert found.metrics["brier"].value == pytest.approx(brier_score_loss(y, p))
    assert found.metrics["roc_auc"].value == pytest.approx(roc_auc_score(y, p))
    assert all(one.low < one.value < one.high for one in found.metrics.values())
    assert found.calibration


def test_a_version_is_judged_by_its_own_answers() -> None:
    frame = patients.make(200, seed=4)
    careful = replace(MODEL, threshold=0.1)
    found = hospital.judge_there(careful, table(frame), seed=0).judgement
    answers, sick = careful.predict(frame)["disease"] == "yes", frame["num"] > 0
    assert found.metrics["sensitivity"].value == pytest.approx(answers[sick].mean())
    assert found.metrics["specificity"].value == pytest.approx(1 - answers[~sick].mean())
    assert ("answers yes from", "0.100") in words.rows({"here": found})
    assert words.values(found)["threshold"] == 0.1


def test_who_is_unlike_the_patients_of_the_training_is_counted() -> None:
    rows = np.arange(len(TABLE))
    usual = support.fit(MODEL.encoder, TABLE.frame, rows, [(rows[::2], rows[1::2])])
    frame = patients.make(200, seed=4)
    one = replace(MODEL, support=usual)
    found = hospital.judge_there(one, table(frame.assign(chol=[600.0] * 30 + [240.0] * 170)), seed=0)
    assert 30 <= found.unusual < 60
    assert words.left_out(found, 200) == [
        f"{found.unusual} of the 200 judged patients are unlike those that the version learned from."
    ]


def test_whoever_cannot_be_scored_is_left_out_and_counted_by_column_and_reason() -> None:
    frame = patients.make(100, seed=4)
    frame["chol"] = [np.nan, np.nan, 0.0, 999.0, *frame["chol"][4:]]
    frame["slope"] = [np.nan, *frame["slope"][1:]]
    frame["thal"] = ["fixed", *frame["thal"][1:].astype("object")]
    frame["restecg"] = [*frame["restecg"][:99], 5.0]
    frame["num"] = [*frame["num"][:98], np.nan, 1.0]
    assert obstacles(frame) == {
        Obstacle("chol", "blank", 2),
        Obstacle("chol", "0, so not measured", 1),
        Obstacle("chol", "not 70 to 700 mg/dl", 1),
        Obstacle("slope", "blank", 1),
        Obstacle("thal", "not a number", 1),
        Obstacle("restecg", "not 0, 1 or 2", 1),
        Obstacle("num", "blank", 1),
    }
    assert hospital.judge_there(MODEL, table(frame), seed=0).judgement.patients == 100 - 4 - 2


def test_a_code_that_the_model_never_saw_is_an_obstacle() -> None:
    assert (TABLE.frame["cp"] != 0).all()
    assert obstacles(patients.make(50).assign(cp=0)) == {
        Obstacle("cp", "a code that no patient of the training had", 50)
    }


def test_patients_that_the_model_learned_from_are_left_out() -> None:
    frame = patients.make(100, seed=4)
    knows = replace(MODEL, learned_from=identities.learned_from(frame, np.arange(30)))
    found = hospital.judge_there(knows, table(frame), seed=0)
    assert (found.judgement.patients, found.learned) == (70, 30)


def test_a_cholesterol_of_zero_is_never_scored() -> None:
    with pytest.raises(RejectedError, match="0 of its 123 patients can be.*\n  chol: 123 0, so not measured"):
        hospital.judge_there(MODEL, sources.load(SITES["switzerland"]), seed=0)


@pytest.mark.parametrize(("rows", "sick"), [(hospital.LEAST - 1, 14), (60, hospital.LEAST_OF_CLASS - 1), (60, 60)])
def test_too_few_patients_are_not_judged(rows: int, sick: int) -> None:
    frame = patients.make(rows, num=(np.arange(rows) < sick).astype(float))
    with pytest.raises(
        RejectedError, match=f"'ward.csv' was not judged: {rows} of its {rows} patients can be, {sick} "
    ):
        hospital.judge_there(MODEL, table(frame), seed=0)


def test_an_inverted_label_is_noticed() -> None:
    frame = patients.make(200, seed=4)
    inverted = frame.assign(num=(frame["num"] == 0).astype(float))
    assert not hospital.judge_there(MODEL, table(frame), seed=0).judgement.is_backwards
    assert hospital.judge_there(MODEL, table(inverted), seed=0).judgement.is_backwards
