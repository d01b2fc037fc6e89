"""After a fault on a machine without servers, and the next training: nothing lost, doubled or left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.faults import faults
from tests.harness.faults.aftermath import Checked

pytestmark = pytest.mark.slow


def test_a_training_killed_with_its_own_prefect_server(tmp_path: Path) -> None:
    assert faults.killed_embedded(tmp_path / "stores", ["loading back"]) == Checked()


def test_two_trainings_at_once_on_sqlite(tmp_path: Path) -> None:
    assert faults.two_at_once_embedded(tmp_path / "stores") == Checked()


@pytest.mark.skipif(faults.FAKETIME is None, reason="libfaketime is not installed")
def test_the_clock_steps_a_day_back_and_then_two_days_on(tmp_path: Path) -> None:
    assert faults.clock_steps(tmp_path / "stores", {"train": "-1d", "registration": "+1d"}) == Checked()
