"""The flow from end to end, on a temporary MLflow store and Prefect's test harness."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tasks import registry, report, sources
from tasks.errors import RejectedError
from tasks.params import PRESETS, Evaluation, Params
from tests import patients

pytestmark = pytest.mark.usefixtures("prefect")

QUICK = {"evaluation": Evaluation(folds=4, repeats=2)}


@pytest.fixture(scope="module")
def outcome(prefect: None) -> Any:
    """A small run on the bundled patients."""
    from flows.train import train

    return train(**QUICK)


@pytest.fixture(scope="module")
def run(outcome: Any) -> mlflow.entities.Run:
    return mlflow.get_run(outcome.run.run_id)


def read_artifacts(key: str, flow_run_id: str) -> list[Any]:
    """Prefect's artifacts of one flow run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

    async def ask() -> list[Any]:
        async with get_client() as client:
            found = ArtifactFilter(
                key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id])
            )
            return await client.read_artifacts(artifact_filter=found)

    return asyncio.run(ask())


def test_the_default_recipe_becomes_champion(outcome: Any) -> None:
    assert outcome.decision.promote
    assert registry.champion() == outcome.model
    version = mlflow.MlflowClient().get_model_version(outcome.model.name, outcome.model.version)
    assert version.tags["promotion_reason"] == outcome.decision.reason
    assert version.run_id == outcome.run.run_id


def test_the_run_is_finished_and_named_after_its_recipe(run: mlflow.entities.Run) -> None:
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "29-16-1, 75 epochs, decay 1, adam 0.001, relu"


def test_the_run_holds_every_parameter_of_the_recipe_and_of_the_evaluation(run: mlflow.entities.Run) -> None:
    expected = {name: str(value) for name, value in Params().as_dict().items()} | {"hidden": "16"}
    assert run.data.params == expected | {"folds": "4", "repeats": "2", "data_digest": sources.load().digest}


def test_the_run_says_where_it_comes_from(run: mlflow.entities.Run, outcome: Any) -> None:
    tags = run.data.tags
    assert tags["prefect.flow_run_id"] == outcome.flow_run_id
    assert tags["device"].startswith(("cpu", "gpu"))
    assert tags["library.tensorflow"].startswith("2.")
    assert len(tags["mlflow.source.git.commit"]) == 40
    assert tags["git_dirty"] in ("yes", "no")


def test_the_run_has_its_data_set_as_an_input(run: mlflow.entities.Run) -> None:
    [entry] = run.inputs.dataset_inputs
    assert entry.dataset.digest == sources.load().digest
    assert entry.dataset.name == "cleveland"
    assert {tag.value for tag in entry.tags} == {"training"}


def test_every_metric_has_both_ends_of_its_interval(run: mlflow.entities.Run, outcome: Any) -> None:
    expected = report.metrics(outcome.report)
    found = {name: value for name, value in run.data.metrics.items() if name in expected}
    assert found == pytest.approx(expected)
    assert found["log_loss_low"] < found["log_loss"] < found["log_loss_high"]


@pytest.mark.parametrize("curve", ["loss/train", "loss/validation", "accuracy/train", "accuracy/validation"])
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
    assert result["success"] in (True, False)
    assert len(result["results"]) > 20


def test_the_model_has_a_signature_an_example_and_no_pickle(outcome: Any) -> None:
    uri = f"models:/{outcome.model.name}/{outcome.model.version}"
    info = mlflow.models.get_model_info(uri)
    assert info.signature.inputs.input_names() == list(sources.load().frame.columns[:13])
    assert info.signature.outputs.input_names() == ["probability", "disease", "problem"]
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    assert (folder / "input_example.json").exists()
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes <= {".py", ".json", ".keras", ".yaml", ".yml", ".txt", ""}


def test_the_model_loads_and_scores_where_the_project_is_not_installed(outcome: Any, tmp_path: Path) -> None:
    rows = sources.load().frame.head(3).drop(columns="num")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    script = f"""
import sys
from importlib.machinery import PathFinder
root = {str(Path(registry.__file__).parent.parent)!r}
sys.path = [entry for entry in sys.path if entry not in ("", root)]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
for name in ("tasks", "flows", "expectations"):
    assert PathFinder.find_spec(name) is None, name
import mlflow, pandas
model = mlflow.pyfunc.load_model("models:/{outcome.model.name}/{outcome.model.version}")
rows = pandas.read_csv("rows.csv").astype("float64")
print(model.predict(rows)["probability"].tolist())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = registry.load_model(outcome.model).predict(rows)["probability"].tolist()
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(expected, abs=1e-6)


def test_the_prefect_run_has_artifacts_of_its_own(outcome: Any) -> None:
    [validation] = read_artifacts("validation", outcome.flow_run_id)
    assert "0 errors" in validation.description
    [metrics] = read_artifacts("metrics", outcome.flow_run_id)
    assert [row["metric"] for row in json.loads(metrics.data)][0] == "log loss"
    [link] = read_artifacts("mlflow-run", outcome.flow_run_id)
    assert outcome.run.run_id in link.data


def test_the_same_again_gives_the_same_metrics_and_a_new_version(outcome: Any) -> None:
    from flows.train import train

    again = train(**QUICK)
    assert report.metrics(again.report) == report.metrics(outcome.report)
    assert int(again.model.version) > int(outcome.model.version)


def test_the_order_of_the_rows_changes_nothing(outcome: Any, tmp_path: Path) -> None:
    from flows.train import train

    shuffled = sources.load().frame.sample(frac=1, random_state=3)
    shuffled.to_parquet(tmp_path / "shuffled.parquet")
    again = train(source=str(tmp_path / "shuffled.parquet"), **QUICK)
    assert report.metrics(again.report) == report.metrics(outcome.report)


def test_the_lectures_recipe_is_held_back_as_worse_than_logistic_regression(outcome: Any) -> None:
    from flows.train import train

    before = registry.champion()
    lecture = train(recipe=PRESETS["lecture"], **QUICK)
    assert not lecture.decision.promote
    assert "worse than logistic regression" in lecture.decision.reason
    assert registry.champion() == before
    version = mlflow.MlflowClient().get_model_version_by_alias(registry.MODEL, registry.CHALLENGER)
    assert str(version.version) == lecture.model.version
    assert version.tags["promotion_reason"] == lecture.decision.reason


def test_a_holdout_tests_the_shipped_network_on_rows_that_it_never_saw(outcome: Any) -> None:
    from flows.train import train

    held_out = train(evaluation=Evaluation(holdout=0.2))
    assert held_out.report.description == "one split: 61 patients held out of 303"
    assert len(held_out.report.labels) == 61
    assert mlflow.get_run(held_out.run.run_id).data.params["holdout"] == "0.2"


def test_rejected_data_stops_the_flow_before_training_and_is_recorded(outcome: Any, tmp_path: Path) -> None:
    from flows.train import train

    before = registry.champion(), len(mlflow.MlflowClient().search_model_versions(f"name='{registry.MODEL}'"))
    bad = patients.make(80)
    bad.loc[bad.index[4], "chol"] = 9999
    bad.to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(RejectedError, match=r"chol.*9999"):
        train(source=str(tmp_path / "bad.csv"), **QUICK)
    [failed] = mlflow.search_runs(
        experiment_names=[registry.EXPERIMENT], filter_string="status = 'FAILED'", output_format="list"
    )
    page = mlflow.artifacts.load_text(f"runs:/{failed.info.run_id}/validation/validation.html")
    assert "9999" in page
    after = registry.champion(), len(mlflow.MlflowClient().search_model_versions(f"name='{registry.MODEL}'"))
    assert after == before
