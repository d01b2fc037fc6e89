"""JSON lines: the same table as the CSV file, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from heart_disease.data import files, sources
from heart_disease.data.formats import json_lines
from heart_disease.model.errors import SourceError


def bundled() -> str:
    lines: str = pd.read_csv(sources.BUNDLED).to_json(orient="records", lines=True)
    return lines


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "A.JSONL"])
def test_lines_are_the_same_table_as_the_csv_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(bundled())
    assert sources.load(tmp_path / name).digest == sources.load().digest


def test_packed_lines_are_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(bundled().encode()))
    assert sources.load(tmp_path / "a.jsonl.gz").digest == sources.load().digest


def test_a_cell_is_as_it_is_written_and_a_key_may_be_absent(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"age": 63.0, "id": 12345678901234567890}\n\n{"sex": true, "age": null, "x": NaN}\n'
    )
    [batch] = files.look(tmp_path / "a.jsonl").batches()
    assert batch.cells.to_pylist() == [
        {"age": "63.0", "id": "12345678901234567890", "sex": None, "x": None},
        {"age": None, "id": None, "sex": "1", "x": None},
    ]


def test_objects_without_a_cell_are_blank_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"age": 63}\n{}\n{"age": null}\n')
    table = sources.load(tmp_path / "a.jsonl")
    assert (len(table), table.blank_lines) == (1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"age": 63}]', "line 1 holds a list; expected one object per line"),
        ('{"age": 63}\n63\n', "line 2 holds a value"),
        ('{"age": 63', "line 1 is no JSON"),
        ('{"age": [63]}', "line 1 has a list as 'age'; expected a number or a word"),
        ('{"age": 63, "age": 64}', "line 1 is no JSON: a key appears twice"),
        ("[" * 100_000, "line 1 is no JSON"),
        ("\n\n", "is empty"),
        ("{}\n", "is empty"),
        ('{"age": null}\n', "has a header and no rows"),
    ],
)
def test_what_is_no_table_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(SourceError) as caught:
        sources.load(tmp_path / "a.jsonl")
    assert message in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"age": "\xff"}\n')
    with pytest.raises(SourceError, match="line 1 is no JSON"):
        sources.load(tmp_path / "a.jsonl")


def test_a_line_and_the_number_of_columns_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MOST_LINE", 20)
    monkeypatch.setattr(json_lines, "MOST_COLUMNS", 1)
    (tmp_path / "a.jsonl").write_text('{"age": "and more than 20 bytes"}\n')
    with pytest.raises(SourceError, match="line 1 is longer than 20 bytes"):
        sources.load(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").write_text('{"age": 63, "b": 1}\n')
    with pytest.raises(SourceError, match="has more than 1 columns"):
        sources.load(tmp_path / "a.jsonl")
