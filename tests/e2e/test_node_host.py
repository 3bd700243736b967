"""`portico node run`: the real program, against a small gateway; kill -9, signals, setup codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.gateway import ROOT
from tests.fakes.gateway import TOKEN, running_gateway
from tests.support.node_hosts import Desk
from tests.support.waiting import eventually

FULL = {"version": 1, "defaults": {"security": "full", "ask": "off"}}


def prepare(home: Path, node_host: dict[str, Any] | None = None) -> None:
    home.mkdir(exist_ok=True)
    (home / "portico.json").write_text(json.dumps({"nodeHost": node_host or {}}))
    (home / "exec-approvals.json").write_text(json.dumps(FULL))


def environment(home: Path) -> dict[str, str]:
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT / "src")}
    return kept | {"PORTICO_STATE_DIR": str(home)}


@asynccontextmanager
async def node_process(home: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "portico", "node", *words, "--json"),
        env=environment(home),
        cwd=home,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_killed_host_takes_its_programs_with_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    prepare(home, {"exec": {"mode": "full"}})
    async with running_gateway() as gateway:
        desk = Desk(gateway)
        words = ("run", "--url", gateway.url, "--token", TOKEN)
        async with node_process(home, *words) as process:
            await eventually(lambda: bool(gateway.peers))
            script = "sleep 600 & echo $$ $! > pids; wait"
            run = {"command": ["sh", "-c", script], "cwd": str(home)}
            await desk.send("system.run", run)
            file = home / "pids"
            await eventually(lambda: file.exists() and len(file.read_text().split()) == 2)
            pids = [int(word) for word in file.read_text().split()]
            assert all(is_alive(pid) for pid in pids)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await eventually(lambda: not any(is_alive(pid) for pid in pids))


async def test_stopped_host_ends_its_programs_and_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    prepare(home, {"exec": {"mode": "full"}, "displayName": "workshop"})
    async with running_gateway() as gateway:
        desk = Desk(gateway)
        words = ("run", "--url", gateway.url, "--token", TOKEN)
        async with node_process(home, *words) as process:
            await eventually(lambda: bool(gateway.peers))
            assert gateway.connects[0].client.display_name == "workshop"
            async with node_process(home, *words) as second:
                assert await second.wait() == 5  # one host per state directory
            async with node_process(home, "status") as shown:
                said, _ = await shown.communicate()
                assert shown.returncode == 0
                assert json.loads(said)["standing"] == "connected"
            run = {"command": ["sh", "-c", "echo $$ > pid; sleep 600"], "cwd": str(home)}
            await desk.send("system.run", run)
            file = home / "pid"
            await eventually(lambda: file.exists() and file.read_text().strip())
            process.send_signal(signal.SIGTERM)
            out, errors = await process.communicate()
            assert process.returncode == 0, errors
            assert not is_alive(int(file.read_text()))
            lines = [json.loads(line) for line in out.splitlines()]
            assert "node_host.connected" in [line["event"] for line in lines]
            assert TOKEN not in out.decode() + errors.decode()
        async with node_process(home, "status") as shown:
            assert await shown.wait() == 3


async def test_host_keeps_its_identity_and_tells_why_it_may_not_come_in(tmp_path: Path) -> None:
    home = tmp_path / "home"
    prepare(home)
    async with running_gateway() as gateway:
        for token, code in ((TOKEN, 0), ("wrong", 4)):
            before = len(gateway.connects)
            words = ("run", "--url", gateway.url, "--token", token)
            async with node_process(home, *words) as process:
                await eventually(lambda before=before: len(gateway.connects) > before)
                if code == 0:
                    await eventually(lambda: (home / "node-host" / "status.json").exists())
                    process.send_signal(signal.SIGINT)
                out, errors = await process.communicate()
                assert process.returncode == code, errors
        assert "does not let this node in" in errors.decode() + out.decode()
        ids = {one.device.id for one in gateway.connects if one.device}
        assert len(ids) == 1
    key = home / "node-host" / "identity" / "device.json"
    assert key.stat().st_mode & 0o777 == 0o600
