"""`heart predict`: cells that leave as they came, and names that collide."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heart_disease.data import sources
from heart_disease.model import schema
from tests.cli.pipeline.conftest import PATIENTS, Said

LINES = sources.BUNDLED.read_text().splitlines()
NUMBERS = ["00042", "1234567890123456789", "1234567890123456790", "1e5", "NA", ""]


def with_column(name: str, cells: list[str], folder: Path) -> Path:
    """The first bundled patients, with a column of one's own in front."""
    path = folder / "in.csv"
    rows = [[name, *LINES[0].split(",")], *([cell, *line.split(",")] for cell, line in zip(cells, LINES[1:]))]  # noqa: B905
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return path


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


# Cells.


def test_every_cell_of_a_csv_file_leaves_as_it_came(heart_predict: Said, tmp_path: Path) -> None:
    path = with_column("mrn", NUMBERS, tmp_path)
    assert heart_predict(path, "-o", tmp_path / "out.csv")[0] == 0
    header, *rows = read(tmp_path / "out.csv")
    assert header == ["row", "mrn", *schema.BY_NAME, "probability", "disease", "problem", "unusual"]
    assert [row[:16] for row in rows] == [
        [str(i), cell, *line.split(",")] for i, (cell, line) in enumerate(zip(NUMBERS, LINES[1:], strict=False), 1)
    ]


# Columns as other programs write them; some hold what a float64 cannot.
COLUMNS = {
    "mrn": pa.array([1234567890123456789, 1234567890123456790, None]),
    "large": pa.array([2**64 - 1, 0, None], pa.uint64()),
    "code": pa.array(["00042", "", None]),
    "price": pa.array([Decimal("1.10"), Decimal("2.00"), None]),
    "seen": pa.array([0, 1, None], pa.timestamp("ns", "UTC")),
    "far": pa.array([10**14, 0, None], pa.timestamp("s")),
    "visits": pa.array([[1, 2], [], None], pa.list_(pa.int8())),
    "who": pa.array([{"name": "Müller"}, None, None]),
    "raw": pa.array([b"\xff", b"", None]),
    "ward": pa.array(["a", "b", None]).dictionary_encode(),
    "flag": pa.array([True, False, None]),
    "short": pa.array([0.1, 1.0, None], pa.float32()),
    "nothing": pa.nulls(3),
}


def test_every_column_of_a_parquet_file_keeps_its_type_and_its_values(heart_predict: Said, tmp_path: Path) -> None:
    whole = {name: pa.array(PATIENTS[name].head(3).astype("int64")) for name in ("age", "sex")}
    original = pa.Table.from_pandas(PATIENTS.head(3), preserve_index=False)
    for name, column in (whole | COLUMNS).items():
        if name in original.column_names:
            original = original.set_column(original.column_names.index(name), name, column)
        else:
            original = original.append_column(name, column)
    pq.write_table(original, tmp_path / "in.parquet")
    assert heart_predict(tmp_path / "in.parquet", "-o", tmp_path / "out.parquet")[0] == 0
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.column_names == ["row", *original.column_names, "probability", "disease", "problem", "unusual"]
    assert written.select(original.column_names).equals(pq.read_table(tmp_path / "in.parquet"))
    assert written["probability"].null_count == 0

    assert heart_predict(tmp_path / "in.parquet", "-o", tmp_path / "out.csv")[0] == 0
    header, *rows = read(tmp_path / "out.csv")
    cells = dict(zip(header, rows[0], strict=True))
    assert [cells[name] for name in ("mrn", "large", "code", "price", "age", "short")] == [
        "1234567890123456789", "18446744073709551615", "00042", "1.10", "63", "0.1",
    ]  # fmt: skip
    assert [dict(zip(header, rows[2], strict=True))[name] for name in COLUMNS] == [""] * len(COLUMNS)


def test_a_parquet_file_made_from_csv_has_text_in_own_columns_and_numbers_in_the_others(
    heart_predict: Said, tmp_path: Path
) -> None:
    path = with_column("mrn", NUMBERS, tmp_path)
    assert heart_predict(path, "-o", tmp_path / "out.parquet")[0] == 0
    written = pq.read_table(tmp_path / "out.parquet")
    assert written["mrn"].to_pylist() == NUMBERS
    assert {written.schema.field(name).type for name in schema.BY_NAME} == {pa.float64()}
    assert sources.load(tmp_path / "out.parquet").frame["age"].sort_index().tolist() == PATIENTS["age"][:6].tolist()


def test_the_terminal_shows_the_first_own_column(heart_predict: Said, tmp_path: Path) -> None:
    code, out, _ = heart_predict(with_column("mrn", [*NUMBERS[:2], "x" * 200, "\x1b[2J"], tmp_path))
    assert code == 0
    header, *rows = (line.split() for line in out.splitlines())
    assert header == ["row", "mrn", "probability", "disease"]
    assert [row[:2] for row in rows] == [
        ["1", "00042"], ["2", "1234567890123456789"], ["3", "x" * 27 + "..."], ["4", r"\x1b[2J"],
    ]  # fmt: skip
    assert max(map(len, out.splitlines())) <= 80


def test_without_an_own_column_the_terminal_shows_the_answers_alone(heart_predict: Said) -> None:
    _, out, err = heart_predict(sources.BUNDLED)
    assert out.splitlines()[0].split() == ["row", "probability", "disease"]
    assert "303 rows scored ... the first 50; -o FILE writes all" in err


# Names.


@pytest.mark.parametrize("name", ["row", "probability", "disease", "problem", "unusual"])
def test_a_column_with_the_name_of_an_answer_is_refused_and_not_overwritten(
    name: str, heart_predict: Said, tmp_path: Path
) -> None:
    path = with_column(name, ["a", "b"], tmp_path)
    code, _, err = heart_predict(path, "-o", tmp_path / "out.csv")
    assert code == 2
    assert f"has the column '{name}'; expected names that the answers do not have" in err
    assert not (tmp_path / "out.csv").exists()

    assert heart_predict(path, "--prefix", "heart_", "-o", tmp_path / "out.csv")[0] == 0
    header, *rows = read(tmp_path / "out.csv")
    answers = ["heart_probability", "heart_disease", "heart_problem", "heart_unusual"]
    assert header == ["heart_row", name, *schema.BY_NAME, *answers]
    assert [row[1] for row in rows] == ["a", "b"]


def test_an_output_can_be_scored_again_with_a_prefix(heart_predict: Said, tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in ("first", "second"))
        assert heart_predict(sources.BUNDLED, "-o", first)[0] == 0
        code, _, err = heart_predict(first, "-o", second)
        assert code == 2
        assert "has the columns 'row', 'probability', 'disease', 'problem', 'unusual'; expected" in err
        assert heart_predict(first, "--prefix", "again_", "-o", second)[0] == 0
        found = pd.read_csv(second) if suffix == "csv" else pd.read_parquet(second)
        assert found["again_probability"].tolist() == pytest.approx(found["probability"].tolist())
        assert found["again_row"].tolist() == found["row"].tolist() == list(range(1, 304))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_words_late_in_a_long_file_are_no_hindrance(
    suffix: str, heart_predict: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = PATIENTS.head(40).astype(object)
    frame.loc[35, "age"] = "old"
    frame.to_csv(tmp_path / "in.csv", index=False)
    monkeypatch.setattr("heart_disease.data.formats.csv_text.BLOCK_BYTES", 400)
    code, _, err = heart_predict(tmp_path / "in.csv", "-o", tmp_path / f"out.{suffix}")
    assert (code, "39 rows scored row 35 not scored: column 'age' has 'old'" in err) == (0, True), err
    out = pd.read_csv(tmp_path / "out.csv") if suffix == "csv" else pd.read_parquet(tmp_path / "out.parquet")
    assert out["row"].tolist() == list(range(1, 41))
    assert out["age"].tolist()[34] == "old"
    assert out["chol"].tolist() == PATIENTS["chol"].head(40).tolist()
    assert out["probability"].isna().tolist() == [row == 35 for row in range(1, 41)]


def test_the_parts_of_a_folder_are_scored_in_order_into_one_file(heart_predict: Said, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i, rows in enumerate((slice(0, 100), slice(100, 303))):
        PATIENTS.iloc[rows].to_parquet(tmp_path / "in" / f"part-{i}.parquet", index=False)
    assert heart_predict(tmp_path / "in", "-o", tmp_path / "out.parquet")[0] == 0
    assert heart_predict(sources.BUNDLED, "-o", tmp_path / "whole.parquet")[0] == 0
    parts, whole = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("out", "whole"))
    pd.testing.assert_frame_equal(parts, whole)


def test_parts_whose_types_differ_are_refused_and_leave_no_file(heart_predict: Said, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, note in (("a", 1), ("b", "x")):
        PATIENTS.head(60).assign(note=note).to_parquet(tmp_path / "in" / f"{name}.parquet", index=False)
    code, _, err = heart_predict(tmp_path / "in", "-o", tmp_path / "out.parquet")
    assert (code, "has parts whose columns differ in type" in err) == (3, True)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_file_without_a_row_that_can_be_scored_leaves_no_output(heart_predict: Said, tmp_path: Path) -> None:
    PATIENTS.head(1).assign(age=0).to_csv(tmp_path / "in.csv", index=False)
    code, _, err = heart_predict(tmp_path / "in.csv", "-o", tmp_path / "out.csv")
    assert (code, "can be scored; row 1: column 'age' has 0" in err) == (3, True)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_an_output_in_a_folder_that_is_not_there_ends_in_4(heart_predict: Said, tmp_path: Path) -> None:
    code, _, err = heart_predict(sources.BUNDLED, "-o", tmp_path / "none" / "out.csv")
    assert code == 4
    assert f"there is no folder '{tmp_path / 'none'}'" in err
