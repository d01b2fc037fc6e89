"""A part of the rows that is damaged, wherever the damage is, is refused in words."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from heart_disease.model import schema
from heart_disease.model.errors import HeartError, SourceError
from heart_disease.training.parts import Part
from tests.harness.data import patients


def as_parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


GOOD = as_parquet(patients.make(20))


@settings(max_examples=200)
@given(some.integers(0, len(GOOD) - 1), some.integers(0, 255))
def test_a_damaged_byte_is_an_error_of_ours_or_none(at: int, byte: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "part.parquet")
        path.write_bytes(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])
        with suppress(HeartError):
            assert len(Part(path).summary()[0]) == 6


def test_a_damaged_page_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "part.parquet").write_bytes(GOOD[:4] + bytes(200) + GOOD[204:])
    with pytest.raises(SourceError, match=r"part.parquet' cannot be read: .*Expected a Parquet file, one part\.$"):
        Part(tmp_path / "part.parquet").summary()


def test_a_column_that_pandas_stored_as_an_index_is_a_column(tmp_path: Path) -> None:
    frame = patients.make(20)
    (tmp_path / "part.parquet").write_bytes(as_parquet(frame.set_index("age")))
    (chunk,) = Part(tmp_path / "part.parquet").chunks(100)
    pd.testing.assert_frame_equal(chunk, frame[list(schema.BY_NAME)].reset_index(drop=True), check_like=True)
