"""What `heart compare` says about two runs, and its page, without a store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heart_disease import registry
from heart_disease.cli.champion import compare, comparison
from heart_disease.evaluation.settings import Evaluation
from heart_disease.evaluation.versions.comparison import OutOfFold
from heart_disease.model.errors import UnavailableError
from heart_disease.registry import Record
from heart_disease.training.recipe import Recipe

LABELS = np.arange(60) % 2.0
P = np.random.default_rng(0).random((2, 60))
TESTED = OutOfFold(tuple(f"patient {k}" for k in range(60)), LABELS, P)


def record(version: str) -> Record:
    given = Recipe().as_text() | {name: str(value) for name, value in Evaluation().as_dict().items()}
    return Record(f"run {version}", "29-16-1", given, {}, {}, version)


def test_a_run_of_an_earlier_release_is_compared_without_the_curve_that_it_called_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    curves = {"1": {"loss/train", "loss/validation"}, "2": {"loss/train", "loss/test"}}

    def read(one: Record, name: str) -> list[float]:
        return [0.7, 0.5, 0.4] if name in curves[one.version] else []

    def nothing(*_: object) -> None:
        raise UnavailableError("its patients are gone")

    monkeypatch.setattr(registry, "read_curve", read)
    monkeypatch.setattr(registry, "read_bytes", lambda *_: None)
    monkeypatch.setattr(registry, "patients_of", nothing)
    runs = [record("1"), record("2")]
    tested = {one.label: TESTED for one in runs}
    page = comparison.of_runs(runs, tested, [], 0.02)
    said = "The loss on test rows is not drawn for version 1, which recorded no curve"
    assert said in page
    assert "Loss while the networks learned" in page
    curves["1"] = curves["2"]
    assert said not in comparison.of_runs(runs, tested, [], 0.02)


def test_runs_whose_models_answer_from_another_probability_on_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "read_text", lambda *_: None)
    usual, careful = record("1"), record("2")
    careful = replace(careful, params={**careful.params, "sensitivity": "0.9"})
    words = "Accuracy, sensitivity and specificity are at a probability of 0.5, not at the threshold of version 2"
    assert words in compare._runs([usual, careful], 0.02).facts["notes"]  # type: ignore[operator]
    assert not any("0.5" in note for note in compare._runs([usual, usual], 0.02).facts["notes"])  # type: ignore[attr-defined]
