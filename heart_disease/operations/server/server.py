"""Prefect's ephemeral server, in a process of its own that starts up while the heavy imports run.

Prefect itself starts such a server for a flow without one, on the same database. Started here, it costs no waiting, and
it stays out of the terminal's process group: otherwise Ctrl-C would end it before the flow run could be reported as
crashed, and the run would stay RUNNING forever. It ends with the process that started it, however that ends
(tethered.py).
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from heart_disease.model.errors import UnavailableError
from heart_disease.processes import tethered

START_SECONDS = 120
ANSWER_SECONDS = 10


def problem_of(url: str) -> str:
    """Why `url` does not answer; empty if it does."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS):
            return ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def check_login(url: str) -> None:
    """Ask for a page that needs the login; /health answers without one.

    Raises:
        UnavailableError: the server at `url` refuses the login of PREFECT_API_AUTH_STRING.
    """
    from prefect.settings import get_current_settings

    secret = get_current_settings().api.auth_string
    login = secret.get_secret_value() if secret else ""
    request = urllib.request.Request(f"{url}/admin/version")
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):
            return
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise UnavailableError(
                f"the Prefect server of PREFECT_API_URL at {url} refuses the login: expected its user:password in "
                f"PREFECT_API_AUTH_STRING, which {'has another' if login else 'is not set'}."
            ) from None
    except OSError:
        return  # the first use will report any other problem


def with_page(url: str) -> dict[str, str]:
    """The environment of a Prefect server whose API is at `url`, and of its page.

    Without it, the page asks port 4200 for its data, whatever port the server has.
    """
    return {**os.environ, "PREFECT_SERVER_UI_API_URL": url, "PREFECT_API_URL": url}


class Server:
    """A Prefect API: the configured one, or one of our own that is starting. Call `wait` before the first flow."""

    def __init__(self, url: str, process: subprocess.Popen[bytes] | None = None, log: IO[bytes] | None = None) -> None:
        self.url, self.process, self._log = url, process, log

    def wait(self) -> None:
        """Return when the server answers.

        Raises:
            UnavailableError: the configured server does not answer, or our own could not start.
        """
        deadline = time.monotonic() + (START_SECONDS if self.process else ANSWER_SECONDS)
        problem = ""
        while time.monotonic() < deadline:
            if self.process and self.process.poll() is not None:
                raise UnavailableError(
                    f"Prefect's embedded server ended with code {self.process.returncode}: {self._last_words()}. "
                    "Check the database in the folder of PREFECT_HOME (~/.prefect)."
                )
            problem = problem_of(f"{self.url}/health")
            if not problem:
                if not self.process:
                    check_login(self.url)
                return
            if not self.process:
                break
            time.sleep(0.1)
        what = "embedded Prefect server" if self.process else "Prefect server of PREFECT_API_URL"
        raise UnavailableError(
            f"the {what} at {self.url} does not answer: {problem}. Expected a running server; start it with `prefect "
            "server start`, or unset PREFECT_API_URL for the embedded one."
        )

    def _last_words(self) -> str:
        assert self._log
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        errors = [line.strip() for line in lines if "Error" in line]
        return errors[-1][:200] if errors else "no message"


@contextmanager
def prefect_server() -> Iterator[Server]:
    """The server that PREFECT_API_URL or Prefect's profile names; without one, an embedded server for this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # if its home cannot be made, the error below says so
        from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    configured = get_current_settings().api.url
    if configured:
        yield Server(configured.rstrip("/"))
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
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    with tempfile.TemporaryFile() as log:
        program = str(Path(__file__).with_name("embedded.py"))
        with tethered.running(program, str(port), env=environment, output=log) as process:
            try:
                with temporary_settings({PREFECT_API_URL: url}):
                    yield Server(url, process, log)
            finally:
                _send_what_is_queued()


def _send_what_is_queued() -> None:
    """Let Prefect's threads send their logs and events; without its last events a task run stays RUNNING."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    EventsWorker.drain_all(timeout=5)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
