"""Digests are equal if the content is, differ if it differs, and are spread like random numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa

from heart_disease.data import digests


def test_text_that_is_a_number_has_the_digest_of_the_number() -> None:
    words = np.array(["63", "6.3e+01", "-0", None, "high", "63 "], dtype=object)
    numbers = digests.of_values(np.array([63, 63, 0, np.nan]))
    found = digests.of_values(words)
    assert found[:4].tolist() == numbers.tolist()
    assert found[4] not in numbers


def test_a_blank_own_cell_is_an_empty_text() -> None:
    assert len(set(digests.of_text(pa.array(["", None, "x"])).tolist())) == 2
    assert (
        digests.of_text(pa.chunked_array([["a"], ["b", "a"]])).tolist()[::2]
        == [digests.of_text(pa.array(["a"]))[0]] * 2
    )


def test_all_rows_of_small_whole_numbers_are_apart() -> None:
    rows = np.array(list(itertools.product(range(-8, 8), repeat=4)), dtype="float64")  # 65,536 rows
    found = digests.of_rows({str(k): digests.of_values(rows[:, k]) for k in range(4)})
    assert len(np.unique(found)) == len(rows)


def test_each_bit_is_set_in_half_of_the_rows() -> None:
    found = digests.of_rows({"age": digests.of_values(np.arange(4096.0))})
    shares = [(found >> np.uint64(bit) & np.uint64(1)).mean() for bit in range(64)]
    assert max(abs(share - 0.5) for share in shares) < 0.05  # six standard deviations


def test_the_same_values_in_other_columns_are_another_row() -> None:
    one, two = digests.of_values(np.array([1.0])), digests.of_values(np.array([2.0]))
    assert digests.of_rows({"a": one, "b": two}) == digests.of_rows({"b": two, "a": one})
    assert digests.of_rows({"a": one, "b": two}) != digests.of_rows({"a": two, "b": one})


def test_digests_as_text_sort_as_the_numbers_do() -> None:
    found = np.sort(digests.of_values(np.arange(100.0)) * np.uint64(0x9E3779B97F4A7C15))
    texts = digests.as_text(found)
    assert texts == sorted(texts)
    assert [int(text, 16) for text in texts] == found.tolist()
