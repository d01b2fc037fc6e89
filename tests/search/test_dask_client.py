"""Work on a Dask cluster: what comes back, in which order, and what is said if the cluster fails."""

from __future__ import annotations

from typing import Any

import pytest

from heart_disease.model.errors import RejectedError, UnavailableError
from heart_disease.search import dask_client
from tests.harness.models.clusters import AtOnce


def double(number: int) -> int:
    return 2 * number


def refuse(number: int) -> int:
    raise RejectedError(f"part {number} was rejected")


class Failing(AtOnce):
    """A cluster whose tasks never give a result but raise `error`, and which has these workers."""

    def __init__(self, error: BaseException, *workers: str) -> None:
        super().__init__()
        self.error, self.workers, self.cancelled = error, workers, 0

    def submit(self, *_: Any, pure: bool) -> Any:
        future = AtOnce.Future()
        future.error = self.error
        future.status = "pending"
        return future

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": dict.fromkeys(self.workers)}

    def cancel(self, futures: list[Any], *, force: bool) -> None:
        self.cancelled = len(futures)


def test_results_come_in_the_order_of_the_parts() -> None:
    assert list(dask_client.over_parts(AtOnce(), double, [(3,), (1,), (2,)])) == [6, 2, 4]


def test_an_error_of_the_work_is_raised_as_it_is() -> None:
    with pytest.raises(RejectedError, match=r"^part 1 was rejected$"):
        list(dask_client.over_parts(AtOnce(), refuse, [(1,), (2,)]))


def test_an_error_of_another_machine_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = iter(["here", "there", "there", "there"])
    monkeypatch.setattr("socket.gethostname", lambda: next(hosts))
    with pytest.raises(RejectedError, match=r"^on there: part 1 was rejected$"):
        list(dask_client.over_parts(AtOnce(), refuse, [(1,)]))


def test_a_cluster_that_has_gone_is_unavailable_and_the_other_parts_are_cancelled() -> None:
    cluster = Failing(OSError("Stream is closed"))
    with pytest.raises(UnavailableError, match="the cluster fails: Stream is closed. See its workers' logs"):
        list(dask_client.over_parts(cluster, double, [(1,), (2,)]))
    assert cluster.cancelled == 2


def test_a_cluster_that_has_lost_its_workers_is_given_up() -> None:
    pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    with pytest.raises(UnavailableError, match="has had no workers for 60 s"):
        list(dask_client.over_parts(Failing(TimeoutError("timed out")), double, [(1,)]))
