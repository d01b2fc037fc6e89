"""A CSV file sent to the API: what comes back, and which files are refused."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pandas as pd
import pytest
from starlette.testclient import TestClient

from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.model.patient_model import PatientModel
from tests.harness.data import copies

FRAME = sources.load().frame[list(schema.INPUT_NAMES)].sort_index()


def send(client: TestClient, content: str | bytes) -> Any:
    return client.post("/predict.csv", content=content, headers={"Content-Type": "text/csv"})


def test_a_file_comes_back_as_it_was_with_answers(client: TestClient, model: PatientModel) -> None:
    came = FRAME.assign(age=FRAME["age"].where(FRAME.index != 5, 150))
    came.insert(0, "number", [f"000{row}" for row in came.index])
    response = send(client, came.to_csv(index=False))
    assert response.status_code == 200
    assert (response.headers["Heart-Patients"], response.headers["Heart-Problems"]) == ("303", "1")
    found = pd.read_csv(io.StringIO(response.text), dtype={"number": "str"})
    assert list(found) == ["row", *came, "probability", "disease", "problem", "unusual"]
    assert found["number"].tolist() == came["number"].tolist()
    expected = model.predict(came)
    pd.testing.assert_series_equal(found["probability"], expected["probability"].reset_index(drop=True), rtol=1e-6)
    assert found["problem"][4] == "column 'age' has 150; expected 18 to 100 years"


def test_a_file_as_people_have_them_is_read(client: TestClient, model: PatientModel) -> None:
    response = send(client, FRAME.to_csv(index=False, sep=";").encode("utf-16"))
    found = pd.read_csv(io.StringIO(response.text))["probability"]
    pd.testing.assert_series_equal(found, model.predict(FRAME)["probability"].reset_index(drop=True), rtol=1e-6)


def test_a_line_break_within_a_cell_stays_as_it_came(client: TestClient) -> None:
    response = send(client, FRAME.assign(note="a\r\nb").to_csv(index=False))
    assert response.content.count(b'"a\r\nb"') == len(FRAME)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "'patients.csv' is empty"),
        (",".join(FRAME).encode(), "'patients.csv' has a header and no rows"),
        (b"age,sex\n63,1\n", "columns 'cp', 'trestbps'"),
        (b"age,age\n63,1\n", "'patients.csv' has the column 'age' 2 times"),
        (b"\0\1\2\3" * 100, "'patients.csv' is a binary file"),
        (FRAME.assign(problem="").to_csv(index=False).encode(), "the file has the column 'problem'"),
        (gzip.compress(FRAME.to_csv(index=False).encode()), "the file is packed"),
        (FRAME.assign(chol=5).to_csv(index=False).encode(), "so many cells of a column are blank, rare or not allowed"),
    ],
    ids=["empty", "header", "columns missing", "column twice", "binary", "scored before", "packed", "doubtful"],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(content: bytes, said: str, client: TestClient) -> None:
    response = send(client, content)
    assert response.status_code == 422
    assert said in response.json()["detail"]
    assert "/tmp" not in response.json()["detail"]


def test_a_published_copy_in_other_codes_is_refused_by_its_name(client: TestClient) -> None:
    response = send(client, copies.kaggle().to_csv(index=False))
    assert response.status_code == 422
    assert "Kaggle" in response.json()["detail"]
    assert "`heart convert`" in response.json()["detail"]


def test_a_copy_that_cannot_be_translated_is_refused_with_the_reason(client: TestClient) -> None:
    response = send(client, copies.tensorflow().to_csv(index=False))
    assert response.status_code == 422
    assert "num >= 2" in response.json()["detail"]
    assert "`heart convert` makes of it" not in response.json()["detail"]
