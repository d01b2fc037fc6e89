"""Ctrl-C while TensorFlow waits for other workers."""

from __future__ import annotations

import signal
import threading

import pytest
from tensorflow.python.eager import context

from heart_disease.training import workers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_whichever_thread_the_system_gives_it_to(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    aborted, told = threading.Event(), []

    def abort(_: int, message: str) -> None:
        told.append(message)
        aborted.set()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def work() -> None:
        signal.pthread_kill(threading.get_ident(), number)
        aborted.wait(20)

    monkeypatch.setattr(context.context(), "abort_collective_ops", abort)
    before = signal.signal(number, stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            workers._interruptible(work, "worker 0 was stopped")
    finally:
        signal.signal(number, before)
    assert told == ["worker 0 was stopped"]


def test_the_result_and_the_error_of_the_work_are_passed_on() -> None:
    assert workers._interruptible(lambda: 7, "") == 7
    with pytest.raises(ZeroDivisionError):
        workers._interruptible(lambda: 1 / 0, "")
