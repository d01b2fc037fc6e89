"""How much memory this process may still take, and whether the kernel has ended processes for want of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

# What limits a container: the limit, and what is used of it, in cgroup version 2 and version 1.
CGROUPS = Path("/sys/fs/cgroup")
LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
CACHE = ("inactive_file", "active_file", "total_inactive_file", "total_active_file")
EVENTS = Path("/proc/vmstat")


def room(cgroups: Path = CGROUPS) -> int:
    """How large this process may become, in bytes: what it has, and what the machine and the container have left."""
    left = int(psutil.virtual_memory().available)
    for limit, used in LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            most, now = int((cgroups / limit).read_text()), int((cgroups / used).read_text())
            left = min(left, most - now + _cache((cgroups / used).with_name("memory.stat")))
    return max(left, 0) + int(psutil.Process().memory_info().rss)


def _cache(stat: Path) -> int:
    """The bytes of files that the container keeps in memory, and gives up if they are needed."""
    lines = [line.split() for line in stat.read_text().splitlines()]
    return max((sum(int(value) for name, value in lines if name in some) for some in (CACHE[:2], CACHE[2:])), default=0)


def kills(events: Path = EVENTS) -> int | None:
    """How many processes the kernel has ended for want of memory since it started; None if it does not say."""
    with suppress(OSError, ValueError):
        for line in events.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None
