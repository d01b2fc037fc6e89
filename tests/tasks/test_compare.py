"""What is compared with: the patients that a version learned from, and no others that have come since; the champion."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from heart_disease import registry
from heart_disease.data import identities, sources
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import OriginError, UnavailableError
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import Record
from tasks import compare

THEN = sources.make_table(sources.load().frame.head(200), "patients.csv")
MODEL = PatientModel(Encoder.fit(THEN.frame), None, learned_from=identities.learned_from(THEN.frame, np.arange(200)))
RECORD = Record("a run", "a name", {"data_digest": THEN.digest}, {}, {}, "1")


def ages(frame: pd.DataFrame) -> list[float]:
    return sorted(compare.learned_from(sources.make_table(frame, "patients.csv"), MODEL, RECORD)["age"])


def test_patients_who_have_come_since_are_not_among_them() -> None:
    assert ages(THEN.frame) == sorted(THEN.frame["age"])
    assert ages(sources.load().frame) == sorted(THEN.frame["age"])


@pytest.mark.parametrize("frame", [THEN.frame.head(199), THEN.frame.assign(chol=999.0)], ids=["gone", "changed"])
def test_patients_who_are_gone_are_said(frame: pd.DataFrame) -> None:
    with pytest.raises(UnavailableError, match="holds other patients by now than those that version 1 learned from"):
        ages(frame)


def test_a_training_says_that_it_does_not_know_what_the_champions_answer_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(ref: registry.ModelRef) -> None:
        raise OriginError(f"the run of version {ref.version} is gone")

    train, said = import_module("flows.train"), []
    monkeypatch.setattr(registry, "origin_of", gone)
    monkeypatch.setattr(train.log, "warning", lambda text, *given: said.append(text % given))
    assert train._origin_of(registry.ModelRef("heart-disease", "3", "a run")) is None
    [words] = said
    assert "Nothing is compared with the champion, and its --sensitivity is not kept" in words
