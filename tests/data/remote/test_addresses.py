"""Addresses: what is refused before anything is asked, and that no password is part of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from heart_disease.data.remote import addresses
from heart_disease.model.errors import UnavailableError, UsageError, hide


@pytest.mark.parametrize(
    ("source", "name", "title"),
    [
        ("data/heart.csv", "heart.csv", "heart"),
        ("https://example.org/data/heart.csv?raw=true", "heart.csv", "heart"),
        ("https://example.org", "example.org", "example"),
        ("s3://clinic/2026/heart.parquet", "heart.parquet", "heart"),
        ("postgresql://reader@db/clinic#table=ward.patients", "ward.patients", "ward.patients"),
        ("postgresql://reader@db/clinic#query=SELECT%201", "query of clinic", "query of clinic"),
        ("data/heart.xlsx#table=Ward 3.1", "Ward 3.1", "Ward 3.1"),
        ("s3://clinic/heart.xlsx#table=Ward%203.1", "Ward 3.1", "Ward 3.1"),
    ],
)
def test_a_source_has_a_name_for_lists(source: str, name: str, title: str) -> None:
    assert (addresses.name(source), addresses.title(source)) == (name, title)


def test_what_is_no_address_has_a_name_all_the_same() -> None:
    assert addresses.name("http://[me:s3cr3t@db") == "http://[me:***@db"


def test_a_path_is_no_address() -> None:
    assert not any(map(addresses.is_remote, (None, "patients.csv", "C:/patients.csv", "/a/b:c", Path("s3://a/b"))))
    assert addresses.is_remote("s3://a/b")


@pytest.mark.parametrize(
    "source",
    [
        "postgresql://reader:s3cr3t@db/clinic#table=patients",
        "https://reader:s3cr3t@example.org/heart.csv",
        "https://s3cr3t@example.org/heart.csv",
        "https://example.org/heart.csv?token=s3cr3t",
        "https://example.org/heart.csv?X-Amz-Signature=s3cr3t",
        "https://example.org/heart.csv?token=${HEART_SOURCE_TOKEN}s3cr3t",
    ],
)
def test_an_address_with_a_password_is_refused_without_repeating_it(source: str) -> None:
    with pytest.raises(UsageError, match="holds a password or a token") as caught:
        addresses.parse(source)
    assert "s3cr3t" not in str(caught.value)
    assert "${HEART_SOURCE_PASSWORD}" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("postgresql://reader@db/clinic", "expected what to read from the database: --table patients"),
        ("ftp://example.org/heart.csv", "known are http://, https://, s3://, gs://, az://"),
        ("postgresql://reader@db/clinic#table=a;drop", "table 'a;drop': expected a name"),
        ("postgresql://reader@db/clinic#query=DELETE%20FROM%20a", "expected one that reads"),
        ("https://example.org/heart.csv#query=SELECT 1", "only a database has a query"),
        ("s3://bucket", "names no file"),
        ("file:///heart.csv", "expected the path alone"),
        (f"postgresql://db/x#query=SELECT '{'a' * 4000}'", "expected at most 4,000. Make the query a view"),
        ("http://[::1/heart.csv", "is no address"),
        ("https://x:${MLFLOW_TRACKING_PASSWORD}@example.org/a.csv", "expected ${HEART_SOURCE_...}"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(source: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        addresses.parse(source)
    assert message in str(caught.value)


def test_a_table_or_a_query_becomes_part_of_the_address() -> None:
    base = "postgresql://reader@db/clinic"
    assert addresses.parse(addresses.with_selection(base, "ward.patients", None)).table == "ward.patients"
    query = "SELECT * FROM patients\nWHERE note = 'a & b+c # 100 %' -- é"
    assert addresses.parse(addresses.with_selection(base, None, query)).select == query
    assert addresses.with_selection(base, None, "SELECT 1 + age") == f"{base}#query=SELECT 1 %2B age"


@pytest.mark.parametrize("source", [None, "patients.csv", "postgresql://db/clinic#table=a", "ward.xlsx#table=a"])
def test_a_table_needs_a_database_or_a_workbook_that_has_none_yet(source: str | None) -> None:
    with pytest.raises(UsageError, match="expected the address of a database.*, or a workbook"):
        addresses.with_selection(source, "patients", None)


@pytest.mark.parametrize("place", ["ward/2026.xlsx", "ward/*.XLS", "https://example.org/export?id=3"])
def test_a_table_of_a_workbook_is_its_sheet(place: str) -> None:
    source = addresses.with_selection(place, "Ward 3 & 4 + 5 %", None)
    assert addresses.sheet_of(source) == (place, "Ward 3 & 4 + 5 %")
    assert addresses.sheet_of(place) == (place, "")
    with pytest.raises(UsageError, match="expected the address of a database|only a database has a query"):
        addresses.parse(addresses.with_selection(place, None, "SELECT 1"))


def test_a_password_is_put_in_as_the_place_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEART_SOURCE_PASSWORD", "a/b@c")
    monkeypatch.setenv("HEART_SOURCE_SIGNED", "sig=x&expires=1")
    login = addresses.filled(addresses.parse("https://me:${HEART_SOURCE_PASSWORD}@example.org/a.csv"))
    assert login.location == "https://me:a%2Fb%40c@example.org/a.csv"
    signed = addresses.filled(addresses.parse("https://example.org/a.csv?${HEART_SOURCE_SIGNED}"))
    assert signed.location == "https://example.org/a.csv?sig=x&expires=1"
    assert login.hide("a/b@c and a%2Fb%40c") == "*** and ***"


def test_a_password_that_is_not_set_is_named() -> None:
    with pytest.raises(UnavailableError, match="needs the environment variable HEART_SOURCE_NOWHERE"):
        addresses.filled(addresses.parse("https://me:${HEART_SOURCE_NOWHERE}@example.org/a.csv"))


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:${HEART_SOURCE_PASSWORD}@db/x",
        "https://h/a?token=${HEART_SOURCE_T}",
        "https://${X}@h/a",
        "https://h/a?key=${X}, and",
    ],
)
def test_the_name_of_a_password_may_be_shown(text: str) -> None:
    assert hide(text) == text
