"""Reading: a table is the same however it is written; which files are refused, and with what advice."""

from __future__ import annotations

import codecs
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.model.errors import SourceError
from tests.harness.data import patients

Change = Callable[[pd.DataFrame], pd.DataFrame]

LINES = sources.BUNDLED.read_text(encoding="utf-8").splitlines()
HEADER, ROWS = LINES[0], LINES[1:]


def original() -> pd.DataFrame:
    """The bundled patients in the file's order."""
    return sources.load().frame.sort_index()


def in_bytes(*lines: str, end: str = "\n") -> bytes:
    return (end.join(lines) + end).encode()


def load_bytes(folder: Path, data: bytes, name: str = "patients.csv") -> sources.Table:
    path = folder / name
    path.write_bytes(data)
    return sources.load(path)


def by_cell(change: Callable[[str], str]) -> bytes:
    """The bundled file with every cell changed."""
    return in_bytes(*(",".join(change(cell) for cell in line.split(",")) for line in LINES))


def test_the_bundled_file_has_303_patients_and_139_with_heart_disease() -> None:
    table = sources.load()
    assert len(table) == len(table.frame) == len(table.row_ids) == 303
    assert schema.label(table.frame).sum() == 139
    assert list(table.frame.columns) == list(schema.BY_NAME)
    assert set(table.frame.dtypes.astype(str)) == {"float64"}
    assert table.frame.isna().sum().loc[["ca", "thal"]].tolist() == [4, 2]
    assert table.frame.isna().sum().sum() == 6
    assert table.source == str(sources.BUNDLED)


def test_rows_keep_their_numbers_from_the_file() -> None:
    table = sources.load()
    assert table.frame.index.name == "row"
    assert sorted(table.frame.index) == list(range(1, 304))
    for row in (1, 2, 303):
        cells = [float(cell) if cell else np.nan for cell in ROWS[row - 1].split(",")]
        np.testing.assert_array_equal(table.frame.loc[row].to_numpy(), cells)


def test_rows_are_ordered_by_their_content() -> None:
    table = sources.load()
    assert table.row_ids.tolist() == sorted(table.row_ids.tolist())
    shuffled = sources.make_table(original().sample(frac=1, random_state=1), "shuffled")
    assert shuffled.row_ids.tolist() == table.row_ids.tolist()
    pd.testing.assert_frame_equal(shuffled.frame, table.frame)


# Ways to write the same 303 patients as CSV.
SAME: dict[str, bytes] = {
    "as it is": in_bytes(*LINES),
    "rows reversed": in_bytes(HEADER, *reversed(ROWS)),
    "columns reversed": in_bytes(*(",".join(reversed(line.split(","))) for line in LINES)),
    "63.0": by_cell(lambda cell: f"{float(cell):.1f}" if cell.isdigit() else cell),
    "6.3e+01": by_cell(lambda cell: f"{float(cell):.6e}" if cell.replace(".", "").isdigit() else cell),
    "0 as -0.0": by_cell(lambda cell: "-0.0" if cell == "0" else cell),
    "byte order mark": codecs.BOM_UTF8 + in_bytes(*LINES),
    "byte order mark and quotes": codecs.BOM_UTF8 + by_cell(lambda cell: f'"{cell}"'),
    "CRLF": in_bytes(*LINES, end="\r\n"),
    "CR": in_bytes(*LINES, end="\r"),
    "no end of line at the end": in_bytes(*LINES).rstrip(b"\n"),
    "spaces": by_cell(lambda cell: f"  {cell} "),
    "tabs": by_cell(lambda cell: f"{cell}\t"),
    "quotes": by_cell(lambda cell: f'"{cell}"'),
    "spaces and quotes": by_cell(lambda cell: f' "{cell}"'),
    "blank lines": in_bytes("", "   ", HEADER, "", *ROWS[:100], "", "  ", *ROWS[100:], "", ""),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_patients_have_the_same_digest(name: str, tmp_path: Path) -> None:
    table = load_bytes(tmp_path, SAME[name])
    assert table.digest == sources.load().digest
    np.testing.assert_array_equal(table.frame[list(schema.BY_NAME)], sources.load().frame)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f,
        lambda f: f.convert_dtypes(),
        lambda f: f.astype("str"),
        lambda f: f.astype("category"),
        lambda f: f.assign(sex=f["sex"].astype(bool), chol=f["chol"].astype("int16")),
        lambda f: f.sample(frac=1, random_state=0)[f.columns[::-1]],
    ],
    ids=["float", "nullable", "text", "category", "bool and int16", "shuffled"],
)
def test_parquet_of_any_type_is_the_same_table_as_csv(change: Change, tmp_path: Path) -> None:
    path = tmp_path / "patients.parquet"
    change(original()).to_parquet(path, index=False)
    assert sources.load(path).digest == sources.load().digest


def test_the_suffix_parquet_may_be_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "PATIENTS.PARQUET"
    path.write_bytes(original().to_parquet(index=False))
    assert sources.load(str(path)).digest == sources.load().digest


def test_the_folder_of_a_parquet_file_adds_no_column(tmp_path: Path) -> None:
    path = tmp_path / "site=Cleveland" / "patients.parquet"
    path.parent.mkdir()
    original().to_parquet(path, index=False)
    assert list(sources.load(path).frame) == list(schema.BY_NAME)


def swapped(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    frame.loc[[1, 2], "chol"] = frame.loc[[2, 1], "chol"].to_numpy()
    return frame


def put(row: int, column: str, value: float) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.copy()
        frame.loc[row, column] = value
        return frame

    return change


DIFFERENT: dict[str, Change] = {
    "one cell": put(1, "chol", 234),
    "one cell, a little": put(1, "oldpeak", 2.30001),
    "a cell blank": put(1, "chol", np.nan),
    "a blank filled with 0": lambda f: f.fillna({"ca": 0}),
    "one label": put(1, "num", 1),
    "a row less": lambda f: f.drop(index=17),
    "a row twice": lambda f: pd.concat([f, f.loc[[17]]]),
    "cells swapped between two rows": swapped,
    "values swapped between two columns": lambda f: f.rename(columns={"fbs": "exang", "exang": "fbs"}),
    "a column renamed": lambda f: f.rename(columns={"num": "target"}),
    "a column less": lambda f: f.drop(columns="num"),
    "a column more": lambda f: f.assign(hospital="Cleveland"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_other_patients_have_another_digest(name: str) -> None:
    assert sources.make_table(DIFFERENT[name](original()), "x").digest != sources.load().digest


def test_the_digest_does_not_depend_on_where_the_rows_came_from_or_on_their_index() -> None:
    frame = original()
    table = sources.make_table(frame.set_axis(range(1000, 1303)), "elsewhere")
    assert table.digest == sources.load().digest
    assert table.source == "elsewhere"


def test_the_given_frame_is_not_changed() -> None:
    frame = patients.make(20).astype({"age": "str"})
    before = frame.copy()
    sources.make_table(frame, "x")
    pd.testing.assert_frame_equal(frame, before)


def test_a_column_with_one_text_cell_keeps_its_text_and_the_others_are_numbers(tmp_path: Path) -> None:
    frame = load_bytes(tmp_path, in_bytes("age,chol,thal", "63,233,6", "67, high ,?", "41,,")).frame.sort_index()
    assert frame["age"].tolist() == [63, 67, 41]
    assert frame["chol"].tolist()[:2] == ["233", "high"]
    assert frame["thal"].tolist()[:2] == ["6", "?"]
    assert frame.loc[3, ["chol", "thal"]].isna().all()


@pytest.mark.parametrize("cell", ["NA", "nan", "null", "None", "?", "-"])
def test_a_word_for_missing_stays_a_word(cell: str, tmp_path: Path) -> None:
    frame = load_bytes(tmp_path, in_bytes("age,ca", f"63,{cell}")).frame
    assert frame["ca"].tolist() == [cell]


def test_quoted_cells_may_hold_commas_and_quotes(tmp_path: Path) -> None:
    frame = load_bytes(tmp_path, in_bytes('"age","note"', '"63","says ""ouch"", twice"')).frame
    assert frame.loc[1].to_dict() == {"age": 63, "note": 'says "ouch", twice'}


def test_a_file_of_100000_rows_is_read_completely(tmp_path: Path) -> None:
    table = load_bytes(tmp_path, in_bytes(HEADER, *(ROWS * 331)[:100_000]))
    assert len(table) == 100_000
    assert len(np.unique(table.row_ids)) == 303


# Contents that are not a table of patients, each with what the message says.
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty; expected a header line and one line per patient"),
    "only blank lines": (b"\n  \n\n", "is empty; expected a header line"),
    "only a byte order mark": (codecs.BOM_UTF8, "is empty; expected a header line"),
    "header only": (in_bytes(HEADER), "has a header and no rows; expected one line per patient"),
    "header only, no end of line": (HEADER.encode(), "has a header and no rows; expected one line per patient"),
    "binary": (bytes(range(32)) * 4, "is a binary file; expected a CSV file"),
    "UTF-8 with a damaged sign": (
        in_bytes("age,name", "63,x", "67,é").replace(b"x", b"M\xfcller"),
        "is not UTF-8 text: byte 0xfc at offset 13. Expected a CSV file; export it again as UTF-8",
    ),
    "UTF-16, cut off": ("\n".join(LINES).encode("utf-16")[:-1], "is not UTF-16"),
    "UTF-16 without mark": ("\n".join(LINES).encode("utf-16-le"), "is a binary file; expected a CSV file"),
    "column twice": (in_bytes("age,sex,age", "63,1,63"), "has the column 'age' 2 times; expected each once"),
    "column twice, one quoted": (in_bytes('"age",age', "63,63"), "has the column 'age' 2 times; expected each once"),
    "column twice, one with spaces": (in_bytes("age,sex, age ", "63,1,63"), "has the column 'age' 2 times"),
    "column twice, one with a vertical tab": (in_bytes("age\v,age", "63,1"), "has the column 'age' 2 times"),
    "last row too long": (
        in_bytes("age,sex", "63,1", "67,1,4"),
        "has 3 cells in line 3; expected 2, as in the header",
    ),
    "first row too long": (in_bytes("age,sex", "63,1,1", "67,1"), "has 3 cells in line 2; expected 2"),
    "all rows too long": (in_bytes("age,sex", "1,63,1", "2,67,1"), "has 3 cells in line 2; expected 2"),
    "row cut off": (in_bytes("age,ca,thal", "63,0,3", "67,1"), "has 2 cells in line 3; expected 3, as in the header"),
    "quote without end": (in_bytes("age,sex", '"63,1', "67,1"), "is not a CSV table: line 3: unexpected end of data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    data, part = REFUSED[name]
    with pytest.raises(SourceError) as caught:
        load_bytes(tmp_path, data)
    assert str(caught.value).startswith(f"'{tmp_path / 'patients.csv'}' ")
    assert part in str(caught.value)
    assert str(caught.value).endswith(".")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nothing.csv", "expected a file of patients: CSV, Parquet, Excel or JSON lines. Check the path."),
        ("no/such/folder/x.parquet", "expected a file of patients: CSV, Parquet, Excel or JSON lines. Check the path."),
        (
            ".",
            "is a folder with no files; expected a file of patients, or a folder with parts of one kind",
        ),
        ("x" * 5000, "cannot be read: File name too long. Check the path"),
    ],
    ids=["missing", "missing folder", "folder", "name too long"],
)
def test_a_path_without_a_file_is_refused(name: str, part: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        sources.load(tmp_path / name)
    assert f"'{tmp_path / name}'" in str(caught.value)
    assert part in str(caught.value)


PARQUET = original().to_parquet(index=False)
BROKEN: dict[str, bytes] = {
    "CSV": in_bytes(*LINES),
    "short": b"PAR1",
    "cut off": PARQUET[: len(PARQUET) // 2],
    "overwritten": PARQUET[:100] + bytes(2000) + PARQUET[2100:],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_parquet_file_that_is_not_parquet_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"Write it again, or name a CSV file \*\.csv\.$") as caught:
        load_bytes(tmp_path, BROKEN[name], "patients.parquet")
    assert str(caught.value).startswith(f"'{tmp_path / 'patients.parquet'}' cannot be read as a Parquet file: ")


def test_parquet_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has a header and no rows"):
        load_bytes(tmp_path, original().head(0).to_parquet(index=False), "patients.parquet")


@pytest.fixture
def without_rights() -> Iterator[Path]:
    """A folder in which an ordinary user works; root gives up its rights meanwhile."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        if root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in folder.iterdir():
            path.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a user's rights as POSIX knows them")
@pytest.mark.parametrize("name", ["closed.csv", "closed.parquet", "closed/patients.csv"])
def test_a_file_without_read_permission_is_refused(name: str, without_rights: Path) -> None:
    path = without_rights / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(in_bytes(*LINES))
    (without_rights / Path(name).parts[0]).chmod(0)
    with pytest.raises(SourceError, match=r"cannot be read: Permission denied\. Check the path and its permissions"):
        sources.load(path)
