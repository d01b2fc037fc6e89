"""The commands given a published copy of the data: what they say, and what they leave alone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from heart_disease.data import sources
from heart_disease.model.errors import ExitCode
from tests.harness.command import heart, one_line
from tests.harness.data import copies


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    """Kaggle's heart.csv, its label renamed as the first error message would have suggested."""
    path = tmp_path / "heart.csv"
    copies.kaggle().rename(columns={"target": "num"}).to_csv(path, index=False)
    return path


def test_check_says_what_the_file_is_and_what_is_translated(kaggle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("check", str(kaggle)) == ExitCode.DONE
    shown = one_line(capsys.readouterr().out)
    for words in (
        "This is Kaggle's heart.csv",
        "known patients",
        "'cp': 0 is 4, 1 is 2, 2 is 3, 3 is 1",
        "'num': 1 is healthy and 0 is heart disease",
        "1 repeated row left out",
        "passed",
    ):
        assert words in shown


def test_check_refuses_a_copy_with_the_true_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "heart.csv"
    copies.tensorflow().rename(columns={"target": "num"}).to_csv(path, index=False)
    assert heart("check", str(path)) == ExitCode.REJECTED
    assert "its label is num >= 2" in one_line(capsys.readouterr().err)


def test_convert_writes_uci_codes_that_pass(kaggle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "uci.csv"
    assert heart("convert", str(kaggle), str(out)) == ExitCode.DONE
    assert "302 patients written" in one_line(capsys.readouterr().out)
    expected = copies.cleveland().head(302)
    expected["num"] = (expected["num"] > 0).astype(int)
    pd.testing.assert_frame_equal(pd.read_csv(out)[list(expected)], expected)
    assert sources.load(out).finding is None
    assert heart("convert", str(kaggle), str(out), "--json") == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["patients"], found["output"]) == (302, str(out))
    assert "1 repeated row left out" in one_line(" ".join(found["notes"]))


def test_convert_drops_foreign_rows_only_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "mixed.csv", tmp_path / "out.csv"
    pasted = copies.kaggle().head(6).rename(columns={"target": "num"})
    pd.concat([copies.cleveland(), pasted]).to_csv(path, index=False)
    assert heart("convert", str(path), str(out)) == ExitCode.REJECTED
    assert "--drop-foreign" in one_line(capsys.readouterr().err)
    assert not out.exists()
    assert heart("convert", str(path), str(out), "--drop-foreign") == ExitCode.DONE
    assert len(pd.read_csv(out)) == 303


@pytest.mark.parametrize(
    ("output", "code"), [("out.txt", ExitCode.WRONG_USAGE), ("none/out.csv", ExitCode.UNAVAILABLE)]
)
def test_convert_refuses_an_output_that_it_cannot_write(output: str, code: int, kaggle: Path, tmp_path: Path) -> None:
    assert heart("convert", str(kaggle), str(tmp_path / output)) == code


def test_convert_says_that_a_file_is_no_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("convert", str(sources.BUNDLED), str(tmp_path / "out.csv")) == ExitCode.REJECTED
    assert "no published copy" in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_unknown_patients_in_other_codes_are_translated_only_if_somebody_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "ward.csv", tmp_path / "uci.csv"
    copies.renamed(copies.strangers(copies.kaggle())).head(302).to_csv(path, index=False)
    assert heart("check", str(path)) == ExitCode.REJECTED
    assert "Kaggle's heart.csv (ronitf, johnsmith88, rashikrahman) (--copy kaggle)" in one_line(capsys.readouterr().err)
    assert heart("check", str(path), "--copy", "kaggle") == ExitCode.DONE
    assert "0 of its 302 rows are known patients, and --copy kaggle says so" in one_line(capsys.readouterr().out)
    assert heart("convert", str(path), str(out), "--copy", "kaggle") == ExitCode.DONE
    assert sources.load(out).finding is None
    expected = copies.strangers(copies.cleveland()).head(302)
    pd.testing.assert_series_equal(pd.read_csv(out)["cp"], expected["cp"])


def test_what_is_said_against_the_evidence_takes_force(kaggle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("check", str(kaggle), "--copy", "cherngs") == ExitCode.REJECTED
    assert "leave --copy out, or add --force" in one_line(capsys.readouterr().err)
    heart("check", str(kaggle), "--copy", "cherngs", "--force")
    assert "This is Kaggle's heart_cleveland_upload.csv" in one_line(capsys.readouterr().out)
    assert heart("check", str(kaggle), "--copy", "keras") == ExitCode.WRONG_USAGE
