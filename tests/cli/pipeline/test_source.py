"""A file of patients that is not there is said at once; an empty name in a form means the bundled patients."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from heart_disease.data import sources
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.operations import deployments
from heart_disease.operations.server import server
from heart_disease.training.recipe import Recipe
from tasks.load import load_table
from tests.harness.command import heart, one_line


def no_server() -> None:
    raise AssertionError("a server was started")


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_file_that_is_not_there_is_said_before_a_server_starts(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "prefect_server", no_server)
    for source, message in (
        ("nope.csv", "no file '"),
        ("parts", "is a folder with no files"),
        ("empty.csv", "is empty"),
    ):
        (tmp_path / "parts").mkdir(exist_ok=True)
        (tmp_path / "empty.csv").touch()
        assert heart(command, "--source", str(tmp_path / source)) == 3
        assert message in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("command", ["train", "sweep"])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        (["https://me:s3cr3t@example.org/a.csv"], "holds a password or a token"),
        (["postgresql://me@db/clinic"], "expected what to read from the database"),
        (["patients.csv", "--table", "patients"], "--table with the source 'patients.csv': expected the address"),
        (["postgresql://me@db/clinic", "--table", "a", "--query", "SELECT 1"], "expected --table or --query, not both"),
    ],
)
def test_an_address_that_cannot_be_used_is_said_before_a_server_starts(
    command: str, source: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "prefect_server", no_server)
    assert heart(command, "--source", *source) == 2
    said = one_line(capsys.readouterr().err)
    assert message in said
    assert "s3cr3t" not in said


def test_a_table_of_the_bundled_patients_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("check", "--table", "patients") == 2
    assert "--table without a source: expected the address of a database" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("command", ["explain", "reproduce"])
def test_the_patients_of_a_version_may_be_a_table_of_a_database(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heart(command, "1", "--source", "patients.csv", "--table", "patients") == 2
    assert "--table with the source 'patients.csv': expected the address" in one_line(capsys.readouterr().err)


def test_a_table_of_a_database_is_checked_like_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with closing(sqlite3.connect(tmp_path / "clinic.db")) as connection:
        pd.read_csv(sources.BUNDLED).to_sql("patients", connection, index=False)
    assert heart("check", f"sqlite:///{tmp_path}/clinic.db", "--table", "patients") == 0
    assert f"303 rows of sqlite:///{tmp_path}/clinic.db#table=patients" in one_line(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("train", "--source"),
        ("sweep", "--source"),
        ("schedule", "--on-data"),
        ("schedule", "--monitor"),
        ("explain", "--source"),
        ("explain", "--before"),
        ("reproduce", "--source"),
    ],
)
def test_an_empty_option_is_not_taken_for_the_bundled_patients(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heart(command, option, "") == 2
    assert f"{option}: is empty; expected a file" in one_line(capsys.readouterr().err)


def test_an_empty_source_in_a_form_means_the_bundled_patients() -> None:
    assert len(load_table("")) == 303
    found = deployments.parameters("", Recipe(), Evaluation(), Promotion(), "auto")
    assert found["source"] is None


def test_loading_says_how_many_blank_rows_were_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in.csv").write_text("age,sex\n63,1\n,\n,\n")
    caplog.set_level("INFO", logger="heart")
    assert load_table(str(tmp_path / "in.csv")).blank_lines == 2
    assert "2 blank rows left out" in caplog.text
