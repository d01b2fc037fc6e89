"""Excel workbooks: the same table as the CSV file, and what is refused."""

from __future__ import annotations

import re
import shlex
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from heart_disease.data import files, sources
from heart_disease.data.formats import sheets
from heart_disease.model.errors import HeartError, SourceError
from tests.harness.command import heart
from tests.harness.data.workbook import write
from tests.harness.servers.web import Answer, serving


def bundled() -> list[list[Any]]:
    frame = pd.read_csv(sources.BUNDLED)
    return [list(frame), *frame.astype(object).where(frame.notna(), None).to_numpy().tolist()]


@pytest.mark.parametrize("start", [(1, 0), (4, 2)])
def test_a_sheet_is_the_same_table_as_the_csv_file_wherever_it_begins(start: tuple[int, int], tmp_path: Path) -> None:
    table = sources.load(write(tmp_path / "heart.xlsx", bundled(), [], start=start))
    assert table.digest == sources.load().digest
    assert table.frame.index.tolist() == sources.load().frame.index.tolist()


def test_a_cell_is_what_it_would_be_in_a_csv_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.xlsx", [["age", "sex", "oldpeak", "id"], [63, True, 2.3, " 00042 "], [None, None, 0.1, "x"]]
    )
    [batch] = files.look(path).batches()
    assert batch.cells.to_pylist() == [
        {"age": "63", "sex": "1", "oldpeak": "2.3", "id": "00042"},
        {"age": "", "sex": "", "oldpeak": "0.1", "id": "x"},
    ]


def test_blank_rows_are_counted_and_a_column_without_name_and_cells_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", [["age", "sex", ""], [63, 1], ["", ""], [37, 1]])
    table = sources.load(path)
    assert (len(table), table.blank_lines, list(table.frame)) == (2, 1, ["age", "sex"])


def test_one_of_several_sheets_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "heart.xlsx", [["codes"], ["0 = female"]], bundled())
    source = f"{path}#table=Sheet2"
    table = sources.load(source)
    assert (table.digest, table.source) == (sources.load().digest, source)
    assert sources.load(f"{tmp_path}/*.xlsx#table=Sheet2").digest == table.digest
    with pytest.raises(SourceError, match="has no sheet 'Sheet3'; expected one of 'Sheet1', 'Sheet2'"):
        sources.load(f"{path}#table=Sheet3")
    files.check(source)
    with pytest.raises(SourceError, match="no file '.*gone.xlsx'"):
        files.check(f"{tmp_path}/gone.xlsx#table=Sheet2")


def test_the_advice_about_several_sheets_can_be_followed_whatever_they_are_called(tmp_path: Path) -> None:
    path = write(tmp_path / "heart.xlsx", bundled(), [["0 = female"]], name="Ward's 3 & 4 + 5 % ")
    with pytest.raises(SourceError) as caught:
        sources.load(path)
    option, selection = re.findall(r"Name it: (--table .*), or if .*, (#table=.*) at the end", str(caught.value))[0]
    assert sources.load(f"{path}{selection}").digest == sources.load().digest
    assert heart("check", str(path), *shlex.split(option)) == 0


def test_a_workbook_on_the_web_has_sheets_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    body = write(tmp_path / "heart.xlsx", [["codes"], ["0 = female"]], bundled()).read_bytes()
    with serving(Answer(body)) as site:
        table = sources.load(f"{site.address('heart.xlsx')}#table=Sheet2")
        assert table.digest == sources.load().digest
        assert table.snapshot is not None
        assert sources.load(table.source, table.snapshot.digest).digest == table.digest
        with pytest.raises(SourceError, match=r"'http://.*/heart.csv#table=Sheet2' is no workbook"):
            sources.load(f"{site.address('heart.csv')}#table=Sheet2")


def test_a_workbook_is_read_once_and_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    rows = sheets._rows
    monkeypatch.setattr(sheets, "_rows", lambda path, sheet: (read.append(path.name), rows(path, sheet))[1])
    path = write(tmp_path / "a.xlsx", [["age"], [63]])
    assert heart("check", str(path)) == 3
    assert read == ["a.xlsx"]
    write(path, [["age"], [63], [64]])
    assert len(sources.load(path)) == 2
    assert len(read) == 2


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        (([["age"], [63]], [["age"], [63]]), "has 2 sheets with cells, 'Sheet1', 'Sheet2'; expected one"),
        (([["age"], [63]], [["age"], [63]]), "Name it: --table Sheet1, or"),
        (([["age", "", "sex"], [63, 1, 1]],), "has no name for column 2"),
        (([["age", "age"], [63, 1]],), "has the column 'age' 2 times"),
        (([],), "is empty"),
        (([["age", "sex"]],), "has a header and no rows"),
    ],
)
def test_a_workbook_that_is_no_table_is_refused(pages: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        sources.load(write(tmp_path / "a.xlsx", *pages))
    assert message in str(caught.value)


def test_a_damaged_workbook_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", bundled())
    whole = path.read_bytes()
    version = whole.replace(b"PK\1\2\x14\3\x14", b"PK\1\2\x14\3\xff")  # of zip, that nobody knows
    for damaged in (whole[: len(whole) // 2], b"age,sex\n63,1\n", version, whole.replace(b"PK\1\2", b"PK\1\3")):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match="cannot be read as an Excel workbook"):
            sources.load(path)


@given(some.lists(some.tuples(some.integers(0, 6000), some.integers(0, 255)), min_size=1, max_size=20))
def test_whatever_the_damage_it_ends_in_a_table_or_an_error_of_ours(flips: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.xlsx", bundled()[:5])
        content = bytearray(path.read_bytes())
        for place, value in flips:
            content[place % len(content)] = value
        path.write_bytes(content)
        with suppress(HeartError):
            sources.load(path)


def test_a_cell_far_away_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    write(path, [["age"], [63]])
    with zipfile.ZipFile(path) as book:
        parts = {one: book.read(one) for one in book.namelist()}
    far = parts["xl/worksheets/sheet1.xml"].replace(
        b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    )
    with zipfile.ZipFile(path, "w") as book:
        for name, body in {**parts, "xl/worksheets/sheet1.xml": far}.items():
            book.writestr(name, body)
    with pytest.raises(SourceError, match="has cells up to row 1,048,576 and column 16,384"):
        sources.load(path)


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_UNPACKED", 1000)
    with pytest.raises(SourceError, match="unpacks to more than 1,000 bytes"):
        sources.load(write(tmp_path / "a.xlsx", bundled()))
