"""Who a process is, written so that a later one can tell whether it still lives: ``machine/boot/namespace/pid/start``.

A number alone is given to another process sooner or later, and a time is no help where clocks step. So the start is
what the kernel counts from its own start (field 22 of /proc/PID/stat), and a container's or another machine's
processes, which nobody here can look at, are told by where they are.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def identity(pid: int | None = None) -> str:
    """What names a living process of this machine; this very process if none is given.

    Raises:
        ProcessLookupError: there is no such process.
    """
    pid = os.getpid() if pid is None else pid
    start = _start(pid)
    if start is None:
        raise ProcessLookupError(f"no process {pid}; expected a living one")
    return "/".join((*_place(), str(pid), start))


def alive(who: str) -> bool | None:
    """Whether the process of an `identity` lives; None where that cannot be told from here."""
    parts = who.split("/")
    if len(parts) != 5 or not parts[3].isdecimal():
        return None
    machine, boot, namespace, pid, start = parts
    here = _place()
    if (machine, boot, namespace) == here:
        return _start(int(pid)) == start
    # This machine has been started again since; else another machine, or another container of this one.
    return False if machine == here[0] and boot != here[1] else None


def _place() -> tuple[str, str, str]:
    """Machine, its start, and the space in which process numbers are counted (a container has its own)."""
    machine = "-".join([socket.gethostname().replace("/", "-"), _read("/etc/machine-id")[:12]]).rstrip("-")
    namespace = ""
    with suppress(OSError):
        namespace = str((PROC / "self/ns/pid").readlink()).strip("pid:[]")
    return machine, _read(PROC / "sys/kernel/random/boot_id"), namespace


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """When it started, in the kernel's own count; None where it does not live, or has ended and waits to be reaped."""
    if not (PROC / "self/stat").exists():  # macOS
        import psutil

        with suppress(psutil.Error):
            found = psutil.Process(pid)
            return str(found.create_time()) if found.status() != psutil.STATUS_ZOMBIE else None
        return None
    # The name, second and in brackets, may hold anything, blanks and brackets too.
    state, *fields = _read(PROC / f"{pid}/stat").rpartition(")")[2].split() or ["X"]
    return fields[18] if state not in "ZX" else None
