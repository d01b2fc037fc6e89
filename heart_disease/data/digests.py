"""64-bit digests of cells, rows and patients, for whole columns at once.

A number counts as the nearest 32-bit float, so that 63, 63.0, 6.3e+01 and a file of 32-bit numbers agree; -0 is 0. A
row's digest is the mixed sum of its cells' digests, each mixed with its column's name: the order of columns changes
nothing. Two different rows have the same digest with a chance of 1 in 2^64; that any two of 10 million different rows
do, 1 in 370,000. So digests find repeated patients and changed files, but they are no defence against somebody who
makes such a pair on purpose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Digests = NDArray[np.uint64]
BLANK = np.uint64(0x7FC00000)  # the bits of NaN


def of_values(values: NDArray[Any]) -> Digests:
    """The digests (n,) of n cells: float64 with NaN for a blank, or objects that are text, None for a blank.

    Text that is a number counts as that number.
    """
    if values.dtype != object:
        return _of_numbers(values)
    numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").to_numpy("float64", na_value=np.nan)
    words = np.isnan(numbers) & ~pd.isna(values)
    found = _of_numbers(numbers)
    found[words] = pd.util.hash_array(values[words], categorize=False)
    return found


def of_text(column: Any) -> Digests:
    """The digests (n,) of an Arrow column of text; a blank and an empty text are the same."""
    import pyarrow.compute as pc

    coded = pc.dictionary_encode(pc.fill_null(column, ""))
    coded = coded.combine_chunks() if hasattr(coded, "chunks") else coded
    different = np.asarray(coded.dictionary.to_pylist(), dtype=object)
    found: Digests = pd.util.hash_array(different, categorize=False)[coded.indices.to_numpy()]
    return found


def of_rows(cells: Mapping[str, Digests]) -> Digests:
    """The digests (n,) of n rows, from those of their cells by column."""
    total = sum(_mixed(digests ^ _of_name(name)) for name, digests in cells.items())
    return _mixed(np.asarray(total, np.uint64))


def of_table(names: Iterable[str], rows: Digests) -> str:
    """The digest of a table, 32 hexadecimal digits, from the names of its columns and its rows' digests, sorted."""
    found = hashlib.sha256("\x1e".join(sorted(names)).encode())
    found.update(np.ascontiguousarray(rows, "<u8").data)
    return found.hexdigest()[:32]


def as_text(digests: Digests) -> list[str]:
    """Each digest as 16 hexadecimal digits."""
    raw = np.ascontiguousarray(digests, ">u8").tobytes().hex()
    return [raw[i : i + 16] for i in range(0, len(raw), 16)]


def _of_numbers(values: NDArray[np.float64]) -> Digests:
    with np.errstate(over="ignore"):
        short = values.astype(np.float32) + np.float32(0)  # -0 becomes 0
    found = short.view(np.uint32).astype(np.uint64)
    found[np.isnan(short)] = BLANK
    return found


def _of_name(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))


def _mixed(values: Digests) -> Digests:
    """Each bit of the result depends on all bits: the finaliser of SplitMix64.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    found = values + np.uint64(0x9E3779B97F4A7C15)
    found ^= found >> np.uint64(30)
    found *= np.uint64(0xBF58476D1CE4E5B9)
    found ^= found >> np.uint64(27)
    found *= np.uint64(0x94D049BB133111EB)
    found ^= found >> np.uint64(31)
    return found
