"""Words to the service manager: ready, reloading, stopping, alive.

Theory of operation: systemd gives a unit of `Type=notify` a datagram socket, and whoever writes
`READY=1` to it is believed to be up. Without the socket every word goes nowhere, at no cost.

Guarantees: telling never blocks and never raises; a manager that does not listen stops nothing.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping

MAX_STATUS = 300


class Notifier:
    """One service manager, or nobody."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._address = env.get("NOTIFY_SOCKET", "")
        usec = env.get("WATCHDOG_USEC", "")
        self._watchdog_s = int(usec) / 1_000_000 if usec.isdecimal() else 0.0

    @property
    def is_heard(self) -> bool:
        """Whether there is a service manager."""
        return self._address.startswith(("/", "@"))

    def say(self, *words: str) -> None:
        """Tell the manager some `NAME=value` words."""
        if not self.is_heard:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, _KIND) as wire:
            wire.setblocking(False)
            wire.sendto("\n".join(words).encode(), address)

    def ready(self, status: str) -> None:
        """The gateway works, as the service's main process."""
        line = " ".join(status.split())[:MAX_STATUS]
        self.say("READY=1", f"MAINPID={os.getpid()}", f"STATUS={line}")

    def reloading(self, monotonic_s: float) -> None:
        """A successor is being started."""
        usec = int(monotonic_s * 1_000_000)
        self.say("RELOADING=1", f"MONOTONIC_USEC={usec}", "STATUS=Restarting")

    async def keep_alive(self) -> None:
        """Tell the manager twice per watchdog period that the loop turns, until cancelled."""
        while self.is_heard and self._watchdog_s:
            self.say("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)


_KIND = socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)
