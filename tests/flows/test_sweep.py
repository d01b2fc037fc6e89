"""A search from end to end: what it leaves in both stores, how it is stopped and resumed, and what it refuses."""

from __future__ import annotations

import colorsys
import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlflow
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model.errors import RejectedError, UsageError
from heart_disease.processes import memory
from heart_disease.registry.sweeps import SWEEPS
from heart_disease.search import space
from heart_disease.training.recipe import Recipe
from tests.harness.command import heart, one_line
from tests.harness.data import patients
from tests.harness.models.searches import SPACE, Trainer, children, search
from tests.harness.pages.artifacts import read_artifacts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_batches")]


# What a search leaves behind


def test_the_run_is_finished_and_named_after_what_was_searched(run: mlflow.entities.Run) -> None:
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "6 configurations, grid, seed 0"
    assert mlflow.get_experiment(run.info.experiment_id).name == SWEEPS


def test_the_run_holds_the_settings_of_the_search(run: mlflow.entities.Run) -> None:
    expected = {"method": "grid", "configurations": "6", "inner_folds": "2", "seed": "0", "folds": "2", "repeats": "2"}
    assert run.data.params == expected | {"data_digest": sources.load().digest}


def test_the_run_holds_what_the_choice_is_worth(run: mlflow.entities.Run, outcome: Any) -> None:
    found = outcome.summary
    expected = {}
    for name, one in (
        ("log_loss", found.of_chosen),
        ("log_loss_minus/best", found.apart),
        ("best/log_loss", found.of_best),
        ("nested/log_loss", found.nested),
    ):
        expected |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    assert {name: run.data.metrics[name] for name in expected} == pytest.approx(expected)


def test_the_run_says_what_was_found(run: mlflow.entities.Run, outcome: Any) -> None:
    tags = run.data.tags
    assert tags["chosen"] == outcome.summary.chosen.title
    assert tags["best"] == outcome.summary.best.title
    assert outcome.summary.chosen.title in tags["mlflow.note.content"]
    assert "by nested cross-validation" in tags["mlflow.note.content"]
    assert tags["prefect.flow_run_id"] == outcome.flow_run_id


def test_the_description_leads_to_the_runs_of_the_choice_and_of_the_best(
    run: mlflow.entities.Run, outcome: Any
) -> None:
    linked = re.findall(r"\[the (\w+) one\]\(#/experiments/(\d+)/runs/(\w+)\?", run.data.tags["mlflow.note.content"])
    assert [name for name, *_ in linked] == ["chosen", "best"]
    for name, experiment_id, run_id in linked:
        recipe, found = getattr(outcome.summary, name), mlflow.get_run(run_id)
        assert experiment_id == found.info.experiment_id
        assert Recipe.from_text(found.data.params) == replace(recipe, epochs=int(found.data.params["epochs"]))
        assert found.data.tags[name].startswith(f"{recipe.epochs} epochs, ")


def test_the_view_draws_how_every_tried_value_leads_to_the_loss(run: mlflow.entities.Run) -> None:
    view = json.loads(mlflow.get_experiment(run.info.experiment_id).tags["mlflow.sharedViewState.newest"])
    [chart] = json.loads(view["state"])["compareRunCharts"]
    assert (chart["type"], chart["selectedMetrics"]) == ("PARALLEL", ["log_loss"])
    assert chart["selectedParams"] == ["epochs", "learning_rate", "weight_decay"]  # everything that differs


def test_the_best_ten_have_colours_by_rank_which_no_two_share(outcome: Any) -> None:
    ranked = sorted(children(outcome.run.run_id), key=lambda child: child.data.metrics["log_loss"])
    colours = [child.data.tags["mlflow.runColor"] for child in ranked]
    assert colours == [registry.colour(rank) for rank in range(len(ranked))]
    hues = sorted(hue(registry.colour(rank)) for rank in range(10))
    assert min(b - a for a, b in pairwise([*hues, hues[0] + 1])) > 0.05


def hue(colour: str) -> float:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return colorsys.rgb_to_hls(red, green, blue)[0]


def test_the_ranking_has_one_line_per_configuration_best_first(run: mlflow.entities.Run, outcome: Any) -> None:
    text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/evaluation/ranking.csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [Recipe.from_text(row) for row in rows] == list(outcome.summary.ranked)
    losses = [float(row["log_loss"]) for row in rows]
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(run.data.metrics["best/log_loss"], abs=1e-6)


def test_the_space_is_kept_as_a_file_that_searches_it_again(run: mlflow.entities.Run, tmp_path: Path) -> None:
    path = mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/evaluation/space.yaml", dst_path=str(tmp_path))
    assert space.read_space(Path(path)) == SPACE


def test_each_configuration_is_a_child_run_with_recipe_metrics_and_curves(outcome: Any) -> None:
    found = children(outcome.run.run_id)
    recipes = space.grid(space.make_space(SPACE))
    assert [child.data.tags["configuration"] for child in found] == ["1", "2", "3", "4", "5", "6"]
    ranked = {
        replace(recipe, epochs=3): (recipe, loss)
        for recipe, loss in zip(outcome.summary.ranked, outcome.summary.loss, strict=True)
    }
    for child, configuration in zip(found, recipes, strict=True):
        recipe, loss = ranked[configuration]
        assert child.info.status == "FINISHED"
        assert child.info.run_name == recipe.title
        assert child.data.params == recipe.as_text() | {"weights": str(recipe.size)}
        ends = [child.data.metrics[f"log_loss{end}"] for end in ("", "_low", "_high")]
        assert ends == pytest.approx([loss.value, loss.low, loss.high])
        for curve in ("loss/train", "loss/test"):
            points = mlflow.MlflowClient().get_metric_history(child.info.run_id, curve)
            assert sorted(point.step for point in points) == [1, 2, 3]


def test_very_long_curves_are_written_whole(outcome: Any) -> None:
    curve = [1 / epoch for epoch in range(1, 1500)]
    name = "long curves"
    registry.log_configuration(
        outcome.run, name, {"configuration": "99"}, Recipe().as_text(), {}, {"loss/train": curve}
    )
    [child] = [one for one in children(outcome.run.run_id) if one.info.run_name == name]
    client = mlflow.MlflowClient()
    client.delete_run(child.info.run_id)
    points = client.get_metric_history(child.info.run_id, "loss/train")
    assert [point.value for point in sorted(points, key=lambda one: one.step)] == pytest.approx(curve)


def test_the_prefect_run_has_the_ranking_and_a_link_to_mlflow(outcome: Any) -> None:
    [found] = read_artifacts("sweep", outcome.flow_run_id)
    assert outcome.summary.chosen.title in found.data
    links = [link.data for link in read_artifacts("mlflow-run", outcome.flow_run_id)]
    assert all(outcome.run.run_id in link for link in links)


# What is refused


def test_rejected_data_ends_in_3_and_nothing_is_trained(
    trainer: Callable[..., Trainer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = trainer()
    bad = patients.make(80)
    bad.loc[bad.index[4], "chol"] = 9999
    bad.to_csv(tmp_path / "bad.csv", index=False)
    assert heart("sweep", "--source", str(tmp_path / "bad.csv")) == 3
    said = one_line(capsys.readouterr().err)
    assert "was rejected; nothing was trained" in said
    assert "column 'chol' has 9999" in said
    assert asked.asked == []
    [failed] = mlflow.search_runs(
        experiment_names=[SWEEPS], filter_string="tags.source LIKE '%bad.csv'", output_format="list"
    )
    assert failed.info.status == "FAILED"
    assert "column 'chol' has 9999 in row 5" in failed.data.tags["mlflow.note.content"]
    assert failed.data.params["data_digest"] == failed.inputs.dataset_inputs[0].dataset.digest
    assert "9999" in mlflow.artifacts.load_text(f"{failed.info.artifact_uri}/validation/validation.html")


@pytest.mark.parametrize(
    "change",
    [lambda frame: frame.drop(columns="num"), lambda frame: frame.assign(num=0), lambda frame: frame.assign(num="?")],
    ids=["no label", "one class", "text for a label"],
)
def test_data_without_usable_labels_is_rejected_as_data(
    change: Callable[..., Any], trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    change(patients.make(80)).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(RejectedError, match="nothing was trained"):
        search(source=str(tmp_path / "bad.csv"))


def test_what_does_not_fit_into_memory_is_refused_before_a_run_is_opened(
    trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "room", lambda: 10**9)

    def runs() -> list[str]:
        return [run.info.run_id for run in mlflow.search_runs(experiment_names=[SWEEPS], output_format="list")]

    before = runs()
    with pytest.raises(UsageError, match=r"6 configurations on 303 patients need about .*Nothing was trained"):
        search()
    assert runs() == before


def test_too_few_patients_for_the_inner_folds_end_in_2_before_anything_is_trained(
    trainer: Callable[..., Trainer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = trainer()
    patients.make(60).to_csv(tmp_path / "few.csv", index=False)
    assert heart("sweep", "--source", str(tmp_path / "few.csv"), "--folds", "2", "--inner-folds", "20") == 2
    assert "inside each of the outer folds 20 folds need at least 20 patients" in one_line(capsys.readouterr().err)
    assert asked.asked == []


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("store", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db"])
def test_a_search_without_an_mlflow_store_ends_in_4(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert heart("sweep") == 4
    assert f"the MLflow store {store} cannot be used" in one_line(capsys.readouterr().err)
