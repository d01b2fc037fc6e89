"""A server that ends with its starter: `python tethered.py MODULE ARGUMENT...`, until SIGTERM or the end of stdin.

Standard input is a pipe from the process that started it. The system closes that with the process, also with one that
was killed and could not say goodbye, so that no server is left behind.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

END_SECONDS = 5


@contextmanager
def running(
    *command: str, env: Mapping[str, str], output: Any, patience: float = END_SECONDS
) -> Iterator[subprocess.Popen[bytes]]:
    """A module or a file.py, until the end of the block, which waits so many seconds for it to end by itself.

    It has a session of its own, where Ctrl-C of a terminal does not reach it.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, *command], env=env, stdin=subprocess.PIPE, stdout=output, stderr=output,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_the_starter() -> None:
    """Return when the process that started this one has ended."""
    while os.read(0, 1024):  # not sys.stdin, whose lock a thread must not hold when Python ends
        pass


def _end_with_the_starter() -> None:
    wait_for_the_starter()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    del sys.argv[0]
    if sys.argv[0].endswith(".py"):
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
