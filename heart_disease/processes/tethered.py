"""A server that ends with its starter: `python tethered.py MODULE ARGUMENT...`, until SIGTERM or the end of stdin.

Standard input is a pipe from the process that started the server. The system closes the pipe when that process ends,
even if it is killed, so no server is left behind.
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
    *command: str, env: Mapping[str, str], output: Any, patience: float = END_SECONDS, folder: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module or a file.py until the end of the block, then give it `patience` seconds to end by itself.

    It runs in a session of its own, so Ctrl-C in a terminal does not reach it. folder: its working directory.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, *command], env=env, stdin=subprocess.PIPE, stdout=output, stderr=output,
        start_new_session=True, cwd=folder,
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
    while os.read(0, 1024):  # not sys.stdin: no thread may hold its lock when Python ends
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
