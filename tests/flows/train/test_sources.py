"""Patients from a workbook, the web, an object store and a database, from the check to the comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from moto.server import ThreadedMotoServer

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.model.errors import ExitCode
from heart_disease.training.recipe import Recipe
from tests.harness.command import one_line, speaking
from tests.harness.data import patients, workbook
from tests.harness.models.trainings import checked_here, undrawn
from tests.harness.servers import postgres
from tests.harness.servers.web import Answer, serving

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("stored")]

TINY: dict[str, Any] = {
    "recipe": Recipe(epochs=5, batch_size=32, learning_rate=0.01),
    "evaluation": Evaluation(folds=2, repeats=1),
    "promotion": Promotion(margin=1),
}
KINDS = ("workbook", "web", "object store", "database")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The same patients in each kind of place."""
    from pyarrow import fs

    folder, frame = tmp_path_factory.mktemp("sources"), patients.make(120, seed=3)
    text = frame.to_csv(index=False).encode()
    rows = [list(frame), *frame.astype(object).where(frame.notna(), None).to_numpy().tolist()]
    book = workbook.write(folder / "ward.xlsx", [["codes"], ["0 = female"]], rows)
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    with serving(Answer(text)) as web, postgres.server() as database, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("HEART_SOURCE_PASSWORD", database.password)
        patch.setenv("AWS_ACCESS_KEY_ID", "me")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
        patch.setenv("AWS_ENDPOINT_URL", endpoint := "http://{}:{}".format(*store.get_host_and_port()))
        objects = fs.S3FileSystem(endpoint_override=endpoint, region="us-east-1", allow_bucket_creation=True)
        objects.create_dir("clinic")
        with objects.open_output_stream("clinic/ward.csv") as file:
            file.write(text)
        database.keep("ward", frame)
        yield {
            "workbook": f"{book}#table=Sheet2", "web": web.address("ward.csv"), "object store": "s3://clinic/ward.csv",
            "database": database.address("ward"),
        }  # fmt: skip
    store.stop()


@pytest.fixture(scope="module")
def stored(places: dict[str, str], prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A store whose champion learned from the patients on the web."""
    from flows.train import train

    with pytest.MonkeyPatch.context() as patch, checked_here(), undrawn():
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}")
        assert train(source=places["web"], **TINY).decision.promote
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_checked_learned_from_and_scored(
    kind: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.train import train

    source, heart = places[kind], speaking(capsys)
    code, out, _ = heart("check", source)
    assert (code, "120 rows of" in one_line(out)) == (ExitCode.DONE, True)
    outcome = train(source=source, force=True, **TINY)
    run = mlflow.get_run(outcome.run.run_id)
    assert run.data.params["data_digest"] == mlflow.get_run(registry.champion().run_id).data.params["data_digest"]
    assert run.data.tags["source"] == source
    assert ("snapshot" in run.data.tags) == (kind != "workbook")
    code, _, err = heart("predict", source, "-o", str(tmp_path / "out.csv"))
    assert (code, "120 rows scored" in err) == (ExitCode.DONE, True), err
    assert pd.read_csv(tmp_path / "out.csv")["probability"].notna().all()


def test_every_run_says_where_its_patients_came_from(
    tmp_path: Path, places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The snapshot as a tag, and the data set without passwords: of an evaluation, a comparison and a search."""
    heart, source = speaking(capsys), places["database"]
    digest = sources.load(source).snapshot.digest  # type: ignore[union-attr]
    (tmp_path / "space.yaml").write_text("epochs: [1]\nhidden: [[1]]\n")
    grid = ["--grid", "--space", str(tmp_path / "space.yaml"), "--folds", "2", "--repeats", "2", "--inner-folds", "2"]
    heart("evaluate", source, "--copy", "uci")
    heart("monitor", source)  # all of its patients are known, so it compares nothing, and its run says of what
    heart("sweep", "--source", source, *grid)
    client = mlflow.MlflowClient()
    for name in (registry.HOSPITALS, registry.MONITORING, "heart-disease sweeps"):
        [run] = [
            one
            for one in client.search_runs([client.get_experiment_by_name(name).experiment_id])
            if one.data.tags.get("source") == source
        ]
        assert run.data.tags["snapshot"] == digest, name
        [data] = run.inputs.dataset_inputs
        about = json.loads(data.dataset.source)["tags"]
        assert (about["mlflow.source.name"], about["snapshot"], about["rows"]) == (source, digest, "120")
        assert data.dataset.digest == sources.load(source).digest
    evaluated = client.search_runs([client.get_experiment_by_name(registry.HOSPITALS).experiment_id])
    assert evaluated[0].data.tags["copy_declared"] == "uci"


def test_a_source_that_lost_a_column_since_is_said(
    tmp_path: Path, places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.train import train

    heart, path = speaking(capsys), tmp_path / "ward.csv"
    frame = patients.make(100, seed=8)
    frame.to_csv(path, index=False)
    version = train(source=str(path), **TINY).model.version
    frame.drop(columns="thal").to_csv(path, index=False)
    code, _, err = heart("monitor", places["web"], "--model", version)
    assert code == ExitCode.UNAVAILABLE
    assert "has no column 'thal' any more; put it back" in err
