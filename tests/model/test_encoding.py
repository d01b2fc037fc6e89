"""13 columns -> 29 inputs, the same for every encoder, fitted only on the training rows."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from heart_disease.data import sources
from heart_disease.model import encoding, schema
from heart_disease.model.encoding import Encoder
from tests.harness.data import patients

NAMES = [
    *("age", "trestbps", "chol", "thalach", "oldpeak", "slope"),
    *("sex=female", "sex=male"),
    *("cp=unknown", "cp=typical angina", "cp=atypical angina", "cp=non-anginal pain", "cp=asymptomatic"),
    *("fbs=no", "fbs=yes"),
    *("restecg=normal", "restecg=ST-T wave abnormality", "restecg=left ventricular hypertrophy"),
    *("exang=no", "exang=yes"),
    *("ca=blank", "ca=none", "ca=one", "ca=two", "ca=three"),
    *("thal=blank", "thal=normal", "thal=fixed defect", "thal=reversible defect"),
]


def plainly(frame: pd.DataFrame, fitted_on: pd.DataFrame) -> pd.DataFrame:
    """The encoding written out by hand: one named column per input. Slow but right."""
    out: dict[str, pd.Series] = {}
    for column in schema.COLUMNS:
        values = frame[column.name]
        if column.is_number:
            out[column.name] = (values - fitted_on[column.name].mean()) / fitted_on[column.name].std(ddof=0)
            continue
        for code, meaning in column.codes.items():
            out[f"{column.name}={meaning}"] = (values == code).astype(float)
        if column.optional:
            out[f"{column.name}=blank"] = values.isna().astype(float)
    return pd.DataFrame(out)


def groups() -> dict[str, list[int]]:
    """The inputs of each coded column."""
    return {
        column.name: [i for i, name in enumerate(NAMES) if name.startswith(f"{column.name}=")]
        for column in schema.COLUMNS
        if not column.is_number
    }


def test_the_names_of_the_inputs_and_their_order() -> None:
    assert encoding.input_names() == NAMES
    assert len(NAMES) == 29


@pytest.mark.parametrize("n", [1, 2, 50])
def test_each_patient_is_one_row_of_29_float32(n: int) -> None:
    encoded = Encoder.fit(patients.make(50)).transform(patients.make(n, seed=1))
    assert encoded.shape == (n, 29)
    assert encoded.dtype == np.float32


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_the_plain_encoding(seed: int) -> None:
    frame = patients.make(80, seed)
    frame.loc[[3, 4], "cp"] = 0
    training = frame.iloc[::2]
    expected = plainly(frame, training)
    encoded = Encoder.fit(training).transform(frame)
    assert set(expected.columns) == set(NAMES)
    np.testing.assert_allclose(encoded, expected[NAMES], rtol=1e-6, atol=1e-6)


def test_it_equals_the_plain_encoding_for_the_bundled_patients() -> None:
    frame = sources.load().frame
    np.testing.assert_allclose(Encoder.fit(frame).transform(frame), plainly(frame, frame)[NAMES], rtol=1e-6, atol=1e-6)


def test_numbers_have_mean_0_and_spread_1_on_the_fitted_rows_only() -> None:
    frame = patients.make(100)
    rows = np.arange(60)
    numbers = Encoder.fit(frame.iloc[rows]).transform(frame)[:, :6].astype("float64")
    np.testing.assert_allclose(numbers[rows].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(numbers[rows].std(axis=0), 1, atol=1e-6)
    assert np.abs(numbers.mean(axis=0)).max() > 1e-3


def test_rows_it_was_not_fitted_on_change_nothing() -> None:
    frame = patients.make(100)
    rows = np.arange(60)
    changed = frame.copy()
    changed.iloc[60:] = patients.make(40, seed=9).to_numpy()
    assert Encoder.fit(changed.iloc[rows]) == Encoder.fit(frame.iloc[rows])


def test_the_label_is_not_an_input() -> None:
    frame = patients.make(50)
    turned = frame.assign(num=4 - frame["num"])
    np.testing.assert_array_equal(Encoder.fit(frame).transform(frame), Encoder.fit(turned).transform(turned))
    np.testing.assert_array_equal(
        Encoder.fit(frame).transform(frame), Encoder.fit(frame).transform(frame.drop(columns="num"))
    )


def test_exactly_one_input_of_each_coded_column_is_1() -> None:
    encoded = Encoder.fit(patients.make(80)).transform(patients.make(80))
    assert sorted(i for group in groups().values() for i in group) == list(range(6, 29))
    for inputs in groups().values():
        assert set(np.unique(encoded[:, inputs])) <= {0, 1}
        np.testing.assert_array_equal(encoded[:, inputs].sum(axis=1), 1)


@pytest.mark.parametrize("name", ["ca", "thal"])
def test_a_blank_has_its_own_input(name: str) -> None:
    frame = patients.make(20, **{name: np.nan})
    encoded = Encoder.fit(frame).transform(frame)
    np.testing.assert_array_equal(encoded[:, NAMES.index(f"{name}=blank")], 1)
    np.testing.assert_array_equal(encoded[:, groups()[name]].sum(axis=1), 1)


def test_codes_missing_from_the_fitted_rows_still_have_inputs() -> None:
    encoder = Encoder.fit(patients.make(20, cp=1, thal=3, ca=0))
    encoded = encoder.transform(patients.make(20, cp=4, thal=7, ca=np.nan))
    for name in ("cp=asymptomatic", "thal=reversible defect", "ca=blank"):
        np.testing.assert_array_equal(encoded[:, NAMES.index(name)], 1)


def test_it_remembers_the_codes_that_no_fitted_row_had() -> None:
    frame = patients.make(100)
    assert Encoder.fit(frame).unseen == ("cp=unknown",)
    assert Encoder.fit(frame.assign(cp=0, ca=np.nan)).unseen == (
        "cp=typical angina", "cp=atypical angina", "cp=non-anginal pain", "cp=asymptomatic",
        "ca=none", "ca=one", "ca=two", "ca=three",
    )  # fmt: skip
    assert Encoder.fit(frame.fillna({"thal": 3})).unseen == ("cp=unknown", "thal=blank")
    assert Encoder.fit(sources.load().frame).unseen == ("cp=unknown",)


def test_cells_with_codes_that_no_fitted_row_had_are_found() -> None:
    encoder = Encoder.fit(patients.make(100).fillna({"thal": 3}))
    frame = patients.make(20, seed=1, thal=3.0, ca=0.0)
    frame.loc[5, "cp"], frame.loc[7, "thal"], frame.loc[9, "ca"] = 0, np.nan, np.nan
    found = encoder.never_seen(frame[list(schema.INPUT_NAMES)].to_numpy())
    assert [(row + 1, schema.INPUT_NAMES[column]) for row, column in np.argwhere(found)] == [(5, "cp"), (7, "thal")]
    assert encoder.expected(schema.BY_NAME["cp"]) == "1, 2, 3 or 4"
    assert encoder.expected(schema.BY_NAME["thal"]) == "3, 6 or 7"
    assert encoder.expected(schema.BY_NAME["age"]) == schema.BY_NAME["age"].expected


def test_the_codes_that_no_fitted_row_had_are_stored_and_are_unknown_for_older_versions() -> None:
    encoder = Encoder.fit(sources.load().frame)
    stored = json.loads(encoder.to_json())
    assert Encoder.from_json(json.dumps(stored)) == encoder
    del stored["unseen"]
    assert Encoder.from_json(json.dumps(stored)) == dataclasses.replace(encoder, unseen=())
    with pytest.raises(ValueError, match="input cp=nothing; expected some of sex=female"):
        Encoder.from_json(json.dumps({**stored, "unseen": ["cp=nothing"]}))


def test_a_number_that_does_not_vary_becomes_0() -> None:
    frame = patients.make(20, chol=250)
    np.testing.assert_array_equal(Encoder.fit(frame).transform(frame)[:, NAMES.index("chol")], 0)


@pytest.mark.parametrize(
    ("column", "value"), [("cp", 5), ("thal", 4), ("ca", 4), ("sex", 0.5), ("restecg", np.nan), ("thal", -2)]
)
def test_an_unknown_code_is_an_error_and_not_a_row_of_zeros(column: str, value: float) -> None:
    frame = patients.make(20)
    encoder = Encoder.fit(frame)
    frame.loc[7, column] = value
    with pytest.raises(ValueError, match="unknown categor"):
        encoder.transform(frame)


@pytest.mark.parametrize("column", encoding.NUMBERS)
def test_a_blank_number_is_an_error(column: str) -> None:
    frame = patients.make(20)
    encoder = Encoder.fit(frame)
    frame.loc[7, column] = np.nan
    with pytest.raises(ValueError, match=r"expected a number in every cell of age, .*; got a blank"):
        encoder.transform(frame)


def test_json_and_back_is_exact() -> None:
    encoder = Encoder.fit(patients.make(97, seed=3))
    again = Encoder.from_json(encoder.to_json())
    assert again == encoder
    frame = patients.make(30, seed=4)
    np.testing.assert_array_equal(again.transform(frame), encoder.transform(frame))


def test_json_names_the_inputs_for_human_readers() -> None:
    written = json.loads(Encoder.fit(patients.make(20)).to_json())
    assert written["inputs"] == NAMES
    assert list(written["numbers"]) == NAMES[:6]


def test_neither_the_order_of_columns_nor_the_index_matters_and_the_frame_is_not_changed() -> None:
    frame = patients.make(30)
    before = frame.copy()
    encoder = Encoder.fit(frame)
    shuffled = frame[frame.columns[::-1]].set_axis(range(100, 130))
    np.testing.assert_array_equal(encoder.transform(shuffled), encoder.transform(frame))
    assert Encoder.fit(shuffled) == encoder
    pd.testing.assert_frame_equal(frame, before)


def test_a_row_is_encoded_the_same_alone_and_among_others() -> None:
    frame = patients.make(30)
    encoder = Encoder.fit(frame)
    np.testing.assert_array_equal(encoder.transform(frame.iloc[[11]]), encoder.transform(frame)[[11]])


def test_an_encoder_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Encoder.fit(patients.make(20)).means = ()  # type: ignore[misc]


def test_very_many_rows_are_encoded_in_blocks_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, rows = patients.make(90), np.array([1, 3, 5, 8, 13, 21, 34, 55, 89, 4])
    whole, part = Encoder.fit(frame), Encoder.fit(frame.iloc[rows])
    monkeypatch.setattr(encoding, "BLOCK", 7)
    in_blocks = Encoder.fit(frame)
    np.testing.assert_allclose(in_blocks.means, whole.means, rtol=1e-12)
    np.testing.assert_allclose(in_blocks.scales, whole.scales, rtol=1e-12)
    assert in_blocks.unseen == whole.unseen
    np.testing.assert_array_equal(
        whole.transform(frame), np.vstack([whole.transform(frame.iloc[[i]]) for i in range(90)])
    )
    some = Encoder.fit(frame, rows)
    np.testing.assert_allclose(some.means, part.means, rtol=1e-12)
    assert some.unseen == part.unseen


WITHOUT = ("slope", "restecg", "ca")


def test_columns_left_out_take_their_inputs_with_them() -> None:
    frame = patients.make(50)
    full, fewer = Encoder.fit(frame), Encoder.fit(frame).leaving_out(WITHOUT)
    kept = [name for name in NAMES if name.partition("=")[0] not in WITHOUT]
    assert encoding.input_names(WITHOUT) == kept
    assert fewer.width == len(kept)
    assert [schema.INPUT_NAMES[k] for k in fewer.input_columns] == [name.partition("=")[0] for name in kept]
    expected = pd.DataFrame(full.transform(frame), columns=NAMES)[kept]
    np.testing.assert_array_equal(fewer.transform(frame.drop(columns=list(WITHOUT))), expected)


def test_what_a_column_that_is_left_out_holds_does_not_matter() -> None:
    frame, fewer = patients.make(50), Encoder.fit(patients.make(50)).leaving_out(WITHOUT)
    np.testing.assert_array_equal(fewer.transform(frame.assign(slope=np.nan, ca="none")), fewer.transform(frame))
    with pytest.raises(ValueError, match="every cell of age, trestbps, chol, thalach, oldpeak; got a blank"):
        fewer.transform(frame.assign(chol=np.nan))


def test_an_encoder_without_columns_is_stored_and_read() -> None:
    fewer = Encoder.fit(patients.make(50)).leaving_out(WITHOUT)
    assert "cp=unknown" in fewer.unseen
    assert not [name for name in fewer.unseen if name.startswith(("ca=", "restecg="))]
    assert Encoder.from_json(fewer.to_json()) == fewer
    unknown = {**json.loads(fewer.to_json()), "without": ["weight"]}
    with pytest.raises(ValueError, match="without weight; expected some of age, "):
        Encoder.from_json(json.dumps(unknown))
