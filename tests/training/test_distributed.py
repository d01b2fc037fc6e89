"""Several processes that each train on their part equal one process on all rows, and none waits forever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import UsageError
from heart_disease.model.patient_model import PatientModel
from heart_disease.processes.loopback import free_port
from heart_disease.training.network import build, build_optimizer
from heart_disease.training.parts import taken
from heart_disease.training.recipe import MANY_ROWS, Recipe
from heart_disease.training.workers import Cluster
from tests.harness.command import ROOT, heart, one_line
from tests.harness.data import patients

pytestmark = pytest.mark.slow

# float32 sums in another order differ by 1e-7 per step, and a little more after some tens of steps.
TOLERANCE = 2e-5
SIZES = (333, 700)
RECIPE = replace(MANY_ROWS, epochs=4, batch_size=128, weight_decay=0.1, without=("ca",))
OPTIONS = ("--epochs=4", "--batch-size=128", "--weight-decay=0.1", "--without=ca", "--shuffle-rows=0")


class Workers:
    """`heart distribute` on loopback with one process per part; a part of None means that its process never starts."""

    def __init__(self, parts: Sequence[Path | None], *options: str) -> None:
        addresses = [f"127.0.0.1:{free_port()}" for _ in parts]
        self.processes: dict[int, subprocess.Popen[str]] = {}
        self.printed: list[str] = []
        for index, part in enumerate(parts):
            config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment = {"PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(config)}
            if part is not None:
                self.processes[index] = subprocess.Popen(
                    [sys.executable, "-m", "heart_disease", "distribute", "--source", str(part), *options],
                    env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                )  # fmt: skip

    def ends(self) -> list[tuple[int, str]]:
        """Wait for all processes; returns the exit code of each, and what it said. `printed` has their results."""
        try:
            ended = [process.communicate(timeout=300) for process in self.processes.values()]
        finally:
            for process in self.processes.values():
                process.kill()
        self.printed, said = [out for out, _ in ended], [one_line(error) for _, error in ended]
        assert not any(word in text for text in said for word in ("Traceback", "Exception", "terminate")), said
        return [(process.returncode, text) for process, text in zip(self.processes.values(), said, strict=True)]


@pytest.fixture(scope="module", autouse=True)
def store() -> None:
    """Create the store beforehand, because two chiefs that start at once would both create it."""
    with registry.open_run("first", {}):
        pass


@pytest.fixture(scope="module")
def frames() -> list[pd.DataFrame]:
    """Two parts of different sizes and from different hospitals: the second hospital's patients are older."""
    parts = [patients.make(n, seed=n) for n in SIZES]
    return [parts[0], parts[1].assign(age=(parts[1]["age"] + 20).clip(upper=100))]


def write(folder: Path, frames: Sequence[pd.DataFrame]) -> list[Path]:
    paths = [folder / f"part-{i}.parquet" for i in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        frame.to_parquet(path, index=False, row_group_size=100)
    return paths


def joined(frames: Sequence[pd.DataFrame], batch: int) -> pd.DataFrame:
    """All rows in the order of the steps, each of which takes rows from every part in proportion to its size."""
    cuts = taken([len(frame) for frame in frames], batch)
    steps = range(len(cuts[0]) - 1)
    return pd.concat([frame[cut[s] : cut[s + 1]] for s in steps for frame, cut in zip(frames, cuts, strict=True)])


def fit_with_keras(frame: pd.DataFrame) -> tuple[list[np.ndarray], list[float]]:
    """The plain reference: Keras `compile` and `fit` on all rows, in the frame's order."""
    inputs = Encoder.fit(frame).leaving_out(RECIPE.without).transform(frame)
    model = build(RECIPE, inputs.shape[1])
    model.compile(build_optimizer(RECIPE), "binary_crossentropy")
    labels = schema.label(frame).to_numpy()
    result = model.fit(inputs, labels, batch_size=RECIPE.batch_size, epochs=RECIPE.epochs, shuffle=False, verbose=0)
    return model.get_weights(), result.history["loss"]


def test_two_processes_equal_one_process_and_keras_fit_on_all_rows(frames: list[pd.DataFrame], tmp_path: Path) -> None:
    everything = joined(frames, RECIPE.batch_size)
    everything.to_parquet(tmp_path / "all.parquet", index=False)
    two = Workers(write(tmp_path, frames), "-o", str(tmp_path / "two"), "--json", *OPTIONS)
    patients.make(300, seed=5).to_csv(tmp_path / "new.csv", index=False)
    one = Workers(
        [tmp_path / "all.parquet"], "-o", str(tmp_path / "one"), "--test", str(tmp_path / "new.csv"), "--json", *OPTIONS
    )
    weights, losses = fit_with_keras(everything)
    for code, said in [*two.ends(), *one.ends()]:
        assert code == 0, said
        assert f"{sum(SIZES)} rows" in said

    encoder = Encoder.fit(everything)
    for name in ("one", "two"):
        model = PatientModel.load(tmp_path / name)
        np.testing.assert_allclose(model.encoder.means, encoder.means, rtol=1e-12)
        np.testing.assert_allclose(model.encoder.scales, encoder.scales, rtol=1e-12)
        assert model.encoder.unseen == encoder.unseen
        [layers] = model.network.members
        stored = [weight for layer in layers for weight in (layer.kernel, layer.bias)]
        for got, expected in zip(stored, weights, strict=True):
            np.testing.assert_allclose(got, expected, atol=TOLERANCE)

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(registry.EXPERIMENT).experiment_id
    run = client.search_runs([experiment], "tags.workers = '2'")[0]
    assert run.info.status == "FINISHED"
    assert Recipe.from_text(run.data.params) == RECIPE
    assert (run.data.params["rows"], run.data.params["parts"]) == (str(sum(SIZES)), str(SIZES))
    curve = [metric.value for metric in client.get_metric_history(run.info.run_id, "loss/train")]
    np.testing.assert_allclose(curve, losses, atol=TOLERANCE)
    [version] = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    assert not version.aliases
    answers = registry.load_model(registry.ModelRef(version.name, version.version, run.info.run_id)).predict(everything)
    expected = PatientModel.load(tmp_path / "two").predict(everything)
    np.testing.assert_allclose(answers["probability"], expected["probability"], atol=1e-6)

    [run] = client.search_runs([experiment], "tags.workers = '1'", max_results=1)
    new = sources.load(tmp_path / "new.csv")
    probability = PatientModel.load(tmp_path / "one").predict(new.frame)["probability"]
    assert run.data.metrics["log_loss"] == pytest.approx(log_loss(schema.label(new.frame), probability), abs=1e-6)
    assert run.data.tags["evaluation"] == "300 patients that the training did not see (0 left out)"
    assert run.data.tags["test"] == new.digest
    assert "verdict/logistic_regression" in run.data.tags
    [judged] = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    [alone], [chief, other] = ([json.loads(text) for text in workers.printed] for workers in (one, two))
    assert (chief["version"]["version"], chief["judged"], other["version"]) == (str(version.version), None, None)
    assert chief["rows"] == other["rows"] == list(SIZES)
    assert [worker["train_loss"] for worker in (chief, other)] == pytest.approx([losses[-1]] * 2, abs=TOLERANCE)
    assert (alone["version"]["version"], alone["folder"]) == (str(judged.version), str(tmp_path / "one"))
    assert alone["judged"]["metrics"]["network"]["log_loss"]["value"] == pytest.approx(run.data.metrics["log_loss"])
    assert client.get_model_version_by_alias(judged.name, "challenger").version == judged.version


def test_when_a_worker_ends_or_never_starts_the_others_say_so(frames: list[pd.DataFrame], tmp_path: Path) -> None:
    paths = write(tmp_path, frames)
    (tmp_path / "bad.parquet").write_text("no table")
    alone = Workers([None, paths[1]], "--wait=2")
    refused = Workers([paths[0], tmp_path / "bad.parquet"])
    [(code, said)] = alone.ends()
    assert code == 4, said
    assert "not all 2 workers could be joined within 2 seconds; worker 0 at 127.0.0.1:" in said
    (code, said), (code_of_refused, said_by_refused) = refused.ends()
    assert (code, code_of_refused) == (4, 3), said + said_by_refused
    assert "worker 1 refused its part, and says why" in said
    assert "bad.parquet' cannot be read" in said_by_refused

    stopped = Workers(paths, "--epochs=100000")
    chief, other = stopped.processes.values()
    assert other.stderr
    assert any("epoch 1 of" in line for line in other.stderr)
    chief.send_signal(signal.SIGINT)
    (code, said), (code_of_other, said_by_other) = stopped.ends()
    assert (code, code_of_other) == (128 + signal.SIGINT, 4), said + said_by_other
    assert "heart: stopped" in said
    assert "worker 1 stops: a worker has ended, or was cut off" in said_by_other
    assert "worker 0 was stopped" in said_by_other
    client = mlflow.MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name(registry.EXPERIMENT).experiment_id], max_results=1)
    assert runs[0].info.status == "KILLED"


EXPECTED = "10.0.0.1:2222"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(None, "TF_CONFIG is not set", id="not set"),
        pytest.param("worker 0", "TF_CONFIG is 'worker 0'", id="no JSON"),
        pytest.param("[1]", "TF_CONFIG is", id="a list"),
        pytest.param({"cluster": {"worker": ["a:1"]}}, "KeyError('task')", id="no task"),
        pytest.param({"cluster": {"worker": 5}, "task": {"type": "worker", "index": 0}}, "TypeError", id="a number"),
        pytest.param({"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}, "job ps", id="other job"),
        pytest.param({"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}, "'a'", id="no port"),
        pytest.param(
            {"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}, "each once", id="twice"
        ),
        pytest.param(
            {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}, "worker 1, which", id="index"
        ),
    ],
)
def test_a_wrong_tf_config_ends_in_2_with_an_example(
    config: Any, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    assert heart("distribute", "--source", "part.parquet") == 2
    said = one_line(capsys.readouterr().err)
    assert message in said
    assert '"10.0.0.1:2222"' in said


def test_the_chief_comes_before_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"cluster": {"worker": ["b:2", "c:3"], "chief": ["a:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert Cluster.from_environment() == Cluster(("a:1", "b:2", "c:3"), 2)


def test_patients_to_judge_on_that_are_refused_end_in_3_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    [part] = write(tmp_path, [patients.make(200)])
    for frame, message in (
        (patients.make(200, seed=1, chol=9999), "was rejected; nothing was trained"),
        (patients.make(200), "has 0 rows that no model learned from"),
    ):
        frame.to_csv(tmp_path / "test.csv", index=False)
        assert heart("distribute", "--source", str(part), "--test", str(tmp_path / "test.csv")) == 3
        assert message in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("options", [["--optimizer=gd"], ["--wait=0"], ["--shuffle-rows=-1"], ["--epochs=0"]])
def test_invalid_options_end_in_2(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert heart("distribute", "--source", "part.parquet", *options) == 2


def test_unknown_options_of_a_cluster_are_usage_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(UsageError, match="expected TF_CONFIG="):
        Cluster.from_environment()
