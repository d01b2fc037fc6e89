"""Clusters that train a sweep's batches: Dask and Ray, through Prefect's own task runners.

A batch whose worker dies is started again elsewhere by the cluster itself, and gives the same numbers: a batch depends
only on its parameters and on this project's code, which every worker compares with the sender's.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol
from urllib.parse import urlsplit

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.settings import get_current_settings
from prefect.states import Cancelled

from heart_disease.model.errors import UnavailableError
from heart_disease.search import dask_client
from heart_disease.search.dask_client import ALONE_SECONDS, ANSWER_SECONDS
from heart_disease.search.study import Result, Study, cross_validate
from heart_disease.training.recipe import Recipe

log = logging.getLogger("heart")
LOOK_SECONDS = 5.0  # seconds between two checks for workers
AGAIN = "see its workers' logs, and give the same command again."
AHEAD = 200  # batches that a cluster has at a time; each is tens of kilobytes there, and its result a megabyte or two


class Cluster(Protocol):
    """What is asked of a cluster while it works."""

    def hosts(self) -> list[str]:
        """The machine of each living worker."""

    def state(self, future: Any) -> Any:
        """The final state of a Prefect task run; an error of the cluster's own is raised."""

    def cancel(self, futures: Sequence[Any]) -> None:
        """Start no more of these, and stop the running ones as far as the cluster can."""


class Dask:
    """See `Cluster`."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def hosts(self) -> list[str]:  # noqa: D102
        return dask_client.hosts(self.client)

    def state(self, future: Any) -> Any:  # noqa: D102
        return future.wrapped_future.result()

    def cancel(self, futures: Sequence[Any]) -> None:  # noqa: D102
        self.client.cancel([future.wrapped_future for future in futures], force=True)


class Ray:
    """See `Cluster`."""

    def hosts(self) -> list[str]:  # noqa: D102
        import ray

        nodes = [node for node in ray.nodes() if node["Alive"]]
        return [node["NodeManagerAddress"] for node in nodes for _ in range(int(node["Resources"].get("CPU", 0)))]

    def state(self, future: Any) -> Any:  # noqa: D102
        import ray

        return ray.get(future.wrapped_future)

    def cancel(self, futures: Sequence[Any]) -> None:  # noqa: D102
        import ray

        for future in futures:
            ray.cancel(future.wrapped_future, force=True)


@contextmanager
def dask_runner(address: str) -> Iterator[Any]:
    """Prefect's runner on the Dask scheduler at `address`.

    Raises:
        UnavailableError: the extra is not installed, no scheduler answers, it has no workers, or they cannot work for
            this machine.
    """
    try:
        from prefect_dask import DaskTaskRunner

        from heart_disease.search.dask_worker import ReportTo
    except ImportError as error:
        raise UnavailableError(dask_client.missing("dask", error)) from error
    with dask_client.connected(address) as client:
        server = _server_for(_asked(Dask(client).hosts))
        _asked(lambda: client.register_plugin(ReportTo(server)))
        try:
            yield DaskTaskRunner(address=address)
        finally:
            with suppress(Exception):  # the cluster may have gone
                client.unregister_worker_plugin(ReportTo.name)


@contextmanager
def ray_runner(address: str) -> Iterator[Any]:
    """Prefect's runner on the Ray cluster at `address`.

    Raises:
        UnavailableError: for the same reasons as in `dask_runner`.
    """
    try:
        import ray
        from prefect_ray import RayTaskRunner
    except ImportError as error:
        raise UnavailableError(dask_client.missing("ray", error)) from error
    try:
        _knock(address)  # Ray itself would wait for minutes
        ray.init(address, log_to_driver=False, logging_level="ERROR", namespace="prefect")
    except (OSError, RuntimeError, ValueError) as error:
        raise UnavailableError(dask_client.silent("Ray cluster", address, "ray start --head", error)) from error
    try:
        _server_for(Ray().hosts())
        yield RayTaskRunner(address=address)  # it uses the connection made above
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    where = urlsplit(address if "://" in address else f"//{address}")
    if not where.hostname or not where.port:
        raise ValueError("expected HOST:6379 on the machine of the head, or ray://HOST:10001 elsewhere")
    socket.create_connection((where.hostname, where.port), timeout=ANSWER_SECONDS).close()


def _server_for(hosts: Sequence[str]) -> str:
    """Prefect's server, to which workers report; if it listens to this machine alone, others cannot reach it."""
    url = get_current_settings().api.url or ""
    elsewhere = sorted({host for host in hosts if not _is_here(host)})
    if urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1") and elsewhere:
        raise UnavailableError(
            f"the cluster has workers on {', '.join(elsewhere[:3])}, which cannot reach Prefect's server at {url}: it "
            "answers this machine alone. Start one that they reach (`prefect server start --host 0.0.0.0`), and set "
            "PREFECT_API_URL=http://THIS-MACHINE:4200/api."
        )
    return url


def _is_here(host: str) -> bool:
    """Whether `host` is an address of this machine: only such an address can be listened to."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.bind(where)
    except OSError:
        return False
    return True


def current() -> Cluster | None:
    """The cluster that the flow runs on; None if its tasks run in this process."""
    context = FlowRunContext.get()
    runner: Any = context.task_runner if context else None
    package = type(runner).__module__.partition(".")[0]
    return Dask(runner.client) if package == "prefect_dask" else Ray() if package == "prefect_ray" else None


def cross_validate_there(study: Study, recipes: Sequence[Recipe], *, device: str, code: str) -> list[Result]:
    """Run `study.cross_validate` on a worker.

    code: `code_digest("search")` of the sender.

    Raises:
        UnavailableError: the worker has another version of this project, which may give other numbers.
    """
    dask_client.check_code(code, "search")
    return cross_validate(study, recipes, device=device)


def finished(cluster: Cluster, submit: Callable[[int], Any], numbers: Sequence[int]) -> Generator[tuple[int, Any]]:
    """Yield results of the task runs that `submit` starts for each number, as they come; leaving cancels the others.

    Raises:
        UnavailableError: the cluster has gone, has had no worker for a minute, or a batch brings every worker down.
    """
    waiting, pending = list(reversed(numbers)), dict[Any, int]()
    done: SimpleQueue[Any] = SimpleQueue()
    alone_since = None
    hosts = _asked(cluster.hosts)
    log.info("cluster   workers: %d, on %s", len(hosts), ", ".join(sorted(set(hosts))[:5]))
    try:
        while waiting or pending:
            while waiting and len(pending) < AHEAD:
                future = submit(waiting[-1])
                pending[future] = waiting.pop()
                future.add_done_callback(done.put)
            try:
                future = done.get(timeout=LOOK_SECONDS)
            except Empty:
                alone_since = _alone(cluster, alone_since)
                continue
            alone_since = None
            state = _asked(lambda future=future: cluster.state(future))  # type: ignore[misc]
            yield pending.pop(future), state.result(_sync=True)
            del future, state  # the cluster keeps a result as long as a future refers to it
    finally:
        _give_up(cluster, list(pending))


def _alone(cluster: Cluster, since: float | None) -> float | None:
    """Since when there have been no workers; None if there are some."""
    if _asked(cluster.hosts):
        return None
    if since is None:
        log.info("          the cluster has no workers left; waiting %.0f s for one", ALONE_SECONDS)
        return time.monotonic()
    if time.monotonic() - since > ALONE_SECONDS:
        raise UnavailableError(
            f"the cluster has had no workers for {ALONE_SECONDS:.0f} s. What is finished is kept: start workers, and "
            "give the same command again."
        )
    return since


def _asked(question: Callable[[], Any]) -> Any:
    """The cluster's answer."""
    return dask_client.asked(question, f"What is finished is kept: {AGAIN}")


def _give_up(cluster: Cluster, futures: Sequence[Any]) -> None:
    """Cancel these, and tell Prefect's server, which would otherwise show those that have begun as running forever."""
    if not futures:
        return
    with suppress(Exception):  # the cluster may be the cause
        cluster.cancel(futures)
    client = get_client(sync_client=True)
    for future in futures:
        with suppress(Exception):  # the server does not know one that has not begun
            client.set_task_run_state(future.task_run_id, Cancelled(message="The sweep has ended."), force=True)
