"""Agents as data, on a real process: made while another one talks, there after a crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pyjson5
import pytest

from portico.config import load, resolve_paths
from tests.e2e.gateway import GatewayProcess, Operator, Refused


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path / "state").start()
    yield running
    running.stop()
    assert running.tracebacks() == []


def says(operator: Operator, agent_id: str, text: str, key: str) -> str:
    request = operator.send("agent", agentId=agent_id, message=text, idempotencyKey=key)
    operator.answer(request)  # accepted
    done = operator.answer(request)
    return str(done["result"]["payloads"][0]["text"])


def test_the_life_of_an_agent(gateway: GatewayProcess) -> None:
    file = gateway.state_dir / "portico.json"
    with Operator(gateway) as operator, Operator(gateway) as other:
        slow = {"message": "/sim delay_ms=150 words=20\nx", "idempotencyKey": "slow"}
        running = other.send("agent", agentId="main", **slow)
        other.answer(running)
        made = operator.call("agents.create", name="Ops Team", emoji="🔧")
        assert made["agentId"] == "ops-team"
        assert says(operator, "ops-team", "quick", "quick") == "Echo: quick"
        assert not any(
            e["payload"].get("state") == "final" for e in other.events if e["event"] == "chat"
        )
        assert other.answer(running)["status"] == "ok"
        assert {"config.changed"} <= {event["event"] for event in operator.events}
        text = file.read_text()
        assert text.startswith("// Portico's settings")
        assert '"lan" lets other machines in' in text
        operator.call("agents.files.set", agentId="ops-team", name="MEMORY.md", content="noted")
    gateway.kill()
    gateway.start()
    with Operator(gateway) as operator:
        listed = operator.call("agents.list")
        assert [one["id"] for one in listed["agents"]] == ["main", "ops-team"]
        memory = operator.call("agents.files.get", agentId="ops-team", name="MEMORY.md")
        assert memory["file"]["content"] == "noted"
        assert says(operator, "ops-team", "again", "again") == "Echo: again"
        deleted = operator.call("agents.delete", agentId="ops-team")
        assert deleted["removed"][0]["method"] == "trash"
        with pytest.raises(Refused, match="unknown agent id"):
            operator.call("agent", agentId="ops-team", message="x", idempotencyKey="late")
        history = operator.call("chat.history", sessionKey="agent:ops-team:main")
        assert len(history["messages"]) == 4
    gateway.restart()
    with Operator(gateway) as operator:
        assert [one["id"] for one in operator.call("agents.list")["agents"]] == ["main"]


def test_a_file_broken_by_hand_is_left_to_its_owner(gateway: GatewayProcess) -> None:
    file = gateway.state_dir / "portico.json"
    with Operator(gateway) as operator:
        operator.call("agents.create", name="Kept")
        good = file.read_text()
        broken = good.replace("agents: {", "agents: {{{ // half an edit")
        file.write_text(broken)
        for call in (
            lambda: operator.call("agents.create", name="Lost"),
            lambda: operator.call("agents.update", agentId="kept", name="x"),
            lambda: operator.call("agents.delete", agentId="kept"),
        ):
            with pytest.raises(Refused, match="invalid config: not valid JSON5"):
                call()
        assert file.read_text() == broken
        assert says(operator, "kept", "still", "still") == "Echo: still"
        file.write_text(good)
        operator.call("agents.update", agentId="kept", name="Better")
        assert "Better" in file.read_text()


def test_bindings_route_http_messages(gateway: GatewayProcess) -> None:
    def send(sender: str, request_id: str) -> dict[str, Any]:
        answer = httpx2.post(
            f"{gateway.url}/v1/gateway/messages",
            headers={"Authorization": f"Bearer {gateway.token}"},
            json={"from": sender, "text": "hello", "request_id": request_id},
            timeout=20,
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    with Operator(gateway) as operator:
        operator.call("agents.create", name="Support")
        assert send("vip", "one")["reply"] == "Echo: hello"
        match = {"channel": "http", "peer": {"kind": "direct", "id": "vip"}}
        operator.call("agents.bindings.add", agentId="support", matches=[match])
        assert send("vip", "one")["reply"] == "Echo: hello"  # a repeat is the same message still
        assert send("vip", "two")["session_id"] == "http:dm:vip"
        assert send("ann", "three")["session_id"] == "http:dm:ann"
        keys = {one["key"] for one in operator.call("sessions.list")["sessions"]}
        assert {
            "agent:main:http:dm:vip",
            "agent:support:http:dm:vip",
            "agent:main:http:dm:ann",
        } <= keys
        assert "agent:support:http:dm:ann" not in keys


def test_a_crash_in_the_middle_of_changes_leaves_a_whole_file(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "state").start()
    paths = resolve_paths(env={}, state_dir=gateway.state_dir)
    acknowledged: list[str] = []
    try:
        for attempt in range(3):
            stopped = threading.Event()

            def create(number: int = attempt, done: threading.Event = stopped) -> None:
                try:
                    with Operator(gateway) as operator:
                        for n in range(1000):
                            made = operator.call("agents.create", name=f"a {number} {n}")
                            acknowledged.append(made["agentId"])
                            done.set()
                except Exception:  # noqa: BLE001  # the gateway is killed
                    return

            worker = threading.Thread(target=create)
            worker.start()
            assert stopped.wait(30)
            gateway.kill()
            worker.join(30)
            loaded = load(paths, env={})
            assert loaded.valid, loaded.issues
            ids = {entry.id for entry in loaded.require().agents.roster()}
            assert set(acknowledged) <= ids
            leftovers = [path.name for path in gateway.state_dir.glob(".portico.json*")]
            assert len(leftovers) <= attempt + 1
            gateway.start()
        with Operator(gateway) as operator:
            listed = {one["id"] for one in operator.call("agents.list")["agents"]}
        assert set(acknowledged) <= listed
        assert pyjson5.decode(paths.config_file.read_text())["gateway"]["auth"]["token"]
        assert json.dumps(sorted(listed))
    finally:
        gateway.kill()


def test_the_command_line_asks_the_gateway_that_runs(gateway: GatewayProcess) -> None:
    def portico(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "portico", *words, "--json"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(gateway.state_dir),
                "PORTICO_STATE_DIR": str(gateway.state_dir),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=40,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert portico("agents", "add", "Ops", "--bind", "http")["agentId"] == "ops"
    with Operator(gateway) as operator:
        assert says(operator, "ops", "hi", "one") == "Echo: hi"
        assert operator.call("agents.bindings.list")["bindings"][0]["agentId"] == "ops"
    assert portico("agents", "delete", "ops", "--yes")["removedBindings"] == 1
    with Operator(gateway) as operator:
        assert len(operator.call("agents.list")["agents"]) == 1
