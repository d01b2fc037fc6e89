"""MLflow's protocol: its clients get the answers of the registered model."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pandas as pd
import pytest
from mlflow.pyfunc import scoring_server
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from starlette.testclient import TestClient

from heart_disease.model import schema
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef
from heart_disease.serving import api, invocations
from heart_disease.serving.follower import Follower, Loaded
from tests.harness.data import patients
from tests.harness.data.patients import FIRST
from tests.harness.models import models
from tests.harness.servers.running import running
from tests.harness.waiting import PATIENCE

FRAME = patients.make(6, seed=3)[list(schema.INPUT_NAMES)].assign(thal=3.0).reset_index(drop=True)
RECORDS = FRAME.to_dict("records")
JSON = {"Content-Type": "application/json"}
FORMS = {
    "dataframe_split": {"columns": list(FRAME), "data": FRAME.to_numpy().tolist()},
    "dataframe_records": RECORDS,
    "instances": RECORDS,
    "inputs": {name: FRAME[name].tolist() for name in FRAME},
}
WITHOUT_THAL = {name: cell for name, cell in FIRST.items() if name != "thal"}


@pytest.fixture
def port(follower: Follower) -> Iterator[int]:
    """The port of a server in this process."""
    with running(follower) as at:
        yield at


@pytest.fixture
def mlflows_client(port: int) -> ScoringServerClient:
    """MLflow's own client, for that server."""
    return ScoringServerClient("127.0.0.1", port)


def ask(client: TestClient, **content: Any) -> tuple[int, Any]:
    response = client.post("/invocations", content=json.dumps(content), headers=JSON)
    return response.status_code, response.json()


def test_parameters_are_where_mlflow_has_them() -> None:
    assert invocations.PARAMS == scoring_server.SERVING_PARAMS_KEY


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
        ({"dataframe_records": {"age": 3}}, 400, "dataframe_records is a dict; expected a list of objects"),
        ({"dataframe_records": [1, 2]}, 400, "row 0 is not an object; expected the cells"),
        ({"inputs": "x"}, 400, "the body is not understood"),
        ({"dataframe_records": [{**FIRST, "age": [63]}]}, 400, "column 'age' has a list in row 0"),
        ({"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}}, 400, "two columns have the same name"),
        ({"dataframe_split": {"columns": [["age"]], "data": [[1]]}}, 422, "columns 'age', 'sex'"),
        ({"dataframe_split": {"data": [[1]]}}, 400, "row 0 has 1 of 0 cells"),
        ({"dataframe_split": {"columns": ["age"], "data": ["63"]}}, 400, "row 0 is not a list of cells"),
        ({"dataframe_split": {"columns": ["age"], "data": [[1]], "index": [4, 5]}}, 400, "has 2 rows, and data has 1"),
        ({"dataframe_split": {"columns": "age", "data": [[1]]}}, 400, "with the lists columns and data"),
        ({"dataframe_records": [{"age": 63}]}, 422, "columns 'sex', 'cp', 'trestbps'"),
        ({"dataframe_records": [FIRST, WITHOUT_THAL]}, 400, "row 1 lacks 'thal'; expected a value for each patient"),
        ({"inputs": [WITHOUT_THAL, FIRST]}, 400, "row 0 lacks 'thal'"),
        ({"dataframe_split": {"columns": list(FIRST), "data": [[*FIRST.values()], [63, 1]]}}, 400, "has 2 of 13 cells"),
        ({"inputs": {name: {"a": cell} for name, cell in FIRST.items()}}, 400, "column 'age' is not a list"),
        ({"instances": {**FORMS["inputs"], "thal": 3}}, 400, "column 'thal' is not a list"),
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
    assert response.json()["detail"].count("expected") <= 1


def test_a_column_that_the_version_does_not_take_may_be_missing_in_some_rows_and_hold_anything(
    client: TestClient, follower: Follower
) -> None:
    fewer_columns = models.make(patients.make(60), without=["thal"])
    follower.now = Loaded(ModelRef("heart-disease", "8", "a run"), fewer_columns, "")
    _, expected = ask(client, dataframe_records=[WITHOUT_THAL] * 2)
    assert ask(client, dataframe_records=[WITHOUT_THAL, {**FIRST, "thal": [3]}]) == (200, expected)


@pytest.mark.parametrize("cells", [12, 14])
def test_a_row_of_csv_with_another_number_of_cells_is_refused_and_not_shifted(cells: int, client: TestClient) -> None:
    lines = FRAME.to_csv(index=False).splitlines()
    ragged = [lines[0], *(",".join([*line.split(","), "7"][:cells]) for line in lines[1:])]
    response = client.post("/invocations", content="\n".join(ragged), headers={"Content-Type": "text/csv"})
    assert response.status_code == 400
    assert f"row 0 has {cells} cells, and the header has 13" in response.json()["detail"]


def test_a_csv_with_a_column_twice_is_refused(client: TestClient) -> None:
    text = FRAME.assign(again=FRAME["age"]).rename(columns={"again": "age"}).to_csv(index=False)
    response = client.post("/invocations", content=text, headers={"Content-Type": "text/csv"})
    assert (response.status_code, "two columns have the same name, 'age'" in response.text) == (400, True)


def test_blank_lines_and_columns_that_the_version_does_not_take_change_nothing(
    client: TestClient, model: PatientModel
) -> None:
    text = FRAME.assign(note='of "old", and\nnew').to_csv(index=False) + "\n  \n"
    found = client.post("/invocations", content=text, headers={"Content-Type": "text/csv"}).json()["predictions"]
    pd.testing.assert_frame_equal(pd.DataFrame(found), model.predict(FRAME), check_dtype=False)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"instances": [{f"x{k}": 1} for k in range(900)]}, "application/json"),
        ({"inputs": {"x": [0] * 900, **{f"x{k}": 1 for k in range(900)}}}, "application/json"),
        ({"dataframe_split": {"columns": [f"x{k}" for k in range(900)], "data": [[1] * 900]}}, "application/json"),
        ("," * 900, "text/csv"),
    ],
    ids=["records", "columns", "split", "csv"],
)
def test_no_cell_is_made_of_columns_that_the_version_does_not_take(body: Any, kind: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    assert invocations.read(text.encode(), kind, list(FRAME)).frame.size == 0


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"inputs": ' + b"9" * 5000 + b"}"])
def test_an_unreadable_body_is_refused(body: bytes, client: TestClient) -> None:
    for kind in ("application/json", "text/csv"):
        assert client.post("/invocations", content=body, headers={"Content-Type": kind}).status_code in (400, 422)


def test_another_content_type_is_refused(client: TestClient) -> None:
    response = client.post("/invocations", content=b"PAR1", headers={"Content-Type": "application/vnd.apache.parquet"})
    assert response.status_code == 415
    assert "expected application/json or text/csv" in response.json()["detail"]


def test_others_are_answered_while_a_long_body_is_read(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    read, reading, answered = invocations.read, threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> invocations.Asked:
        reading.set()
        assert answered.wait(PATIENCE)
        return read(*arguments)

    monkeypatch.setattr(invocations, "read", slowly)
    address = f"http://127.0.0.1:{port}"
    csv = FRAME.to_csv(index=False) + api.LONG * " "
    with ThreadPoolExecutor() as others, httpx.Client(timeout=PATIENCE) as client:
        headers = {"Content-Type": "text/csv"}
        asked = others.submit(client.post, f"{address}/invocations", content=csv, headers=headers)
        try:
            assert reading.wait(PATIENCE)
            assert httpx.get(f"{address}/ping", timeout=10).status_code == 200
        finally:
            answered.set()
        assert asked.result().status_code == 200
