"""`heart serve` as a process: it listens, follows the version, and ends on a signal when all requests are answered."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn

from heart_disease import registry
from heart_disease.model.errors import UnavailableError, UsageError, hide
from heart_disease.processes.loopback import reason
from heart_disease.serving.api import application
from heart_disease.serving.follower import TOKEN, Follower
from heart_disease.serving.limits import Protocol
from heart_disease.training.interrupts import answered

log = logging.getLogger("heart")
GRACE_SECONDS = 8  # requests under way have this long to end after SIGTERM
NEWEST = 5  # at most this many versions are named


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections.

    Raises:
        UsageError: there is no such port.
        UnavailableError: the port is taken, or the host is not this machine.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: expected 0 to 65535; 0 takes a free one")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {host}:{port}: {reason(error, port)}. Expected a free port of this machine; "
            "take another one with --port."
        ) from error


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return hide(super().format(record))


@contextmanager
def _shown() -> Iterator[None]:
    """Write what is logged to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


def run(host: str, port: int, version: str, wait: bool, abstains: bool) -> None:
    """Serve until Ctrl-C or SIGTERM; requests under way are still answered.

    wait: if `version` is an alias that does not exist yet, wait for it. A store that does not answer is always waited
    for. abstains: a patient unlike those of the training gets the reason, and no probability.

    Raises:
        UsageError: there is no such port.
        UnavailableError: the port is taken, `version` is a number and cannot be used, or there is no such alias.
    """
    with listen(host, port) as listener, _shown(), ExitStack() as until_the_end:
        follower = Follower(version, abstains=abstains)
        if not follower.is_fixed:
            until_the_end.enter_context(follower.following())
            if follower.is_unknown and not wait:
                newest = ", ".join(registry.versions()[:NEWEST]) or "none"
                raise UnavailableError(
                    f"{follower.problem}; expected an alias that exists, or the number of a version (the newest: "
                    f"{newest}). To wait until there is such an alias: --wait"
                )
        else:
            follower.refresh()
            if follower.problem:
                raise UnavailableError(follower.problem)
        serve(listener, follower)
        log.info("stopped")


def serve(listener: socket.socket, follower: Follower) -> None:
    """Answer on `listener` until a signal ends it."""
    token = os.environ.get(TOKEN, "")
    host, port, *_ = listener.getsockname()
    guard = f"with the token of {TOKEN}" if token else f"without a token: {TOKEN} is not set"
    log.info("listening on http://%s:%d, %s", f"[{host}]" if ":" in host else host, port, guard)
    with answered(KeyboardInterrupt, SystemExit):  # uvicorn shuts down cleanly, then raises the signal once more
        web_server(follower, token).run(sockets=[listener])


def web_server(follower: Follower, token: str) -> uvicorn.Server:
    """The server itself, which does not run yet."""
    config = uvicorn.Config(
        application(follower, token), http=Protocol, ws="none", lifespan="off", log_level="critical",
        access_log=False, server_header=False, timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip
    return uvicorn.Server(config)
