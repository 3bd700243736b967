"""What this machine and this process are and do, for the operator.

Source: OpenClaw gateway protocol, "system.info".
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

_KIB = 1024


def host_info(*, state_dir: Path, uptime_ms: int, instance_id: str, port: int) -> dict[str, Any]:
    """Return what is known of the machine. It reads files: not for the event loop."""
    total, free = _memory()
    found: dict[str, Any] = {
        "machineName": platform.node() or "unknown",
        "hostname": socket.gethostname(),
        "platform": sys.platform,
        "release": platform.release(),
        "arch": platform.machine(),
        "osLabel": _label(),
        "nodeVersion": f"Python {platform.python_version()}",
        "pid": os.getpid(),
        "processInstanceId": instance_id,
        "uptimeMs": uptime_ms,
        "cpuCount": os.cpu_count() or 1,
        "memoryTotalBytes": total,
        "memoryFreeBytes": free,
        "loadAverage": list(os.getloadavg()),
    }
    if port:
        found["port"] = port
    if model := _cpu_model():
        found["cpuModel"] = model
    try:
        disk = shutil.disk_usage(state_dir)
    except OSError:
        return found
    return {
        **found,
        "diskTotalBytes": disk.total,
        "diskAvailableBytes": disk.free,
        "diskPath": str(state_dir),
    }


def _memory() -> tuple[int, int]:
    """All memory and what can be had of it, in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = {name: int(rest.split()[0]) * _KIB for name, _, rest in _split(lines)}
        return sizes["MemTotal"], sizes["MemAvailable"]
    except (OSError, ValueError, KeyError, IndexError):
        page = os.sysconf("SC_PAGE_SIZE")
        free = os.sysconf_names.get("SC_AVPHYS_PAGES")
        return (
            page * os.sysconf("SC_PHYS_PAGES"),
            page * os.sysconf("SC_AVPHYS_PAGES") if free is not None else 0,
        )


def _split(lines: list[str]) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in lines if ":" in line]


def _label() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}".strip() or "unknown"


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    return next(
        (rest.strip() for name, _, rest in _split(lines) if name.strip() == "model name"), None
    )
