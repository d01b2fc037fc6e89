"""Who is flagged as unlike the patients of the training, how often wrongly, and what a model keeps of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heart_disease.data.sites import SITES
from heart_disease.evaluation.folds import cross_validation
from heart_disease.model import schema, support
from heart_disease.model.encoding import Encoder, input_names
from heart_disease.model.errors import RejectedError
from heart_disease.model.patient_model import PatientModel
from heart_disease.model.support import Support
from tests.harness.data import patients

CLEVELAND = pd.read_csv(SITES["cleveland"]).astype("float64")


def fitted(frame: pd.DataFrame, encoder: Encoder, folds: int = 10, repeats: int = 1) -> Support:
    pairs = cross_validation(schema.label(frame).to_numpy(), folds, repeats, 0).pairs[:folds]
    return support.fit(encoder, frame, np.arange(len(frame)), pairs)


def model(frame: pd.DataFrame, without: tuple[str, ...] = ()) -> PatientModel:
    encoder = Encoder.fit(frame).leaving_out(without)
    network = lambda inputs: np.full((len(inputs), 1), 0.7)  # noqa: E731
    return PatientModel(encoder, network, support=fitted(frame, encoder))


@pytest.fixture(scope="module")
def cleveland() -> PatientModel:
    return model(CLEVELAND)


def patient(**changes: float) -> pd.DataFrame:
    return pd.DataFrame([patients.FIRST | changes])


def test_most_patients_of_the_training_are_not_flagged(cleveland: PatientModel) -> None:
    flagged = cleveland.predict(CLEVELAND)["unusual"] != ""
    assert 0 < flagged.sum() <= 6


def test_an_ordinary_patient_is_not_flagged(cleveland: PatientModel) -> None:
    assert cleveland.predict(patient())["unusual"].tolist() == [""]


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        ({"chol": 600}, "chol"),
        ({"age": 25, "trestbps": 220, "oldpeak": 7}, "trestbps"),
        # Each of these is usual by itself.
        ({"ca": np.nan, "thal": np.nan, "restecg": 1}, "restecg"),
    ],
)
def test_extreme_or_several_unusual_values_are_flagged_with_the_columns(
    changes: dict[str, float], columns: str, cleveland: PatientModel
) -> None:
    [scored] = cleveland.predict(patient(**changes)).itertuples()
    assert scored.unusual.startswith("unlike the patients of the training, mostly in ")
    assert columns in scored.unusual
    assert (scored.probability, scored.problem) == (pytest.approx(0.7), "")


def test_one_rare_code_alone_is_not_unusual(cleveland: PatientModel) -> None:
    for rare in ({"restecg": 1}, {"thal": np.nan}, {"ca": np.nan}):
        assert cleveland.predict(patient(**rare))["unusual"].tolist() == [""]


def test_a_model_that_abstains_gives_the_reason_instead_of_a_probability(cleveland: PatientModel) -> None:
    both = pd.concat([patient(chol=600), patient()], ignore_index=True)
    scored = cleveland.abstaining().predict(both)
    assert scored["probability"].isna().tolist() == [True, False]
    assert scored["disease"].tolist() == ["", "yes"]
    assert scored["problem"].tolist() == [scored["unusual"][0], ""]
    assert "mostly in chol" in scored["problem"][0]


def test_an_older_version_flags_nobody_and_cannot_abstain(cleveland: PatientModel) -> None:
    older = replace(cleveland, support=None)
    assert older.predict(patient(chol=600))["unusual"].tolist() == [""]
    with pytest.raises(RejectedError, match="does not know which patients are unlike"):
        older.abstaining()


@pytest.mark.parametrize("seed", range(3))
def test_about_one_in_a_hundred_new_patients_of_the_same_kind_is_flagged(seed: int) -> None:
    one = model(patients.make(400, seed=seed))
    flagged = (one.predict(patients.make(5000, seed=100 + seed))["unusual"] != "").mean()
    assert 0.002 < flagged < 0.03
    assert one.support is not None
    assert 0.002 < one.support.flagged < 0.03
    assert one.support.patients == 400


def test_columns_that_a_model_does_not_take_make_nobody_unusual() -> None:
    fewer = model(CLEVELAND, ("chol", "ca"))
    assert fewer.predict(patient(chol=600, ca=3))["unusual"].tolist() == [""]


def test_the_distance_is_that_of_the_formula(cleveland: PatientModel) -> None:
    found = cleveland.support
    assert found is not None
    inputs = cleveland.encoder.transform(CLEVELAND).astype("float64")
    apart = inputs - found.mean
    np.testing.assert_allclose(found.distances(inputs), np.diag(apart @ found.precision @ apart.T))
    numbers = np.cov(inputs[:, :6].T, bias=True)
    np.testing.assert_allclose(np.linalg.inv(found.precision)[:6, :6], numbers + support.RIDGE * np.eye(6), atol=1e-9)


def test_no_value_of_the_few_patients_with_a_rare_code_is_kept(cleveland: PatientModel) -> None:
    assert cleveland.support is not None
    covariance = np.linalg.inv(cleveland.support.precision) - support.RIDGE * np.eye(29)
    rare = input_names().index("restecg=ST-T wave abnormality")  # four patients
    np.testing.assert_allclose(np.delete(covariance[rare], rare), 0, atol=1e-9)
    # Nor do the covariances of its column's codes together, which those of the rare one alone would make up for.
    for name in ("restecg", "ca", "thal"):
        codes = [k for k, one in enumerate(input_names()) if one.startswith(f"{name}=")]
        np.testing.assert_allclose(np.delete(covariance[codes].sum(axis=0), codes), 0, atol=1e-9)


def test_a_stored_model_flags_the_same_patients(cleveland: PatientModel) -> None:
    assert cleveland.support is not None
    again = Support.from_json(cleveland.support.to_json(), 29)
    assert again.to_json() == cleveland.support.to_json()
    assert len(cleveland.support.to_json()) < 30_000
    with pytest.raises(ValueError, match=r"mean \(29,\) and precision \(29, 29\); expected \(19,\)"):
        Support.from_json(cleveland.support.to_json(), 19)


def test_a_model_is_saved_and_loaded_with_its_support(tmp_path: Path) -> None:
    from heart_disease.training import network
    from heart_disease.training.recipe import Recipe

    encoder = Encoder.fit(CLEVELAND)
    made = PatientModel(encoder, network.build(Recipe(hidden=(2,)), 29), support=fitted(CLEVELAND, encoder))
    made.save(tmp_path)
    both = pd.concat([patient(chol=600), patient()], ignore_index=True)
    expected = made.predict(both)["unusual"].tolist()
    assert PatientModel.load(tmp_path).predict(both)["unusual"].tolist() == expected
    (tmp_path / "support.json").unlink()
    assert PatientModel.load(tmp_path).predict(both)["unusual"].tolist() == ["", ""]
