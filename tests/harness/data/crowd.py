"""Any number of plausible patients: drawn from the bundled ones, with noise on their numbers, block by block.

python -m tests.harness.data.crowd ROWS FILE     writes them to a Parquet file
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from heart_disease.data import sources
from heart_disease.model import schema

BLOCK = 1_000_000
# Noise as a share of a column's standard deviation: about what a kernel density estimate of 303 patients would take.
NOISE = 0.3


def draw(n: int, seed: int = 0) -> pd.DataFrame:
    """`n` patients with all columns of the schema, float64. Whole numbers, `oldpeak` with one decimal."""
    rng = np.random.default_rng(seed)
    known = sources.load().frame.sort_index().reset_index(drop=True)
    rows = rng.integers(0, len(known), n)
    columns = {}
    for column in schema.BY_NAME.values():
        values = known[column.name].to_numpy()[rows]
        if column.limits is not None:
            low, high = column.limits
            noise = rng.normal(0, NOISE * known[column.name].std(), n)
            values = np.clip((values + noise).round(1 if column.name == "oldpeak" else 0) + 0.0, max(low, 0), high)
        columns[column.name] = values
    return pd.DataFrame(columns, copy=False)


def blocks(n: int, seed: int = 0, size: int = BLOCK) -> Iterator[pd.DataFrame]:
    """`n` patients, `size` at a time."""
    for i, start in enumerate(range(0, n, size)):
        yield draw(min(size, n - start), seed * 100_003 + i)


def write(path: Path, n: int, seed: int = 0) -> None:
    """A Parquet file of `n` patients, one row group for each block."""
    writer = None
    for frame in blocks(n, seed):
        table = pa.Table.from_pandas(frame, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


if __name__ == "__main__":
    write(Path(sys.argv[2]), int(sys.argv[1]))
