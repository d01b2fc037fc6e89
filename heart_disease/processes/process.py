"""Names a process so that another can tell later whether it still lives: ``machine/boot/namespace/pid/start``.

A process ID alone is reused sooner or later, and a clock time does not help because clocks can be set. So the start is
what the kernel counts from its own start (field 22 of /proc/PID/stat). The first three parts tell whether the process
is in a container or on a machine that cannot be looked at from here.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

PROC = Path("/proc")


def identity(pid: int | None = None) -> str:
    """The name of a living process on this machine; by default this process.

    Raises:
        ProcessLookupError: there is no such process.
    """
    pid = os.getpid() if pid is None else pid
    start = _start(pid)
    if start is None:
        raise ProcessLookupError(f"no process {pid}; expected a living one")
    return "/".join((*_place(), str(pid), start))


def alive(who: str) -> bool | None:
    """Whether the process of an `identity` lives; None if that cannot be known here."""
    parts = who.split("/")
    if len(parts) != 5 or not parts[3].isdecimal():
        return None
    machine, boot, namespace, pid, start = parts
    here = _place()
    if (machine, boot, namespace) == here:
        return _start(int(pid)) == start
    # False: this machine has been restarted since. None: another machine, or another container on this one.
    return False if machine == here[0] and boot != here[1] else None


def last_words(said: IO[bytes], code: int) -> str:
    """The last line that a process wrote into the file `said` before it ended with `code`, shortened."""
    said.seek(0)
    lines = [line.strip() for line in said.read().decode(errors="replace").split("\n") if line.strip()]
    return lines[-1][:400] if lines else f"it ended with code {code}"


def _place() -> tuple[str, str, str]:
    """The machine, its boot, and the namespace of its process IDs (a container has its own)."""
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
    """When the process started, as the kernel counts it; None if there is none, or it has ended but is not reaped."""
    if not (PROC / "self/stat").exists():  # macOS
        import psutil

        with suppress(psutil.Error):
            found = psutil.Process(pid)
            return str(found.create_time()) if found.status() != psutil.STATUS_ZOMBIE else None
        return None
    # The second field, the name in brackets, may itself contain blanks and brackets.
    state, *fields = _read(PROC / f"{pid}/stat").rpartition(")")[2].split() or ["X"]
    return fields[18] if state not in "ZX" else None
