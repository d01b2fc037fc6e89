"""The flow from end to end, on a temporary MLflow store and Prefect's test harness."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import mlflow
import numpy as np
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from heart_disease import registry
from heart_disease.cli import main
from heart_disease.data import identities, sources
from heart_disease.evaluation.estimates import Estimate
from heart_disease.model import schema
from heart_disease.model.errors import RejectedError, UnavailableError
from heart_disease.reporting import tables
from heart_disease.training.recipe import Recipe
from tests.harness.command import ROOT
from tests.harness.data import patients
from tests.harness.models.trainings import QUICK
from tests.harness.pages.artifacts import read_artifacts

pytestmark = pytest.mark.usefixtures("prefect", "as_it_was")


def task_states(flow_run: str) -> dict[str, str]:
    """The final state of each task of a flow run."""
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(flow_run)]))
    with get_client(sync_client=True) as client:
        return {task.name: str(task.state_name) for task in client.read_task_runs(flow_run_filter=wanted)}


@pytest.fixture(scope="module")
def run(trained: Any) -> mlflow.entities.Run:
    return mlflow.get_run(trained.run.run_id)


def test_the_default_recipe_becomes_champion(trained: Any) -> None:
    assert trained.decision.promote
    assert registry.champion() == trained.model
    version = mlflow.MlflowClient().get_model_version(trained.model.name, trained.model.version)
    assert version.tags["promotion_reason"] == trained.decision.reason
    assert version.run_id == trained.run.run_id


def test_the_run_is_finished_and_named_after_its_recipe(run: mlflow.entities.Run) -> None:
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "29-16-1, 75 epochs, decay 1, adam 0.001, relu"


def test_the_logged_model_has_the_name_of_its_run(run: mlflow.entities.Run) -> None:
    [model] = mlflow.MlflowClient().search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )
    assert model.name == run.info.run_name.replace(".", "·")


def test_the_view_has_the_loss_the_verdict_and_the_curves_first(run: mlflow.entities.Run) -> None:
    view = json.loads(mlflow.get_experiment(run.info.experiment_id).tags["mlflow.sharedViewState.trainings"])
    state = json.loads(view["state"])
    columns = [one.split("`")[1] for one in state["selectedColumns"]]
    assert columns[:3] == ["log_loss", "log_loss_low", "log_loss_high"]
    kept = {**run.data.metrics, **run.data.params, **run.data.tags}
    later = {"log_loss_minus/champion", "verdict/champion", "verdict/groups", "sensitivity"}  # there is no champion yet
    assert set(columns) - later <= set(kept)
    shown = [section["name"] for section in state["compareRunSections"] if section["display"]]
    assert shown == ["loss"]
    folded = {section["name"] for section in state["compareRunSections"]} - {"loss"}
    assert {name.partition("/")[0] for name in run.data.metrics if "/" in name} - {"loss"} <= folded


def test_the_run_holds_every_parameter_of_the_recipe_and_of_the_evaluation(run: mlflow.entities.Run) -> None:
    expected = {name: str(value) for name, value in Recipe().as_dict().items()} | {"hidden": "16", "without": "none"}
    assert run.data.params == expected | {"folds": "10", "repeats": "5", "data_digest": sources.load().digest}


def test_the_run_says_where_it_comes_from(run: mlflow.entities.Run, trained: Any) -> None:
    tags = run.data.tags
    assert tags["prefect.flow_run_id"] == trained.flow_run_id
    assert tags["device"].startswith(("cpu", "gpu"))
    assert tags["library.tensorflow"].startswith("2.")
    assert len(tags["mlflow.source.git.commit"]) == 40
    assert tags["git_dirty"] in ("yes", "no")


def test_the_run_has_its_data_set_as_an_input(run: mlflow.entities.Run) -> None:
    [entry] = run.inputs.dataset_inputs
    assert entry.dataset.digest == sources.load().digest
    assert entry.dataset.name == "cleveland"
    assert {tag.value for tag in entry.tags} == {"training"}


def test_every_metric_has_both_ends_of_its_interval(run: mlflow.entities.Run, trained: Any) -> None:
    expected = tables.metrics(trained.report)
    found = {name: value for name, value in run.data.metrics.items() if name in expected}
    assert found == pytest.approx(expected)
    assert found["log_loss_low"] < found["log_loss"] < found["log_loss_high"]


def test_the_models_page_has_its_version_and_the_metrics_of_its_run_but_no_curves(
    run: mlflow.entities.Run, trained: Any
) -> None:
    ref = trained.model
    model = mlflow.get_logged_model(mlflow.models.get_model_info(f"models:/{ref.name}/{ref.version}").model_id)
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": ref.name, "version": ref.version}]
    found = {metric.key: metric.value for metric in model.metrics}
    curves = ("loss/", "loss_std/", "accuracy/", "accuracy_std/")
    assert found == {key: value for key, value in run.data.metrics.items() if not key.startswith(curves)}


@pytest.mark.parametrize("curve", ["loss/train", "loss/test", "accuracy/train", "accuracy/test"])
def test_curves_have_a_point_for_every_epoch(run: mlflow.entities.Run, curve: str) -> None:
    for name in (curve, curve.replace("/", "_std/")):
        steps = [point.step for point in mlflow.MlflowClient().get_metric_history(run.info.run_id, name)]
        assert steps == list(range(1, 76))


def test_figures_and_the_validation_page_are_attached(run: mlflow.entities.Run) -> None:
    client = mlflow.MlflowClient()
    figures = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "figures")}
    assert figures == {"loss_curves.png", "roc_curve.png", "calibration.png", "confusion_matrix.png"}
    files = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "validation")}
    assert files == {"validation.html", "validation.json"}
    result = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/validation/validation.json")
    assert result["success"] is False  # three warnings
    assert len(result["results"]) > 20


def test_the_model_has_a_signature_an_example_and_no_pickle(trained: Any) -> None:
    uri = f"models:/{trained.model.name}/{trained.model.version}"
    info = mlflow.models.get_model_info(uri)
    assert info.signature.inputs.input_names() == list(sources.load().frame.columns[:13])
    assert info.signature.outputs.input_names() == ["probability", "disease", "problem", "unusual"]
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    assert (folder / "input_example.json").exists()
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes <= {".py", ".json", ".keras", ".npy", ".yaml", ".yml", ".txt", ""}


@pytest.mark.slow
def test_the_model_loads_and_scores_without_the_project_installed(trained: Any, tmp_path: Path) -> None:
    rows = sources.load().frame.head(3).drop(columns="num")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    script = f"""
import sys
from importlib.machinery import PathFinder
root = {str(ROOT)!r}
sys.path = [entry for entry in sys.path if entry not in ("", root)]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
for name in ("tasks", "flows", "expectations", "heart_disease"):
    assert PathFinder.find_spec(name) is None, name
import mlflow, pandas
model = mlflow.pyfunc.load_model("models:/{trained.model.name}/{trained.model.version}")
rows = pandas.read_csv("rows.csv")
print(model.predict(rows)["probability"].tolist())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = registry.load_model(trained.model).predict(rows)["probability"].tolist()
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(expected, abs=1e-6)


def test_the_champion_scores_a_csv_file_as_the_readme_says(trained: Any) -> None:
    rows = pd.read_csv(sources.BUNDLED)
    answers = mlflow.pyfunc.load_model("models:/heart-disease@champion").predict(rows)
    pd.testing.assert_frame_equal(answers, registry.load_model(registry.champion()).predict(rows))


def test_predict_scores_good_rows_and_gives_reasons_for_the_others(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_csv(sources.BUNDLED).drop(columns="num").head(6)
    rows.insert(0, "patient", [f"P{i}" for i in range(6)])
    rows["chol"] = rows["chol"].astype("object")
    rows.loc[2, "chol"] = "n/a"
    rows.loc[4, "trestbps"] = 999
    rows.to_csv(tmp_path / "in.csv", index=False)

    assert main.main(["predict", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv")]) == 0
    said = capsys.readouterr().err
    assert "4 rows scored" in said
    said = " ".join(said.split())
    assert "row 3 not scored: column 'chol' has 'n/a'; expected 70 to 700 mg/dl" in said
    assert "row 5 not scored: column 'trestbps' has 999; expected 60 to 260 mm Hg" in said
    written = pd.read_csv(tmp_path / "out.csv")
    assert written["patient"].tolist() == [f"P{i}" for i in range(6)]
    assert written["probability"].isna().tolist() == [False, False, True, False, True, False]
    assert set(written.loc[[0, 1, 3, 5], "disease"]) <= {"yes", "no"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    assert main.main(["predict", str(tmp_path / "in.csv")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="thal"), "column 'thal' missing"),
        (lambda rows: rows.head(1).assign(age=999), "no row of"),
    ],
)
def test_predict_refuses_what_it_cannot_score(
    change: Any, message: str, trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(pd.read_csv(sources.BUNDLED)).to_csv(tmp_path / "in.csv", index=False)
    assert main.main(["predict", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv")]) == 3
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out.csv").exists()


def test_the_flows_form_has_names_limits_and_defaults(trained: Any) -> None:
    from prefect.utilities.callables import parameter_schema

    from flows.train import train

    form = parameter_schema(train.fn).model_dump()
    names = ["source", "recipe", "evaluation", "promotion", "device", "force", "read_as", "landscape"]
    assert list(form["properties"]) == names
    recipe = form["definitions"]["RecipeOptions"]["properties"]
    assert recipe["epochs"]["anyOf"][0]["minimum"] == 1
    assert recipe["optimizer"]["enum"] == ["adam", "sgd", "gd"]
    assert all(field["description"] for field in recipe.values())
    assert form["properties"]["recipe"]["default"]["epochs"] is None  # by the number of patients


def test_the_prefect_run_has_its_own_artifacts(trained: Any) -> None:
    [validation] = read_artifacts("validation", trained.flow_run_id)
    assert "0 errors" in validation.description
    [metrics] = read_artifacts("metrics", trained.flow_run_id)
    assert [row["metric"] for row in json.loads(metrics.data)][0] == "log loss"
    [link] = read_artifacts("mlflow-run", trained.flow_run_id)
    assert trained.run.run_id in link.data
    assert link.description.startswith(f"In {registry.uri().removeprefix('sqlite:///')}: ")
    [decision] = read_artifacts("decision", trained.flow_run_id)
    assert decision.description == "heart-disease version 1: champion."


def test_the_same_training_again_does_nothing_and_leaves_no_trace(trained: Any) -> None:
    from flows.train import Unchanged, train

    before = len(mlflow.search_runs(experiment_names=[registry.EXPERIMENT], output_format="list"))
    again = train(**QUICK)
    assert isinstance(again, Unchanged)
    assert again.champion == trained.model
    assert len(mlflow.search_runs(experiment_names=[registry.EXPERIMENT], output_format="list")) == before


def test_a_champion_that_does_not_load_is_not_nothing_to_do(trained: Any) -> None:
    from flows.train import train

    folder = Path(mlflow.get_run(trained.run.run_id).info.artifact_uri).parents[1] / "models"
    folder.rename(folder.with_name("away"))
    try:
        with pytest.raises(
            UnavailableError, match=f"files are missing; expected them in {folder}.*heart train --force"
        ):
            train(**QUICK)
        assert not folder.exists()
    finally:
        folder.with_name("away").rename(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_trained")
def test_a_forced_repeat_gives_the_same_metrics_and_a_version_that_is_not_worse(trained: Any) -> None:
    from flows.train import train

    again = train(force=True, **QUICK)
    ours, theirs = tables.metrics(again.report), tables.metrics(trained.report)
    assert {name: ours[name] for name in theirs} == theirs
    assert int(again.model.version) > int(trained.model.version)
    assert again.decision.champion.kind == "not worse"
    assert again.decision.champion.difference == Estimate(0.0, 0.0, 0.0)
    assert not again.decision.promote
    assert registry.champion() == trained.model


def test_the_version_carries_the_digests_of_the_patients_it_learned_from(trained: Any) -> None:
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{trained.model.name}/{trained.model.version}"))
    [file] = folder.rglob("learned_from.npy")
    known = np.load(file, allow_pickle=False)
    assert known.tolist() == sorted(identities.patient_ids(sources.load().frame).tolist())


def test_rejected_data_stops_the_flow_before_training_and_is_recorded(trained: Any, tmp_path: Path) -> None:
    from flows.train import train

    before = registry.champion(), len(mlflow.MlflowClient().search_model_versions(f"name='{registry.MODEL}'"))
    bad = patients.make(80)
    bad.loc[bad.index[4], "chol"] = 9999
    bad.to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(RejectedError, match=r"chol.*9999"):
        train(source=str(tmp_path / "bad.csv"), **QUICK)
    failed, *_ = mlflow.search_runs(  # the newest first
        experiment_names=[registry.EXPERIMENT], filter_string="status = 'FAILED'", output_format="list"
    )
    page = mlflow.artifacts.load_text(f"runs:/{failed.info.run_id}/validation/validation.html")
    assert "9999" in page
    told = failed.data.tags["mlflow.note.content"]
    assert "was rejected; nothing was trained.\n\n* " in told
    assert "column 'chol' has 9999 in row 5" in told
    [read] = failed.inputs.dataset_inputs
    assert json.loads(read.dataset.profile)["num_rows"] == 80
    assert failed.data.params["data_digest"] == read.dataset.digest
    assert failed.data.params["epochs"] == str(Recipe().epochs)
    after = registry.champion(), len(mlflow.MlflowClient().search_model_versions(f"name='{registry.MODEL}'"))
    assert after == before
    assert task_states(failed.data.tags["prefect.flow_run_id"]) == {"load bad.csv": "Completed", "validate": "Failed"}


def test_the_report_page_is_in_the_run_and_its_description_links_to_it(trained: Any) -> None:
    page = mlflow.artifacts.load_text(f"runs:/{trained.run.run_id}/report/report.html")
    assert f"{trained.model.name} version {trained.model.version}" in page
    assert "Becomes champion" in page
    made = dict(re.findall("<li><strong>(.*?)</strong>: (.*?)</li>", page.split('id="made"')[1]))
    origin = registry.origin_of(trained.model)
    assert made["recipe"] == f"{origin.shipped.title}, seed 0"
    assert made["data"] == f"cleveland.csv, digest {origin.data[:8]}"
    assert f"tensorflow {version('tensorflow')}" in made["versions"].split(", ")
    assert re.fullmatch(r"passed: \d+ checks, 0 errors, \d+ warnings", made["validation"])
    note = mlflow.get_run(trained.run.run_id).data.tags["mlflow.note.content"]
    assert f"(#/experiments/{trained.run.experiment_id}/runs/{trained.run.run_id}/artifacts/report/report.html)" in note


def test_the_model_card_is_in_the_run_and_in_the_versions_description(trained: Any) -> None:
    card = mlflow.artifacts.load_text(f"runs:/{trained.run.run_id}/report/model_card.md")
    described = mlflow.MlflowClient().get_model_version(trained.model.name, trained.model.version).description
    assert described == f"champion: {trained.decision.reason}\n\n---\n\n{card}"
    assert "* **What it uses most:** " in card
    assert f"* **Verdict of its training:** becomes champion: {trained.decision.reason}." in card
    assert mlflow.MlflowClient().get_registered_model(trained.model.name).description.endswith(card.rstrip())


def test_the_version_says_what_drives_one_patient(trained: Any) -> None:
    model, first = registry.load_model(trained.model), sources.load().frame[list(schema.INPUT_NAMES)].to_numpy()[0]
    found = model.drivers(first)
    assert found
    assert found.average + sum(found.each.values()) == pytest.approx(model.score(first[None]).probability[0], abs=1e-6)
