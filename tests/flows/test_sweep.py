"""A search from end to end: what it leaves in both stores, how it is stopped and resumed, and what it refuses."""

from __future__ import annotations

import colorsys
import csv
import io
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import ViewType

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import RejectedError, UnavailableError
from heart_disease.registry.sweeps import SWEEPS
from heart_disease.reporting import terminal
from heart_disease.search import space
from heart_disease.search.study import Result, Study, Summary
from heart_disease.training.recipe import Recipe
from tests.harness import patients
from tests.harness.artifacts import read_artifacts
from tests.harness.command import heart, one_line, root

pytestmark = pytest.mark.slow

SPACE = {"hidden": [[2]], "learning_rate": [0.01, 0.03, 0.1], "weight_decay": [0.0, 1.0], "epochs": [1, 3]}
EVALUATION = Evaluation(folds=2, repeats=2)
ARGUMENTS = ["--grid", "--folds", "2", "--repeats", "2", "--inner-folds", "2"]
FITS = 4 + 2 * 2
BATCHES = 3  # of two configurations


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    from flows import sweep

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "BATCH_NETWORKS", 2 * FITS)
        yield


def search(**changes: Any) -> Any:
    """The search of this file."""
    from flows import sweep

    given = {"space": SPACE, "method": "grid", "evaluation": EVALUATION, "inner_folds": 2, "device": "cpu"}
    return sweep.search(**given | changes)


@pytest.fixture(scope="module")
def outcome(prefect: None) -> Any:
    return search()


@pytest.fixture(scope="module")
def run(outcome: Any) -> mlflow.entities.Run:
    return mlflow.get_run(outcome.run.run_id)


def children(run_id: str, view: int = ViewType.ACTIVE_ONLY) -> list[mlflow.entities.Run]:
    """The child runs of a search's run, in the order of the configurations."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(SWEEPS).experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'", view)
    return sorted(found, key=lambda one: int(one.data.tags["configuration"]))


def artifacts(run_id: str, folder: str) -> list[str]:
    return [Path(file.path).name for file in mlflow.MlflowClient().list_artifacts(run_id, folder)]


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
    from tasks.search import _colour

    ranked = sorted(children(outcome.run.run_id), key=lambda child: child.data.metrics["log_loss"])
    colours = [child.data.tags["mlflow.runColor"] for child in ranked]
    assert colours == [_colour(rank) for rank in range(len(ranked))]
    hues = sorted(hue(_colour(rank)) for rank in range(10))
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
        for curve in ("loss/train", "loss/validation"):
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


# Stopping and resuming


class Trainer:
    """Stands in for the training: it answers with what was found before, and notes what it was asked for.

    stop: a batch's number, counted from 1, and the exception to raise at it.
    """

    def __init__(self, known: Sequence[Result], stop: tuple[int, BaseException] | None = None) -> None:
        self.known = {result.recipe: result for result in known}
        self.stop = stop
        self.asked: list[Recipe] = []

    def __call__(self, study: Study, recipes: Sequence[Recipe], **_: Any) -> list[Result]:
        if self.stop and len(self.asked) == 2 * (self.stop[0] - 1):
            raise self.stop[1]
        self.asked += recipes
        return [self.known[recipe] for recipe in recipes]


@pytest.fixture
def trainer(outcome: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    from tasks import stages

    known = []
    for number, arrays in registry.read_batches(outcome.run).items():
        recipes = space.grid(space.make_space(SPACE))[2 * number : 2 * number + 2]
        rows = zip(*(arrays[name] for name in ("probabilities", "inner", "train", "validation")), strict=True)
        known += [Result(recipe, *row) for recipe, row in zip(recipes, rows, strict=True)]

    def install(stop: tuple[int, BaseException] | None = None) -> Trainer:
        made = Trainer(known, stop)
        monkeypatch.setattr(stages, "cross_validate", made)
        return made

    return install


@pytest.fixture
def fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Another identity, so that the same search starts from nothing."""
    from flows import sweep

    identity = f"identity of {request.node.name}"
    monkeypatch.setattr(sweep, "_identity", lambda *_: identity)
    return identity


def parent(identity: str) -> mlflow.entities.Run:
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(SWEEPS).experiment_id
    [found] = client.search_runs([experiment], f"tags.sweep = '{identity}'")
    return found


def assert_complete(identity: str, again: Summary, expected: Summary) -> None:
    """One finished run, with each configuration once, and the numbers of a search that was never stopped."""
    found = parent(identity)
    assert found.info.status == "FINISHED"
    assert [one.data.tags["configuration"] for one in children(found.info.run_id)] == ["1", "2", "3", "4", "5", "6"]
    assert sorted(artifacts(found.info.run_id, "batches")) == ["0000.npz", "0001.npz", "0002.npz"]
    assert again == expected


def test_the_same_command_again_trains_nothing_and_says_the_same(
    outcome: Any, trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = mlflow.search_runs(experiment_names=[SWEEPS], output_format="list")
    asked = trainer()
    again = search()
    assert asked.asked == []
    assert again.run == outcome.run
    assert again.summary == outcome.summary
    after = mlflow.search_runs(experiment_names=[SWEEPS], output_format="list")
    assert [one.info.run_id for one in after] == [one.info.run_id for one in before]
    assert mlflow.get_run(again.run.run_id).info.status == "FINISHED"

    (tmp_path / "space.yaml").write_text(space.as_yaml(SPACE))
    assert heart("sweep", "--space", str(tmp_path / "space.yaml"), "--device", "cpu", *ARGUMENTS) == 0
    said = capsys.readouterr()
    assert asked.asked == []
    assert "3 of 3 batches were done before" in said.err
    assert f"chosen: {outcome.summary.chosen.title}" in one_line(said.out)
    assert outcome.run.run_id in said.out


def test_a_stopped_search_keeps_its_finished_batches_and_the_same_command_resumes_it(
    fresh: str, outcome: Any, trainer: Callable[..., Trainer]
) -> None:
    trainer(stop=(2, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        search()
    stopped = parent(fresh)
    assert stopped.info.status == "KILLED"
    kept = [child.info.run_id for child in children(stopped.info.run_id)]
    assert len(kept) == 2
    assert artifacts(stopped.info.run_id, "batches") == ["0000.npz"]

    rest = trainer()
    again = search()
    assert len(rest.asked) == 4
    assert_complete(fresh, again.summary, outcome.summary)
    assert [child.info.run_id for child in children(stopped.info.run_id)][:2] == kept


def test_a_half_written_batch_is_written_again_and_leaves_no_duplicates(
    fresh: str, outcome: Any, trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise OSError("gone")

    trainer()
    with monkeypatch.context() as dying:
        dying.setattr(registry, "log_batch", die)
        with pytest.raises(OSError, match="gone"):
            search()
    stopped = parent(fresh)
    assert stopped.info.status == "FAILED"
    half = [child.info.run_id for child in children(stopped.info.run_id)]
    assert half
    assert artifacts(stopped.info.run_id, "batches") == []

    rest = trainer()
    again = search()
    assert len(rest.asked) == 6
    assert_complete(fresh, again.summary, outcome.summary)
    assert not {child.info.run_id for child in children(stopped.info.run_id)} & set(half)


@pytest.mark.parametrize("left", [0, 100, -100], ids=["empty", "beginning", "all but the end"])
def test_a_truncated_batch_file_does_not_count_as_a_batch(left: int) -> None:
    arrays = {"probabilities": np.random.default_rng(0).random((2, 3, 4), np.float32)}
    with registry.open_sweep("cut short", f"cut to {left}", {}) as run:
        registry.log_batch(run, 0, arrays)
        registry.log_batch(run, 12, arrays)
        whole = registry.read_batches(run)
        assert sorted(whole) == [0, 12]
        assert np.array_equal(whole[12]["probabilities"], arrays["probabilities"])
        path = Path(registry.artifact_uri(run, "batches/0000.npz"))
        path.write_bytes(path.read_bytes()[:left])
        assert sorted(registry.read_batches(run)) == [12]


def test_a_search_whose_run_was_deleted_starts_over() -> None:
    runs = []
    for _ in range(3):
        with registry.open_sweep("deleted", "deleted", {}) as run:
            runs.append(run.run_id)
        if len(runs) == 2:
            mlflow.delete_run(run.run_id)
    assert runs[0] == runs[1] != runs[2]


def test_a_second_identical_search_is_refused_and_does_not_disturb_the_first(
    fresh: str, outcome: Any, trainer: Callable[..., Trainer]
) -> None:
    trainer()
    with registry.open_sweep("first", fresh, {"source": "first"}) as first:
        with pytest.raises(UnavailableError, match="this very search is running in another process"):
            search()
        assert parent(fresh).info.run_id == first.run_id
        assert parent(fresh).info.status == "RUNNING"
        assert parent(fresh).data.tags["source"] == "first"
        with registry.open_sweep("another", f"not {fresh}", {}) as other:
            assert other.run_id != first.run_id
    assert search().run.run_id == first.run_id


def identity(**changes: Any) -> str:
    from flows import sweep

    given = {"space": SPACE, "seed": 0, "evaluation": EVALUATION, "inner_folds": 2, "digest": "abc", "method": "grid"}
    given |= changes
    found = space.make_space(given["space"])
    study = Study(patients.make(50), given["evaluation"], found.epochs, given["inner_folds"], given["seed"])
    settings = {"data_digest": given["digest"], "inner_folds": str(given["inner_folds"]), "method": given["method"]}
    settings |= {name: str(value) for name, value in given["evaluation"].as_dict().items()}
    return sweep._identity(settings, study, space.grid(found, given["seed"]))


@pytest.mark.parametrize(
    "change",
    [
        {"space": SPACE | {"dropout": [0.1]}},
        {"space": SPACE | {"epochs": [2, 3]}},
        {"seed": 1},
        {"digest": "abd"},
        {"evaluation": Evaluation(folds=2, repeats=3)},
        {"inner_folds": 3},
        {"method": "random"},
    ],
    ids=str,
)
def test_every_setting_that_decides_the_result_makes_another_search(change: dict[str, Any]) -> None:
    assert identity() == identity()
    assert identity(**change) != identity()


@pytest.mark.parametrize("part", ["code", "libraries"])
def test_other_code_and_other_libraries_make_another_search(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import sweep

    before, here = identity(), registry.origin_here
    if part == "code":
        monkeypatch.setattr(sweep, "code_digest", lambda *rooms: "other code")
    else:
        monkeypatch.setattr(
            registry, "origin_here", lambda *given: replace(here(*given), libraries={"tensorflow": "1"})
        )
    assert identity() != before


def test_another_spelling_of_a_space_is_the_same_search() -> None:
    assert identity(space={**dict(reversed(SPACE.items())), "hidden": 2}) == identity()


# In its own process: Ctrl-C, and kill -9


SCRIPT = f"""
import sys
from flows import sweep
from heart_disease.cli.main import main
sweep.BATCH_NETWORKS = {2 * FITS}
sys.exit(main(sys.argv[1:]))
"""


def start(folder: Path) -> subprocess.Popen[str]:
    """Start `heart sweep` on this file's search, with an MLflow store in `folder`."""
    from prefect.settings import PREFECT_API_URL

    folder.mkdir()
    (folder / "space.yaml").write_text(space.as_yaml(SPACE))
    command = [sys.executable, "-c", SCRIPT, "sweep", "--space", "space.yaml", "--device", "cpu", *ARGUMENTS]
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}", "PYTHONPATH": root()}
    return subprocess.Popen(
        command, env={**os.environ, **environment, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_a_batch(process: subprocess.Popen[str], folder: Path) -> None:
    while process.poll() is None and not list(folder.glob("mlruns/*/*/artifacts/batches/*.npz")):
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()[1]


def test_after_ctrl_c_or_kill_9_a_search_resumes_and_finds_the_same_numbers(
    outcome: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both run at once, because a start takes long and there is more than one core.
    folders = tmp_path / "ctrl-c", tmp_path / "kill"
    stopped, killed = (start(folder) for folder in folders)
    for process, folder, number in ((stopped, folders[0], signal.SIGINT), (killed, folders[1], signal.SIGKILL)):
        wait_for_a_batch(process, folder)
        os.killpg(process.pid, number)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 128 + signal.SIGINT, said
    assert "what is finished is kept, and the same command goes on from there" in one_line(said)
    assert "Traceback" not in said
    killed.communicate(timeout=60)

    for folder, status in zip(folders, ("KILLED", "RUNNING"), strict=True):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        [before] = [
            one
            for one in mlflow.search_runs(experiment_names=[SWEEPS], output_format="list")
            if "sweep" in one.data.tags
        ]
        assert before.info.status == status
        done = artifacts(before.info.run_id, "batches")
        assert 0 < len(done) < BATCHES
        again = search()
        assert again.run.run_id == before.info.run_id
        assert_complete(before.data.tags["sweep"], again.summary, outcome.summary)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "missing.yaml"], "'missing.yaml' cannot be read: No such file or directory"),
        (["--space", "."], "'.' cannot be read: Is a directory; expected a YAML file with a space."),
        (["--grid"], "a grid needs lists; learning_rate has a range. List its values, or search at random."),
        (["--configurations", "0"], "--configurations 0: input should be greater than or equal to 1"),
        (["--configurations", "100001"], "--configurations 100001: input should be less than or equal to 100000"),
        (["--configurations", "many"], "--configurations many: input should be a valid integer"),
        (["--inner-folds", "1"], "--inner-folds 1: input should be greater than or equal to 2"),
        (["--seed", "-1"], "--seed -1: input should be greater than or equal to 0"),
        (["--seed", str(2**31)], f"--seed {2**31}: input should be less than {2**31}"),
        (["--folds", "1"], "--folds 1: input should be greater than or equal to 2"),
    ],
)
def test_wrong_usage_ends_in_2_with_one_message_that_fits_80_columns(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert heart("sweep", *arguments) == 2
    said = capsys.readouterr().err
    assert one_line(said).startswith(f"heart: {message}")
    assert max(map(len, said.splitlines())) <= 80
    assert len(said.splitlines()) <= 3


def test_a_search_has_no_holdout_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("sweep", "--holdout", "0.2") == 2
    assert "unrecognized arguments: --holdout" in capsys.readouterr().err


def test_help_says_what_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("sweep", "--help") == 0
    shown = one_line(capsys.readouterr().out)
    for option in (
        "--space FILE",
        "--grid",
        "--configurations",
        "--inner-folds",
        "--seed",
        "--folds",
        "--dask",
        "--ray",
    ):
        assert option in shown
    assert "how many configurations to draw at random (default 200)" in shown
    assert "--holdout" not in shown


def test_the_flows_form_has_the_same_limits_as_the_command() -> None:
    from prefect.utilities.callables import parameter_schema

    from flows.sweep import search as flow

    form = parameter_schema(flow.fn).model_dump()["properties"]
    assert (form["configurations"]["minimum"], form["configurations"]["maximum"]) == (1, 100_000)
    assert (form["inner_folds"]["minimum"], form["inner_folds"]["maximum"]) == (2, 20)
    assert [form[name]["default"] for name in ("configurations", "inner_folds", "seed")] == [200, 5, 0]


# What the terminal shows


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(hidden=(), epochs=10, weight_decay=0),
        Recipe(hidden=(16, 8), activation="tanh", learning_rate=0.0003456, dropout=0.2, batch_size=16, seed=7),
        Recipe(optimizer="sgd", momentum=0.9, learning_rate=0.1),
    ],
)
def test_the_suggested_command_trains_the_chosen_recipe(recipe: Recipe) -> None:
    from heart_disease.cli.main import make_parser
    from heart_disease.cli.options import made
    from heart_disease.cli.pipeline.sweep import train_command

    command = train_command(recipe).split()
    assert command[:2] == ["heart", "train"]
    options = make_parser().parse_args(command[1:])
    assert made(Recipe, options, {}) == recipe


@pytest.mark.filterwarnings("ignore:Logger 'heart' attempted to send logs")
def test_without_a_terminal_a_bar_is_silent_until_it_takes_long(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    with caplog.at_level(logging.INFO, logger="heart"), terminal.Bar("train", 400) as bar:
        tell = bar.part(100)
        now += 5
        tell(1, 2)
        assert caplog.messages == []
        now += 5
        tell(2, 2)
        bar.add(100)
        assert caplog.messages == ["train      25 % of 400 networks, 10 per second, 30 s left"]
        now += 20
        bar.part(300)(1, 3)
        assert caplog.messages[1:] == ["train      50 % of 400 networks, 7 per second, 30 s left"]
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal_is_drawn_keeps_lines_whole_and_disappears() -> None:
    script = """
import logging
from heart_disease.reporting import terminal
with terminal.progress(), terminal.Bar("train", 400) as bar:
    bar.part(100)(1, 2)
    logging.getLogger("heart").info("a line while it is drawn")
    bar.add(400)
print("the end")
"""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": root(), "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux reports that the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    text = shown.decode()
    assert "400 of 400 networks" in text
    assert "━" in text
    lines = screen(text)
    assert lines == ["a line while it is drawn", "the end"]


def screen(text: str) -> list[str]:
    """What a terminal shows in the end; handles carriage returns, line feeds, cursor up and erasing."""
    import re

    lines, row, column = [""], 0, 0
    for code in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if code == "\r":
            column = 0
        elif code == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif code.endswith("A") and code.startswith("\x1b"):
            row -= int(code[2:-1] or 1)
        elif code in ("\x1b[2K", "\x1b[K"):
            lines[row] = "" if code == "\x1b[2K" else lines[row][:column]
        elif not code.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + code + lines[row][column + len(code) :]
            column += len(code)
    return [line.rstrip() for line in lines if line.strip()]
