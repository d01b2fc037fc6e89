"""A table that is judged in parts gets the verdict of the whole table; and which repeats chance explains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from expectations import gate, suite
from expectations.limits import MOST_CELLS
from expectations.statistics import MOST_VALUES, Statistics
from heart_disease.data import files, sources
from heart_disease.data.formats import parquet
from heart_disease.model import schema
from heart_disease.model.errors import SourceError
from tests.harness.data import crowd, patients
from tests.harness.models.clusters import sent

NAMES = list(schema.BY_NAME)
CELLS = some.sampled_from([None, "high", "?", "1e400", "-0", "0", "1", "2", "4", "300", "2.5", "999", "inf"])
DAMAGE = some.lists(some.tuples(some.integers(0, 59), some.sampled_from(NAMES), CELLS), max_size=12)
WHOLE = some.lists(
    some.sampled_from([
        lambda f: f.assign(num="0"),
        lambda f: f.assign(chol="0"),
        lambda f: f.assign(cp="0"),
        lambda f: f.assign(restecg="1"),
        lambda f: f.assign(ca=None),
        lambda f: f.assign(hospital="x"),
        lambda f: f.assign(disease="x"),
        lambda f: f.drop(columns="thalach"),
        lambda f: f.rename(columns={"oldpeak": "Oldpeak"}),
        lambda f: pd.concat([f, f.iloc[3:9]]),
        lambda f: f.assign(oldpeak="2"),
    ]),
    max_size=2,
)  # fmt: skip


def damaged(cells: list[tuple[int, str, str | None]], changes: list[object]) -> pd.DataFrame:
    frame = patients.make(60).astype("str").astype(object)
    for row, name, value in cells:
        frame.loc[row + 1, name] = value
    for change in changes:
        frame = change(frame) if not {"thalach", "oldpeak"} - set(frame) else frame
    return frame


@pytest.mark.slow
@settings(max_examples=5)
@given(DAMAGE, WHOLE, some.integers(17, 40))
def test_the_verdict_does_not_depend_on_the_parts(
    cells: list[tuple[int, str, str | None]], changes: list[object], size: int
) -> None:
    frame = damaged(cells, changes).reset_index(drop=True)
    frame.index += 1
    table = sources.make_table(frame, "a.csv")
    whole = gate.validate(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "BATCH_ROWS", size)
        parts = gate.validate(table)
    assert parts.failures == whole.failures
    assert parts.seen == whole.seen
    assert (parts.checked, parts.passed) == (whole.checked, whole.passed)
    for one, other in zip(parts.result["results"], whole.result["results"], strict=True):
        assert (one["success"], one["expectation_config"]) == (other["success"], other["expectation_config"])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_is_judged_as_its_table_is(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = damaged([(3, "chol", "high"), (40, "chol", "999"), (50, "age", None)], []).astype("str")
    path = tmp_path / f"a.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path, index=False)
    monkeypatch.setattr(parquet, "BATCH_ROWS", 20)
    monkeypatch.setattr("heart_disease.data.formats.csv_text.BLOCK_BYTES", 1000)
    found, expected = gate.validate_file(files.look(path)), gate.validate(sources.load(path))
    assert len(list(files.look(path).batches())) > 2
    assert (found.failures, found.seen, found.digest, found.rows) == (
        expected.failures, expected.seen, expected.digest, 60,
    )  # fmt: skip


@pytest.mark.parametrize("columns", [{}, {"chol": "Chol"}])
def test_parts_that_are_judged_elsewhere_add_up_to_the_verdict_of_one_process(
    columns: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = damaged([(3, "chol", "high"), (40, "chol", "999"), (50, "age", None), (59, "thal", "2")], [])
    frame = pd.concat([frame, frame.iloc[3:9]]).rename(columns=columns)
    for name, rows in {"a": slice(0, 25), "b": slice(25, 25), "c": slice(25, 66)}.items():
        frame.iloc[rows].to_csv(tmp_path / f"{name}.csv", index=False)
    monkeypatch.setattr("heart_disease.data.formats.csv_text.BLOCK_BYTES", 1000)
    file = files.look(tmp_path)
    assert [len(list(part.batches_of_part(1))) for part in file.parts] > [1, 0, 1]
    found = [sent(gate.look_through(part)) for part in file.parts]
    assert gate.validate_parts(file, found) == gate.validate_file(file)


def test_parts_without_rows_are_no_table(tmp_path: Path) -> None:
    for name in "ab":
        patients.make(9).head(0).to_csv(tmp_path / f"{name}.csv", index=False)
    file = files.look(tmp_path)
    with pytest.raises(SourceError, match="has a header and no rows"):
        gate.validate_parts(file, map(gate.look_through, file.parts))


def test_all_cells_are_counted_and_the_first_are_named() -> None:
    n = MOST_CELLS + 500
    frame = patients.make(n).assign(chol=999.0)
    [failure] = [one for one in gate.validate(sources.make_table(frame, "a.csv")).errors if one.columns == ("chol",)]
    assert failure.count == n
    assert [cell.row for cell in failure.cells] == list(range(1, MOST_CELLS + 1))
    assert f"and {n - 10} more ({n} of {n} rows)" in failure.message()


def test_statistics_of_parts_are_those_of_the_whole() -> None:
    frame = crowd.draw(5000)
    found = Statistics()
    for start in range(0, 5000, 613):
        found.add(frame.iloc[start : start + 613])
    ill = schema.label(frame)
    assert found.share == pytest.approx(ill.mean())
    for name in suite.DIRECTION:
        assert found.correlation(name) == pytest.approx(np.corrcoef(ill, frame[name])[0, 1], abs=1e-12)
    for one in found.seen:
        values = frame[one.name]
        assert (one.least, one.middle, one.most) == (values.min(), values.median(), values.max())
        assert one.blank == values.isna().sum()


def test_a_column_of_ever_new_values_is_remembered_in_four_digits() -> None:
    found, joined, rng = Statistics(), Statistics(), np.random.default_rng(0)
    for start in range(0, 3 * MOST_VALUES, MOST_VALUES):
        index = pd.RangeIndex(start, start + MOST_VALUES)
        frame, part = pd.DataFrame({"chol": rng.uniform(100, 300, MOST_VALUES)}, index), Statistics()
        found.add(frame)
        part.add(frame)
        joined.join(part)
    [seen] = found.seen
    assert seen.middle == pytest.approx(200, abs=1)
    assert joined.seen == found.seen


# Repeats.


def with_copies(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    return pd.concat([frame, frame.head(n)], ignore_index=True)


def repeats(frame: pd.DataFrame) -> tuple[int, int]:
    found = Statistics()
    found.add(frame)
    return found.repeats[:2]


@pytest.mark.parametrize("seed", range(3))
def test_repeats_that_chance_brings_are_allowed_and_copies_are_not(seed: int) -> None:
    frame = crowd.draw(100_000, seed)
    honest, allowed = repeats(frame)
    assert 0 < honest <= allowed < 100
    copied, allowed = repeats(with_copies(frame, 500))
    assert copied > allowed


def test_in_a_small_table_any_repeat_is_one_too_many() -> None:
    assert repeats(with_copies(patients.make(999), 1)) == (1, 0)
    validation = gate.validate(sources.make_table(with_copies(patients.make(999), 1), "a.csv"))
    assert [failure.rule for failure in validation.errors] == ["no patient twice"]


def test_a_message_about_copies_says_what_chance_explains() -> None:
    frame = with_copies(crowd.draw(20_000), 200).set_axis(range(1, 20_201))
    [failure] = gate.validate(sources.make_table(frame, "a.csv")).errors
    assert failure.count >= 200
    assert "of 20200 rows; chance explains at most " in failure.message()
