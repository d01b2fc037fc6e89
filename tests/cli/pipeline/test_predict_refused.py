"""`heart predict`: files that are wrong as a whole, wrong rows, and patients unlike those of the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.lessons.columns import FOREIGN
from heart_disease.model import schema, support
from heart_disease.model.patient_model import PatientModel
from tests.cli.pipeline.conftest import ENCODER, PATIENTS, Said
from tests.harness.data import copies, patients


def kaggle() -> pd.DataFrame:
    """The patients in the codes of the most common copy, whose label is 1 for the healthy."""
    frame = PATIENTS.replace(FOREIGN).fillna({"ca": 4, "thal": 0})
    return frame.assign(num=1 - schema.label(PATIENTS)).rename(columns={"num": "target"})


def half_converted() -> pd.DataFrame:
    """That copy, in which `thal`, `slope` and `ca` have been given codes that exist."""
    frame = kaggle().replace({"thal": {0: np.nan, 1: 3, 2: 6, 3: 7}, "ca": {4: np.nan}})
    return frame.assign(slope=frame["slope"] + 1)


@pytest.mark.parametrize(
    ("frame", "columns"),
    [
        pytest.param(kaggle(), ["cp", "restecg", "thal"], id="as it is"),
        pytest.param(half_converted(), ["cp", "restecg"], id="half converted"),
        pytest.param(half_converted().head(20), ["restecg"], id="20 rows, half converted"),
        pytest.param(kaggle().iloc[10:20], ["thal"], id="10 rows"),
        pytest.param(PATIENTS.assign(thal=np.nan), ["thal"], id="a column that was lost"),
        pytest.param(
            PATIENTS.assign(chol=PATIENTS["thalach"], thalach=PATIENTS["chol"]), ["thalach"], id="two columns swapped"
        ),
    ],
)
def test_a_file_in_other_codes_is_refused_and_scored_only_if_asked(
    frame: pd.DataFrame, columns: list[str], heart_predict: Said, tmp_path: Path
) -> None:
    frame.to_csv(tmp_path / "in.csv", index=False)
    code, _, err = heart_predict(tmp_path / "in.csv", "-o", tmp_path / "out.csv")
    assert code == 3
    assert "was rejected; nothing was scored." in err
    assert [name for name in schema.BY_NAME if f"error: column '{name}' " in err] == columns
    assert "To score them all the same: --anyway" in err
    assert not (tmp_path / "out.csv").exists()

    code, _, err = heart_predict(tmp_path / "in.csv", "--anyway", "-o", tmp_path / "out.csv")
    assert code == 0
    assert all(f"error: column '{name}' " in err for name in columns)
    scored = pd.read_csv(tmp_path / "out.csv")
    assert scored.loc[frame["cp"].to_numpy() == 0, "probability"].isna().all()
    assert scored["probability"].notna().any()


def test_a_column_that_the_champion_does_not_take_raises_no_doubt(
    heart_predict: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PatientModel(ENCODER.leaving_out(["slope", "thal"]), lambda inputs: 1 / (1 + np.exp(-inputs[:, :1])))
    monkeypatch.setattr(registry, "load_model", lambda ref: model)
    strangers = patients.make(60)
    others = (strangers.assign(slope=strangers["slope"] - 1, thal=np.nan), strangers.drop(columns=["slope", "thal"]))
    for frame in others:
        frame.to_csv(tmp_path / "in.csv", index=False)
        code, _, err = heart_predict(tmp_path / "in.csv")
        assert (code, "60 rows scored" in err) == (0, True), err


@pytest.mark.parametrize("seed", range(2))
def test_small_honest_files_are_scored(seed: int, heart_predict: Said, tmp_path: Path) -> None:
    for n in (1, 5, 20):
        PATIENTS.sample(n, random_state=seed).drop(columns="num").to_csv(tmp_path / "in.csv", index=False)
        code, _, err = heart_predict(tmp_path / "in.csv", "-o", tmp_path / "out.csv")
        assert (code, f"{n} row{'s' * (n > 1)} scored" in err) == (0, True), err


def test_one_wrong_code_is_a_problem_of_its_row_alone(heart_predict: Said, tmp_path: Path) -> None:
    frame = PATIENTS.head(3).copy()
    frame.loc[2, "thal"] = 2
    frame.to_csv(tmp_path / "in.csv", index=False)
    code, _, err = heart_predict(tmp_path / "in.csv")
    assert code == 0
    assert "2 rows scored row 2 not scored: column 'thal' has 2; expected 3, 6, 7 or blank" in err


def test_a_code_that_no_patient_of_the_training_had_is_a_problem(heart_predict: Said, tmp_path: Path) -> None:
    PATIENTS.head(3).assign(cp=[1, 0, 4]).to_csv(tmp_path / "in.csv", index=False)
    _, _, err = heart_predict(tmp_path / "in.csv")
    assert "row 2 not scored: column 'cp' has 0, which no patient of the training had; expected 1, 2, 3 or 4" in err


def test_blank_rows_are_left_out_and_said(heart_predict: Said, tmp_path: Path) -> None:
    lines = sources.BUNDLED.read_text().splitlines()
    (tmp_path / "in.csv").write_text("\n".join([*lines[:4], "," * 13, " ," * 13, ""]))
    code, _, err = heart_predict(tmp_path / "in.csv", "-o", tmp_path / "out.csv")
    assert code == 0
    assert "2 blank rows left out" in err
    assert "3 rows scored" in err
    assert len(pd.read_csv(tmp_path / "out.csv")) == 3


def test_patients_unlike_those_of_the_training_are_flagged_or_get_no_answer(
    heart_predict: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(len(PATIENTS))
    usual = support.fit(ENCODER, PATIENTS, rows, [(rows[::2], rows[1::2])])
    model = PatientModel(ENCODER, lambda inputs: 1 / (1 + np.exp(-inputs[:, :1])), support=usual)
    monkeypatch.setattr(registry, "load_model", lambda ref: model)
    PATIENTS.head(3).assign(chol=[233, 600, 700]).to_csv(tmp_path / "in.csv", index=False)
    _, out, err = heart_predict(tmp_path / "in.csv")
    assert [line.split()[1].endswith("!") for line in out.splitlines()[1:]] == [False, True, True]
    assert "2 patients unlike those of the training: marked with ! above" in err
    assert heart_predict(tmp_path / "in.csv", "-o", tmp_path / "out.csv")[0] == 0
    scored = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert ["mostly in chol" in why for why in scored["unusual"]] == [False, True, True]
    assert scored["problem"].tolist() == ["", "", ""]

    _, _, err = heart_predict(tmp_path / "in.csv", "--abstain", "-o", tmp_path / "out.csv")
    assert "1 row scored row 2 not scored: unlike the patients of the training" in err
    scored = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert (scored["probability"] == "").tolist() == [False, True, True]
    assert scored["problem"].tolist() == scored["unusual"].tolist()


def test_a_published_copy_in_other_codes_is_not_scored(heart_predict: Said, tmp_path: Path) -> None:
    copies.kaggle().drop(columns="target").to_csv(tmp_path / "heart.csv", index=False)
    code, out, err = heart_predict(tmp_path / "heart.csv")
    assert code == 3
    assert out == ""
    assert "This is Kaggle's heart.csv" in err
    assert "`heart convert`" in err


def test_codes_that_fit_no_copy_are_not_sent_to_be_converted(heart_predict: Said, tmp_path: Path) -> None:
    unknown = copies.strangers(copies.cleveland())
    unknown.assign(slope=4 - unknown["slope"]).drop(columns="num").to_csv(tmp_path / "ward.csv", index=False)
    code, _, err = heart_predict(tmp_path / "ward.csv")
    assert code == 3
    assert "'slope' falls with 'oldpeak'" in err
    assert "`heart convert`" not in err
    assert heart_predict(tmp_path / "ward.csv", "--anyway")[0] == 0
