"""Scoring: who gets a probability, who gets a reason instead, and whether a stored model stays the same."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heart_disease.model import drivers, schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import RejectedError, UsageError
from heart_disease.model.patient_model import PatientModel, difference
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.data import patients
from tests.harness.models import models

PATIENTS = patients.make(40, seed=2)


@pytest.fixture(scope="module")
def model() -> PatientModel:
    untrained = network.build(Recipe(seed=3), 29)
    untrained.set_weights([3 * weight for weight in untrained.get_weights()])  # so that the answers differ
    known = patients.make(100)
    return PatientModel(Encoder.fit(known), untrained, references=drivers.references(known, np.arange(100)))


def put(row: int, column: str, value: object) -> pd.DataFrame:
    """Patients with one cell changed; that column may then hold text."""
    values = PATIENTS[column].astype("object")
    values[row] = value
    return PATIENTS.assign(**{column: values})


def assert_scored(scored: pd.DataFrame) -> None:
    assert scored["probability"].between(0, 1).all()
    assert scored["disease"].isin(["yes", "no"]).all()
    assert (scored["problem"] == "").all()


def test_a_patient_gets_a_probability_and_an_answer(model: PatientModel) -> None:
    scored = model.predict(PATIENTS)
    assert list(scored.columns) == ["probability", "disease", "problem", "unusual"]
    assert scored.index.equals(PATIENTS.index)
    assert_scored(scored)
    assert scored["probability"].nunique() > 30
    assert set(scored["disease"]) == {"yes", "no"}


def test_the_probability_is_the_networks_answer_for_the_encoded_row(model: PatientModel) -> None:
    expected = np.asarray(model.network(model.encoder.transform(PATIENTS)))[:, 0]
    np.testing.assert_array_equal(model.predict(PATIENTS)["probability"], expected)


@pytest.mark.parametrize("column", ["disease", "problem", "unusual"])
def test_two_models_differ_also_if_only_their_words_do(model: PatientModel, column: str) -> None:
    scored = model.predict(PATIENTS)
    other = scored.copy()
    assert difference(scored, other) == 0
    other.loc[7, column] = "something else"
    assert difference(scored, other) == np.inf


def test_at_and_above_the_threshold_the_answer_is_yes(model: PatientModel) -> None:
    probability = model.predict(PATIENTS)["probability"]
    edge = float(np.sort(probability)[10])
    answer = PatientModel(model.encoder, model.network, threshold=edge).predict(PATIENTS)["disease"]
    assert (answer == np.where(probability >= edge, "yes", "no")).all()
    assert (answer == "yes").sum() == 30


def test_a_threshold_that_is_given_counts_instead_of_the_models_own(model: PatientModel) -> None:
    expected = dataclasses.replace(model, threshold=0.3).predict(PATIENTS)
    pd.testing.assert_frame_equal(model.predict(PATIENTS, threshold=0.3), expected)
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(UsageError, match="expected a probability, from 0 to 1"):
            model.predict(PATIENTS, threshold=wrong)


def test_an_explained_answer_says_what_each_column_adds_and_how_far_networks_differ() -> None:
    one = models.make(patients.make(100), without=["slope"])
    frame = put(7, "age", 150).head(9).set_axis(["a"] * 9)
    found, plain = one.predict(frame, explain=True), one.predict(frame)
    pd.testing.assert_frame_equal(found[list(plain)], plain)
    adds = [f"adds_{name}" for name in one.columns]
    assert list(found) == [*plain, "lowest", "highest", "average", *adds]
    sums = found["average"] + found[adds].sum(axis=1, skipna=False)
    np.testing.assert_allclose(sums, found["probability"], atol=1e-6)
    assert found.iloc[6, 4:].isna().all()
    assert (found["lowest"] < found["highest"]).sum() == 8


def test_a_version_that_cannot_explain_says_nothing(model: PatientModel) -> None:
    found = PatientModel(model.encoder, model.network).predict(PATIENTS.head(2), explain=True)
    assert found["probability"].notna().all()
    assert found.iloc[:, 4:].isna().all(axis=None)


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("age", 150, "column 'age' has 150; expected 18 to 100 years"),
        ("age", 100.0001, "column 'age' has 100.0001; expected 18 to 100 years"),
        ("age", np.nan, "column 'age' is blank; expected 18 to 100 years"),
        ("chol", "high", "column 'chol' has 'high'; expected 70 to 700 mg/dl"),
        ("chol", "", "column 'chol' has ''; expected 70 to 700 mg/dl"),
        ("oldpeak", np.inf, "column 'oldpeak' has inf; expected -3 to 10 mm"),
        ("slope", 0, "column 'slope' has 0; expected 1, 2 or 3"),
        ("sex", None, "column 'sex' is blank; expected 0 or 1"),
        ("thal", "fixed", "column 'thal' has 'fixed'; expected 3, 6, 7 or blank"),
        ("ca", 4, "column 'ca' has 4; expected 0, 1, 2, 3 or blank"),
        ("trestbps", "\x1b[2J", r"column 'trestbps' has '\x1b[2J'; expected 60 to 260 mm Hg"),
    ],
)
def test_a_row_that_is_not_allowed_has_a_reason_and_no_probability(
    column: str, value: object, problem: str, model: PatientModel
) -> None:
    scored = model.predict(put(7, column, value))
    assert scored.loc[7, "problem"] == problem
    assert np.isnan(scored.loc[7, "probability"])
    assert scored.loc[7, "disease"] == ""


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("cp", 0, "column 'cp' has 0, which no patient of the training had; expected 1, 2, 3 or 4"),
        ("thal", np.nan, "column 'thal' is blank, which no patient of the training had; expected 3, 6 or 7"),
    ],
)
def test_a_code_that_training_never_saw_is_a_problem(
    column: str, value: float, problem: str, model: PatientModel
) -> None:
    encoder = Encoder.fit(patients.make(100).fillna({"thal": 3}))
    frame = PATIENTS.fillna({"thal": 3})
    frame.loc[7, column] = value
    scored = PatientModel(encoder, model.network).predict(frame)
    assert scored.loc[7, "problem"] == problem
    assert np.isnan(scored.loc[7, "probability"])
    assert_scored(scored.drop(index=7))
    assert_scored(PatientModel(dataclasses.replace(encoder, unseen=()), model.network).predict(frame))


def test_the_other_rows_are_scored_as_if_it_were_not_there(model: PatientModel) -> None:
    alone = model.predict(PATIENTS.drop(index=7))
    pd.testing.assert_frame_equal(model.predict(put(7, "chol", "high")).drop(index=7), alone)
    assert_scored(alone)


def test_a_row_with_several_problems_names_them_all(model: PatientModel) -> None:
    frame = put(7, "chol", "high").assign(age=PATIENTS["age"].where(PATIENTS.index != 7, 12))
    assert model.predict(frame).loc[7, "problem"] == (
        "column 'age' has 12; expected 18 to 100 years; column 'chol' has 'high'; expected 70 to 700 mg/dl"
    )


def test_without_an_allowed_row_there_is_no_probability_at_all(model: PatientModel) -> None:
    scored = model.predict(PATIENTS.assign(age=0))
    assert scored["probability"].isna().all()
    assert (scored["disease"] == "").all()
    assert (scored["problem"] == "column 'age' has 0; expected 18 to 100 years").all()


def test_an_allowed_blank_is_scored(model: PatientModel) -> None:
    assert_scored(model.predict(PATIENTS.assign(ca=np.nan, thal=None)))


@pytest.mark.parametrize("missing", [["chol"], ["ca", "thal"]])
def test_a_missing_column_is_refused(missing: list[str], model: PatientModel) -> None:
    with pytest.raises(RejectedError) as caught:
        model.predict(PATIENTS.drop(columns=missing))
    names = {1: "column 'chol'", 2: "columns 'ca', 'thal'"}[len(missing)]
    assert str(caught.value).startswith(f"{names} missing; expected {', '.join(schema.INPUT_NAMES)}.")


def test_other_columns_the_order_and_the_label_are_ignored(model: PatientModel) -> None:
    frame = PATIENTS.assign(hospital="Cleveland", num="unknown")[["hospital", "num", *schema.INPUT_NAMES[::-1]]]
    pd.testing.assert_frame_equal(model.predict(frame), model.predict(PATIENTS))
    pd.testing.assert_frame_equal(model.predict(PATIENTS.drop(columns="num")), model.predict(PATIENTS))


@pytest.mark.parametrize("dtype", ["float64", "float32", "object", "str", "string", "Float64", "category"])
def test_the_type_of_the_columns_does_not_matter(dtype: str, model: PatientModel) -> None:
    expected = model.predict(PATIENTS)
    scored = model.predict(PATIENTS.astype(dtype))
    pd.testing.assert_frame_equal(scored, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int64", "int8", "Int64", "str"])
def test_whole_numbers_may_be_integers(dtype: str, model: PatientModel) -> None:
    whole = [c.name for c in schema.COLUMNS if not c.optional and c.name not in {"oldpeak", "chol", "thalach"}]
    frame = PATIENTS.drop(columns=whole).join(PATIENTS[whole].astype("int64").clip(upper=120).astype(dtype))
    plain = PATIENTS.drop(columns=whole).join(PATIENTS[whole].clip(upper=120))
    pd.testing.assert_frame_equal(model.predict(frame), model.predict(plain))


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "string", "int64[pyarrow]", "object"])
def test_a_blank_in_a_nullable_column_is_named_and_spoils_no_other_row(dtype: str, model: PatientModel) -> None:
    frame = put(7, "age", None)
    frame["age"] = frame["age"].astype("Int64").astype(dtype)
    scored = model.predict(frame)
    assert scored.loc[7, "problem"] == "column 'age' is blank; expected 18 to 100 years"
    assert_scored(scored.drop(index=7))


@pytest.mark.parametrize("dtype", ["float64", "object", "str"])
def test_no_patients_get_no_answers(dtype: str, model: PatientModel) -> None:
    scored = model.predict(PATIENTS.head(0).astype(dtype))
    assert list(scored.columns) == ["probability", "disease", "problem", "unusual"]
    assert len(scored) == 0
    assert scored["probability"].dtype == "float64"


def test_one_patient_is_scored_the_same_alone_and_among_others(model: PatientModel) -> None:
    one, all_of_them = model.predict(PATIENTS.loc[[9]]), model.predict(PATIENTS)
    pd.testing.assert_frame_equal(one, all_of_them.loc[[9]], rtol=1e-6)


def test_rows_may_share_an_index_label(model: PatientModel) -> None:
    frame = put(7, "age", 150).set_axis(["a", "b"] * 20)
    scored = model.predict(frame)
    assert list(scored.index) == ["a", "b"] * 20
    assert (scored["problem"] != "").tolist() == [row == 7 for row in PATIENTS.index]
    np.testing.assert_array_equal(scored["probability"], model.predict(put(7, "age", 150))["probability"])


def test_the_given_frame_is_not_changed(model: PatientModel) -> None:
    frame = put(7, "chol", "high").astype({"age": "str"})
    before = frame.copy()
    model.predict(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_a_stored_model_gives_the_same_answers(model: PatientModel, tmp_path: Path) -> None:
    dataclasses.replace(model, threshold=0.3).save(tmp_path / "new" / "model")
    again = PatientModel.load(tmp_path / "new" / "model")
    assert again.encoder == model.encoder
    assert again.threshold == 0.3
    frame = put(7, "chol", "high")
    expected = PatientModel(model.encoder, model.network, threshold=0.3).predict(frame)
    pd.testing.assert_frame_equal(again.predict(frame), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(again.references, model.references)


@pytest.mark.parametrize("name", ["references.npy", "learned_from.npy"])
def test_an_older_version_without_the_file_is_read_and_a_wrong_one_refused(
    name: str, model: PatientModel, tmp_path: Path
) -> None:
    model.save(tmp_path)
    (tmp_path / name).unlink()
    assert not len(getattr(PatientModel.load(tmp_path), name.removesuffix(".npy")))
    np.save(tmp_path / name, np.zeros((2, 5)))
    with pytest.raises(ValueError, match=rf"{name} has float64 \(2, 5\); expected"):
        PatientModel.load(tmp_path)


def test_a_model_with_dropout_answers_the_same_each_time(tmp_path: Path) -> None:
    recipe = Recipe(hidden=(8, 4), dropout=0.5)
    PatientModel(Encoder.fit(PATIENTS), network.build(recipe, 29)).save(tmp_path)
    again = PatientModel.load(tmp_path)
    pd.testing.assert_frame_equal(again.predict(PATIENTS), again.predict(PATIENTS), check_exact=True)


def test_a_stored_model_is_json_and_keras_and_no_pickle(model: PatientModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "encoder.json", "folds.npy", "learned_from.npy", "network.keras", "references.npy", "threshold.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "threshold.json").read_text()) == {"threshold": 0.5}
    assert len(json.loads((tmp_path / "encoder.json").read_text())["inputs"]) == 29
    with zipfile.ZipFile(tmp_path / "network.keras") as parts:
        assert set(parts.namelist()) == {"metadata.json", "config.json", "model.weights.h5"}
        for name in ("metadata.json", "config.json"):
            assert isinstance(json.loads(parts.read(name)), dict)
        assert parts.read("model.weights.h5").startswith(b"\x89HDF\r\n\x1a\n")
        assert b"Lambda" not in parts.read("config.json")


def test_saving_again_replaces_the_model(model: PatientModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    PatientModel(Encoder.fit(PATIENTS), network.build(Recipe(seed=9), 29), threshold=0.2).save(tmp_path)
    again = PatientModel.load(tmp_path)
    assert again.threshold == 0.2
    assert again.encoder == Encoder.fit(PATIENTS)


# An array instead of a frame.


def test_an_array_is_scored_as_the_frame_is(model: PatientModel) -> None:
    frame = put(7, "age", 150).assign(ca=np.nan)[list(schema.INPUT_NAMES)].astype("float64")
    scores, expected = model.score(frame.to_numpy()), model.predict(frame)
    np.testing.assert_array_equal(scores.probability, expected["probability"])
    assert scores.disease.tolist() == expected["disease"].tolist()
    assert scores.problem.tolist() == expected["problem"].tolist()
    assert scores.problem[6] == "column 'age' has 150; expected 18 to 100 years"


def test_the_given_array_is_not_changed(model: PatientModel) -> None:
    cells = PATIENTS[list(schema.INPUT_NAMES)].to_numpy("float64", copy=True)
    before = cells.copy()
    model.score(cells)
    np.testing.assert_array_equal(cells, before)


def test_an_array_without_rows_gets_no_scores(model: PatientModel) -> None:
    scores = model.score(np.empty((0, len(schema.COLUMNS))))
    assert (len(scores.probability), len(scores.disease), len(scores.problem)) == (0, 0, 0)


def test_a_model_without_some_columns_scores_patients_whatever_they_hold(model: PatientModel, tmp_path: Path) -> None:
    encoder = model.encoder.leaving_out(["slope", "ca"])
    fewer = PatientModel(encoder, network.build(Recipe(seed=3), encoder.width))
    expected = fewer.predict(PATIENTS)
    assert_scored(expected)
    for frame in (PATIENTS.drop(columns=["slope", "ca"]), PATIENTS.assign(slope=np.nan, ca="unknown")):
        pd.testing.assert_frame_equal(fewer.predict(frame), expected)
    fewer.save(tmp_path)
    stored = PatientModel.load(tmp_path)
    assert stored.columns == tuple(name for name in schema.INPUT_NAMES if name not in ("slope", "ca"))
    np.testing.assert_allclose(stored.predict(PATIENTS)["probability"], expected["probability"], atol=1e-6)
    with pytest.raises(RejectedError, match="column 'chol' missing; expected age, sex, cp, trestbps, chol, fbs"):
        fewer.predict(PATIENTS.drop(columns="chol"))
