"""What this process may use of its machine: processors and memory, as far as affinity and cgroups leave them."""

from __future__ import annotations

import math
import os
from itertools import pairwise
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_processors(cgroup: Path = CGROUP) -> int:
    """Processors that this process may keep busy: its affinity, or its cgroup's quota where that is less."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return count if quota is None else max(1, min(count, math.floor(quota + 0.5)))


def _quota(cgroup: Path) -> float | None:
    """Processors that the cgroup (version 2 or 1) grants; None where it sets no limit."""
    words = _words(cgroup / "cpu.max")
    if words is None:
        quota, period = (_words(cgroup / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        words = None if quota is None or period is None else [*quota, *period]
    if words is None or len(words) < 2 or words[0] in ("max", "-1"):
        return None
    return int(words[0]) / int(words[1])


def memory_limit(cgroup: Path = CGROUP) -> int | None:
    """Bytes that this process may use: the machine's, or its cgroup's limit where that is less; None if unknown."""
    limits = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        words = _words(path)
        if words and words[0].isdigit():
            limits.append(int(words[0]))
    return min(limits) if limits else None


def free_memory(cgroup: Path = CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that this process may still take, page cache given up; None where the system does not say."""
    free = []
    available = _table(meminfo).get("MemAvailable:")
    if available is not None:
        free.append(1024 * available)
    for folder, limit, used, cache in (
        (cgroup, "memory.max", "memory.current", "inactive_file"),
        (cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, now = _words(folder / limit), _words(folder / used)
        if most and now and most[0].isdigit():
            free.append(int(most[0]) - int(now[0]) + _table(folder / "memory.stat").get(cache, 0))
    return max(0, min(free)) if free else None


def resident_memory(statm: Path = Path("/proc/self/statm")) -> int | None:
    """Bytes of this process in memory; None where the system does not say."""
    words = _words(statm)
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") if words else None


def _table(path: Path) -> dict[str, int]:
    """Lines of a name, a number and perhaps a unit."""
    words = _words(path) or []
    return {name: int(number) for name, number in pairwise(words) if number.isdigit()}


def _words(path: Path) -> list[str] | None:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return None
