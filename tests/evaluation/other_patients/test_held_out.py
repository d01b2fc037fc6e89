"""A model judged on patients that it did not learn from, beside the champion as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from heart_disease.data import identities, sources
from heart_disease.evaluation.contest import CHAMPION, LOGISTIC, NETWORK, PREVALENCE
from heart_disease.evaluation.other_patients import held_out
from heart_disease.evaluation.settings import Promotion
from heart_disease.evaluation.verdict import decide
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import DataError
from heart_disease.model.patient_model import PatientModel
from tests.harness.data import patients

LEARNED = patients.make(2000, seed=1)
NEW = patients.make(400, seed=2)
ENCODER = Encoder.fit(LEARNED)
WEIGHTS = LogisticRegression(max_iter=1000).fit(ENCODER.transform(LEARNED), schema.label(LEARNED))


def good(inputs: np.ndarray) -> np.ndarray:
    return WEIGHTS.predict_proba(inputs)[:, 1:]


def bad(inputs: np.ndarray) -> np.ndarray:
    return 1 - good(inputs)


MODEL, CHAMPION_MODEL = PatientModel(ENCODER, good), PatientModel(ENCODER, bad)


def table(frame: pd.DataFrame) -> sources.Table:
    return sources.make_table(frame.reset_index(drop=True), "new.csv")


def test_the_figures_are_those_of_scikit_learn() -> None:
    found = held_out.choose(table(NEW), [LEARNED[:1000], LEARNED[1000:]], CHAMPION_MODEL)
    report = held_out.judge(MODEL, found, LEARNED, CHAMPION_MODEL, seed=0)
    frame = found.table.frame
    labels, answers = schema.label(frame), good(ENCODER.transform(frame))[:, 0]
    assert report.description == "400 patients that the training did not see (0 left out)"
    assert report.metrics[NETWORK]["log_loss"].value == pytest.approx(log_loss(labels, answers))
    assert report.metrics[NETWORK]["roc_auc"].value == pytest.approx(roc_auc_score(labels, answers))
    assert report.metrics[CHAMPION]["log_loss"].value == pytest.approx(log_loss(labels, 1 - answers))
    assert report.metrics[LOGISTIC]["log_loss"].value == pytest.approx(log_loss(labels, answers), abs=1e-6)
    prevalence = np.full(len(labels), schema.label(LEARNED).mean())
    assert report.metrics[PREVALENCE]["log_loss"].value == pytest.approx(log_loss(labels, prevalence))
    assert report.differences[CHAMPION].value == pytest.approx(
        log_loss(labels, answers) - log_loss(labels, 1 - answers)
    )


def test_the_verdict_is_that_of_a_training() -> None:
    found = held_out.choose(table(NEW), [LEARNED], None)
    for model, champion, promote, reason in (
        (MODEL, CHAMPION_MODEL, True, "better than version 1"),
        (CHAMPION_MODEL, MODEL, False, "does not beat the prevalence"),
        (MODEL, None, True, "the first champion"),
    ):
        report = held_out.judge(model, found, LEARNED, champion, seed=0)
        decision = decide(report, Promotion(), champion="version 1" if champion else None, data_changed=True)
        assert (decision.promote, decision.reason.startswith(reason)) == (promote, True)
        assert bool(report.groups) == bool(champion)


def test_patients_of_the_part_and_of_the_champion_are_left_out() -> None:
    champion = replace(CHAMPION_MODEL, learned_from=identities.learned_from(NEW, np.arange(100, 130)))
    found = held_out.choose(table(pd.concat([NEW, LEARNED[:50]])), [LEARNED], champion)
    assert (len(found.rows), found.left_out) == (370, 80)
    kept = set(identities.patient_ids(found.table.frame.iloc[found.rows]))
    assert kept == set(identities.patient_ids(NEW)) - set(champion.learned_from)


def test_patients_with_a_code_that_the_model_never_saw_are_left_out() -> None:
    encoder = Encoder.fit(LEARNED[LEARNED["cp"] != 1])
    report = held_out.judge(PatientModel(encoder, good), held_out.choose(table(NEW), [], None), LEARNED, None, seed=0)
    known = int((NEW["cp"] != 1).sum())
    assert report.description == f"{known} patients that the training did not see ({400 - known} left out)"
    assert len(report.labels) == len(report.rows) == known


def test_too_few_new_patients_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(DataError, match="rows that no model learned from"):
        held_out.choose(table(LEARNED[:400]), [LEARNED], None)
