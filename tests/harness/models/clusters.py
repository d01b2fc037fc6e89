"""Dask clusters: a real one of processes, and one that does each task at once."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import pytest

from heart_disease.processes.loopback import free_port
from tests.harness.command import ROOT

T = TypeVar("T")


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running program of this environment that can import the project."""
    started = subprocess.Popen(
        [sys.executable, "-m", *command], env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield started
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


@contextmanager
def dask_cluster() -> Iterator[str]:
    """The address of a scheduler with two workers, each a process under a nanny that restarts it."""
    distributed = pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    address = f"tcp://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        stack.enter_context(process("dask", "scheduler", "--host", address, "--no-dashboard"))
        for _ in range(2):
            stack.enter_context(process("dask", "worker", address, "--nthreads", "1", "--no-dashboard"))
        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        yield address


def kill_a_worker_at_work(address: str, function: str, killed: list[int]) -> None:
    """Send SIGKILL to the first worker that is seen in the function."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        while True:
            stacks = client.call_stack()
            working = [worker for worker, stack in stacks.items() if function in str(stack)]
            if working:
                pid = client.run(os.getpid, workers=working[:1])[working[0]]
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return


def sent(value: T) -> T:
    """The value as another process gets it."""
    copy: T = pickle.loads(pickle.dumps(value))  # noqa: S301
    return copy


class AtOnce:
    """Stands for Dask's client: does each task when it is submitted, with arguments and result sent as bytes.

    after: called with the number of the tasks done so far.
    """

    def __init__(self, after: Callable[[int], None] = lambda tasks: None) -> None:
        self.after, self.tasks = after, 0

    def submit(self, work: Callable[..., Any], *arguments: Any, pure: bool) -> AtOnce.Future:
        assert not pure
        sent_work, *given = sent((work, *arguments))
        future = AtOnce.Future()
        try:
            future.found = sent(sent_work(*given))
        except Exception as error:
            future.error = sent(error)
        self.tasks += 1
        self.after(self.tasks)
        return future

    def cancel(self, futures: list[AtOnce.Future], *, force: bool) -> None:
        assert force

    class Future:
        """What `submit` gives."""

        found: Any = None
        error: BaseException | None = None
        status = "finished"

        def result(self, timeout: float) -> Any:
            if self.error:
                raise self.error
            return self.found
