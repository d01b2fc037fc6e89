"""Missed runs: one makes up for all that are due with the same parameters."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from heart_disease.operations import missed


class Missed:
    """A client of a server on which these hourly runs are due; it records what happens to them.

    others: the hours of a schedule that has another source.
    """

    def __init__(self, hours: list[int], others: Collection[int] = ()) -> None:
        self.runs = [self.run(hour, "other.csv" if hour in others else "ours.csv") for hour in hours]
        self.closed: list[str] = []

    @staticmethod
    def run(hour: int, source: str = "ours.csv") -> Any:
        planned = datetime(2026, 1, 1, hour, tzinfo=UTC)
        run = {"id": f"{hour}h", "name": f"{hour}h", "expected_start_time": planned, "parameters": {"source": source}}
        return SimpleNamespace(**run, deployment_id=uuid4(), auto_scheduled=True)

    def read_flow_runs(self, **_: Any) -> list[Any]:
        return self.runs

    def read_flow_run(self, run_id: str) -> Any:
        return SimpleNamespace(tags=["heart"])

    def update_flow_run(self, run_id: str, tags: list[str]) -> None:
        assert tags == ["heart", "Superseded"]
        self.closed.append(run_id)

    def set_flow_run_state(self, run_id: str, state: Any) -> None:
        assert self.closed[-1] == run_id
        assert state.name == "Completed"


@pytest.mark.parametrize("hour", [1, 4])
def test_the_run_that_starts_makes_up_for_all_that_are_due_later_ones_too(
    hour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Missed([2, 3, 5], others=[5])
    monkeypatch.setattr(missed, "get_client", lambda **_: nullcontext(client))
    monkeypatch.setattr(missed.FlowRunContext, "get", lambda: SimpleNamespace(flow_run=Missed.run(hour)))
    missed.make_up_now()
    assert client.closed == ["2h", "3h"]


def test_before_anything_is_served_all_but_the_latest_of_the_same_parameters_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Missed([3, 1, 2, 5, 4], others=[4, 5])
    monkeypatch.setattr(missed, "get_client", lambda **_: nullcontext(client))
    missed.make_up(uuid4())
    assert client.closed == ["4h", "1h", "2h"]
