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

import pytest

from portico.client import Event, GatewayClient, Outcome, Refused, connect
from tests.e2e.gateway import ROOT, GatewayProcess
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


class Boss:
    """An operator of a real gateway, and one of its nodes."""

    def __init__(self, client: GatewayClient) -> None:
        self.client = client
        self.node_id = ""
        self._number = 0

    async def came(self) -> dict[str, Any]:
        """Wait until a node that can be used is connected."""

        async def found() -> dict[str, Any] | None:
            listed = (await self.client.call("node.list", {}))["nodes"]
            usable = [one for one in listed if one["connected"] and one["commands"]]
            return usable[0] if usable else None

        node: dict[str, Any] = await eventually(found)
        self.node_id = node["nodeId"]
        return node

    async def invoke(self, command: str, params: Any, *, timeout_s: float = 30) -> Any:
        self._number += 1
        asked = {"nodeId": self.node_id, "command": command, "params": params}
        key = f"{command}-{self._number}"
        answer = await self.client.call(
            "node.invoke", asked, idempotency_key=key, timeout_s=timeout_s
        )
        return answer["payload"]


def boss_of(gateway: GatewayProcess) -> GatewayClient:
    return connect(gateway.ws_url, token=gateway.token, backoff_first_s=0.05, backoff_most_s=0.5)


async def code_of(boss: Boss, gateway: GatewayProcess) -> str:
    asked = {"publicUrl": gateway.ws_url.rstrip("/"), "bootstrapProfile": "node"}
    return str((await boss.client.call("device.pair.setupCode", asked))["setupCode"])


async def test_setup_code_brings_a_node_in_that_survives_both_ends(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    prepare(home, {"exec": {"mode": "full"}})
    async with boss_of(gateway) as client:
        boss = Boss(client)
        code = await code_of(boss, gateway)
        async with node_process(home, "run", "--pair", code) as process:
            node = await boss.came()
            assert node["approvalState"] == "approved"
            said = client.events("node.invoke.progress")
            result = await boss.invoke("system.run", {"command": ["echo", "hi"]})
            assert result["stdout"] == "hi\n"
            async with asyncio.timeout(30):
                event = await anext(said)
            assert isinstance(event, Event)
            assert event.payload["chunk"] == "hi\n"
            await asyncio.to_thread(gateway.kill)
            await asyncio.to_thread(gateway.start)
            await boss.came()
            assert (await boss.invoke("system.which", {"bins": ["sh"]}))["bins"]
            slow = {"command": ["sh", "-c", "echo $$ > pid; sleep 600"], "cwd": str(home)}
            running = asyncio.ensure_future(boss.invoke("system.run", slow))
            file = home / "pid"
            await eventually(lambda: file.exists() and file.read_text().strip())
            process.kill()
            with pytest.raises(Refused) as lost:
                await running
            assert lost.value.outcome is Outcome.UNCERTAIN
            await eventually(lambda: not is_alive(int(file.read_text())))
        async with node_process(home, "run"):  # its gateway and its token are known by now
            await boss.came()
            assert (await boss.invoke("system.which", {"bins": ["sh"]}))["bins"]


async def test_node_is_approved_by_hand_and_its_programs_by_a_person(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    prepare(home)
    words = ("run", "--url", gateway.ws_url, "--token", gateway.token)
    async with (
        boss_of(gateway) as client,
        boss_of(gateway) as reviewer,  # nobody decides what they ask for themselves
        node_process(home, *words),
    ):
        boss = Boss(client)

        async def asks() -> Any:
            return (await client.call("node.pair.list", {}))["pending"]

        (pending,) = await eventually(asks)
        await client.call("node.pair.approve", {"requestId": pending["requestId"]})
        await boss.came()
        asked = {"command": ["echo", "one"], "sessionKey": "agent:main:main"}
        plan = (await boss.invoke("system.run.prepare", asked))["plan"]
        question = {"id": "apr-1", "host": "node", "nodeId": boss.node_id, "systemRunPlan": plan}
        decided = asyncio.ensure_future(client.call("exec.approval.request", question))
        requested = reviewer.events("exec.approval.requested")
        await anext(requested)
        await reviewer.call("exec.approval.resolve", {"id": "apr-1", "decision": "allow-once"})
        assert (await decided)["decision"] == "allow-once"
        run = {
            "command": plan["argv"],
            "systemRunPlan": plan,
            "sessionKey": "agent:main:main",
            "runId": "apr-1",
            "approved": True,
            "approvalDecision": "allow-once",
        }
        assert (await boss.invoke("system.run", run))["stdout"] == "one\n"
        with pytest.raises(Refused, match="approval required"):
            await boss.invoke("system.run", run)  # a yes for one time
        unasked = asyncio.ensure_future(boss.invoke("system.run", {"command": ["echo", "two"]}))
        event = await anext(requested)  # this host holds an operator's token: it asks by itself
        assert isinstance(event, Event)
        decision = {"id": event.payload["id"], "decision": "deny"}
        await reviewer.call("exec.approval.resolve", decision)
        with pytest.raises(Refused, match="a person denied it"):
            await unasked
