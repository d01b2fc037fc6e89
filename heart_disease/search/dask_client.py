"""A Dask cluster: the connection to it, and work on the parts of a folder, one task for each.

A task whose worker dies is started again on another by Dask itself, and gives the same result: it depends only on its
arguments, on its part, and on this project's code, which every worker compares with the sender's.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from heart_disease.model.errors import HeartError, UnavailableError
from heart_disease.training.code import code_digest

ANSWER_SECONDS = 10
ALONE_SECONDS = 60.0  # seconds to wait for a cluster that has lost all its workers
ROOMS = ("data", "search", "cli", "../expectations")  # what decides a result, besides the code that decides a model
AGAIN = "See its workers' logs, and give the same command again."

T = TypeVar("T")


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the scheduler at `address`.

    Raises:
        UnavailableError: the extra is not installed, no scheduler answers, or it has no workers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise UnavailableError(missing("dask", error)) from error
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # it logs tracebacks of what is raised here as well
    try:
        client = Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UnavailableError(silent("Dask scheduler", address, "dask scheduler", error)) from error
    with client:
        if not asked(lambda: hosts(client), AGAIN):
            raise UnavailableError(
                f"the Dask scheduler at {address} has no workers; start some: dask worker {address} --nthreads 1"
            )
        yield client


def hosts(client: Any) -> list[str]:
    """The machine of each living worker."""
    from distributed.comm import get_address_host

    return [get_address_host(address) for address in client.scheduler_info(n_workers=-1)["workers"]]


def missing(extra: str, error: ImportError) -> str:
    """What to say if an extra is not installed."""
    return f"--{extra} needs the extra [{extra}] ({error}); install it: pip install -e '.[{extra}]'"


def silent(what: str, address: str, start: str, error: Exception) -> str:
    """What to say if nothing answers at `address`. start: the command that starts it."""
    reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    return f"no {what} with workers answers at {address}: {reason}. Start one (`{start}`), or leave the option out."


def asked(question: Callable[[], T], then: str) -> T:
    """The cluster's answer. then: what to do if it fails.

    Raises:
        UnavailableError: it fails.
    """
    from asyncio import CancelledError as AsyncCancelledError

    try:
        return question()
    except (Exception, CancelledError, AsyncCancelledError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
        if type(error).__name__ == "KilledWorker":
            reason = f"each of {getattr(error, 'allowed_failures', 0) + 1} workers died in the same task"
        hint = "Its workers need this project, and the same environment. " if isinstance(error, ImportError) else ""
        raise UnavailableError(f"the cluster fails: {reason}. {hint}{then}") from error


def check_code(code: str, *rooms: str) -> None:
    """On a worker: compare this project with the sender's, by `code_digest`.

    Raises:
        UnavailableError: it is another version, which may give other results.
    """
    if code_digest(*rooms) != code:
        raise UnavailableError(
            f"the worker on {socket.gethostname()} has another version of this project than this machine; expected the "
            "same files. Update it there, and start its workers again."
        )


def over_parts(client: Any, work: Callable[..., T], parts: Sequence[tuple[Any, ...]]) -> Iterator[T]:
    """Yield work(*part) of each of `parts` in their order, from the cluster's workers; leaving cancels the others.

    Raises:
        HeartError: what `work` raises, with the worker's machine if that is another one.
        UnavailableError: the cluster has gone, has had no worker for a minute, or a part brings every worker down; or
            a worker has another version of this project.
    """
    code, here = code_digest(*ROOMS), socket.gethostname()
    futures = asked(lambda: [client.submit(_there, code, here, work, *part, pure=False) for part in parts], AGAIN)
    try:
        while futures:
            yield _result(client, futures[0])
            del futures[0]  # the cluster keeps a result as long as a future refers to it
    finally:
        with suppress(Exception):  # the cluster may be the cause
            client.cancel(futures, force=True)


def _there(code: str, sender: str, work: Callable[..., T], *part: Any) -> T:
    check_code(code, *ROOMS)
    try:
        return work(*part)
    except HeartError as error:
        if socket.gethostname() == sender:
            raise
        raise type(error)(f"on {socket.gethostname()}: {error}") from error


def _result(client: Any, future: Any) -> Any:
    """The result of a task, as long as there are workers."""

    def answer() -> Any:
        try:
            return future.result(timeout=ALONE_SECONDS)
        except HeartError as error:
            return error
        except TimeoutError:
            if future.status == "error":  # the task's own
                raise
            return None

    while (found := asked(answer, AGAIN)) is None:
        if not asked(lambda: hosts(client), AGAIN):
            raise UnavailableError(
                f"the cluster has had no workers for {ALONE_SECONDS:.0f} s. Start some, and give the same command "
                "again."
            )
    if isinstance(found, HeartError):
        raise found
    return found
