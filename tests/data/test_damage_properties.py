"""Damaged files, thrown at the reader: a table or an error, and no patient of a copy becomes another."""

from __future__ import annotations

import gzip
import io
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from heart_disease.data import sources
from heart_disease.data.recognition import KEY
from heart_disease.model import schema
from heart_disease.model.errors import DataError, ExitCode, SourceError
from tests.harness.command import heart
from tests.harness.data import copies

UCI_CODES = ("sex", "cp", "fbs", "restecg", "exang", "slope", "ca", "thal")
CELLS = (
    "x",
    "2024-01-31",
    "1e308",
    "NaN",
    "inf",
    "-inf",
    "\x07",
    "=SUM(A1:A9)",
    "63 years",
    "'; --",
    "٣",
    "",
    "99999999",
)


def drop(frame: pd.DataFrame, random: Random) -> pd.DataFrame:
    return frame.drop(columns=random.choice(list(frame)))


def swap(frame: pd.DataFrame, random: Random) -> pd.DataFrame:
    one, other = random.sample(list(frame), 2)
    return frame.rename(columns={one: other, other: one})


def rename(frame: pd.DataFrame, random: Random) -> pd.DataFrame:
    return frame.rename(
        columns={random.choice(list(frame)): random.choice(["num", "Target", "x", "", "a,b", "\x1b[2J"])}
    )


def replace(frame: pd.DataFrame, random: Random) -> pd.DataFrame:
    frame = frame.astype("object")
    frame.iloc[random.randrange(len(frame)), random.randrange(frame.shape[1])] = random.choice(CELLS)
    return frame


def repeat(frame: pd.DataFrame, random: Random) -> pd.DataFrame:
    return pd.concat([frame, frame.sample(random.randint(1, 50), random_state=random.randrange(1000))])


def widen(frame: pd.DataFrame, random: Random) -> pd.DataFrame:
    more = pd.DataFrame(0, index=frame.index, columns=[f"c{i}" for i in range(random.choice([1, 50]))])
    return pd.concat([frame, more], axis=1)


def flip(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content))
    return content[:at] + bytes([random.randrange(256)]) + content[at + 1 :]


def cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content))]


def packed(content: bytes, _: Random) -> bytes:
    return gzip.compress(content)


def in_utf16(content: bytes, _: Random) -> bytes:
    return content.decode(errors="replace").encode("utf-16")


def in_one_line(content: bytes, _: Random) -> bytes:
    return content.replace(b"\n", b" ")


FRAMES: tuple[Callable[[pd.DataFrame, Random], pd.DataFrame], ...] = (drop, swap, rename, replace, repeat, widen)
BYTES: tuple[Callable[[bytes, Random], bytes], ...] = (flip, cut, packed, in_utf16, in_one_line)
MADE = {make.__name__: make() for make in (copies.cleveland, copies.kaggle, copies.ritwikb3)}
TRUTH = copies.cleveland().set_index(KEY)
TRUTH = TRUTH[~TRUTH.index.duplicated(keep=False)]


@settings(max_examples=20)
@given(
    some.sampled_from(sorted(MADE)),
    some.lists(some.sampled_from(FRAMES), max_size=2),
    some.lists(some.sampled_from(BYTES), max_size=2),
    some.randoms(use_true_random=False),
)
def test_a_damaged_file_is_a_table_or_an_error_and_nobody_becomes_another(
    name: str,
    frames: list[Callable[[pd.DataFrame, Random], pd.DataFrame]],
    changes: list[Callable[[bytes, Random], bytes]],
    random: Random,
) -> None:
    frame = MADE[name]
    for one in frames:
        frame = one(frame, random)
    content = frame.to_csv(index=False).encode()
    for other in changes:
        content = other(content, random) if content else content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "heart.csv")
        path.write_bytes(content)
        with suppress(DataError):
            table = sources.load(path)
            if table.finding:
                nobody_is_another(table.frame, len(frames) + len(changes))


DAMAGED: dict[str, Callable[[pd.DataFrame], bytes]] = {
    "cut off": lambda frame: as_parquet(frame)[:-50],
    "cut in the middle": lambda frame: as_parquet(frame)[:2000],
    "bytes overwritten": lambda frame: as_parquet(frame)[:100] + bytes(500) + as_parquet(frame)[600:],
    "dates": lambda frame: as_parquet(frame.assign(age=pd.Timestamp("2024-01-31"))),
    "lists": lambda frame: as_parquet(frame.assign(chol=[[1, 2]] * len(frame))),
    "records": lambda frame: as_parquet(frame.assign(thal=[{"a": 1}] * len(frame))),
    "bytes": lambda frame: as_parquet(frame.assign(sex=[b"\xff"] * len(frame))),
    "decimals": lambda frame: as_parquet(frame.assign(oldpeak=frame["oldpeak"].map(lambda value: Decimal(str(value))))),
    "1,000 columns": lambda frame: wide(frame).to_csv(index=False).encode(),
    "gzip cut off": lambda frame: gzip.compress(frame.to_csv().encode())[:-100],
    "a zip bomb": lambda frame: bomb(zipped("heart.csv", frame.to_csv(index=False))),
    "formulas": lambda frame: frame.assign(age="=HYPERLINK(A1)").to_csv(index=False).encode(),
    "control characters": lambda frame: frame.assign(age="\x1b[2J\x07").to_csv(index=False).encode(),
    "a path that leaves its folder": lambda frame: zipped("../../evil.csv", frame.to_csv(index=False)),
}


def as_parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()


def wide(frame: pd.DataFrame) -> pd.DataFrame:
    more = pd.DataFrame(0, index=frame.index, columns=[f"c{i}" for i in range(1000)])
    return pd.concat([frame, more], axis=1)


def zipped(name: str, text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, text)
    return file.getvalue()


def bomb(archive: bytes) -> bytes:
    """The archive, whose list says that its file has 3 GB."""
    at = archive.index(b"PK\1\2") + 24
    return archive[:at] + (3 << 30).to_bytes(4, "little") + archive[at + 4 :]


@pytest.mark.parametrize("name", DAMAGED)
def test_check_ends_in_a_verdict_or_an_error_and_writes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = DAMAGED[name](copies.cleveland().head(60))
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = folder / ("heart.parquet" if content.startswith(b"PAR1") else "heart.csv")
    path.write_bytes(content)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    code, (out, err) = heart("check", path.name), capsys.readouterr()
    assert code in (ExitCode.DONE, ExitCode.REJECTED)
    assert (code == ExitCode.DONE) == ("passed:" in out)
    assert "Traceback" not in out + err
    assert len(out + err) < 20_000
    assert [one.name for one in tmp_path.rglob("*")] == ["a", "b", path.name]


@pytest.mark.parametrize("end", ["", "\n63,1\n"], ids=["alone", "with others"])
def test_a_line_of_200_megabytes_is_refused_and_not_held_in_memory(end: str, tmp_path: Path) -> None:
    path = tmp_path / "heart.csv"
    with path.open("w") as file:
        for _ in range(200):
            file.write("1," * (1 << 19))
        file.write(end)
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="has a line of more than 1,048,576 bytes"):
            sources.load(path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


def test_more_columns_than_anybody_has_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "heart.csv"
    path.write_text(",".join(f"c{i}" for i in range(10_001)) + "\n")
    with pytest.raises(SourceError, match="has 10,001 columns; expected those of docs/columns.md, and at most 10,000"):
        sources.load(path)


def nobody_is_another(patients: pd.DataFrame, damages: int) -> None:
    """Each damage may have made one wrong cell in each column."""
    rows = patients.set_index(KEY)
    rows = rows[~rows.index.duplicated(keep=False)]
    both = rows.index.intersection(TRUTH.index)
    assert len(both) >= 0.4 * len(rows)
    ours, theirs = rows.loc[both], TRUTH.loc[both]
    if schema.LABEL.name in ours:
        assert (schema.label(ours.astype("float64")) != schema.label(theirs)).sum() <= damages
    for name in sorted(set(UCI_CODES) & set(ours)):
        assert (ours[name].fillna(-1) != theirs[name].fillna(-1)).sum() <= damages
