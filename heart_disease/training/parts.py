"""One worker's part of the rows: read from Parquet in chunks, summarised once, and fed to the network batch by batch.

Memory holds a chunk of `shuffle_rows` rows, as read and encoded (about 0.3 kB per row), and three segments of at most
`SEGMENT_ROWS` encoded rows (0.13 kB per row), or of one batch if that is larger. The rest stays in the file.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from heart_disease.model import schema
from heart_disease.model.encoding import HOT_CODES, NUMBERS, Encoder, hot, unseen
from heart_disease.model.errors import RejectedError, SourceError
from heart_disease.model.words import reason
from heart_disease.training import libraries
from heart_disease.training.batches import Floats, Ints

SHUFFLE_ROWS = 100_000
# The most between two returns to Python. Each return costs a worker about as much as a step.
SEGMENT_ROWS, SEGMENT_STEPS = 65_536, 256


class Part:
    """A Parquet file of patients with the columns of the schema; other columns are ignored."""

    def __init__(self, source: str | Path) -> None:
        """Open the file.

        Raises:
            SourceError: there is no such file, or it is not a Parquet file, or it has no rows.
            RejectedError: a column is missing.
        """
        import pyarrow.parquet as pq

        self.source = str(source)
        try:
            self._file = pq.ParquetFile(source)
        except Exception as error:
            raise self._unreadable(error) from error
        missing = [name for name in schema.BY_NAME if name not in self._file.schema_arrow.names]
        if missing:
            raise RejectedError(
                f"'{source}' lacks column {', '.join(map(repr, missing))}; expected {', '.join(schema.BY_NAME)}."
            )
        if not len(self):
            raise SourceError(f"'{source}' has no rows; expected one part of the patients.")

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def chunks(self, size: int, rng: np.random.Generator | None = None) -> Iterator[pd.DataFrame]:
        """All rows, up to `size` at a time, in the file's order; with `rng`, row groups and rows in random order.

        Raises:
            SourceError: the file is damaged.
        """
        groups = np.arange(self._file.num_row_groups)
        order = groups if rng is None else rng.permutation(groups)
        try:
            for batch in self._file.iter_batches(size, row_groups=order.tolist(), columns=list(schema.BY_NAME)):
                # pandas' own description of the columns is ignored: it may say that one of them is an index.
                frame = batch.to_pandas(ignore_metadata=True)
                yield frame if rng is None else frame.iloc[rng.permutation(len(frame))]
        except Exception as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> SourceError:
        """Any error of a reader: which one damage causes depends on where it is."""
        why = reason(error)
        return SourceError(f"'{self.source}' cannot be read: {why}. Expected a Parquet file, one part.")

    def summary(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], int]:
        """Means (6,) and variances (6,) of the numbers, which codes occur (23,), and how many rows have heart disease.

        Every cell is checked on the way against the schema's limits and codes.

        Raises:
            RejectedError: the schema does not allow a cell.
            SourceError: the file has fewer rows than it says.
        """
        scaler, seen, ill, row = StandardScaler(), np.zeros(len(HOT_CODES), bool), 0, 0
        for frame in self.chunks(SHUFFLE_ROWS):
            for column in schema.BY_NAME.values():
                bad = np.flatnonzero(schema.forbidden(frame[column.name], column))
                if len(bad):
                    cell, row = schema.holds(frame[column.name].iloc[bad[0]]), row + bad[0] + 1
                    raise RejectedError(
                        f"'{self.source}': column '{column.name}' {cell} in row {row}; expected {column.expected}."
                    )
            numbers = frame.astype("float64")
            scaler.partial_fit(numbers[NUMBERS].to_numpy())
            seen |= hot(numbers[list(schema.INPUT_NAMES)].to_numpy()).any(axis=0)
            ill += int(schema.label(numbers).sum())
            row += len(frame)
        if row != len(self):
            raise SourceError(f"'{self.source}' is damaged: {row} rows can be read of {len(self)}. Write it again.")
        return scaler.mean_, scaler.var_, seen, ill


def pooled(
    rows: NDArray[np.float64], means: NDArray[np.float64], variances: NDArray[np.float64], seen: NDArray[np.float64]
) -> Encoder:
    """The encoder of all rows, from each part's rows (W,), means (W, 6), variances (W, 6) and codes that occur (W, 23).

    No large sums are subtracted (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The American
    Statistician 37, 1983). As in scikit-learn, and by the bound given there, a number that never varies has scale 1.
    """
    n, weights = rows.sum(), (rows / rows.sum())[:, None]
    mean = (weights * means).sum(axis=0)
    variance = (weights * (variances + (means - mean) ** 2)).sum(axis=0)
    eps = np.finfo(np.float64).eps
    constant = variance <= n * eps * variance + (n * eps * mean) ** 2
    scales = np.where(constant, 1.0, np.sqrt(variance))
    return Encoder(tuple(mean.tolist()), tuple(scales.tolist()), unseen(seen))


def taken(sizes: Sequence[int], batch: int) -> list[Ints]:
    """How many rows each part has given after every step of an epoch: W arrays (steps + 1,), from 0 to its size.

    Together they give exactly `batch` rows per step, and the rest in the last; each gives in proportion to its size.
    """
    total = sum(sizes)
    left = np.array([min(end, total) for end in range(0, total + batch, batch)])
    parts = []
    for size in sizes:
        parts.append(np.array([n * size // total for n in left.tolist()]))  # Python's integers do not overflow
        left, total = left - parts[-1], total - size  # what remains for the parts that follow
    return parts


class Feed:
    """The batches of part `index` of W, read and encoded while the network learns from earlier ones.

    shuffle_rows: how many rows are held to be shuffled; 0 keeps the file's order. Every epoch has its own shuffle.
    """

    def __init__(
        self, part: Part, encoder: Encoder, sizes: Sequence[int], index: int, batch: int, shuffle_rows: int, seed: int
    ) -> None:
        self.part, self.encoder, self.sizes, self.shuffle_rows = part, encoder, sizes, shuffle_rows
        counts = np.diff(taken(sizes, min(batch, sum(sizes))), axis=1)  # (W, steps)
        self.counts, self.all_counts, self.width = counts[index], counts.sum(axis=0), int(counts.max())
        self.segment_steps = max(1, min(SEGMENT_STEPS, SEGMENT_ROWS // self.width, counts.shape[1]))
        self._rng = np.random.default_rng(np.random.SeedSequence([seed, index]))

    def epoch(self) -> Generator[tuple[Any, ...]]:
        """The next epoch, as tensors: inputs (S, B, 29), labels (S, B), shares (S, B) and n, segment by segment.

        The first n of S steps are real. A row's share is its weight in the mean over the whole batch; padding has 0.

        Raises:
            SourceError: the file can no longer be read.
        """
        tf = libraries.tensorflow()

        try:
            yield from self._data
        except tf.errors.OpError as error:
            raise SourceError(
                f"'{self.part.source}' cannot be read any more, though it could before: {str(error).splitlines()[0]}. "
                "Expected a file that stays as it is until the end."
            ) from error

    @cached_property
    def _data(self) -> Any:
        tf = libraries.tensorflow()

        shape = (self.segment_steps, self.width)
        parts = ((*shape, self.encoder.width), shape, shape)
        signature = (*(tf.TensorSpec(part, tf.float32) for part in parts), tf.TensorSpec((), tf.int32))
        return tf.data.Dataset.from_generator(self.arrays, output_signature=signature).prefetch(1)

    def arrays(self) -> Iterator[tuple[Any, ...]]:
        """The next epoch as `epoch` gives it, but in NumPy."""
        frames = self.part.chunks(self.shuffle_rows or SHUFFLE_ROWS, self._rng if self.shuffle_rows else None)
        x, y = np.zeros((0, self.encoder.width), np.float32), np.zeros(0, np.float32)  # encoded, not yet used
        for start in range(0, len(self.counts), self.segment_steps):
            counts = self.counts[start : start + self.segment_steps]
            n = int(counts.sum())
            while len(y) < n:
                frame = next(frames).astype("float64")
                x = np.concatenate([x, self.encoder.transform(frame)])
                y = np.concatenate([y, schema.label(frame).to_numpy(np.float32)])
            yield *self._padded(x[:n], y[:n], counts, self.all_counts[start : start + len(counts)]), len(counts)
            x, y = x[n:], y[n:]

    def _padded(self, x: Floats, y: Floats, counts: Ints, all_counts: Ints) -> tuple[Floats, Floats, Floats]:
        shape = (self.segment_steps, self.width)
        inputs, labels, share = np.zeros((*shape, x.shape[1]), np.float32), np.zeros(shape, np.float32), np.zeros(shape)
        real = np.arange(self.width) < np.pad(counts, (0, shape[0] - len(counts)))[:, None]
        inputs[real], labels[real], share[real] = x, y, np.repeat(1 / all_counts, counts)
        return inputs, labels, share.astype(np.float32)
