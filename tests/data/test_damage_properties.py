"""Damaged files, thrown at the reader: a table or an error, and no patient of a copy becomes another."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as some

from heart_disease.data import sources
from heart_disease.data.recognition import KEY
from heart_disease.model import schema
from heart_disease.model.errors import DataError
from tests.harness import copies

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
