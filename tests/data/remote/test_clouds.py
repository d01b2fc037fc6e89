"""Objects in Google's and Azure's stores: one, a folder, a pattern, and what is wrong or may pass."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator

import pandas as pd
import pytest

from heart_disease.data import sources
from heart_disease.data.remote import snapshots
from heart_disease.data.remote.objects import _azure_place
from heart_disease.data.remote.patience import Patience
from heart_disease.model.errors import SourceError, UnavailableError
from tests.harness.data import clouds
from tests.harness.data.clouds import ACCOUNT, Cloud

SECRET = base64.b64encode(b"s3cr3t-key").decode()
ONCE = Patience(attempts=1, silence=1)
KINDS = {"gs": clouds.Google, "az": clouds.Azure}


@pytest.fixture(params=KINDS)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cloud(scheme: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The store, with the bundled patients in one object and in two."""
    frame = pd.read_csv(sources.BUNDLED)
    objects = {
        "clinic/heart disease.csv": sources.BUNDLED.read_bytes(),
        "clinic/parts/part.1.csv": frame[100:].to_csv(index=False).encode(),
        "clinic/parts/part.0.csv": frame[:100].to_csv(index=False).encode(),
        "clinic/parts/old/part.0.csv": b"age\n63\n",
    }
    with clouds.serving(KINDS[scheme], objects) as store:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{store.host}")
        monkeypatch.setenv("AZURE_STORAGE_SERVICE_ENDPOINT", f"http://{store.host}")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_KEY", SECRET)
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sig=not-needed")
        yield store


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("place", ["heart%20disease.csv", "parts", "parts/", "parts/*.csv"])
def test_objects_are_the_same_patients_as_the_file(place: str, scheme: str) -> None:
    source = f"{scheme}://clinic/{place}"
    table = sources.load(source)
    assert table.digest == sources.load().digest
    assert table.frame.index.tolist() == sources.load().frame.index.tolist()  # in the order of the objects' names
    assert table.source == source


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("place", ["clinic/nothing.csv", "nowhere/heart.csv", "clinic/*.parquet"])
def test_what_is_not_there_is_said(place: str, scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SourceError, match="no file '"):
        snapshots.take(f"{scheme}://{place}", ONCE)
    assert "again in" not in caplog.text


def test_the_state_of_a_folder_changes_with_its_objects(cloud: Cloud, scheme: str) -> None:
    first = snapshots.state(f"{scheme}://clinic/parts")
    assert snapshots.state(f"{scheme}://clinic/parts") == first
    cloud.objects["clinic/parts/part.2.csv"] = b"age\n63\n"
    assert snapshots.state(f"{scheme}://clinic/parts") != first


@pytest.mark.parametrize(
    ("status", "kind", "message"), [(403, SourceError, "may not be read"), (418, UnavailableError, "was tried")]
)
def test_a_store_that_refuses_or_fails_is_said_without_the_key(
    status: int, kind: type[Exception], message: str, cloud: Cloud, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    cloud.status = status
    with pytest.raises(kind, match=message) as caught:
        snapshots.take(f"{scheme}://clinic/heart%20disease.csv", ONCE)
    assert SECRET not in f"{caught.value} {caplog.text}"
    assert "s3cr3t-key" not in f"{caught.value} {caplog.text}"


def test_a_store_that_goes_silent_is_given_up(cloud: Cloud, scheme: str) -> None:
    cloud.status = clouds.SILENCE
    with pytest.raises(UnavailableError, match="no answer within 0.3 s"):
        snapshots.take(f"{scheme}://clinic/heart%20disease.csv", Patience(attempts=1, silence=0.3))


@pytest.mark.parametrize(
    ("endpoint", "blob", "dfs", "scheme"),
    [
        ("https://clinic.blob.core.example/", ".blob.core.example", ".dfs.core.example", "https"),
        ("http://127.0.0.1:10000/clinic", "127.0.0.1:10000", "127.0.0.1:10000", "http"),
    ],
)
def test_azure_may_be_in_another_cloud(
    endpoint: str, blob: str, dfs: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_SERVICE_ENDPOINT", endpoint)
    assert _azure_place("clinic") == {
        "blob_storage_authority": blob, "dfs_storage_authority": dfs, "blob_storage_scheme": scheme,
        "dfs_storage_scheme": scheme,
    }  # fmt: skip
    monkeypatch.delenv("AZURE_STORAGE_SERVICE_ENDPOINT")
    assert _azure_place("clinic") == {}
