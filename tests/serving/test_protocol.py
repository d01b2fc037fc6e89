"""`heart serve` in MLflow's protocol, beside MLflow's own server for the same version."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.pyfunc import scoring_server
from starlette.testclient import TestClient

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.serving import api
from heart_disease.serving.follower import Follower
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.models import models

pytestmark = pytest.mark.slow

FRAME = sources.load().frame[list(schema.INPUT_NAMES)]
RECORDS = json.loads(FRAME.head(30).to_json(orient="records"))  # blanks are null, whole numbers are integers
COLUMNS = FRAME.dropna().head(30).to_dict("list")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Ours and MLflow's."""
    folder: Path = tmp_path_factory.mktemp("protocol")
    made = models.make(FRAME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # MLflow's server sets this for the whole process
        patch.chdir(folder)
        trained = replace(made, network=network.build(Recipe(hidden=(models.HIDDEN,), activation="tanh"), 29))
        with registry.open_run("a test", {}) as run:
            registry.log_model(run, trained, FRAME.head(2))
        follower = Follower("1")
        follower.refresh()
        theirs = scoring_server.init(mlflow.pyfunc.load_model("models:/heart-disease/1"))
        yield TestClient(api.application(follower)), TestClient(theirs)


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_records": RECORDS},
        {"dataframe_split": {"columns": list(FRAME), "data": [list(row.values()) for row in RECORDS]}},
        {"inputs": RECORDS},
        {"inputs": COLUMNS},
        {"dataframe_records": RECORDS, "params": {"threshold": 0.31}},
        {"dataframe_records": RECORDS[:3], "params": {"explain": True}},
    ],
    ids=["records", "split", "inputs by row", "inputs by column", "threshold", "explain"],
)
def test_both_answer_alike(content: Any, servers: tuple[TestClient, TestClient]) -> None:
    answers = [server.post("/invocations", json=content) for server in servers]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text + answers[1].text
    ours, theirs = (answer.json()["predictions"] for answer in answers)
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert list(one) == list(other)
        assert one == pytest.approx(other, abs=1e-6)
