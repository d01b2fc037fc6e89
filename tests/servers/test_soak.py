"""The verdicts of benchmarks/servers/soak.py: flat, growing, or too few runs to tell."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.servers.soak import growth, judged, table

NOISE = 1.0


def memory(runs: int, a_run: float) -> list[float]:
    """Memory in MB after each run, around 300."""
    return list(300 + a_run * np.arange(runs) + np.random.default_rng(0).normal(0, NOISE, runs))


@pytest.mark.parametrize(
    ("runs", "a_run", "expected"),
    [
        (200, 0.0, "flat"),
        (200, 0.01, "flat"),  # 10 MB in a thousand runs
        (200, 0.1, "grows"),
        (30, 0.0, "cannot tell"),
        (30, 0.5, "grows"),
        (200, -0.1, "flat"),
    ],
)
def test_memory_is_flat_if_a_thousand_runs_add_less_than_a_tenth(runs: int, a_run: float, expected: str) -> None:
    assert judged("worker: PSS, MB", memory(runs, a_run)) == expected


def test_the_warm_up_is_left_out() -> None:
    values = memory(100, 0.0)
    values[:20] = [value - 200 for value in values[:20]]
    slope, low, high = growth(values)
    assert low < 0 < high
    assert abs(slope) < 0.05


def test_one_more_descriptor_in_a_thousand_runs_is_no_leak_but_one_per_run_is() -> None:
    assert judged("worker: descriptors", [20.0] * 100) == "flat"
    assert judged("worker: descriptors", [20.0 + i for i in range(100)]) == "grows"


def test_a_store_may_grow_evenly_but_not_faster_and_faster() -> None:
    assert judged("stores: artefacts, kB", [100.0 * i for i in range(100)]) == "steady"
    assert judged("stores: artefacts, kB", [i**1.5 for i in range(100)]) == "grows faster"


def test_the_table_has_a_line_for_every_measurement() -> None:
    samples = [{"run": i, "seconds": 9.0, "api: PSS, MB": 200.0, "stores: artefacts, kB": 5.0 * i} for i in range(40)]
    lines = table(samples).splitlines()
    assert lines[0].startswith("40 runs, 9 s each")
    assert lines[-2].startswith("| api | PSS, MB | 200.0 | 200.0 | 200.0 | +0.000")
    assert lines[-2].endswith("| flat |")
    assert lines[-1].endswith("| +5.000 [+5.000, +5.000] | steady |")
    assert "too few" in table(samples[:20])
