"""Files, cell by cell: what is written is read again as it was, and blank rows are left out and counted."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some

from heart_disease.data import files, sources
from heart_disease.data.formats import csv_text
from heart_disease.data.writing import Writer
from heart_disease.model.errors import SourceError
from tests.harness.data import patients


def read(path: Path) -> pa.Table:
    return pa.concat_tables(batch.cells for batch in files.look(path).batches())


TEXTS = some.lists(some.text(some.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=5)


def put(folder: Path, data: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@given(TEXTS, TEXTS, some.sampled_from([".csv", ".parquet"]))
def test_any_text_that_is_written_is_read_again(one: list[str], two: list[str], suffix: str) -> None:
    n = min(len(one), len(two))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        written = {"row": pa.array(range(n)), "note": pa.array(one[:n]), "other": pa.array(two[:n])}
        with Writer(path) as out:
            out.write(pa.table(written).slice(0, 1))
            out.write(pa.table(written).slice(1))
        found = read(path)
        assert found["note"].to_pylist() == one[:n]
        assert found["other"].to_pylist() == two[:n]
        assert [entry.name for entry in Path(folder).iterdir()] == [path.name]


@pytest.mark.parametrize("cell", ["00042", " 42", "42 ", "1e5", "-0.0", "NA", "1234567890123456790", "a 'b' c", "é"])
def test_a_cell_is_its_text(cell: str, tmp_path: Path) -> None:
    assert read(put(tmp_path, f"age,mrn\n63,{cell}\n"))["mrn"].to_pylist() == [cell]


def test_spaces_before_quotes_are_style_and_not_part_of_the_cells(tmp_path: Path) -> None:
    found = read(put(tmp_path, 'age, mrn, note\n63, "00042", "a, b"\n'))
    assert [found[name].to_pylist() for name in ("mrn", "note")] == [["00042"], ["a, b"]]


def test_text_of_a_number_is_exact() -> None:
    columns = [pa.array([2**63 - 1]), pa.array([0.1], pa.float32()), pa.array([[1, None]]), pa.array([b"\xff"])]
    assert [files.as_text(column) for column in columns] == [
        ["9223372036854775807"], ["0.1"], ["[1, None]"], [r"b'\xff'"],
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_nan_is_a_blank(kind: pa.DataType, tmp_path: Path) -> None:
    numbers = pa.array([1.5, float("nan"), None], kind)
    assert files.as_text(numbers) == files.as_text(pa.chunked_array([numbers])) == ["1.5", None, None]
    pq.write_table(pa.table({"age": numbers}), tmp_path / "a.parquet")
    assert sources.load(tmp_path / "a.parquet").blank_lines == 2


# Blank rows.


def test_the_blank_rows_of_a_sheet_are_left_out_and_counted(tmp_path: Path) -> None:
    text = ",,\nage,ca,note\n63,,\n, ,\t\n\n67,0,x\n,,,,,,\n,,\n"
    path = put(tmp_path, text)
    assert read(path).to_pydict() == {"age": ["63", "67"], "ca": ["", "0"], "note": ["", "x"]}
    table = sources.load(path)
    assert table.blank_lines == 4
    assert list(table.frame.sort_index().index) == [1, 2]


def test_the_blank_rows_of_a_parquet_file_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = patients.make(5)
    frame.loc[[2, 5]] = float("nan")
    frame.to_parquet(tmp_path / "a.parquet")
    table = sources.load(tmp_path / "a.parquet")
    assert (len(table), table.blank_lines) == (3, 2)
    assert table.digest == sources.make_table(patients.make(5).drop(index=[2, 5]), "x").digest


def test_a_file_of_blank_rows_has_no_patients(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has a header and no rows"):
        read(put(tmp_path, "age,sex\n,\n,\n"))
    pq.write_table(pa.table({"age": pa.nulls(2)}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="has a header and no rows"):
        read(tmp_path / "a.parquet")


# Parquet files of other programs.


def described(folder: Path, about: bytes) -> Path:
    """A Parquet file with this as pandas' description of its columns."""
    table = pa.Table.from_pandas(patients.make(3)).replace_schema_metadata({"pandas": about})
    pq.write_table(table, folder / "a.parquet")
    return folder / "a.parquet"


@pytest.mark.parametrize("about", [b"{", b"\xff", b"3", b'{"index_columns": 3}'])
def test_a_description_of_columns_that_is_damaged_is_a_source_error(about: bytes, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot be read as a Parquet file: .*Write it again"):
        files.look(described(tmp_path, about))


@pytest.mark.parametrize("about", [b"{}", b'{"index_columns": [{"kind": "range"}, "gone"], "columns": [3]}'])
def test_what_else_the_description_says_does_not_matter(about: bytes, tmp_path: Path) -> None:
    assert sources.load(described(tmp_path, about)).digest == sources.make_table(patients.make(3), "x").digest


def test_names_that_are_numbers_are_names(tmp_path: Path) -> None:
    frame = patients.make(3)
    frame.set_axis(range(len(frame.columns)), axis="columns").to_parquet(tmp_path / "a.parquet")
    table = sources.load(tmp_path / "a.parquet")
    assert set(table.frame) == {str(number) for number in range(len(frame.columns))}


def test_an_index_that_pandas_stored_is_not_a_column_of_the_patients(tmp_path: Path) -> None:
    frame = patients.make(3).iloc[[2, 0, 1]]
    frame.to_parquet(tmp_path / "a.parquet")
    assert files.look(tmp_path / "a.parquet").index == ("row",)
    assert list(sources.load(tmp_path / "a.parquet").frame) == list(frame)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1], [2, 3], None]),
        pa.array([{"a": 1}, None, {}]),
        pa.array([b"a", b"b", None]),
        pa.array([10**14, 0, None], pa.timestamp("s")),
        pa.array([True, False, None]),
        pa.array(["1", "0", None]).dictionary_encode(),
        pa.nulls(3),
    ],
    ids=lambda column: str(column.type),
)
@pytest.mark.parametrize("name", ["sex", "mine"])
def test_a_column_of_any_type_is_numbers_or_text(name: str, column: pa.Array, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(patients.make(3), preserve_index=False)
    table = table.drop_columns([name]) if name in table.column_names else table
    pq.write_table(table.append_column(name, column), tmp_path / "a.parquet")
    frame = sources.load(tmp_path / "a.parquet").frame
    assert pd.api.types.is_string_dtype(frame[name]) or frame[name].dtype == "float64"
    assert int(frame[name].isna().sum()) == column.null_count


def test_bytes_that_are_no_text_are_a_source_error_in_our_columns_alone(tmp_path: Path) -> None:
    table, column = pa.Table.from_pandas(patients.make(3), preserve_index=False), pa.array([b"\xff", b"", None])
    pq.write_table(table.append_column("mine", column), tmp_path / "a.parquet")
    assert sources.load(tmp_path / "a.parquet").frame["mine"].sort_index().tolist()[0] == r"b'\xff'"
    pq.write_table(table.drop_columns(["sex"]).append_column("sex", column), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="cannot be read as a table: .*Expected numbers and text in its columns"):
        sources.load(tmp_path / "a.parquet")


def test_a_file_that_cannot_be_finished_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")

    def write() -> None:
        with Writer(path) as out:
            out.write(pa.table({"note": ["one"]}))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["before"]


# Folders.


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_parts_of_a_folder_are_one_table(suffix: str, tmp_path: Path) -> None:
    frame, folder = patients.make(9).assign(mrn=[f"0{i}" for i in range(9)]), tmp_path / "parts"
    folder.mkdir()
    for name, rows in (("b", frame[:4]), ("a", frame[4:][frame.columns[::-1]])):
        write = rows.to_csv if suffix == ".csv" else rows.to_parquet
        write(folder / f"{name}{suffix}", index=False)
    (folder / "_SUCCESS").touch()
    (folder / ".hidden.crc").touch()
    table = sources.load(folder)
    assert table.digest == sources.make_table(frame, "memory").digest
    assert table.frame.loc[1, "mrn"] == "04"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({}, "is a folder with no files; expected a file of patients, or a folder"),
        ({"a.csv": "age\n1\n", "b.txt": "age\n1\n"}, "is a folder with 'a.csv', 'b.txt'; expected"),
        ({"a.csv": "age,sex\n1,1\n", "b.csv": "age\n1\n"}, "b.csv' has the columns age; expected those of "),
        ({"a.csv": "age\n1\n", "b.csv": ""}, "b.csv' is empty; expected a header line"),
    ],
    ids=["empty", "of two kinds", "of other columns", "with an empty part"],
)
def test_a_folder_that_is_not_one_table_is_refused(texts: dict[str, str], said: str, tmp_path: Path) -> None:
    for name, text in texts.items():
        put(tmp_path, text, name)
    with pytest.raises(SourceError, match=said):
        files.look(tmp_path)


# Text beside numbers.


def test_a_column_whose_words_come_late_is_text_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "age,chol\n" + "63,233\n67,2.50\n" * 4 + "67,high\n41,\n")
    whole = sources.load(path)
    monkeypatch.setattr(csv_text, "BLOCK_BYTES", 1)
    parts = sources.load(path)
    assert parts.digest == whole.digest
    assert parts.frame.dtypes.equals(whole.frame.dtypes)
    assert parts.frame["chol"].sort_index().tolist()[:2] == ["233", "2.5"]
    assert parts.frame["chol"].isna().sum() == 1


def test_a_pattern_is_its_files_by_name(tmp_path: Path) -> None:
    for name, age in (("b.csv", 37), ("a.csv", 63), ("a.txt", 1)):
        (tmp_path / name).write_text(f"age,num\n{age},0\n")
    found = files.look(str(tmp_path / "*.csv"))
    assert [path.name for path in found.paths] == ["a.csv", "b.csv"]
    assert found.source == str(tmp_path / "*.csv")
    with pytest.raises(SourceError, match="is a pattern with 'a.csv', 'a.txt', 'b.csv'"):
        files.look(str(tmp_path / "?.*"))
    with pytest.raises(SourceError, match="no file"):
        files.look(str(tmp_path / "*.parquet"))


def test_a_file_may_have_the_signs_of_a_pattern_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").write_text("age,num\n63,0\n")
    assert len(files.look(tmp_path / "a[1].csv").paths) == 1


def test_a_folder_of_json_lines_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"age": 63, "num": 0}\n')
    (tmp_path / "b.jsonl").write_text('{"num": 1, "age": 37}\n')
    assert sum(len(batch.cells) for batch in files.look(tmp_path).batches()) == 2
