"""This machine's own ports: no proxy stands before them, and an error says who has one that is taken."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from heart_disease.model.errors import UnavailableError, UsageError, hide

HOST = "127.0.0.1"
NAMES = (HOST, "localhost", "::1")


def spare_from_proxies() -> None:
    """Add this machine to no_proxy, so that no client of this process and of those it starts asks a proxy for it.

    A proxy of http_proxy, HTTPS_PROXY or ALL_PROXY would look for the port on its own machine.
    """
    found = [host.strip() for name in ("no_proxy", "NO_PROXY") for host in os.environ.get(name, "").split(",")]
    # urllib understands the asterisk, which means no proxy at all, only by itself.
    hosts = ["*"] if "*" in found else dict.fromkeys([*filter(None, found), *NAMES])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(hosts)


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def check_free(port: int, what: str, option: str) -> None:
    """Refuse a port on which `what` could not listen. option: the one that names another port.

    Raises:
        UsageError: there is no such port.
        UnavailableError: another program has the port, or this user may not use it.
    """
    if not 1 <= port <= 65535:
        raise UsageError(f"{option} {port}: expected 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UnavailableError(
                f"port {port}, for {what}, cannot be used: {reason(error, port)}. Name another with {option}"
            ) from error


def reason(error: OSError, port: int) -> str:
    """``Address already in use by process 123, heart ui``; without the process if it cannot be known."""
    text = os.strerror(error.errno) if error.errno else str(error)
    holder = _holder(port)
    return f"{text} by {holder}" if holder else text


def _holder(port: int) -> str:
    """The process that listens on the port; empty if there is none, or if it is somebody else's."""
    import psutil

    with suppress(psutil.Error, OSError):  # macOS shows nobody's ports but to the administrator
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid:
                words = psutil.Process(one.pid).cmdline()
                starter = next((i for i, word in enumerate(words) if word.endswith("tethered.py")), -1)
                command = hide(" ".join(words[starter + 1 :]))
                return f"process {one.pid}, {command if len(command) <= 100 else f'{command[:100]}...'}"
    return ""
