"""The scoring API: which requests get answers, which are refused and why, and how much one client may use."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef
from heart_disease.serving import api, limits
from heart_disease.serving.follower import Follower, Loaded
from tests.harness.data import patients
from tests.harness.data.patients import FIRST
from tests.harness.models import models


def ask(client: TestClient, *rows: Any) -> tuple[int, Any]:
    response = client.post("/predict", json={"patients": list(rows)})
    return response.status_code, response.json()


def refused(client: TestClient, content: str | bytes) -> tuple[int, str]:
    response = client.post("/predict", content=content, headers={"Content-Type": "application/json"})
    return response.status_code, response.json()["detail"]


# Answers.


def test_a_patient_gets_the_models_answer(client: TestClient, model: PatientModel) -> None:
    frame = sources.load().frame[list(schema.INPUT_NAMES)]
    rows = json.loads(frame.to_json(orient="records"))
    status, content = ask(client, *rows)
    assert (status, content["model"], content["version"]) == (200, "heart-disease", "7")
    expected = model.predict(frame)
    assert [it["probability"] for it in content["answers"]] == pytest.approx(expected["probability"].tolist(), abs=1e-6)
    assert [it["disease"] for it in content["answers"]] == expected["disease"].tolist()


def test_column_order_and_extra_columns_do_not_matter(client: TestClient) -> None:
    _, expected = ask(client, FIRST)
    assert ask(client, {"name": "x", **dict(reversed(FIRST.items()))}) == (200, expected)


def test_a_patient_outside_the_limits_gets_a_reason_and_the_others_are_scored(client: TestClient) -> None:
    status, content = ask(client, FIRST, {**FIRST, "age": 150, "thal": 4})
    good, bad = content["answers"]
    assert status == 200
    assert good["problem"] == ""
    problem = "column 'age' has 150; expected 18 to 100 years; column 'thal' has 4; expected 3, 6, 7 or blank"
    assert bad == {"probability": None, "disease": "", "problem": problem, "unusual": ""}


def test_a_code_that_training_never_saw_is_a_problem(client: TestClient) -> None:
    status, content = ask(client, FIRST, {**FIRST, "cp": 0})
    problem = "column 'cp' has 0, which no patient of the training had; expected 1, 2, 3 or 4"
    assert status == 200
    assert content["answers"][0]["problem"] == ""
    assert content["answers"][1] == {"probability": None, "disease": "", "problem": problem, "unusual": ""}


def test_a_request_is_refused_if_no_patient_can_be_scored(client: TestClient) -> None:
    status, content = ask(client, *[{**FIRST, "chol": 9999}] * 8)
    assert status == 422
    assert content["detail"].startswith("patients[0]: column 'chol' has 9999; expected 70 to 700 mg/dl; patients[1]: ")
    assert content["detail"].endswith("; and 3 more")


@pytest.mark.parametrize("column", schema.COLUMNS, ids=lambda column: column.name)
def test_null_is_allowed_only_in_columns_that_may_be_blank(column: schema.Column, client: TestClient) -> None:
    status, content = ask(client, {**FIRST, column.name: None})
    assert status == (200 if column.optional else 422)
    if not column.optional:
        assert content["detail"] == f"patients[0].{column.name} has null; expected a number: {column.expected}"


@pytest.mark.parametrize("column", schema.INPUT_NAMES)
def test_a_missing_column_is_named(column: str, client: TestClient) -> None:
    status, content = ask(client, FIRST, {name: value for name, value in FIRST.items() if name != column})
    assert status == 422
    assert content["detail"].startswith(f"patients[1].{column} is missing; expected a number (")


def test_a_column_that_the_version_does_not_take_may_be_missing_or_null(client: TestClient, follower: Follower) -> None:
    fewer_columns = models.make(patients.make(60), without=["slope", "ca"])
    follower.now = Loaded(ModelRef("heart-disease", "8", "a run"), fewer_columns, "")
    fewer = {name: value for name, value in FIRST.items() if name not in ("slope", "ca")}
    status, expected = ask(client, FIRST)
    assert status == 200
    assert ask(client, fewer) == ask(client, {**FIRST, "slope": None}) == (200, expected)
    assert client.get("/model").json()["columns"] == list(fewer)
    assert ask(client, {**fewer, "chol": None})[1]["detail"] == (
        "patients[0].chol has null; expected a number: 70 to 700 mg/dl"
    )


@pytest.mark.parametrize(
    ("cell", "came"),
    [
        ('"63"', "'63'"), ('"high"', "'high'"), ("true", "True"), ("[63]", "[63]"), ("{}", "{}"),
        ("NaN", "no finite number"), ("Infinity", "no finite number"), ("-Infinity", "no finite number"),
        ("1e999", "no finite number"), ("9" * 400, f"{'9' * 40}..."),
    ],
)  # fmt: skip
def test_a_cell_that_is_not_a_number_is_refused_and_shown(cell: str, came: str, client: TestClient) -> None:
    body = json.dumps({"patients": [FIRST]}).replace("63", cell)
    assert refused(client, body) == (422, f"patients[0].age has {came}; expected a number: 18 to 100 years")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", 'the body is missing; expected {"patients": [{"age": 63, ...}, ...]}'),
        ("{}", 'patients is missing; expected {"patients": [{"age": 63, ...}, ...]}'),
        ("patients", "the body is not JSON: "),
        ('{"patients": [', "the body is not JSON: "),
        ("[]", "the body is not understood: "),
        ('{"patients": 3}', "patients is not understood: "),
        ('{"patients": []}', "patients is not understood: List should have at least 1 item"),
        ('{"patients": ["x"]}', "patients[0] is not understood: "),
    ],
)
def test_a_body_that_is_not_a_list_of_patients_is_refused(body: str, detail: str, client: TestClient) -> None:
    status, said = refused(client, body)
    assert status == 422
    assert said.startswith(detail)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_labelled_as_json_is_refused_with_advice(kind: str, client: TestClient) -> None:
    response = client.post("/predict", content=json.dumps({"patients": [FIRST]}), headers={"Content-Type": kind})
    assert response.status_code == 422
    assert "expected the header 'Content-Type: application/json'" in response.json()["detail"]


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", "[" * 100_000, '{"patients": [{"age": ' + "9" * 5000 + "}]}"])
def test_an_unreadable_body_is_refused(body: str | bytes, client: TestClient) -> None:
    assert refused(client, body)[0] in (400, 422)


def test_an_internal_error_reveals_nothing_about_the_patient(
    client: TestClient, follower: Follower, model: PatientModel, caplog: pytest.LogCaptureFixture
) -> None:
    follower.now = Loaded(ModelRef("heart-disease", "7", ""), PatientModel(model.encoder, "no network"), "")  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO, "heart"):
        assert ask(client, {**FIRST, "chol": 432.1})[0] == 500
    assert re.search(r"failed: POST /predict: TypeError at .*patient_model.py:\d+", caplog.text)
    assert "432" not in caplog.text


def test_a_good_request_leaves_no_line_in_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "heart"):
        ask(client, FIRST)
    assert [record for record in caplog.records if record.name == "heart"] == []


# What it says about itself.


def test_health_and_model_name_the_version_that_answers(client: TestClient, follower: Follower) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/model").json() == {
        "name": "heart-disease", "version": "7", "columns": list(schema.INPUT_NAMES), "unseen": ["cp=unknown"],
        "threshold": 0.5, "follows": "champion", "since": "2026-01-01T00:00:00+00:00", "problem": "",
    }  # fmt: skip
    follower.problem = "the store is away"
    assert client.get("/health").status_code == 200
    assert client.get("/health").json() == {"status": "stale"}
    assert client.get("/model").json()["problem"] == "the store is away"
    assert ask(client, FIRST)[0] == 200


def test_without_a_model_it_is_unhealthy_and_says_why(client: TestClient, follower: Follower) -> None:
    follower.now, follower.problem = None, "there is no champion"
    assert client.get("/health").status_code == 503
    for response in (client.get("/model"), client.post("/predict", json={"patients": [FIRST]})):
        assert response.status_code == 503
        assert response.json()["detail"] == "no model is loaded: there is no champion"
        assert int(response.headers["Retry-After"]) > 0


def test_the_description_has_every_column_with_the_limits_and_codes_of_the_version_that_answers(
    client: TestClient, follower: Follower
) -> None:
    patient = client.get("/openapi.json").json()["components"]["schemas"]["Patient"]
    columns = patient["properties"]
    assert list(columns) == patient["required"] == list(schema.INPUT_NAMES)
    assert columns["chol"]["description"] == "serum cholesterol, mg/dl"
    assert columns["chol"]["anyOf"] == [{"type": "number", "minimum": 70, "maximum": 700}]
    assert columns["cp"]["anyOf"] == [{"type": "number", "enum": [1, 2, 3, 4]}]
    assert columns["thal"]["description"].endswith("7 reversible defect; null if it is not known")
    assert columns["thal"]["anyOf"] == [{"type": "number", "enum": [3, 6, 7]}, {"type": "null"}]
    fewer_columns = models.make(patients.make(60), without=["slope", "ca"])
    follower.now = Loaded(ModelRef("heart-disease", "8", "a run"), fewer_columns, "")
    patient = client.get("/openapi.json").json()["components"]["schemas"]["Patient"]
    assert set(schema.INPUT_NAMES) - set(patient["required"]) == {"slope", "ca"}


@pytest.mark.parametrize("path", ["/predict", "/explain", "/predict.csv", "/invocations"])
def test_each_example_of_the_description_works(path: str, client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    for kind, one in described["paths"][path]["post"]["requestBody"]["content"].items():
        body = one["example"] if kind == "text/csv" else json.dumps(one["example"])
        response = client.post(path, content=body, headers={"Content-Type": kind})
        assert response.status_code == 200, response.text
        answers = described["paths"][path]["post"]["responses"]["200"]["content"]
        assert response.headers["Content-Type"].partition(";")[0] in answers


def test_no_page_loads_anything_from_elsewhere(client: TestClient) -> None:
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


# How much one client may use.


def test_a_request_may_have_at_most_a_thousand_patients(client: TestClient) -> None:
    assert ask(client, *[FIRST] * 1000)[0] == 200
    status, content = ask(client, *[FIRST] * 1001)
    assert (status, content["detail"]) == (422, "patients has too many; expected at most 1000 patients a request")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_may_have_at_most_a_mebibyte_whether_or_not_it_states_its_size(
    chunked: bool, client: TestClient
) -> None:
    body = json.dumps({"patients": [FIRST]}).encode()
    sent: list[int] = []

    def parts(size: int) -> Iterator[bytes]:
        yield body
        for _ in range((size - len(body)) // 1024):
            sent.append(1024)
            yield b" " * 1024

    def post(size: int) -> Any:
        content = parts(size) if chunked else b"".join(parts(size))
        return client.post("/predict", content=content, headers={"Content-Type": "application/json"})

    assert post(limits.BYTES - 1024).status_code == 200
    response = post(limits.BYTES + 4096)
    assert response.status_code == 413
    assert response.json()["detail"] == "the body is too large; expected at most 1048576 bytes"
    assert response.headers["Connection"].lower() == "close"


def test_too_many_requests_at_once_are_asked_to_come_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AT_ONCE", 0)
    response = client.get("/health")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.json()["detail"] == "0 requests are being answered; try again"


def test_finished_requests_free_their_places(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AT_ONCE", 1)
    assert [refused(client, "x")[0], *(ask(client, FIRST)[0] for _ in range(3))] == [422, 200, 200, 200]


# A token.


@pytest.fixture
def guarded(follower: Follower) -> TestClient:
    return TestClient(api.application(follower, token="correct horse"))  # noqa: S106


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer wrong", "correct horse", "bearer correct horse", "Bearer correct horsé"]
)
def test_without_the_token_only_health_answers(header: str, guarded: TestClient) -> None:
    headers = {"Authorization": header.encode()} if header else {}
    for path in ("/predict", "/explain", "/invocations", "/metrics", "/version", "/model", "/openapi.json", "/nothing"):
        response = guarded.post(path, content="x" * 2_000_000, headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert "correct horse" not in response.text
    assert guarded.get("/health", headers=headers).status_code == 200
    assert guarded.get("/ping", headers=headers).status_code == 200


def test_with_the_token_it_answers(guarded: TestClient) -> None:
    headers = {"Authorization": "Bearer correct horse"}
    assert guarded.post("/predict", json={"patients": [FIRST]}, headers=headers).status_code == 200
    assert guarded.get("/model", headers=headers).status_code == 200


def test_the_description_says_which_paths_need_the_token_and_nothing_of_it_without_one(
    guarded: TestClient, client: TestClient
) -> None:
    headers = {"Authorization": "Bearer correct horse"}
    described = guarded.get("/openapi.json", headers=headers).json()
    paths = {path: method["security"] for path, methods in described["paths"].items() for method in methods.values()}
    assert {path for path, needed in paths.items() if not needed} == {"/health", "/ping"}
    assert {name for [needed] in filter(None, paths.values()) for name in needed} == set(
        described["components"]["securitySchemes"]
    )
    assert "security" not in client.get("/openapi.json").text


# HTTP's habits.


@pytest.mark.parametrize(
    "path", ["/", "/health", "/ping", "/version", "/model", "/openapi.json", "/health/", "/nothing", "/predict"]
)
def test_head_is_answered_as_get_is(path: str, client: TestClient) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.headers) == (get.status_code, get.headers)


def test_health_with_a_slash_needs_no_token_either(follower: Follower) -> None:
    client = TestClient(api.application(follower, "s3cr3t"))
    assert client.head("/health/").status_code == 200
    assert client.head("/model/").status_code == 401
