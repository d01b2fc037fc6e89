"""Workers that train together, and what happens if one of them is missing: TF_CONFIG and TensorFlow's own collectives.

Every wait for other workers ends in an answer, in an UnavailableError within a known time, or by Ctrl-C. The workers
talk through TensorFlow's gRPC, without encryption or passwords: use them in a private network only.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from heart_disease.model.errors import UnavailableError, UsageError
from heart_disease.training import libraries
from heart_disease.training.interrupts import undisturbed

T = TypeVar("T")

WAIT = 120.0  # seconds to wait for all workers
LOOK_SECONDS = 0.2  # between two looks for Ctrl-C
# Every 5 seconds each worker asks the others whether they are alive, twice before it gives up: a process that ends is
# noticed at once, a machine that is cut off within half a minute.
HEALTH = {"_check_health_interval": 5, "_check_health_timeout": 5, "_check_health_retry_limit": 2}
EXAMPLE = (
    'TF_CONFIG=\'{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}\''
)


@dataclass(frozen=True)
class Cluster:
    """The addresses of all workers, host:port, the chief's first, and which of them this process is."""

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this worker keeps the result."""
        return self.index == 0

    @classmethod
    def from_environment(cls) -> Cluster:
        """The cluster that TF_CONFIG describes.

        Raises:
            UsageError: it is not set, is not JSON, or does not say who the workers are and which one this is.
        """
        text = os.environ.get("TF_CONFIG", "")
        if not text:
            raise UsageError(f"TF_CONFIG is not set; expected the cluster, and which worker this is: {EXAMPLE}")
        try:
            config = json.loads(text)
            jobs, task = dict(config["cluster"]), dict(config["task"])
            groups = {name: [str(one) for one in jobs[name]] for name in ("chief", "worker") if name in jobs}
            kind, number = str(task["type"]), int(task["index"])
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"TF_CONFIG is {text!r} ({error!r}); expected {EXAMPLE}") from error
        addresses = [one for group in groups.values() for one in group]
        others = ", ".join(sorted(set(jobs) - set(groups)))
        if others:
            raise UsageError(f"TF_CONFIG has the job {others}; expected workers, and at most a chief: {EXAMPLE}")
        wrong = [one for one in addresses if not one.rpartition(":")[2].isdigit() or addresses.count(one) > 1]
        if wrong:
            raise UsageError(f"TF_CONFIG has the address '{wrong[0]}'; expected host:port, each once: {EXAMPLE}")
        if not 0 <= number < len(groups.get(kind, [])):
            raise UsageError(f"TF_CONFIG has the task {kind} {number}, which its cluster lacks; expected {EXAMPLE}")
        return cls(tuple(addresses), number + (len(groups.get("chief", [])) if kind == "worker" else 0))

    def silent(self) -> str:
        """Which of the others do not answer now, in words."""
        others = [(i, one) for i, one in enumerate(self.addresses) if i != self.index]
        silent = [f"worker {i} at {one}" for i, one in others if not _answers(one)]
        return f"{', '.join(silent)} does not answer" if silent else "the others answer now"


class Workers:
    """The cluster, connected. `strategy` is TensorFlow's, and this process is one of its workers."""

    def __init__(self, cluster: Cluster, wait: float = WAIT) -> None:
        """Wait until all workers are connected.

        Raises:
            UnavailableError: not all of them are there within `wait` seconds, or this worker's port is taken.
        """
        tf = libraries.tensorflow()

        self.cluster = cluster
        self.strategy = self._call(
            lambda: _connect(wait), f"not all {len(cluster.addresses)} workers could be joined within {wait:g} seconds"
        )
        self._gather = tf.function(lambda own: self.strategy.gather(own, axis=0), autograph=False)

    def gather(self, values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """The `values` (n,) of every worker: (W, n). It raises the same errors as `together`."""
        return self.together(lambda: np.asarray(self._gather(np.asarray([values], np.float64))))

    def together(self, work: Callable[[], T]) -> T:
        """Return the result of `work`, a computation in which all workers take part.

        Raises:
            UnavailableError: another worker has ended, or no longer answers.
        """
        return self._call(work, "a worker has ended, or was cut off")

    def _call(self, work: Callable[[], T], problem: str) -> T:
        tf = libraries.tensorflow()

        try:
            return _interruptible(work, f"worker {self.cluster.index} was stopped")
        except tf.errors.OpError as error:
            reason = _reason(error)
        # Raised outside `except`: the error holds a TensorFlow thread pool, which complains if it ends with Python.
        raise UnavailableError(
            f"worker {self.cluster.index} stops: {problem}; {self.cluster.silent()}. Nothing is "
            "saved. See what that worker says, check TF_CONFIG, ports and network, and start all of them again. "
            f"(TensorFlow: {reason})"
        )


def _connect(wait: float) -> Any:
    tf = libraries.tensorflow()
    from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceExtended
    from tensorflow.python.eager import context

    # TensorFlow has two ways to watch over workers. Its default, the coordination service, waits forever for one
    # that never starts, and holds Python's lock meanwhile, so that not even Ctrl-C gets through. The other, its
    # periodic health check, has a time limit for everything; neither can be chosen through the public interface.
    context.context().configure_coordination_service("")
    for name, value in {**HEALTH, "_check_health_initial_timeout": wait}.items():
        setattr(CollectiveAllReduceExtended, name, value)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:  # its first message to all workers has failed
        raise tf.errors.DeadlineExceededError(None, None, str(error)) from error


def _interruptible(work: Callable[[], T], farewell: str) -> T:
    """Run `work()` in a thread of its own, so that Ctrl-C ends it at once; the other workers are told `farewell`.

    TensorFlow waits for other workers in C++, where Python handles no signals. So this thread looks for them, and does
    not just wait for the result: the system may give a signal to any thread, and only this one can act on it. They are
    held back, because an exception that arrives while TensorFlow cleans up its weak references is ignored by Python.
    """
    tf = libraries.tensorflow()
    from tensorflow.python.eager import context

    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    with undisturbed() as signals:
        thread.start()
        while not (outcome.done() or signals):
            futures.wait([outcome], LOOK_SECONDS)
        if not outcome.done():  # interrupted; no thread may still be inside TensorFlow when Python ends
            context.context().abort_collective_ops(tf.errors.CANCELLED, farewell)
            thread.join(10)
    return outcome.result()


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except OSError:
        return False


def _reason(error: Exception) -> str:
    """The line of a TensorFlow error that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = [line for line in lines if "aborted by" in line or "imed out" in line] or lines or [type(error).__name__]
    return found[0].rpartition("aborted by: ")[2][:200].rstrip(".")
