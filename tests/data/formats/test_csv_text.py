"""CSV text: Arrow's quick reader finds what Python's finds, in blocks of any size."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from heart_disease.data.formats import csv_text
from heart_disease.data.formats.csv_text import Style
from heart_disease.model.errors import SourceError

# Everything that one of the readers treats specially, except quotes and lone carriage returns.
PLAIN = some.text(some.sampled_from("ab,,,\n\n \t\x1c\u3000\\'01.-e\ufeff"), max_size=80).map(
    lambda text: f"a,b\n{text}"
)


def found(path: Path, style: Style) -> Any:
    """All rows and the number of blank ones, or the error."""
    try:
        blocks = list(csv_text.blocks(path, style))
    except SourceError as error:
        return str(error)
    return [row for cells, _ in blocks for row in cells.to_pylist()], sum(blank for _, blank in blocks)


@given(PLAIN, some.sampled_from(["\n", "\r\n"]), some.integers(1, 40))
def test_the_quick_reader_finds_what_pythons_reader_finds(text: str, end: str, block: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "a.csv")
        path.write_bytes(text.replace("\n", end).encode())
        assert csv_text.style_of(path) == Style(spaced=False, plain=True)
        expected = found(path, Style(spaced=False, plain=False))
        patch.setattr(csv_text, "BLOCK_BYTES", block)
        assert found(path, Style(spaced=False, plain=True)) == expected


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_quoted_text_is_read_in_blocks_too(rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "".join(f'{i}, "x\n{i}"\n' for i in range(6)))
    style = csv_text.style_of(path)
    assert style == Style(spaced=True, plain=False)
    monkeypatch.setattr(csv_text, "BLOCK_ROWS", rows)
    assert found(path, style) == ([{"a": str(i), "b": f"x\n{i}"} for i in range(6)], 0)


@pytest.mark.parametrize("block", [10, 1 << 20])
def test_an_error_names_the_line_in_the_file(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "1,2\n" * 50 + "1,2,3\n" + "1,2\n" * 50)
    monkeypatch.setattr(csv_text, "BLOCK_BYTES", block)
    assert "has 3 cells in line 52; expected 2" in found(path, Style(spaced=False, plain=True))


def test_a_byte_that_is_no_text_is_found_in_any_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 50 + b"\x81,2\n")
    monkeypatch.setattr(csv_text, "BLOCK_BYTES", 16)
    with pytest.raises(SourceError, match="byte 0x81 at offset 204"):
        csv_text.style_of(path)
