"""Files as people have them, packed, in other encodings, with other separators: the same table, or a refusal."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from heart_disease.data import files, sources
from heart_disease.data.formats import csv_text, text
from heart_disease.model import schema
from heart_disease.model.errors import SourceError
from tests.harness.data import copies


def zipped(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def in_quotes(plain: bytes) -> bytes:
    return b"".join(b'"' + line.replace(b'"', b'""') + b'"\r\n' for line in plain.splitlines())


def separated(frame: pd.DataFrame, separator: str, decimal: str = ".") -> bytes:
    return frame.to_csv(index=False, sep=separator, decimal=decimal).encode()


def plain(frame: pd.DataFrame) -> bytes:
    return separated(frame, ",")


Mess = Callable[[pd.DataFrame], bytes]
# The messes that leave every cell as it is, and the note that tells about each.
FORMS: dict[str, tuple[Mess, str]] = {
    "BOM": (lambda frame: b"\xef\xbb\xbf" + plain(frame), ""),
    "CRLF": (lambda frame: plain(frame).replace(b"\n", b"\r\n"), ""),
    "CR": (lambda frame: plain(frame).replace(b"\n", b"\r"), ""),
    "semicolons": (lambda frame: separated(frame, ";"), "semicolons between its columns"),
    "bars": (lambda frame: separated(frame, "|"), "bars between its columns"),
    "named separator": (lambda frame: b"sep=;\r\n" + separated(frame, ";"), "semicolons between its columns"),
    "tabs": (lambda frame: separated(frame, "\t"), "tabs between its columns"),
    "lines in quotes": (lambda frame: in_quotes(plain(frame)), "each line in quotes"),
    "UTF-16": (lambda frame: plain(frame).decode().encode("utf-16"), "text in utf-16"),
    "gzip": (lambda frame: gzip.compress(plain(frame)), "packed with gzip"),
    "zip": (lambda frame: zipped(**{"data.csv": plain(frame), "__MACOSX/x": b"x"}), "packed with zip"),
    "zip, tabs, UTF-16": (lambda frame: zipped(a=separated(frame, "\t").decode().encode("utf-16")), "packed with zip"),
}
# The messes that change what stands in cells; only known patients are translated back.
CELLS: dict[str, Mess] = {
    "decimal commas": lambda frame: separated(frame, ";", ","),
    "question marks": lambda frame: frame.to_csv(index=False, na_rep="?").encode(),
    "NA": lambda frame: frame.to_csv(index=False, na_rep="NA").encode(),
    "-9": lambda frame: frame.to_csv(index=False, na_rep="-9").encode(),
    "an index column": lambda frame: plain(frame.rename_axis("Unnamed: 0").reset_index()),
    "capitals": lambda frame: plain(frame.rename(columns=str.upper)),
    "another order": lambda frame: plain(frame[list(frame)[::-1]]),
}


def read(content: bytes, folder: Path) -> sources.Table:
    path = folder / "heart.csv"
    path.write_bytes(content)
    return sources.load(path)


@pytest.mark.parametrize("name", FORMS)
def test_a_form_of_a_file_changes_no_cell(name: str, tmp_path: Path) -> None:
    mess, note = FORMS[name]
    path = tmp_path / "heart.csv"
    path.write_bytes(mess(copies.cleveland()))
    file = files.look(path)
    assert sources.from_file(file).digest == sources.load().digest
    assert note in "; ".join(file.notes)
    assert bool(note) == bool(file.notes)


@pytest.mark.parametrize("make", [copies.cleveland, copies.kaggle, copies.islr])
@pytest.mark.parametrize("name", [*CELLS, "semicolons", "UTF-16"])
def test_a_mess_of_known_patients_becomes_the_same_patients(
    name: str, make: Callable[[], pd.DataFrame], tmp_path: Path
) -> None:
    mess = CELLS.get(name) or FORMS[name][0]
    found, expected = read(mess(make()), tmp_path), read(plain(make()), tmp_path)
    assert found.digest == expected.digest


def test_ucis_file_has_no_header_and_question_marks(tmp_path: Path) -> None:
    content = copies.cleveland().astype("float64").to_csv(index=False, header=False, na_rep="?").encode()
    table = read(content, tmp_path)
    assert table.digest == sources.load().digest
    assert table.finding is not None
    assert table.finding.changes == ("6 cells with '?', blank",)


def test_statlogs_file_has_no_header_and_spaces(tmp_path: Path) -> None:
    table = read(copies.statlog().to_csv(index=False, header=False, sep=" ").encode(), tmp_path)
    assert len(table) == 270
    assert schema.label(table.frame).sum() == (copies.statlog()["class"] == 2).sum()


def test_windows_text_is_read_and_told(tmp_path: Path) -> None:
    path = tmp_path / "heart.csv"
    path.write_bytes("age,name\n63,Müller\n67,Céline € “x”\n".encode("cp1252"))
    file = files.look(path)
    assert sources.from_file(file).frame["name"].sort_index().tolist() == ["Müller", "Céline € “x”"]
    assert file.notes == ["text in cp1252"]


@pytest.mark.parametrize("column", ["chol", "trestbps"])
def test_without_a_header_0_may_stand_for_what_was_not_measured(column: str, tmp_path: Path) -> None:
    path, frame = tmp_path / "patients.csv", copies.cleveland()
    for cell in (0, 9):
        frame.loc[frame.index[0], column] = cell
        frame.to_csv(path, index=False, header=False, na_rep="?")
        if cell == 0:
            assert text.form_of(path).headless
        else:
            with pytest.raises(SourceError, match="its columns do not fit UCI's"):
                text.form_of(path)


HEADLESS = ",".join(map(str, range(14)))
PLAIN = plain(copies.cleveland())


def tarred(content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        about = tarfile.TarInfo("heart.csv")
        about.size = len(content)
        archive.addfile(about, io.BytesIO(content))
    return made.getvalue()


def as_parquet(frame: pd.DataFrame) -> bytes:
    made = io.BytesIO()
    frame.to_parquet(made, index=False)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (zipped(a=b"age\n1\n", b=b"age\n1\n"), "is a zip archive with 2 files; expected one CSV file"),
        (zipped(**{"[Content_Types].xml": b"x"}), "is an Excel sheet; expected a CSV file"),
        (zipped(**{"a/": b""}), "is a zip archive with 0 files"),
        (zipped(a=plain(copies.cleveland()))[:900], "cannot be unpacked"),
        (gzip.compress(plain(copies.cleveland()))[:-20], "cannot be unpacked"),
        (f"{HEADLESS}\n{HEADLESS}\n".encode(), "has no header, and its columns do not fit UCI's"),
        (b"name\n" + bytes(range(0x80, 0x90)) + b"\n", "is not UTF-8 text"),
        (b"a;b\n1;2\n1;2;3\n", "has 3 cells in line 3; expected 2"),
        (b"sep=;\r\na;b\r\n1;2\r\n1;2;3\r\n", "has 3 cells in line 4; expected 2"),
        (b"Ward 3\n\na,b\n1,2\n", "If the header is further down, delete what is above it."),
        (bz2.compress(PLAIN), "is packed with bzip2; expected gzip, zip or neither. Unpack it."),
        (lzma.compress(PLAIN), "is packed with xz"),
        (gzip.compress(gzip.compress(PLAIN)), "is packed twice; expected once"),
        (zipped(a=as_parquet(copies.cleveland())), "is a Parquet file; expected CSV"),
        (tarred(PLAIN), "is a tar archive; expected one CSV file"),
        (gzip.compress(tarred(PLAIN)), "is a tar archive; expected one CSV file"),
        (b'[{"age": 63}]', "is JSON; expected CSV. Write one object per line"),
        (b'[\n  {\n    "age": 63\n  }\n]', "is JSON; expected CSV. Write one object per line"),
        (b'\n{"age": 63}', "is JSON; expected CSV. Write one object per line"),
        (b"<html><table></table></html>", "is a web page or XML"),
    ],
)
def test_refused(content: bytes, part: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as refused:
        read(content, tmp_path)
    assert part in str(refused.value)
    assert str(refused.value).startswith(f"'{tmp_path / 'heart.csv'}' ")


def test_a_zip_archive_that_says_that_it_is_too_long_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "MOST_UNPACKED", 100)
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(SourceError, match="unpacks to more than 100 bytes"):
        read(zipped(a=PLAIN), tmp_path)


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped(a=content)], ids=["gzip", "zip"])
def test_what_comes_out_of_a_packed_file_is_bounded(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "MOST_UNPACKED", 1 << 21)
    with pytest.raises(SourceError, match="unpacks to more than 2,097,152 bytes"):
        read(pack(b"age\n" + b"63\n" * (1 << 20)), tmp_path)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_the_quick_reader_takes_other_separators(
    separator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_text, "BLOCK_BYTES", 100)
    content = separated(copies.cleveland().assign(note="a,b"), separator)
    assert read(content, tmp_path).frame["note"].tolist() == ["a,b"] * 303
