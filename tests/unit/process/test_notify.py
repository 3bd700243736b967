from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from portico.process.notify import Notifier


def listener(address: str) -> socket.socket:
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    wire.bind(address)
    wire.settimeout(30)
    return wire


def test_what_systemd_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with listener(path) as wire:
        notifier = Notifier({"NOTIFY_SOCKET": path})
        assert notifier.is_heard
        notifier.ready("Listening")
        assert wire.recv(1000) == f"READY=1\nMAINPID={os.getpid()}\nSTATUS=Listening".encode()
        notifier.ready("two\nlines " + "x" * 1000)
        said = wire.recv(2000).decode().splitlines()
        assert (len(said), said[2][:16]) == (3, "STATUS=two lines")
        assert len(said[2]) == 307
        notifier.reloading(1.5)
        assert b"RELOADING=1\nMONOTONIC_USEC=1500000\n" in wire.recv(1000)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_socket() -> None:
    name = f"portico-test-{os.getpid()}"
    with listener("\0" + name) as wire:
        Notifier({"NOTIFY_SOCKET": "@" + name}).say("READY=1")
        assert wire.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_nobody_who_listens_stops_nothing(address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address}).ready("Listening")


async def test_the_watchdog_is_fed_twice_per_period(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with listener(path) as wire:
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000"})
        feeding = asyncio.ensure_future(notifier.keep_alive())
        for _ in range(3):
            assert await asyncio.to_thread(wire.recv, 100) == b"WATCHDOG=1"
        feeding.cancel()


async def test_without_a_watchdog_nothing_is_fed(tmp_path: Path) -> None:
    async with asyncio.timeout(30):
        await Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")}).keep_alive()
