"""Tables of a real PostgreSQL and, by SQLAlchemy, of SQLite: what arrives, what is tried again, what stays secret."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from heart_disease.data import sources
from heart_disease.data.remote import addresses, databases, snapshots
from heart_disease.data.remote.patience import Patience
from heart_disease.model.errors import HeartError, SourceError, UnavailableError
from heart_disease.processes.loopback import free_port
from tests.harness.servers.postgres import Postgres
from tests.harness.servers.proxy import Proxy
from tests.harness.waiting import wait_for

ONCE = Patience(attempts=1, silence=5)
TWICE = Patience(attempts=2, first_wait=0.01, silence=5)


def bundled() -> pd.DataFrame:
    return pd.read_csv(sources.BUNDLED)


@pytest.fixture(scope="module")
def patients(server: Postgres) -> str:
    """A table with the bundled patients, as NUMERIC, which ADBC gives as text."""
    server.keep("patients", bundled())
    return "patients"


def query(database: Postgres, sql: str) -> str:
    return addresses.with_selection(database.address("x").partition("#")[0], None, sql)


def test_a_table_is_the_same_patients_as_the_file(database: Postgres, patients: str) -> None:
    table = sources.load(database.address(patients))
    assert table.digest == sources.load().digest
    assert table.source == database.address(patients)
    assert table.snapshot is not None
    assert table.snapshot.paths[0].suffix == ".parquet"


@pytest.mark.usefixtures("patients")
def test_a_query_selects_rows_and_names_columns(database: Postgres) -> None:
    table = sources.load(query(database, "SELECT age, sex AS sex, num FROM patients WHERE age > 60;"))
    assert len(table) == (bundled()["age"] > 60).sum()
    assert list(table.frame) == ["age", "sex", "num"]


def test_every_type_arrives_as_what_it_says(database: Postgres) -> None:
    sql = """SELECT 63::smallint AS age, true AS sex, 2.3::numeric AS oldpeak, NULL::numeric AS ca,
    'NaN'::numeric AS thal, 1234567890123456789.5::numeric AS number, date '2026-11-29' AS seen, '00042'::text AS id"""
    frame = sources.load(query(database, sql)).frame
    assert frame.iloc[0, :3].tolist() == [63.0, 1.0, 2.3]
    assert frame[["ca", "thal"]].isna().all(axis=None)
    assert frame.loc[1, ["number", "seen", "id"]].tolist() == ["1234567890123456789.5", "2026-11-29", "00042"]


def test_words_of_an_enumeration_are_text(database: Postgres) -> None:
    database.run("CREATE TYPE mood AS ENUM ('fine', 'ill')")
    assert sources.load(query(database, "SELECT 63 AS age, 'ill'::mood AS mood")).frame.loc[1, "mood"] == "ill"


def test_a_table_without_rows_is_said_to_have_none(database: Postgres) -> None:
    with pytest.raises(SourceError, match="has a header and no rows"):
        sources.load(query(database, "SELECT 1 AS age WHERE false"))


def test_a_read_changes_nothing_in_the_database(database: Postgres) -> None:
    database.run("CREATE SEQUENCE visits")
    with pytest.raises(SourceError, match="read-only transaction"):
        snapshots.take(query(database, "SELECT nextval('visits') AS age"), ONCE)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT age FROM", "syntax error"),
        ("SELECT 1 AS age, 2 AS age", "has the column 'age' 2 times"),
        ("SELECT 1 / 0 AS age", "division by zero"),
    ],
)
def test_a_wrong_query_is_not_tried_again(
    sql: str, message: str, database: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SourceError) as caught:
        snapshots.take(query(database, sql), TWICE)
    assert message in str(caught.value)
    assert "again in" not in caplog.text


def test_a_wrong_password_is_not_tried_again_and_not_shown(
    database: Postgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HEART_SOURCE_PASSWORD", "wr0ng/@")
    with pytest.raises(SourceError, match="password authentication failed") as caught:
        snapshots.take(database.address("patients"), TWICE)
    shown = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert "again in" not in shown
    assert "wr0ng" not in shown


def test_a_connection_that_is_cut_is_tried_again(database: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UnavailableError, match="was tried 2 times"):
        snapshots.take(query(database, "SELECT pg_terminate_backend(pg_backend_pid())"), TWICE)
    assert "again in 0.01 s" in caplog.text


def test_a_server_that_is_not_there_is_tried_again() -> None:
    with pytest.raises(UnavailableError, match="was tried 2 times and cannot be read: .*refused"):
        snapshots.take(f"postgresql://me@127.0.0.1:{free_port()}/x#table=a", TWICE)


def test_a_server_that_goes_silent_is_given_up(database: Postgres) -> None:
    with Proxy(database.port) as proxy:
        proxy.stall()
        address = database.address("patients").replace(str(database.port), proxy.url.rpartition(":")[2])
        with pytest.raises(UnavailableError, match="timeout expired"):
            snapshots.take(address, Patience(attempts=1, silence=2))


def test_a_read_is_bounded(database: Postgres, patients: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "MOST_BYTES", 1000)
    with pytest.raises(SourceError, match="has more than"):
        snapshots.take(database.address(patients), ONCE)
    assert snapshots.every() == []


def test_the_state_of_a_table_changes_with_its_rows_and_not_with_their_order(database: Postgres) -> None:
    database.run("CREATE TABLE ward AS SELECT * FROM generate_series(1, 5) AS age")
    first = snapshots.state(database.address("ward"))
    database.run("UPDATE ward SET age = age WHERE age = 1")  # it is now the last row on the disk
    assert snapshots.state(database.address("ward")) == first
    database.run("UPDATE ward SET age = 80 WHERE age = 5")
    assert snapshots.state(database.address("ward")) != first


@pytest.fixture
def lite(tmp_path: Path) -> Path:
    path = tmp_path / "clinic.db"
    with closing(sqlite3.connect(path)) as connection:
        bundled().to_sql("patients", connection, index=False)
    return path


def test_another_database_is_read_by_sqlalchemy(lite: Path) -> None:
    assert sources.load(f"sqlite:///{lite}#table=patients").digest == sources.load().digest
    query = addresses.with_selection(f"sqlite:///{lite}", None, "SELECT age, num FROM patients WHERE age > 60")
    few = sources.load(query)
    assert len(few) == (bundled()["age"] > 60).sum()


@pytest.mark.usefixtures("patients")
def test_the_same_server_by_sqlalchemy_gives_the_same_patients(database: Postgres) -> None:
    address = database.address("patients").replace("postgresql://", "postgresql+psycopg2://")
    assert sources.load(address).digest == sources.load().digest


def test_a_database_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file 'sqlite:///.*nothing.db#table=patients'"):
        snapshots.take(f"sqlite:///{tmp_path}/nothing.db#table=patients", ONCE)
    assert list(tmp_path.glob("*.db")) == []


def test_the_state_of_another_database_changes_with_its_rows(lite: Path) -> None:
    address = f"sqlite:///{lite}#table=patients"
    first = snapshots.state(address)
    assert snapshots.state(address) == first
    with closing(sqlite3.connect(lite)) as connection, connection:
        connection.execute("UPDATE patients SET age = 50 WHERE age = 63")
    assert snapshots.state(address) != first


@pytest.mark.parametrize("what", ["max(age) AS age", "age"])
def test_another_database_that_is_not_done_in_time_is_given_up_and_its_query_ended(what: str, lite: Path) -> None:
    sql = f"WITH RECURSIVE n(age) AS (SELECT 1 UNION ALL SELECT age + 1 FROM n) SELECT {what} FROM n"  # noqa: S608
    with pytest.raises(UnavailableError, match="the database was not done in time"):
        snapshots.take(addresses.with_selection(f"sqlite:///{lite}", None, sql), Patience(attempts=1, total=0.3))
    wait_for(lambda: "heart-reader" not in [thread.name for thread in threading.enumerate()], seconds=30)


def test_postgresql_that_is_not_done_in_time_is_given_up(database: Postgres) -> None:
    with pytest.raises(UnavailableError, match="the database was not done in time"):
        snapshots.take(query(database, "SELECT 1 AS age FROM pg_sleep(60)"), Patience(attempts=1, total=0.3))


def test_another_database_that_goes_silent_is_given_up(
    database: Postgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Proxy(database.port) as proxy:
        proxy.stall()
        address = database.address("patients").replace(str(database.port), proxy.url.rpartition(":")[2])
        with pytest.raises(UnavailableError, match="was tried 2 times and cannot be read: no answer within 0.5 s"):
            snapshots.take(
                address.replace("postgresql://", "postgresql+psycopg2://"),
                Patience(attempts=2, first_wait=0.01, silence=0.5),
            )


@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        ("sqlite:///{}#table=nowhere", SourceError, "no such table: nowhere"),
        ("mysql+pymysql://me:${{HEART_SOURCE_PASSWORD}}@db/x#table=a", UnavailableError, "needs the package pymysql"),
        ("strange://host/x#table=a", SourceError, "Can't load plugin"),
    ],
)
def test_what_sqlalchemy_cannot_read_is_said(
    address: str, kind: type[HeartError], message: str, lite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEART_SOURCE_PASSWORD", "s3cr3t")
    with pytest.raises(kind) as caught:
        snapshots.take(address.format(lite), ONCE)
    assert message in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
