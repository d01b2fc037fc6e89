"""MLflow's protocol: its clients get the answers of the registered model."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from starlette.testclient import TestClient

from heart_disease.model import schema
from heart_disease.model.patient_model import PatientModel
from heart_disease.serving import invocations, server
from heart_disease.serving.follower import Follower
from tests.harness import patients
from tests.harness.patients import FIRST

FRAME = patients.make(6, seed=3)[list(schema.INPUT_NAMES)].assign(thal=3.0).reset_index(drop=True)
RECORDS = FRAME.to_dict("records")
JSON = {"Content-Type": "application/json"}
FORMS = {
    "dataframe_split": {"columns": list(FRAME), "data": FRAME.to_numpy().tolist()},
    "dataframe_records": RECORDS,
    "instances": RECORDS,
    "inputs": {name: FRAME[name].tolist() for name in FRAME},
}


@pytest.fixture
def mlflows_client(follower: Follower) -> Iterator[ScoringServerClient]:
    """MLflow's own client, for a server in this process."""
    with server.listen("127.0.0.1", 0) as listener:
        running = server.web_server(follower, "")
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        yield ScoringServerClient("127.0.0.1", listener.getsockname()[1])
        running.should_exit = True
        thread.join()


def ask(client: TestClient, **content: Any) -> tuple[int, Any]:
    response = client.post("/invocations", content=json.dumps(content), headers=JSON)
    return response.status_code, response.json()


def test_mlflows_client_works_unchanged(mlflows_client: ScoringServerClient, model: PatientModel) -> None:
    mlflows_client.wait_server_ready()
    assert mlflows_client.get_version()[0].isdigit()
    found = mlflows_client.invoke(FRAME.assign(ca=float("nan")), params={"threshold": 0.9}).get_predictions()
    expected = model.predict(FRAME.assign(ca=float("nan")), threshold=0.9)
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False)


@pytest.mark.parametrize("form", invocations.FORMS)
def test_each_form_of_json_is_answered(form: str, client: TestClient, model: PatientModel) -> None:
    status, content = ask(client, **{form: FORMS[form]})
    assert (status, list(content)) == (200, ["predictions"])
    pd.testing.assert_frame_equal(pd.DataFrame(content["predictions"]), model.predict(FRAME), check_dtype=False)


def test_csv_is_answered(client: TestClient, model: PatientModel) -> None:
    headers = {"Content-Type": "text/csv; charset=utf-8"}
    found = client.post("/invocations", content=FRAME.to_csv(index=False), headers=headers).json()["predictions"]
    pd.testing.assert_frame_equal(pd.DataFrame(found), model.predict(FRAME), check_dtype=False)


def test_the_parameters_are_those_of_the_registered_model(client: TestClient, model: PatientModel) -> None:
    status, content = ask(client, dataframe_records=RECORDS, params={"threshold": 0.2, "explain": True})
    assert status == 200
    expected = model.predict(FRAME, threshold=0.2, explain=True)
    pd.testing.assert_frame_equal(pd.DataFrame(content["predictions"])[list(expected)], expected, check_dtype=False)


@pytest.mark.parametrize(("age", "shown"), [(150, "150"), (10**20, "1e+20"), (10**400, "inf")])
def test_patients_with_a_problem_have_no_probability_even_if_all_have_one(
    age: int, shown: str, client: TestClient
) -> None:
    status, content = ask(client, dataframe_records=[{**FIRST, "age": age}])
    problem = f"column 'age' has {shown}; expected 18 to 100 years"
    assert (status, content) == (
        200,
        {"predictions": [{"probability": None, "disease": "", "problem": problem, "unusual": ""}]},
    )


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        ({}, 400, "expected an object with exactly one of dataframe_split"),
        ([], 400, "expected an object with exactly one of dataframe_split"),
        ({"instances": RECORDS, "inputs": RECORDS}, 400, "expected an object with exactly one of"),
        ({"dataframe_records": {"age": 3}}, 400, "must be a list of records"),
        ({"dataframe_records": [1, 2]}, 422, "columns 'age', 'sex'"),
        ({"inputs": "x"}, 400, "the body is not understood"),
        ({"dataframe_records": [{**FIRST, "age": [63]}]}, 400, "column 'age' has a list in row 0"),
        ({"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}}, 400, "two columns have the same name"),
        ({"dataframe_split": {"columns": [["age"]], "data": [[1]]}}, 400, "or one has a list as its name"),
        ({"dataframe_records": [{"age": 63}]}, 422, "columns 'sex', 'cp', 'trestbps'"),
        ({"dataframe_records": RECORDS, "params": {"limit": 3}}, 400, "expected an object with threshold or explain"),
        ({"dataframe_records": RECORDS, "params": [1]}, 400, "expected an object with threshold or explain"),
        ({"dataframe_records": RECORDS, "params": {"threshold": "high"}}, 400, "expected a number and true or false"),
        ({"dataframe_records": RECORDS, "params": {"explain": 1}}, 400, "expected a number and true or false"),
        ({"dataframe_records": RECORDS, "params": {"threshold": 2}}, 422, "threshold 2; expected a probability"),
        ({"dataframe_records": RECORDS, "params": {"threshold": 10**400}}, 422, "threshold inf; expected"),
        ({"dataframe_records": [FIRST] * 1001}, 422, "1001 patients; expected at most 1000"),
        ({"dataframe_records": [FIRST] * 11, "params": {"explain": True}}, 422, "11 patients; expected at most 10"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_with_the_reason(
    content: Any, status: int, said: str, client: TestClient
) -> None:
    response = client.post("/invocations", content=json.dumps(content), headers=JSON)
    assert response.status_code == status, response.text
    assert said in response.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"inputs": ' + b"9" * 5000 + b"}"])
def test_an_unreadable_body_is_refused(body: bytes, client: TestClient) -> None:
    for kind in ("application/json", "text/csv"):
        assert client.post("/invocations", content=body, headers={"Content-Type": kind}).status_code in (400, 422)


def test_another_content_type_is_refused(client: TestClient) -> None:
    response = client.post("/invocations", content=b"PAR1", headers={"Content-Type": "application/vnd.apache.parquet"})
    assert response.status_code == 415
    assert "expected application/json or text/csv" in response.json()["detail"]
