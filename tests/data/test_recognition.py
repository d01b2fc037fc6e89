"""Published copies of the data: which one a table is, what it becomes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heart_disease.data import sources
from heart_disease.data.recognition import recognise
from heart_disease.model import schema
from heart_disease.model.errors import RejectedError
from tests.harness import copies, patients

SAME = [*schema.INPUT_NAMES, "disease"]


def as_read(frame: pd.DataFrame, folder: Path) -> sources.Table:
    """The frame as a file that was read; its columns and rows may have any order."""
    path = folder / "copy.csv"
    frame.to_csv(path, index=False)
    return sources.from_file(sources.files.look(path))


def content(frame: pd.DataFrame) -> pd.DataFrame:
    """The patients in one order, with whether they have heart disease."""
    numbers = frame.astype("float64").assign(disease=(frame["num"].astype("float64") > 0).astype(float))
    return numbers[SAME].sort_values(SAME).reset_index(drop=True)


@pytest.mark.parametrize(("made", "rows"), copies.WHOLE.values(), ids=copies.WHOLE)
def test_a_copy_becomes_the_patients_in_ucis_codes_with_the_right_label(
    made: Callable[[], pd.DataFrame], rows: int, tmp_path: Path
) -> None:
    table = sources.understood(as_read(made(), tmp_path))
    assert table.finding
    assert len(table) == rows
    expected = copies.uci() if rows == 303 else copies.uci().dropna().head(rows)
    pd.testing.assert_frame_equal(content(table.frame), content(expected))


@pytest.mark.parametrize("made", [one for one, _ in copies.WHOLE.values()], ids=copies.WHOLE)
def test_renaming_the_label_does_not_change_what_it_means(made: Callable[[], pd.DataFrame], tmp_path: Path) -> None:
    frame = made()
    [label] = [
        name
        for name in frame
        if str(name).lower() in ("target", "output", "condition", "class", "ahd", "num", "heart disease")
    ]
    table = sources.understood(as_read(frame.rename(columns={label: "num"}), tmp_path))
    expected = copies.uci() if len(table) == 303 else copies.uci().dropna().head(len(table))
    pd.testing.assert_frame_equal(content(table.frame), content(expected))


def turned(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    return frame.assign(**{label: 1 - frame[label]})


def test_a_label_that_somebody_has_turned_back_already_is_taken_as_it_is(tmp_path: Path) -> None:
    table = sources.understood(as_read(turned(copies.kaggle(), "target"), tmp_path))
    pd.testing.assert_frame_equal(content(table.frame), content(copies.uci()))


def edited(**changes: Callable[[pd.Series], pd.Series]) -> pd.DataFrame:
    frame = copies.uci()
    return frame.assign(**{name: change(frame[name]) for name, change in changes.items()})


def shuffled_label() -> pd.DataFrame:
    frame = copies.uci()
    return frame.assign(num=np.random.default_rng(0).permutation(frame["num"].to_numpy()))


REFUSED: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "TensorFlow's label": (copies.tensorflow, "label is num >= 2: it calls 5. patients with heart disease healthy"),
    "a label of that kind in UCI's codes": (
        lambda: edited(num=lambda n: (n >= 2).astype(int)), "label is num >= 2: it calls 55 patients",
    ),
    "lost decimal points": (copies.keel, "'oldpeak' is wrong for .* of 270 known patients"),
    "columns that are missing and cells that were made up": (copies.fedesoriano, "no 'ca' and no 'thal'"),
    "sex the other way round": (
        lambda: edited(sex=lambda sex: 1 - sex), "'sex' is wrong for 303 of 303 known patients, mostly 0 for 1",
    ),
    "slope the other way round": (lambda: edited(slope=lambda slope: 4 - slope), "'slope' is wrong for 1.. of 303"),
    "cp one less": (lambda: edited(cp=lambda cp: cp - 1), "'cp' is wrong for 303 of 303 .*, mostly 3 for 4"),
    "restecg rotated": (lambda: edited(restecg=lambda ecg: (ecg + 1) % 3), "'restecg' is wrong for 303 of 303"),
    "labels of other patients": (shuffled_label, "label is not that of 1.. of the 303 patients"),
    "two codings": (
        lambda: pd.concat([copies.kaggle(), copies.cherngs().rename(columns={"condition": "target"})]),
        "two codings are mixed, 303 rows as in Kaggle's heart.csv .* and 297 rows as in Kaggle's heart_cleveland",
    ),
    "a few rows in another coding": (
        lambda: pd.concat([copies.kaggle(), copies.cherngs().rename(columns={"condition": "target"}).head(6)]),
        r"rows 304, 305, 306, 307, 308, 309 \(6 in all\) are in other codes than the rest \(`heart convert --drop-f",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("made", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_translated_is_refused_with_the_reason(
    made: Callable[[], pd.DataFrame], why: str, tmp_path: Path
) -> None:
    with pytest.raises(RejectedError, match=f"'.*copy.csv' cannot be used. This is .* known patients, and .*{why}"):
        sources.understood(as_read(made(), tmp_path))


def test_foreign_rows_can_be_left_out(tmp_path: Path) -> None:
    mixed = pd.concat([copies.kaggle(), copies.cherngs().rename(columns={"condition": "target"}).head(6)])
    table = sources.understood(as_read(mixed, tmp_path), drop_foreign=True)
    assert len(table) == 303
    assert table.finding
    assert "6 rows in other codes, left out" in table.finding.changes
    pd.testing.assert_frame_equal(content(table.frame), content(copies.uci()))


def test_cells_that_the_copy_filled_in_are_blank_again(tmp_path: Path) -> None:
    table = sources.understood(as_read(copies.ritwikb3(), tmp_path))
    assert table.finding
    assert "6 cells filled in by the copy, blank again" in table.finding.changes
    assert int(table.frame[["ca", "thal"]].isna().sum().sum()) == 6


def test_the_bundled_patients_are_left_as_they_are(tmp_path: Path) -> None:
    table = as_read(copies.uci(), tmp_path)
    assert sources.understood(table) is table
    found = recognise(table.frame)
    assert found
    assert found.changes == ()


@pytest.mark.parametrize("rows", [1, 4])
def test_too_few_patients_say_nothing(rows: int, tmp_path: Path) -> None:
    assert recognise(as_read(copies.kaggle().head(rows), tmp_path).frame) is None


def test_other_patients_are_left_to_the_validation(tmp_path: Path) -> None:
    table = as_read(patients.make(300), tmp_path)
    assert sources.understood(table) is table


def test_a_wrong_cell_stays_for_the_validation_to_name(tmp_path: Path) -> None:
    frame = copies.kaggle()
    frame.loc[6, "cp"] = "chest"
    table = sources.understood(as_read(frame, tmp_path))
    assert table.frame.loc[7, "cp"] == "chest"
    assert table.frame.loc[8, "cp"] in (4, "4.0")


def test_the_order_of_rows_and_columns_changes_nothing(tmp_path: Path) -> None:
    frame = copies.kaggle()
    one = sources.understood(as_read(frame, tmp_path))
    other = sources.understood(as_read(frame.sample(frac=1, random_state=3)[list(reversed(list(frame)))], tmp_path))
    assert one.digest == other.digest
