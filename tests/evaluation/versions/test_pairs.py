"""Plain functions: which patients a comparison may use, how two runs' patients are paired, and its table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from heart_disease.data import identities, sources
from heart_disease.evaluation import estimates, folds
from heart_disease.evaluation.settings import Evaluation
from heart_disease.evaluation.versions import comparison
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import DataError
from heart_disease.model.patient_model import PatientModel
from heart_disease.reporting import side_by_side
from tests.harness.data import patients

Frame = Callable[[pd.DataFrame], pd.DataFrame]

CHANGES: list[Any] = [
    pytest.param(lambda frame: frame.sample(frac=1, random_state=1), id="rows in another order"),
    pytest.param(lambda frame: frame[list(reversed(frame.columns))], id="columns in another order"),
    pytest.param(lambda frame: frame.assign(note="x", visit=range(len(frame))), id="more columns"),
    pytest.param(lambda frame: frame.drop(columns="num").assign(num=0), id="other labels"),
    pytest.param(lambda frame: frame.astype("float32"), id="32-bit numbers"),
    pytest.param(lambda frame: frame.map(lambda value: "" if pd.isna(value) else f" {value:.3e} "), id="as text"),
    pytest.param(lambda frame: frame.convert_dtypes(), id="nullable whole numbers"),
    pytest.param(lambda frame: frame.drop_duplicates().map(lambda v: -v if v == 0 else v), id="minus zero"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_rewriting_a_file_does_not_hide_a_training_row(change: Frame) -> None:
    frame = sources.load().frame
    learned = identities.learned_from(frame, np.arange(len(frame)))
    changed = sources.make_table(change(frame), "changed")
    model = PatientModel(Encoder.fit(frame), None, learned_from=learned)
    assert identities.rows_learned(changed.frame, model).all()


def test_a_training_row_is_recognised_by_the_columns_that_the_model_takes() -> None:
    frame, without = sources.load().frame, ("slope", "ca", "thal")
    encoder = Encoder.fit(frame).leaving_out(without)
    model = PatientModel(encoder, None, learned_from=identities.learned_from(frame, np.arange(100), without))
    assert identities.rows_learned(frame.drop(columns=list(without)), model).tolist() == [k < 100 for k in range(303)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_parquet_file_has_the_digest_and_the_patients_of_the_csv_file(dtype: Any, tmp_path: Path) -> None:
    table = sources.load()
    pd.read_csv(sources.BUNDLED).astype(dtype).to_parquet(tmp_path / "patients.parquet")
    parquet = sources.load(tmp_path / "patients.parquet")
    assert parquet.digest == table.digest
    assert parquet.row_ids.tolist() == table.row_ids.tolist()
    assert identities.patient_ids(parquet.frame).tolist() == identities.patient_ids(table.frame).tolist()


@pytest.mark.parametrize(("left", "sick"), [(29, 15), (40, 9), (40, 31)])
def test_too_few_unseen_rows_are_refused(left: int, sick: int) -> None:
    table = sources.make_table(patients.make(100), "file.csv")
    labels = schema.label(table.frame).to_numpy()
    rows = [*np.flatnonzero(labels)[:sick], *np.flatnonzero(labels == 0)[: left - sick]]
    learned = ~np.isin(np.arange(100), rows)
    with pytest.raises(DataError, match=f"{left} rows that no model learned from, {min(sick, left - sick)} of the"):
        comparison.unseen(table, {"version 1": learned}, np.ones(len(table), bool))


def test_rows_that_a_model_cannot_score_are_left_out_and_counted() -> None:
    table = sources.make_table(patients.make(100), "file.csv")
    scored = np.arange(100) >= 5
    trained = {"version 1": np.arange(100) < 10}
    fresh, words = comparison.unseen(table, trained, scored)
    assert fresh.tolist() == [k >= 10 for k in range(100)]
    assert words == "10 of version 1"
    with pytest.raises(DataError, match="10 of version 1; 80 have codes that a model never saw"):
        comparison.unseen(table, trained, np.arange(100) >= 80)


# The plain functions.


def out_of_fold(n: int = 40, repeats: int = 2, seed: int = 0) -> comparison.OutOfFold:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2 * 1.0
    return comparison.OutOfFold(tuple(f"p{i}" for i in range(n)), labels, rng.uniform(0.1, 0.9, (repeats, n)))


def test_pairs_are_made_by_patient_and_not_by_line() -> None:
    ours, theirs = out_of_fold(seed=1), out_of_fold(seed=2, repeats=3)
    back = comparison.OutOfFold(theirs.patients[::-1], theirs.labels[::-1], theirs.probabilities[:, ::-1])
    settings = {"widen": 1.2, "margin": 0.02, "seed": 0}
    assert comparison.paired(ours, back, **settings) == comparison.paired(ours, theirs, **settings)
    found, n = comparison.paired(ours, theirs, **settings)
    expected = estimates.losses(ours.labels, ours.probabilities) - estimates.losses(ours.labels, theirs.probabilities)
    assert n == 40
    assert found.difference.value == pytest.approx(expected.mean())


def test_only_common_patients_count() -> None:
    ours, theirs = out_of_fold(seed=1), out_of_fold(seed=2)
    part = comparison.OutOfFold(theirs.patients[10:], theirs.labels[10:], theirs.probabilities[:, 10:])
    found, n = comparison.paired(ours, part, widen=1, margin=0.02, seed=0)
    expected = estimates.losses(ours.labels, ours.probabilities) - estimates.losses(ours.labels, theirs.probabilities)
    assert n == 30
    assert found.difference.value == pytest.approx(expected[10:].mean())


@pytest.mark.parametrize("evaluation", [Evaluation(), Evaluation(folds=4, repeats=2), Evaluation(holdout=0.25)])
def test_the_widening_is_that_of_the_splits(evaluation: Evaluation) -> None:
    labels = np.arange(400) % 2 * 1.0
    recorded = {name: str(value) for name, value in evaluation.as_dict().items()}
    assert comparison.widening(recorded) == pytest.approx(folds.split(labels, evaluation, 0).widening)


def test_without_folds_there_is_no_widening() -> None:
    with pytest.raises(ValueError, match="expected folds and repeats, or holdout"):
        comparison.widening({})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "patient,label\na,1\n",
        "patient,label,probability_1\na,1,0.5\na,0,0.5\n",
        "patient,label,probability_1\na,1,7\n",
    ],
)
def test_a_file_without_probabilities_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        comparison.read_out_of_fold(text)


def test_a_wide_table_becomes_several_with_the_same_first_column() -> None:
    table = [("run", *(f"column {i}" for i in range(9))), ("version 1", *map(str, range(9)))]
    parts = side_by_side.blocks(table, 40)
    assert len(parts) > 1
    assert all(part.startswith("run ") and max(map(len, part.splitlines())) <= 40 for part in parts)
    assert " ".join(parts).count("column") == 9


def test_runs_become_rows() -> None:
    assert side_by_side.transposed([("metric", "a", "b"), ("x", "1", "2"), ("y", "3", "4")]) == [
        ("run", "x", "y"),
        ("a", "1", "3"),
        ("b", "2", "4"),
    ]
