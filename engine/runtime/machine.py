"""What this process may use of its machine: processors and memory, as far as affinity and cgroups leave them."""

from __future__ import annotations

import math
import os
import sys
from itertools import pairwise
from pathlib import Path

import psutil

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


def memory_limit(cgroup: Path = CGROUP) -> int:
    """Bytes that this process may use: the machine's, or its cgroup's limit where that is less."""
    limits: list[int] = [psutil.virtual_memory().total]
    for path in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        words = _words(path)
        if words and words[0].isdigit():
            limits.append(int(words[0]))
    return min(limits)


def free_memory(cgroup: Path = CGROUP) -> int:
    """Bytes that this process may still take, page cache given up."""
    free: list[int] = [psutil.virtual_memory().available]
    for folder, limit, used, cache in (
        (cgroup, "memory.max", "memory.current", "inactive_file"),
        (cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, now = _words(folder / limit), _words(folder / used)
        if most and now and most[0].isdigit():
            free.append(int(most[0]) - int(now[0]) + _table(folder / "memory.stat").get(cache, 0))
    return max(0, min(free))


def resident_memory() -> int:
    """Bytes of this process in memory."""
    size: int = psutil.Process().memory_info().rss
    return size


NICE = 10
"""Niceness, on Unix, of a process that lets others come first; 19 is the most."""


def lower_priority() -> None:
    """Lets other programs come first, until this process ends: not every user may raise a priority again."""
    if sys.platform == "win32":
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(max(0, NICE - os.nice(0)))


def _table(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    words = _words(path) or []
    return {name: int(number) for name, number in pairwise(words) if number.isdigit()}


def _words(path: Path) -> list[str] | None:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return None
