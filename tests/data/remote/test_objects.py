"""Objects in a store that speaks S3: one, a folder, a pattern, and what is wrong or may pass."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from moto.server import ThreadedMotoServer

from heart_disease.data import sources
from heart_disease.data.remote import addresses, objects, snapshots
from heart_disease.data.remote.patience import Patience
from heart_disease.model.errors import SourceError, UnavailableError
from heart_disease.processes.loopback import free_port
from tests.harness.servers.web import Answer, serving

TWICE = Patience(attempts=2, first_wait=0.01, silence=2)
SECRET = "s3cr3t-key"  # noqa: S105


def parquet(frame: pd.DataFrame) -> bytes:
    made = io.BytesIO()
    frame.to_parquet(made, index=False)
    return made.getvalue()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The store, with the bundled patients in one object and in two."""
    from pyarrow import fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    made = fs.S3FileSystem(endpoint_override=endpoint, region="us-east-1", allow_bucket_creation=True)
    frame = pd.read_csv(sources.BUNDLED)
    contents = {
        "clinic/heart.csv": sources.BUNDLED.read_bytes(),
        "clinic/parts/part.1.parquet": parquet(frame[100:]),
        "clinic/parts/part.0.parquet": parquet(frame[:100]),
        "clinic/mixed/a.csv": b"age\n63\n",
        "clinic/mixed/b.parquet": parquet(frame),
    }
    made.create_dir("clinic")
    for path, content in contents.items():
        with made.open_output_stream(path) as file:
            file.write(content)
    return made


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "source", ["s3://clinic/heart.csv", "s3://clinic/parts", "s3://clinic/parts/", "s3://clinic/parts/*.parquet"]
)
def test_objects_are_the_same_patients_as_the_file(source: str) -> None:
    table = sources.load(source)
    assert table.digest == sources.load().digest
    assert table.frame.index.tolist() == sources.load().frame.index.tolist()  # in the order of the objects' names
    assert table.source == source


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://clinic/nothing.csv", "no file 's3://clinic/nothing.csv'"),
        ("s3://nowhere/heart.csv", "no file 's3://nowhere/heart.csv'"),
        ("s3://clinic/*.parquet", "no file 's3://clinic/*.parquet'"),
        ("s3://clinic/mixed", "has 'a.csv', 'b.parquet'; expected parts of one kind"),
    ],
)
def test_what_is_not_there_is_said(source: str, message: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SourceError) as caught:
        snapshots.take(source, TWICE)
    assert message in str(caught.value)
    assert "again in" not in caplog.text


@pytest.mark.usefixtures("store")
def test_a_read_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST_BYTES", 1000)
    with pytest.raises(SourceError, match="has more than"):
        snapshots.take("s3://clinic/heart.csv", TWICE)


def test_the_state_of_a_folder_changes_with_its_objects(store: Any) -> None:
    first = snapshots.state("s3://clinic/parts")
    assert snapshots.state("s3://clinic/parts") == first
    with store.open_output_stream("clinic/parts/c.parquet") as file:
        file.write(b"more")
    assert snapshots.state("s3://clinic/parts") != first
    store.delete_file("clinic/parts/c.parquet")


def test_a_login_that_is_refused_is_not_tried_again_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(Answer(status=403)) as site:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{site.base}")
        with pytest.raises(SourceError, match="may not be read") as caught:
            snapshots.take("s3://clinic/heart.csv", TWICE)
    assert len(site.asked) == 1
    assert SECRET not in f"{caught.value} {caplog.text}"


def test_a_store_that_is_busy_or_away_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answer(status=503)) as site:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{site.base}")
        with pytest.raises(UnavailableError, match="was tried 2 times"):
            snapshots.take("s3://clinic/heart.csv", TWICE)
    assert len(site.asked) == 2
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnavailableError, match="was tried 2 times"):
        snapshots.take("s3://clinic/heart.csv", TWICE)


def test_a_store_that_goes_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answer(b"age", length=1000, stalls=True)) as site:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{site.base}")
        with pytest.raises(UnavailableError, match="no answer within 1 s"):
            snapshots.take("s3://clinic/heart.csv", Patience(attempts=1, silence=1))


def test_a_store_that_never_ends_is_given_up_with_the_time_that_it_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pieces = chain([objects._nothing], repeat(None))
    monkeypatch.setattr(objects, "_work", lambda *_: (piece for piece in pieces))
    with pytest.raises(UnavailableError, match=r"was not read: it took more than 0\.2 s"):
        objects.read(addresses.parse("s3://clinic/heart.csv"), tmp_path, Patience(silence=5, total=0.2))


def test_azure_needs_the_name_of_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UnavailableError, match="in AZURE_STORAGE_ACCOUNT"):
        snapshots.take("az://clinic/heart.csv", TWICE)
