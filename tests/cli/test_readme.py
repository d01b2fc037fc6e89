"""What the README says about columns, commands and names is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heart_disease.lessons.lesson import NAMES, find
from heart_disease.model import schema
from heart_disease.model.schema import Column

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def row(column: Column) -> str:
    """The line of the column table that follows from the schema."""
    allowed = "; ".join(f"{code} {meaning}" for code, meaning in column.codes.items()) or column.expected
    if column.optional:
        allowed += "; blank: missing"
    usual = "{:g} to {:g}".format(*column.usual) if column.usual else ""
    return f"| `{column.name}` | {column.meaning} | {allowed} | {usual} |"


@pytest.mark.parametrize("column", schema.BY_NAME.values(), ids=lambda column: column.name)
def test_the_column_table_says_what_the_schema_says(column: Column) -> None:
    assert row(column) in README.splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_every_lesson_is_listed_with_its_title(name: str) -> None:
    assert f"| `{name}` | {find(name).TITLE} |" in README.splitlines()


def test_it_opens_with_the_two_commands() -> None:
    block = README.split("```")[1].split("\n")
    assert [line.split()[:2] for line in block if line.strip()] == [["make", "train"], ["make", "test"]]


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([\w./-]+)\)", README))))
def test_links_into_the_project_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("name", ["requirements.lock", "server.lock", "gpu.lock"])
def test_a_lock_names_no_index(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    assert "--index" not in lock
    assert all("==" in line for line in lock.splitlines() if line and not line.startswith((" ", "#")))
