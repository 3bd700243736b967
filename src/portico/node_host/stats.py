"""What a node says of its machine.

Source: OpenClaw gateway protocol, `node.event` `node.host.stats`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

EVERY_S = 60.0


def host_stats(home: Path) -> dict[str, Any]:
    """Return processors, load, memory and disk; what the system does not say is 0 or left out."""
    stats: dict[str, Any] = {"cpuCount": max(1, min(os.cpu_count() or 1, 4096))}
    load = os.getloadavg()
    if any(load):
        stats["loadAverage"] = [round(one, 2) for one in load]
    total, free = _memory()
    stats |= {"memoryTotalBytes": total, "memoryFreeBytes": min(free, total)}
    try:
        disk = shutil.disk_usage(home)
    except OSError:
        return stats
    return stats | {"diskTotalBytes": disk.total, "diskAvailableBytes": disk.free}


def _memory() -> tuple[int, int]:
    try:
        size = os.sysconf("SC_PAGE_SIZE")
        total = os.sysconf("SC_PHYS_PAGES") * size
        return total, _available() or os.sysconf("SC_AVPHYS_PAGES") * size
    except (OSError, ValueError):  # a system that does not know these names
        return 0, 0


def _available() -> int:
    """Return what programs could still get, where the kernel says so."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0
