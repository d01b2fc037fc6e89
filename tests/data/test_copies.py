"""Published copies of the data: each becomes the same patients in UCI codes with the right label, or is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heart_disease.data import files, recognition, sources
from heart_disease.model import schema
from heart_disease.model.errors import RejectedError
from tests.harness.data import copies


def as_file(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "heart.csv"
    frame.to_csv(path, index=False)
    return path


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The patients with the label as 0 or 1, in an order that says nothing."""
    frame = frame[list(schema.BY_NAME)].astype("float64")
    frame = frame.assign(num=schema.label(frame))
    return frame.sort_values(list(frame)).reset_index(drop=True)


def same_patients(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(plain(found), plain(expected))


@pytest.mark.parametrize("rename", [False, True], ids=["as it is", "label renamed"])
@pytest.mark.parametrize("name", copies.USABLE)
def test_a_copy_becomes_the_same_patients_in_uci_codes(name: str, rename: bool, tmp_path: Path) -> None:
    make, patients = copies.USABLE[name]
    frame = copies.renamed(make()) if rename else make()
    table = sources.load(as_file(frame, tmp_path))
    assert len(table) == patients
    known = copies.cleveland()
    kept = {"cherngs": known.dropna(), "statlog": known.dropna().head(270), "kaggle": known.head(302)}
    same_patients(table.frame, kept.get(name, known.head(patients)))


@pytest.mark.parametrize("rename", [False, True], ids=["as it is", "label renamed"])
@pytest.mark.parametrize("name", copies.REFUSED)
def test_a_copy_that_cannot_be_undone_is_refused_with_the_true_reason(name: str, rename: bool, tmp_path: Path) -> None:
    make, reason = copies.REFUSED[name]
    with pytest.raises(RejectedError) as refused:
        sources.load(as_file(copies.renamed(make()) if rename else make(), tmp_path))
    assert reason in str(refused.value)


def test_one_header_and_three_meanings(tmp_path: Path) -> None:
    """Kaggle's copies share a header and a range of codes; the patients tell them apart."""
    titles = set()
    for make in (copies.kaggle, copies.cherngs, copies.ritwikb3):
        finding = sources.load(as_file(copies.renamed(make()), tmp_path)).finding
        assert finding is not None
        titles.add(finding.title)
    assert len(titles) == 3


def test_the_bundled_codes_are_left_alone(tmp_path: Path) -> None:
    table = sources.load(as_file(copies.cleveland(), tmp_path))
    assert table.finding is None
    assert table.digest == sources.load().digest


def test_a_label_that_says_the_opposite_is_turned_round(tmp_path: Path) -> None:
    frame = copies.cleveland()
    table = sources.load(as_file(frame.assign(num=(frame["num"] == 0).astype(int)), tmp_path))
    assert table.finding is not None
    same_patients(table.frame, frame)


@pytest.mark.parametrize("column", ["sex", "slope", "cp", "restecg"])
def test_a_column_in_codes_of_no_copy_is_named(column: str, tmp_path: Path) -> None:
    frame = copies.cleveland()
    codes = list(schema.BY_NAME[column].codes)[-len(frame[column].unique()):]  # fmt: skip
    turned = frame.assign(**{column: frame[column].map(dict(zip(codes, [*codes[1:], codes[0]], strict=True)))})
    with pytest.raises(RejectedError, match=f"'{column}' is wrong for"):
        sources.load(as_file(turned, tmp_path))


def test_two_codings_in_one_file_are_refused(tmp_path: Path) -> None:
    mixed = pd.concat([copies.cleveland(), copies.renamed(copies.kaggle())])
    with pytest.raises(RejectedError, match="two codings are mixed") as refused:
        sources.load(as_file(mixed, tmp_path))
    assert "rows 304, 305, 306, " in str(refused.value)
    found = sources.recognised(files.look(as_file(mixed, tmp_path)), drop_foreign=True)
    assert found is not None
    assert found[0].refusal == ""
    same_patients(found[0].frame, copies.cleveland())


def test_foreign_rows_are_named_and_left_out_if_asked() -> None:
    frame = pd.concat([copies.cleveland(), copies.renamed(copies.kaggle()).head(6)], ignore_index=True)
    frame.index += 1
    finding = recognition.recognise(frame)
    assert finding is not None
    assert "304, 305, 306, 307, 308, 309" in finding.refusal
    left = recognition.recognise(frame, drop_foreign=True)
    assert left is not None
    assert left.refusal == ""
    same_patients(left.frame, copies.cleveland())


@pytest.mark.parametrize("rows", [1, 4])
def test_a_few_known_rows_in_other_codes_are_refused_and_in_ucis_are_not(rows: int) -> None:
    finding = recognition.recognise(copies.kaggle().head(rows))
    assert finding is not None
    assert "what it says of them is not in UCI's codes. It may be in those of Kaggle's heart.csv" in finding.refusal
    assert "--copy kaggle" in finding.refusal
    assert recognition.recognise(copies.cleveland().head(rows)) is None


def test_one_wrong_cell_in_a_few_known_rows_is_left_to_validation() -> None:
    frame = copies.cleveland().head(3)
    assert recognition.recognise(frame.assign(thal=[6.0, 2.0, 7.0])) is None


def test_rows_in_a_second_coding_that_no_copy_has_are_named_and_left_out_if_asked() -> None:
    frame = copies.cleveland()
    frame.index += 1
    frame.loc[1:8, "slope"] = 4 - frame.loc[1:8, "slope"]
    finding = recognition.recognise(frame)
    assert finding is not None
    assert "rows 1, 4, 5, 6, 7, 8 (6 in all) are " in finding.refusal
    assert "not what is known of these patients, mostly in 'slope'" in finding.refusal
    left = recognition.recognise(frame, drop_foreign=True)
    assert left is not None
    assert left.refusal == ""
    assert len(left.frame) == 297


def test_a_cell_that_somebody_has_corrected_is_no_second_coding() -> None:
    frame = copies.cleveland()
    frame.loc[0, "slope"] = 2
    assert recognition.recognise(frame) is None


def test_patients_who_are_there_again_with_one_measurement_changed_are_refused() -> None:
    frame = pd.concat([copies.cleveland(), copies.strangers(copies.cleveland()).head(100)], ignore_index=True)
    finding = recognition.recognise(frame)
    assert finding is not None
    assert "(100 in all) are known patients again, with one measurement changed" in finding.refusal


def test_unknown_patients_among_known_ones_are_judged_too() -> None:
    others = copies.cleveland().head(100)
    others = others.assign(chol=others["chol"] + 0.5, age=others["age"] + 0.5, slope=4 - others["slope"])
    finding = recognition.recognise(pd.concat([copies.cleveland(), others], ignore_index=True))
    assert finding is not None
    assert "of its 100 unknown patients, 'slope' falls with 'oldpeak'" in finding.refusal


def test_of_a_long_file_the_beginning_decides_and_all_is_translated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognition, "MOST_ROWS", 100)
    monkeypatch.setattr("heart_disease.data.formats.csv_text.BLOCK_BYTES", 4000)
    rows_in = sources.rows_in
    file = files.look(as_file(copies.kaggle_1025(), tmp_path))
    found = sources.recognised(file)
    assert found is not None
    assert len(found[0].frame) == len(sources.from_file(file)) == 302
    read: list[int] = []
    monkeypatch.setattr(sources, "rows_in", lambda batch, file: (read.append(batch.first), rows_in(batch, file))[1])
    named = sources.recognised(file, whole=False)
    assert named is not None
    assert named[0].title == found[0].title
    assert "known patients, as far as it was read" in named[0].known
    assert max(read) < 400
    strange = files.look(as_file(copies.strangers(copies.kaggle_1025()), tmp_path))
    found = sources.recognised(strange)
    assert found is not None
    assert "'slope' falls with 'oldpeak'" in found[0].refusal
    with pytest.raises(RejectedError, match="'slope' falls with 'oldpeak'"):
        sources.from_file(strange)
    assert sources.recognised(files.look(as_file(copies.strangers(copies.cleveland()), tmp_path))) is None


def test_a_random_table_with_these_names_is_no_copy() -> None:
    random = np.random.default_rng(5)
    frame = copies.cleveland()
    shuffled = pd.DataFrame({name: random.permutation(frame[name].to_numpy()) for name in frame})
    assert recognition.recognise(shuffled) is None
