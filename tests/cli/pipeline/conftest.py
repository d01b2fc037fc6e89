"""`heart predict` with a champion that needs no store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model.encoding import Encoder
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef
from tests.harness.command import heart, one_line

Said = Callable[..., tuple[int, str, str]]

PATIENTS = sources.load().frame.sort_index()
ENCODER = Encoder.fit(PATIENTS)


@pytest.fixture
def heart_predict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """`heart predict`, with a champion that took its codes from the bundled patients and needs no store."""
    model = PatientModel(ENCODER, lambda inputs: 1 / (1 + np.exp(-inputs[:, :1])))
    monkeypatch.setattr(registry, "champion", lambda: ModelRef("heart-disease", "1", "a run"))
    monkeypatch.setattr(registry, "load_model", lambda ref: model)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = heart("predict", *map(str, arguments))
        out, err = capsys.readouterr()
        return code, out, one_line(err)

    return call
