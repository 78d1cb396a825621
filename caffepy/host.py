"""What this machine lets the process have: cores, and memory, less what a container and ``ulimit -v`` take away."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import resource

__all__ = ["available_memory", "cores"]

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """How many cores this process may use: a container or taskset may give fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Bytes, the least of all limits that are known here; the largest integer where none is."""
    return max(min(_machine(), _container(), _address_space()), 0)


def _machine() -> int:
    try:
        rows = dict(line.split(":", 1) for line in (_PROC / "meminfo").read_text("ascii").splitlines())
        return sum(int(rows[name].split()[0]) for name in ("MemAvailable", "SwapFree")) << 10
    except (OSError, KeyError, ValueError):
        pass
    try:
        # What is there, for want of what is free.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return sys.maxsize


def _container() -> int:
    """The limit of the control group less what is in use; files that are only cached are as good as free."""
    for folder, limit, usage in (
        (_CGROUP, "memory.max", "memory.current"),
        (_CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            most = (folder / limit).read_text("ascii").strip()
            if most == "max":
                return sys.maxsize
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
            cached = int(statistics.get("inactive_file", 0))
            return int(most) - int((folder / usage).read_text("ascii")) + cached
        except (OSError, ValueError):
            continue
    return sys.maxsize


def _address_space() -> int:
    if sys.platform == "win32":
        return sys.maxsize
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most == resource.RLIM_INFINITY:
        return sys.maxsize
    try:
        used = int((_PROC / "self" / "statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        used = 0
    return int(most) - used
