"""What Prometheus reads: latency, answers and refusals, patients, the version."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from heart_disease.serving import api
from heart_disease.serving.follower import Follower
from tests.harness.data.patients import FIRST


def sample(client: TestClient, name: str, /, **labels: str) -> float:
    """The sum of all samples of this name with these labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [one for family in families for one in family.samples if one.name == name]
    return sum(one.value for one in samples if labels.items() <= one.labels.items())


def test_requests_are_counted_by_path_and_status(client: TestClient) -> None:
    for _ in range(3):
        client.post("/predict", json={"patients": [FIRST]})
    client.post("/predict", content="x")
    assert sample(client, "heart_request_seconds_count", path="/predict", status="200") == 3
    assert sample(client, "heart_request_seconds_count", path="/predict", status="422") == 1
    assert sample(client, "heart_request_seconds_bucket", path="/predict", status="200", le="+Inf") == 3
    assert sample(client, "heart_request_seconds_sum", path="/predict") > 0


def test_requests_that_the_limits_refuse_are_counted_too(follower: Follower) -> None:
    client = TestClient(api.application(follower, "a token"))
    for _ in range(2):
        client.post("/predict", json={"patients": [FIRST]})
    client.headers["Authorization"] = "Bearer a token"
    assert sample(client, "heart_request_seconds_count", path="/predict", status="401") == 2


def test_patients_are_counted_by_what_they_got(client: TestClient) -> None:
    for path in ("/predict", "/explain"):
        client.post(path, json={"patients": [FIRST, FIRST, {**FIRST, "age": 150}]})
    client.post("/invocations", json={"dataframe_records": [FIRST]})
    assert sample(client, "heart_patients_total", answer="probability") == 5
    assert sample(client, "heart_patients_total", answer="problem") == 2


def test_whatever_paths_clients_make_up_count_as_one(client: TestClient) -> None:
    for name in ("a", "b", "c"):
        client.get(f"/{name}")
    assert sample(client, "heart_request_seconds_count", path="other", status="404") == 3
    assert "/b" not in client.get("/metrics").text


def test_the_version_and_whether_it_is_stale_are_read(client: TestClient, follower: Follower) -> None:
    assert sample(client, "heart_model_info", name="heart-disease", version="7") == 1
    assert sample(client, "heart_model_stale") == 0
    follower.now, follower.problem = None, "the store is away"
    assert sample(client, "heart_model_info", version="7") == 0
    assert sample(client, "heart_model_stale") == 1
