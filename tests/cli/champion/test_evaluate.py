"""`heart evaluate`: a version on the patients of another hospital, compared with scikit-learn, and kept in MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import cross_val_predict

from heart_disease import registry
from heart_disease.data import digests, identities, sources
from heart_disease.data.sites import SITES
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.patient_model import PatientModel
from heart_disease.reporting import tables
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.command import speaking
from tests.harness.data import copies, patients

TABLE = sources.load()
ENCODER = Encoder.fit(TABLE.frame)
INPUTS, LABELS = ENCODER.transform(TABLE.frame), schema.label(TABLE.frame).to_numpy()
REGRESSION = LogisticRegression(max_iter=1000).fit(INPUTS, LABELS)
OUT_OF_FOLD = cross_val_predict(REGRESSION, INPUTS, LABELS, method="predict_proba")[:, 1]
WITHOUT = ("slope", "ca", "thal")
FEWER = ENCODER.leaving_out(WITHOUT)
FEWER_REGRESSION = LogisticRegression(max_iter=1000).fit(FEWER.transform(TABLE.frame), LABELS)
REQUIRED = [column.name for column in schema.COLUMNS if not column.optional]


def registered(
    regression: LogisticRegression, encoder: Encoder, without: tuple[str, ...], threshold: float = 0.5
) -> registry.ModelRef:
    """A version from a run that has what a training records: recipe, data, and out-of-fold probabilities."""
    recipe = Recipe(hidden=(), without=without)
    keras_model = network.build(recipe, encoder.width)
    keras_model.set_weights([regression.coef_.T, regression.intercept_])
    learned = identities.learned_from(TABLE.frame, np.arange(len(TABLE)), without)
    frame = pd.DataFrame({"patient": digests.as_text(TABLE.row_ids), "label": LABELS, "probability_1": OUT_OF_FOLD})
    with registry.open_run(recipe.title, {}) as run:
        registry.log_start(run, TABLE, registry.origin_here(recipe, Evaluation(), TABLE.digest))
        model = PatientModel(encoder, keras_model, threshold, learned)
        ref = registry.log_model(run, model, TABLE.frame.head(2))
        registry.log_files(run, "evaluation", {tables.OUT_OF_FOLD: frame.to_csv(index=False)})
    registry.set_challenger(ref, "a test")
    return ref


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with two versions of logistic regression as a network without a hidden layer.

    Version 1 is champion; version 2 does not take the columns `WITHOUT`, and answers yes
    from 0.2 on.
    """
    folder = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.chdir(folder)
        first = registered(REGRESSION, ENCODER, ())
        registered(FEWER_REGRESSION, FEWER, WITHOUT, threshold=0.2)
        registry.move_champion(first, expected=None, kind="by hand", why="a test")
        yield folder


@pytest.fixture
def heart(store: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    return speaking(capsys)


def judged() -> list[Any]:
    """The runs of `heart evaluate`, the newest first."""
    found = mlflow.MlflowClient().get_experiment_by_name(registry.HOSPITALS)
    return list(mlflow.MlflowClient().search_runs([found.experiment_id])) if found else []


def fit_to_judge(site: str) -> pd.DataFrame:
    """The patients of a hospital with all that may not be blank, and measured."""
    frame = pd.read_csv(SITES[site]).dropna(subset=REQUIRED)
    return frame[(frame["chol"] > 0) & (frame["trestbps"] > 0)]


def test_a_hospital_is_judged_on_those_who_can_be_scored(heart: Any) -> None:
    code, out, _ = heart("evaluate", "hungary")
    assert code == 0
    frame = fit_to_judge("hungary")
    p, y = REGRESSION.predict_proba(ENCODER.transform(frame))[:, 1], frame["num"] > 0
    found = judged()[0].data.metrics
    assert found["patients"] == len(frame) == 95
    assert found["roc_auc"] == pytest.approx(roc_auc_score(y, p), abs=1e-6)
    assert found["log_loss"] == pytest.approx(log_loss(y, p), abs=1e-5)
    assert found["share_with_disease"] == pytest.approx(y.mean())
    assert found["calibration_slope_low"] < found["calibration_slope"] < found["calibration_slope_high"]
    assert "hungary: 95 of 294 patients judged" in out
    assert "199 patients cannot be judged, some for several reasons:\n  slope: 190 blank\n  chol: 23 blank" in out
    assert f"ROC AUC                {found['roc_auc']:.3f} [" in out
    assert all(len(line) <= 80 for line in out.splitlines() if "http" not in line)


def test_the_figures_of_all_hospitals_stand_side_by_side_on_the_models_page(heart: Any) -> None:
    for site in ("hungary", "long-beach"):
        assert heart("evaluate", site)[0] == 0
    client = mlflow.MlflowClient()
    run = client.get_run(judged()[0].info.run_id)
    [model] = run.inputs.model_inputs
    champion = registry.champion()
    assert client.get_model_version(champion.name, champion.version).source == f"models:/{model.model_id}"
    assert (run.data.tags["version"], run.data.tags["judged_run"]) == (champion.version, champion.run_id)
    [data] = run.inputs.dataset_inputs
    table = sources.load(SITES["long-beach"])
    assert (data.dataset.name, data.dataset.digest, data.tags[0].value) == ("long-beach", table.digest, "evaluation")
    areas = [one for one in client.get_logged_model(model.model_id).metrics if one.key == "roc_auc"]
    assert {(one.dataset_name, one.dataset_digest) for one in areas} >= {
        (site, sources.load(SITES[site]).digest) for site in ("hungary", "long-beach")
    }


def test_on_its_training_data_a_version_is_judged_out_of_fold(heart: Any) -> None:
    code, out, _ = heart("evaluate", "cleveland")
    assert code == 0
    found = judged()[0].data.metrics
    assert found["patients"] == 303
    assert found["roc_auc"] == pytest.approx(roc_auc_score(LABELS, OUT_OF_FOLD), abs=1e-9)
    assert found["roc_auc"] < roc_auc_score(LABELS, REGRESSION.predict_proba(INPUTS)[:, 1])
    assert "networks judge them that had not seen them" in " ".join(out.split())


def test_its_own_training_data_is_judged_by_its_own_answers(heart: Any) -> None:
    assert heart("evaluate", "cleveland", "--model", "2")[0] == 0
    found = judged()[0].data.metrics
    assert found["sensitivity"] == pytest.approx((OUT_OF_FOLD[LABELS > 0.5] >= 0.2).mean())
    assert found["specificity"] == pytest.approx((OUT_OF_FOLD[LABELS < 0.5] < 0.2).mean())


def test_a_hospital_that_measured_no_cholesterol_is_not_judged(heart: Any) -> None:
    before = len(judged())
    code, out, err = heart("evaluate", "switzerland")
    assert (code, out) == (3, "")
    assert "'" + str(SITES["switzerland"]) + "' was not judged: 0 of its 123 patients can be" in err
    assert "chol: 123 0, so not measured fbs: 75 blank" in err
    assert len(judged()) == before


def test_a_version_without_some_columns_is_judged_on_those_who_lack_them(heart: Any, tmp_path: Path) -> None:
    code, out, _ = heart("evaluate", "hungary", "--model", "2")
    assert code == 0
    frame = pd.read_csv(SITES["hungary"]).drop(columns=list(WITHOUT)).dropna()
    p, y = FEWER_REGRESSION.predict_proba(FEWER.transform(frame))[:, 1], frame["num"] > 0
    found = judged()[0].data.metrics
    assert found["patients"] == len(frame) == 261
    assert found["roc_auc"] == pytest.approx(roc_auc_score(y, p), abs=1e-6)
    assert found["sensitivity"] == pytest.approx((p[y] >= 0.2).mean())
    assert "answers yes from       0.200" in out
    assert "slope" not in out.split("cannot be judged")[1]
    frame.to_csv(tmp_path / "ward.csv", index=False)  # the columns are not even there
    assert heart("evaluate", str(tmp_path / "ward.csv"), "--model", "2")[0] == 0
    assert judged()[0].data.metrics["roc_auc"] == pytest.approx(found["roc_auc"])


def test_the_signature_of_a_version_has_the_columns_that_it_takes(store: Path) -> None:
    for version, without in (("1", ()), ("2", WITHOUT)):
        info = mlflow.models.get_model_info(f"models:/{registry.MODEL}/{version}")
        names = [name for name in schema.INPUT_NAMES if name not in without]
        assert info.signature.inputs.input_names() == names
        assert set(info.metadata["columns"]) == set(names)


def test_a_file_of_ones_own_is_judged(heart: Any, tmp_path: Path) -> None:
    patients.make(80, seed=9).to_csv(tmp_path / "ward.csv", index=False)
    code, out, _ = heart("evaluate", str(tmp_path / "ward.csv"), "--model", "1")
    assert code == 0
    assert "ward: 80 of 80 patients judged" in out
    assert judged()[0].data.tags["source"] == str(tmp_path / "ward.csv")


def test_an_inverted_label_is_refused(heart: Any, tmp_path: Path) -> None:
    frame = patients.make(200, seed=9)
    frame.assign(num=(frame["num"] == 0).astype(int)).to_csv(tmp_path / "ward.csv", index=False)
    code, _, err = heart("evaluate", str(tmp_path / "ward.csv"))
    assert code == 3
    assert "orders its patients worse than chance, ROC AUC" in err
    assert heart("evaluate", str(tmp_path / "ward.csv"), "--anyway")[0] == 0


def test_a_table_in_other_codes_is_refused(heart: Any, tmp_path: Path) -> None:
    frame = patients.make(200, seed=9)
    frame.assign(slope=frame["slope"] - 1).to_csv(tmp_path / "ward.csv", index=False)
    code, _, err = heart("evaluate", str(tmp_path / "ward.csv"))
    assert code == 3
    assert "was rejected; nothing was judged. error: column 'slope' has 0 in" in err
    assert err.endswith("--anyway")


def test_unknown_patients_who_cannot_be_in_ucis_codes_are_judged_only_anyway(heart: Any, tmp_path: Path) -> None:
    frame = copies.strangers(copies.cleveland())
    frame.assign(slope=4 - frame["slope"]).to_csv(tmp_path / "ward.csv", index=False)
    code, _, err = heart("evaluate", str(tmp_path / "ward.csv"))
    assert code == 3
    assert "'slope' falls with 'oldpeak'" in err
    assert err.endswith("--anyway")
    assert heart("evaluate", str(tmp_path / "ward.csv"), "--anyway")[0] == 0


def test_programs_learn_which_copy_the_patients_came_from(heart: Any, tmp_path: Path) -> None:
    copies.words().to_csv(tmp_path / "words.csv", index=False)
    for source, copy in ((str(tmp_path / "words.csv"), "redwankarimsony"), ("cleveland", None)):
        code, out, err = heart("evaluate", source, "--json")
        assert code == 0, err
        found = json.loads(out)
        assert copy in found["copy"] if copy else found["copy"] is None
        assert found["judged"]["training, out of fold"]["threshold"] == 0.5


def test_a_copy_of_the_training_data_is_recognised(heart: Any, tmp_path: Path) -> None:
    copies.kaggle().to_csv(tmp_path / "heart.csv", index=False)
    code, _, err = heart("evaluate", str(tmp_path / "heart.csv"))
    assert code == 3
    assert "0 of its 302 patients can be" in err
    assert "the model learned from 302" in err


@pytest.mark.parametrize(
    ("source", "options", "code", "message"),
    [
        ("ward.csv", [], 3, "lacks the column 'num'"),
        ("labelled.csv", [], 3, "column 'ca' missing; expected age, "),
        ("nothing.csv", [], 3, "no file 'nothing.csv'"),
        (
            "long-beech",
            [],
            3,
            "'long-beech' is no hospital of the study, and there is no such file; expected cleveland",
        ),
        ("hungary", ["--model", "7"], 4, "no version 7"),
        ("hungary", ["--model", "best"], 4, "no run 'best'"),
    ],
)
def test_what_cannot_be_judged_is_said(
    source: str, options: list[str], code: int, message: str, heart: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    patients.make(40).drop(columns="num").to_csv("ward.csv", index=False)
    patients.make(40).drop(columns="ca").to_csv("labelled.csv", index=False)
    before = len(judged())
    found, _, err = heart("evaluate", source, *options)
    assert found == code
    assert message in err
    assert len(judged()) == before
