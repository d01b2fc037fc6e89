"""Trainings one after another: which of them becomes champion, and on what that does not depend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest

from heart_disease import registry
from heart_disease.cli.pipeline import train as command
from heart_disease.data import sources
from heart_disease.evaluation import cost
from heart_disease.evaluation.contest import averaging_helps
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.model import schema
from heart_disease.model.errors import OriginError, UsageError
from heart_disease.processes import memory
from heart_disease.reporting import tables
from heart_disease.reporting.landscape import cost_of_landscape
from heart_disease.training.recipe import PRESETS, Recipe
from tasks import stages
from tests.harness.command import heart, one_line
from tests.harness.models.trainings import QUICK
from tests.harness.pages.artifacts import read_artifacts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect", "as_it_was", "quickly_trained")]


def test_the_order_of_the_rows_changes_nothing(trained: Any, tmp_path: Path) -> None:
    from flows.train import train

    shuffled = sources.load().frame.sample(frac=1, random_state=3)
    shuffled.to_parquet(tmp_path / "shuffled.parquet")
    again = train(source=str(tmp_path / "shuffled.parquet"), force=True, landscape=True, **QUICK)
    ours, theirs = tables.metrics(again.report), tables.metrics(trained.report)
    assert {name: ours[name] for name in theirs} == theirs
    figures = mlflow.MlflowClient().list_artifacts(again.run.run_id, "figures")
    assert "figures/loss_landscape.png" in [file.path for file in figures]
    assert "data:image/png" in mlflow.artifacts.load_text(f"runs:/{again.run.run_id}/report/report.html")
    assert heart("compare", trained.model.version, again.model.version, "-o", str(tmp_path / "page.html")) == 0
    assert (tmp_path / "page.html").read_text().count("data:image/png") == 1


def test_a_landscape_that_does_not_fit_into_memory_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.train import train

    recipe = Recipe(hidden=(1024, 1024))
    needed = cost.estimate(303, [recipe], Evaluation()).bytes + cost_of_landscape(303, recipe).bytes
    monkeypatch.setattr(memory, "room", lambda: needed - 2**30)
    with pytest.raises(UsageError, match=r"Nothing was trained\. It fits without --landscape\."):
        train(recipe=recipe, evaluation=Evaluation(), landscape=True)


def test_the_lectures_recipe_is_held_back_as_worse_than_logistic_regression(trained: Any) -> None:
    from flows.train import train

    before = registry.champion()
    lecture = train(recipe=PRESETS["lecture"])
    assert not lecture.decision.promote
    assert lecture.decision.logistic.kind == "worse"
    assert registry.champion() == before
    version = mlflow.MlflowClient().get_model_version_by_alias(registry.MODEL, registry.CHALLENGER)
    assert str(version.version) == lecture.model.version
    assert version.tags["promotion_reason"] == lecture.decision.reason
    assert version.tags["verdict/logistic_regression"] == "worse"
    assert version.tags["compared_with"] == f"version {before.version}"
    assert mlflow.get_run(lecture.run.run_id).data.tags["promoted"] == "no"
    assert len(version.tags) < 10
    found = mlflow.get_run(lecture.run.run_id).data
    ends = [found.metrics[f"log_loss_minus/champion{end}"] for end in ("_low", "", "_high")]
    assert ends == sorted(ends)
    assert found.tags["mlflow.runColor"] != mlflow.get_run(trained.run.run_id).data.tags["mlflow.runColor"]
    [decision] = read_artifacts("decision", lecture.flow_run_id)
    assert "against logistic regression: **worse**" in decision.data
    assert "against the champion: **worse**" in decision.data


def test_the_lectures_recipe_promoted_by_hand_loses_to_the_default_and_does_not_win_back(trained: Any) -> None:
    from flows.train import train

    lecture = train(recipe=PRESETS["lecture"], force=True, **QUICK)
    before = registry.champion()
    registry.move_champion(lecture.model, expected=before, kind="by hand", why="a test")
    assert registry.champion() == lecture.model

    better = train(**QUICK)
    assert better.decision.promote
    assert better.decision.champion.kind == "better"
    assert better.decision.champion.difference.high < 0
    assert registry.champion() == better.model
    assert registry.history()[-1].why == better.decision.reason

    reverse = train(recipe=PRESETS["lecture"], **QUICK)
    assert not reverse.decision.promote
    assert reverse.decision.champion.kind == "worse"
    assert registry.champion() == better.model


def test_a_refit_on_other_data_becomes_champion_if_it_is_not_worse(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.train import train

    sources.load().frame.iloc[:290].to_csv(tmp_path / "fewer.csv", index=False)
    fewer, careful = str(tmp_path / "fewer.csv"), replace(QUICK["evaluation"], sensitivity=0.9)
    refit = train(source=fewer, promotion=Promotion(margin=0.05), evaluation=careful)
    assert refit.decision.champion.kind == "not worse"
    assert refit.decision.promote
    assert refit.decision.reason.startswith("refit on other data")
    assert registry.champion() == refit.model
    assert registry.load_model(refit.model).threshold == refit.report.threshold < 0.5
    command._show(refit)
    edge = f"It answers yes from {refit.report.threshold:.3f} on, which finds 90 % of the sick out of fold"
    assert edge in one_line(capsys.readouterr().out)
    assert command._facts(refit)["threshold"] == refit.report.threshold
    again = train(source=fewer, **QUICK)  # the threshold of the champion is not dropped, so there is nothing to do
    assert again.champion == refit.model


def test_a_champion_that_has_moved_meanwhile_is_left_alone(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.train import train

    present = registry.champion()
    other = train(recipe=Recipe(epochs=2), **QUICK).model
    judge = stages.evaluate

    def judge_while_another_is_quicker(*given: Any, **named: Any) -> Any:
        if registry.champion() == present:
            registry.move_champion(other, expected=present, kind="promotion", why="quicker")
        return judge(*given, **named)

    monkeypatch.setattr("tasks.stages.evaluate", judge_while_another_is_quicker)
    late = train(force=True, promotion=Promotion(promote_if="not-worse"), **QUICK)
    assert not late.decision.promote
    assert f"from version {present.version} to version {other.version}" in late.decision.reason
    assert registry.champion() == other


def test_a_training_does_not_depend_on_the_history_of_champions(trained: Any) -> None:
    from flows.train import train

    present, client = registry.champion(), mlflow.MlflowClient()
    history = client.get_experiment_by_name("heart-disease champions").tags["history_run"]
    client.delete_run(history)
    held = train(force=True, promotion=Promotion(promote_if="not-worse"), **QUICK)
    client.restore_run(history)
    assert not held.decision.promote
    expected = f"mlflow runs restore --run-id {history}, then: heart promote {held.model.version} --because WHY"
    assert expected in held.decision.reason
    assert registry.champion() == present


def test_a_champion_whose_recipe_is_gone_stops_no_training(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.train import train

    present, known = registry.champion(), registry.origin_of

    def gone(ref: registry.ModelRef) -> registry.Origin:
        if ref == present:
            raise OriginError(f"the run of version {ref.version} is gone")
        return known(ref)

    monkeypatch.setattr(registry, "origin_of", gone)
    alone = train(**QUICK)
    assert alone.report.differences.keys() == {"logistic_regression", "prevalence"}
    assert alone.decision.reason.startswith(f"champion version {present.version} cannot be compared with")
    assert registry.champion() == alone.model


def test_members_are_shipped_as_one_model_whose_probability_is_their_mean(trained: Any) -> None:
    from flows.train import train

    averaged = train(recipe=Recipe(members=4), **QUICK)
    assert averaged.report.averaging.high < 0
    origin = registry.origin_of(averaged.model)
    assert origin.shipped.members == (4 if averaging_helps(averaged.report.averaging) else 1)
    answers = registry.load_model(averaged.model).predict(sources.load().frame[list(schema.INPUT_NAMES)])
    assert answers["probability"].between(0, 1).all()


def test_a_holdout_tests_the_shipped_network_on_rows_it_never_saw(trained: Any) -> None:
    from flows.train import train

    held_out = train(evaluation=Evaluation(holdout=0.2))
    assert held_out.report.description == "one split: 61 patients held out of 303"
    assert len(held_out.report.labels) == 61
    assert mlflow.get_run(held_out.run.run_id).data.params["holdout"] == "0.2"
