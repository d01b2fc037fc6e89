"""The digest of the code tells versions apart whose weights may differ, and no others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from heart_disease.training import code


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, which the digest is taken of."""
    here = tmp_path / "heart_disease"
    shutil.copytree(code.HERE, here, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(code.HERE.parent / "expectations", tmp_path / "expectations")
    monkeypatch.setattr(code, "HERE", here)
    return here


def digests(*rooms: str) -> tuple[str, str]:
    """The digests of a model's code, and of that of `rooms` too."""
    return code.code_digest.__wrapped__(), code.code_digest.__wrapped__(*rooms)


@pytest.mark.parametrize(
    ("file", "model_changes", "search_changes"),
    [
        ("model/encoding.py", True, True),
        ("training/engine.py", True, True),
        ("evaluation/folds.py", True, True),
        ("data/identities.py", True, True),  # decides which rows stay in one fold
        ("search/space.py", False, True),
        ("../expectations/suite.py", False, True),
        ("data/remote/web.py", False, False),
        ("evaluation/versions/explanation.py", False, False),
        ("reporting/figures.py", False, False),
        ("cli/main.py", False, False),
    ],
)
def test_only_what_decides_a_weight_changes_the_digest(
    changed: Path, file: str, model_changes: bool, search_changes: bool
) -> None:
    before = digests("search", "../expectations")
    path = changed / file
    path.write_text(path.read_text() + "\n# a comment\n")
    after = digests("search", "../expectations")
    assert (before[0] != after[0], before[1] != after[1]) == (model_changes, search_changes)


def test_the_digest_does_not_depend_on_where_the_project_lies(changed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = digests("search")
    monkeypatch.undo()
    assert digests("search") == there
