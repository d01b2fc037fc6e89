"""Prefect's ephemeral server, in a process of its own that starts up while the heavy imports run.

Prefect itself starts such a server for a flow without one, on the same database. Started here, it costs no waiting, and
it stays out of the terminal's process group: otherwise Ctrl-C would end it before the flow run could be reported as
crashed, and the run would stay RUNNING forever. It ends with the process that started it, however that ends
(tethered.py).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from heart_disease.model.errors import UnavailableError
from heart_disease.processes import tethered
from heart_disease.processes.loopback import HOST, free_port

START_SECONDS = 300  # long, for a busy machine: if the server ends, that is noticed at once
ANSWER_SECONDS = 10
ANYWHERE = os.sep  # where Prefect's servers run, so that they find no prefect.toml, pyproject.toml or .env


def problem_of(url: str) -> str:
    """Why `url`, of a server on this machine that asks for no login, does not answer; empty if it does."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=ANSWER_SECONDS):
            return ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


class Server:
    """A Prefect API: the configured one, or one of our own that is starting. Call `wait` before the first flow."""

    def __init__(
        self,
        url: str,
        process: subprocess.Popen[bytes] | None = None,
        log: IO[bytes] | None = None,
        start: Callable[[], subprocess.Popen[bytes]] | None = None,
    ) -> None:
        self.url, self.process, self._log, self._start = url, process, log, start

    def ended(self) -> bool:
        """Whether it is our own, and its process has ended."""
        return self.process is not None and self.process.poll() is not None

    def start_again(self) -> None:
        """Start our own server again after its end; call `wait` then."""
        assert self._start
        self.process = self._start()

    def wait(self) -> None:
        """Return when the server answers.

        Raises:
            UnavailableError: the configured server does not answer, or our own could not start.
        """
        from heart_disease.operations.server import configured, own

        if not self.process:
            configured.check(self.url)
            return
        deadline = time.monotonic() + START_SECONDS
        while problem := problem_of(f"{self.url}/health"):
            if self.process.poll() is not None:
                raise UnavailableError(
                    f"Prefect's embedded server ended with code {self.process.returncode}: {self._last_words()}. "
                    f"Check its database, {own.database()}."
                )
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"Prefect's embedded server at {self.url} did not answer within {START_SECONDS} seconds, although "
                    f"it runs: {problem}; it wrote: {self._last_words()}. On a busy machine it takes longer: try again "
                    "when less else runs."
                )
            time.sleep(0.1)
        if unusable := configured.ask(self.url, START_SECONDS):
            raise UnavailableError(
                f"Prefect's client cannot use the embedded server at {self.url}: {configured.in_words(unusable)}"
            ) from unusable

    def answers(self) -> bool:
        """Whether it answers now."""
        try:
            self.wait()
        except UnavailableError:
            return False
        return True

    def _last_words(self) -> str:
        assert self._log
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        errors = [line.strip() for line in lines if "Error" in line]
        return errors[-1][:200] if errors else "no error"


@contextmanager
def prefect_server() -> Iterator[Server]:
    """The server that PREFECT_API_URL or Prefect's profile names; without one, an embedded server for this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # if its home cannot be made, the error below says so
        from prefect.settings import get_current_settings

        from heart_disease.operations.server import configured, own

    address = configured.address()
    if address:
        yield Server(address)
        return
    home = get_current_settings().home
    if not (home.is_dir() and os.access(home, os.W_OK)):
        raise UnavailableError(
            f"Prefect cannot write its folder '{home}'; expected a folder of yours. Set PREFECT_HOME."
        )
    if "?" in str(home):  # its database would be made in another folder, named after what comes before the sign
        raise UnavailableError(
            f"Prefect cannot keep its database in its folder '{home}', because the name has a question mark. Set "
            "PREFECT_HOME to another folder."
        )
    port = free_port()
    url = f"http://{HOST}:{port}/api"
    program = str(Path(__file__).with_name("embedded.py"))
    ours = {"PREFECT_SERVER_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    with (
        tempfile.TemporaryFile() as log,
        own.prefect_settings(url),
        tethered.running(program, str(port), env={**os.environ, **ours}, output=log, folder=ANYWHERE) as process,
    ):
        try:
            yield Server(url, process, log)
        finally:
            send_what_is_queued()


def send_what_is_queued() -> None:
    """Let Prefect's threads send their logs and events; without its last events a task run stays RUNNING."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    EventsWorker.drain_all(timeout=5)
