"""How many CPUs this process may use: its affinity mask, bounded by the quotas of its cgroups (v2, v1)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path


def usable(root: Path = Path("/")) -> int:
    """Count of usable CPUs, at least 1; part of a CPU counts as one. `root`: where /proc and /sys are looked for."""
    count: float = len(os.sched_getaffinity(0))
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            count = min(count, _least(root / "sys/fs/cgroup", path, _quota_v2))
        elif "cpu" in controllers.split(","):
            count = min(count, _least(root / "sys/fs/cgroup/cpu", path, _quota_v1))
    return max(1, math.ceil(count))


def _least(mount: Path, path: str, quota: Callable[[Path], float]) -> float:
    """The tightest quota from the group at `path` up to the root: a group cannot have more than its parents."""
    group = mount / path.strip("/")
    return min(quota(folder) for folder in (group, *group.parents) if folder.is_relative_to(mount))


def _quota_v2(group: Path) -> float:
    quota, _, period = _read(group / "cpu.max").strip().partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else math.inf


def _quota_v1(group: Path) -> float:
    quota, period = _read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else math.inf


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
