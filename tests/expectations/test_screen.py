"""The quick look before scoring never misses a doubt of validation, and is sure about honest files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from expectations import gate
from expectations.screen import Screen
from heart_disease.data import sources
from heart_disease.model import schema
from tests.harness.data import patients


def doubted(frame: pd.DataFrame) -> tuple[bool, bool]:
    """Whether the screen asks, and whether validation has doubts."""
    table, screen = sources.make_table(frame, "a.csv"), Screen()
    for start in range(0, len(table), 40):
        part = table.frame.iloc[start : start + 40]
        columns = {name: sources.cells(part[name]) for name in part}
        screen.add(sources.Rows(columns, part.index))
    return screen.may_be_doubted, bool(gate.validate(table).doubts)


NAMES = some.sampled_from(schema.INPUT_NAMES)
VALUES = some.sampled_from([None, "high", "0", "1", "2", "4", "999", "inf"])


@settings(max_examples=4)
@given(some.lists(some.tuples(NAMES, VALUES, some.floats(0, 0.5)), min_size=1, max_size=3), some.integers(1, 100))
def test_no_doubt_of_validation_is_missed(changes: list[tuple[str, str | None, float]], n: int) -> None:
    frame = patients.make(100).head(n).astype("str").astype(object)
    for name, value, share in changes:
        frame[name] = frame[name].where(np.arange(n) >= share * n, value)
    asked, has_doubts = doubted(frame)
    assert asked or not has_doubts


@pytest.mark.parametrize("share", [0.095, 0.1, 0.105])
def test_blanks_around_the_limit_are_asked_about(share: float) -> None:
    frame = patients.make(1000)
    frame["ca"] = frame["ca"].fillna(0).where(np.arange(1000) >= 1000 * share)
    asked, has_doubts = doubted(frame)
    assert (asked, has_doubts) == (share >= 0.1, share > 0.1)


@pytest.mark.parametrize("code", [0.39, 0.4, 0.41])
def test_a_rare_code_around_the_limit_is_asked_about(code: float) -> None:
    frame = patients.make(1000)
    frame["cp"] = frame["cp"].where(np.arange(1000) >= 1000 * code, 0)
    asked, has_doubts = doubted(frame)
    assert (asked, has_doubts) == (code >= 0.4, code > 0.4)


def test_honest_patients_need_no_asking() -> None:
    frame = sources.load().frame
    assert doubted(frame) == doubted(frame.head(1)) == (False, False)
