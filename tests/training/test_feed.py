"""How parts of the rows are taken step by step, pooled and fed, and what is wrong with a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from heart_disease.model import schema
from heart_disease.model.encoding import HOT_NAMES, NUMBERS, Encoder
from heart_disease.model.errors import DataError
from heart_disease.training.parts import Feed, Part, pooled, taken
from tests.harness.data import patients
from tests.training.test_distributed import write

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("sizes", [(333, 700), (1, 1000, 30), (5,), (1, 1), (3 * 10**9, 10**9)])
@pytest.mark.parametrize("share", [1e-3, 0.07, 0.5, 1, 10])
def test_every_step_takes_a_batch_with_each_parts_share(sizes: tuple[int, ...], share: float) -> None:
    batch = max(1, int(share * sum(sizes)))
    cuts = taken(sizes, batch)
    counts = np.diff(cuts, axis=1)  # (W, steps)
    assert counts.min() >= 0
    assert counts.sum(axis=1).tolist() == list(sizes)
    assert (counts.sum(axis=0)[:-1] == batch).all()
    fair = np.minimum(np.arange(len(cuts[0])) * batch, sum(sizes)) * (np.array(sizes)[:, None] / sum(sizes))
    assert np.abs(np.array(cuts) - fair).max() < len(sizes)


def test_the_encoder_of_parts_is_that_of_all_rows_even_for_large_values_that_hardly_vary() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal([1e9, -5, 0, 1e-9, 7, 1e6], [1, 2, 3, 1e-12, 0, 1e-3], (n, 6)) for n in (1000, 10, 4000)]
    rows = np.array([len(part) for part in parts], "float64")
    seen = np.ones((len(parts), len(HOT_NAMES)))
    encoder = pooled(rows, np.array([p.mean(axis=0) for p in parts]), np.array([p.var(axis=0) for p in parts]), seen)
    codes = patients.make(int(rows.sum())).drop(columns=NUMBERS).reset_index(drop=True)
    expected = Encoder.fit(pd.DataFrame(np.concatenate(parts), columns=NUMBERS).join(codes))
    np.testing.assert_allclose(encoder.means, expected.means, rtol=1e-12)
    np.testing.assert_allclose(encoder.scales, expected.scales, rtol=1e-6)
    assert encoder.scales[4] == 1


def test_a_code_is_unseen_if_no_part_has_it() -> None:
    names, numbers = ["cp=unknown", "ca=blank"], np.ones((2, len(NUMBERS)))
    one, other = ([float(name not in left_out) for name in HOT_NAMES] for left_out in (names, [names[0]]))
    assert pooled(np.ones(2), numbers, numbers, np.array([one, other])).unseen == ("cp=unknown",)
    assert pooled(np.ones(2), numbers, numbers, np.array([one, one])).unseen == ("cp=unknown", "ca=blank")


@pytest.mark.parametrize("shuffle_rows", [0, 40, 10_000])
def test_an_epoch_feeds_every_row_once_whatever_is_held(shuffle_rows: int, tmp_path: Path) -> None:
    frames = [patients.make(n, seed=n) for n in (450, 191)]
    encoder = Encoder.fit(pd.concat(frames))
    feeds = [
        Feed(Part(path), encoder, [450, 191], i, 64, shuffle_rows, seed=0)
        for i, path in enumerate(write(tmp_path, frames))
    ]
    orders = []
    for _ in range(2):
        sums = np.zeros(-(-641 // 64))
        for feed, frame in zip(feeds, frames, strict=True):
            got = [(x[s > 0], y[s > 0], s, n) for x, y, s, n in feed.arrays()]
            inputs, labels = np.concatenate([x for x, *_ in got]), np.concatenate([y for _, y, *_ in got])
            rows = np.column_stack([inputs, labels])
            expected = np.column_stack([encoder.transform(frame), schema.label(frame)]).astype(np.float32)
            if shuffle_rows == 0:
                np.testing.assert_array_equal(rows, expected)
            np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])
            sums += np.concatenate([share[:steps].sum(axis=1) for _, _, share, steps in got])
        orders.append(rows)
        np.testing.assert_allclose(sums, 1, rtol=1e-6)  # the shares of all parts add up to the mean of the batch
    assert np.array_equal(*orders) == (shuffle_rows == 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"chol": 9999.0}, "column 'chol' has 9999 in row 1; expected 70 to 700 mg/dl", id="limit"),
        pytest.param({"thal": "fixed"}, "column 'thal' has 'fixed' in row 1; expected 3, 6, 7 or blank", id="text"),
        pytest.param({"age": np.nan}, "column 'age' is blank in row 1", id="blank"),
        pytest.param({"num": None}, "column 'num' is blank in row 1", id="no label"),
    ],
)
def test_a_forbidden_cell_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    [path] = write(tmp_path, [patients.make(60).assign(**change)])
    with pytest.raises(DataError, match=message):
        Part(path).summary()


def test_the_row_named_is_the_row_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heart_disease.training.parts.SHUFFLE_ROWS", 50)
    frame = patients.make(130)
    frame.loc[121, "chol"] = 1.0
    [path] = write(tmp_path, [frame])
    with pytest.raises(DataError, match="'chol' has 1 in row 121"):
        Part(path).summary()


def test_a_part_that_is_not_a_table_is_refused(tmp_path: Path) -> None:
    [lacking, empty] = write(tmp_path, [patients.make(9).drop(columns="ca"), patients.make(9)[:0]])
    for path, message in ((lacking, "lacks column 'ca'"), (empty, "no rows"), (tmp_path / "x", "cannot be read")):
        with pytest.raises(DataError, match=message):
            Part(path)


def test_a_file_truncated_while_it_is_read_is_a_data_error(tmp_path: Path) -> None:
    [path] = write(tmp_path, [patients.make(5000)])
    part = Part(path)
    feed = Feed(part, Encoder.fit(patients.make(50)), [5000], 0, batch=64, shuffle_rows=100, seed=0)
    with path.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(DataError, match="cannot be read any more"):
        list(feed.epoch())
