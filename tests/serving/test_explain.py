"""What the API says about one patient beyond the probability."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model import folds, schema, support
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef
from heart_disease.serving import api
from heart_disease.serving.follower import Follower
from tests.harness.data import patients
from tests.harness.data.patients import FIRST

CELLS = np.array([[float(FIRST[name]) for name in schema.INPUT_NAMES]])


def ask(client: TestClient, *rows: Any, path: str = "/explain") -> tuple[int, Any]:
    response = client.post(path, json={"patients": list(rows)})
    return response.status_code, response.json()


def test_the_answers_are_those_of_predict(client: TestClient) -> None:
    frame = sources.load().frame[list(schema.INPUT_NAMES)].head(10)
    rows = json.loads(frame.to_json(orient="records"))
    status, explained = ask(client, *rows)
    _, predicted = ask(client, *rows, path="/predict")
    assert status == 200
    assert (explained["model"], explained["version"], explained["threshold"]) == ("heart-disease", "7", 0.5)
    for one, other in zip(explained["answers"], predicted["answers"], strict=True):
        assert {name: one[name] for name in other} == pytest.approx(other, abs=1e-6)


def test_the_average_and_all_drivers_add_up_to_the_probability_and_the_strongest_comes_first(
    client: TestClient, model: PatientModel
) -> None:
    _, content = ask(client, FIRST)
    [answer] = content["answers"]
    adds = [one["adds"] for one in answer["drivers"]]
    assert answer["average"] + sum(adds) == pytest.approx(answer["probability"], abs=1e-6)
    assert answer["average"] == pytest.approx(model.score(model.references).probability.mean(), abs=1e-6)
    assert [abs(by) for by in adds] == sorted(map(abs, adds), reverse=True)
    assert {one["column"]: one["says"] for one in answer["drivers"]} == {
        column.name: column.says(float(FIRST[column.name])) for column in schema.COLUMNS
    }


def test_the_range_is_that_of_the_networks_of_the_cross_validation(client: TestClient, model: PatientModel) -> None:
    _, content = ask(client, FIRST)
    each = folds.answers(model.folds, model.encoder.encode(CELLS))[:, 0]
    assert content["answers"][0]["range"] == pytest.approx(
        {"lowest": each.min(), "highest": each.max(), "networks": 7}, abs=1e-6
    )


def test_an_older_version_says_what_it_knows(client: TestClient, follower: Follower, model: PatientModel) -> None:
    assert follower.now
    follower.now = replace(follower.now, model=PatientModel(model.encoder, model.network))
    status, content = ask(client, FIRST)
    [answer] = content["answers"]
    assert status == 200
    assert answer["probability"] == pytest.approx(model.score(CELLS).probability[0])
    assert (answer["range"], answer["average"], answer["drivers"]) == (None, None, [])


def test_what_is_possible_but_unusual_is_said(client: TestClient) -> None:
    _, content = ask(client, FIRST, {**FIRST, "age": 95, "oldpeak": -1})
    usual, unusual = content["answers"]
    assert usual["remarks"] == []
    assert unusual["remarks"] == [
        "age: 95 years; usual are 28 to 80",
        "ST depression by exercise, relative to rest: -1 mm; usual are 0 to 4.5",
    ]


def test_every_route_says_who_is_unlike_the_patients_of_the_training(
    client: TestClient, follower: Follower, model: PatientModel
) -> None:
    table = patients.make(400)
    rows = np.arange(400)
    usual = support.fit(model.encoder, table, rows, [(rows[::2], rows[1::2]), (rows[1::2], rows[::2])])
    assert follower.now
    follower.now = replace(follower.now, model=replace(model, support=usual))
    both = [FIRST, {**FIRST, "chol": 690}]
    [_, explained], [_, predicted] = (ask(client, *both, path=path)[1]["answers"] for path in ("/explain", "/predict"))
    [_, invoked] = client.post("/invocations", json={"dataframe_records": both}).json()["predictions"]
    text = client.post("/predict.csv", content=pd.DataFrame(both).to_csv(index=False)).text
    [without, written] = pd.read_csv(io.StringIO(text))["unusual"]
    why = "unlike the patients of the training, mostly in chol"
    assert all(
        said.startswith(why) for said in (explained["unusual"], predicted["unusual"], invoked["unusual"], written)
    )
    assert explained["remarks"][0] == f"This patient is {explained['unusual']}"
    assert without != without  # an empty cell


def test_a_patient_who_cannot_be_scored_has_a_problem_and_no_explanation(client: TestClient) -> None:
    status, content = ask(client, FIRST, {**FIRST, "age": 150})
    assert status == 200
    assert content["answers"][1] == {
        "probability": None, "disease": "", "problem": "column 'age' has 150; expected 18 to 100 years",
        "range": None, "average": None, "drivers": [], "unusual": "", "remarks": [],
    }  # fmt: skip
    assert ask(client, {**FIRST, "age": 150})[0] == 422


def test_at_most_ten_patients_are_explained_at_once(client: TestClient) -> None:
    status, content = ask(client, *[FIRST] * 11)
    assert (status, content["detail"]) == (422, "patients has too many; expected at most 10 patients a request")


def test_a_server_that_abstains_gives_the_reason_and_no_probability(
    model: PatientModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, rows = patients.make(60), np.arange(60)
    usual = support.fit(model.encoder, table, rows, [(rows[::2], rows[1::2])])
    served = replace(model, support=replace(usual, limit=0.0))  # so that nobody is usual
    follower = Follower("1", abstains=True)
    monkeypatch.setattr(registry, "by_version", lambda number: ModelRef("heart-disease", number, "a run"))
    monkeypatch.setattr(registry, "check_loads", lambda ref, made_up: model)
    follower.refresh()
    assert follower.now is None
    assert "does not know which patients are unlike those of its training" in follower.problem
    monkeypatch.setattr(registry, "check_loads", lambda ref, made_up: served)
    follower.refresh()
    assert follower.problem == ""
    for path in ("/predict", "/explain"):
        reply = TestClient(api.application(follower)).post(path, json={"patients": [FIRST]})
        assert reply.status_code == 422
        assert "unlike the patients of the training, mostly in" in reply.json()["detail"]


def test_a_server_tells_its_log_that_a_new_version_answers_yes_from_elsewhere(
    model: PatientModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("heart_disease.serving.follower.log.info", lambda text, *given: said.append(text % given))
    follower = Follower("champion")
    for version, threshold in (("1", 0.5), ("2", 0.5), ("3", 0.2)):
        monkeypatch.setattr(registry, "by_alias", lambda _, v=version: ModelRef("heart-disease", v, "a run"))
        monkeypatch.setattr(registry, "check_loads", lambda *_, t=threshold: replace(model, threshold=t))
        follower.refresh()
    assert said == [
        "serving heart-disease version 1 (champion)",
        "serving heart-disease version 2 (champion), before 1",
        "serving heart-disease version 3 (champion), before 2; it answers yes from 0.200 on, not 0.500",
    ]
