"""`POST /tools/invoke` of a real gateway, as a script with an HTTP client calls it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.gateway import GatewayProcess

TOKEN = "0123456789abcdef0123456789abcdef"
POLICY = '{"version": 1, "defaults": {"security": "full", "ask": "off"}}'


@pytest.fixture(scope="module")
def silence() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def hold() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                except OSError:
                    return

        threading.Thread(target=hold, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        for one in held:
            one.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("tools") / "state"
    config: dict[str, Any] = {
        "gateway": {
            "port": 0,
            "auth": {"mode": "token", "token": TOKEN},
            "tools": {"allow": ["exec"], "deny": ["agents_list"]},
        },
        "tools": {
            "timeoutSeconds": 0.5,
            "web": {"fetch": {"allowPrivate": True}},
            "exec": {"security": "full", "host": "gateway", "ask": "off"},
        },
    }
    running = GatewayProcess(folder, config=config)
    (folder / "exec-approvals.json").write_text(POLICY)
    running.start()
    yield running
    assert running.stop() == 0
    assert running.tracebacks() == []


def invoke(gateway: GatewayProcess, body: Any, **headers: str) -> httpx2.Response:
    given = {"authorization": f"Bearer {TOKEN}", **headers}
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    return httpx2.post(
        f"{gateway.url}/tools/invoke",
        headers={name.replace("_", "-"): value for name, value in given.items() if value},
        timeout=30,
        **sent,
    )


def problem(answer: httpx2.Response) -> tuple[int, str]:
    told = answer.json()
    assert told["ok"] is False
    assert told["error"]["message"]
    return answer.status_code, told["error"]["type"]


def test_a_tool_is_called(gateway: GatewayProcess) -> None:
    answer = invoke(gateway, {"tool": "memory_append", "args": {"text": "The cat is Mozart."}})
    assert answer.status_code == 200
    assert answer.json()["ok"] is True
    answer = invoke(gateway, {"name": "memory_search", "args": {"query": "mozart"}})
    (part,) = answer.json()["result"]["content"]
    assert part["type"] == "text"
    assert "Mozart" in part["text"]
    (found,) = answer.json()["result"]["details"]["results"]
    assert found["path"].startswith("memory/")
    answer = invoke(gateway, {"tool": "message", "action": "send", "args": {"message": "x"}})
    assert problem(answer) == (400, "refused")  # `action` was taken; there is nobody to send to


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({}, 400, "invalid_request"),
        (b"{no json", 400, "invalid_request"),
        ({"tool": "memory_search", "args": {"query": 5}}, 400, "invalid_arguments"),
        ({"tool": "memory_search", "args": {"query": "x", "more": 1}}, 400, "invalid_arguments"),
        ({"tool": "read", "args": {"path": "../portico.json"}}, 400, "refused"),
        ({"tool": "session_status", "dryRun": True}, 400, "invalid_request"),
        ({"tool": "no_such_tool"}, 404, "not_found"),
        ({"tool": "sessions_send", "args": {"message": "x"}}, 404, "not_found"),
        ({"tool": "write", "args": {"path": "a", "content": "b"}}, 404, "not_found"),
        ({"tool": "edit", "args": {}}, 404, "not_found"),
        ({"tool": "agents_list"}, 404, "not_found"),
    ],
)
def test_refusals(gateway: GatewayProcess, body: Any, status: int, kind: str) -> None:
    answer = invoke(gateway, body)
    assert answer.status_code == status, answer.text
    assert problem(answer)[0] == status
    if status != 400 or kind != "invalid_request":
        assert problem(answer)[1] == kind


def test_who_may_not(gateway: GatewayProcess) -> None:
    body = {"tool": "session_status"}
    assert problem(invoke(gateway, body, authorization=""))[0] == 401
    assert problem(invoke(gateway, body, authorization="Bearer wrong"))[0] == 401
    done = invoke(gateway, {"tool": "exec", "args": {"command": "echo hi"}})
    assert done.status_code == 200, done.text
    assert done.json()["result"]["details"]["stdout"] == "hi\n"


def test_an_idempotency_key_stands_for_one_call(gateway: GatewayProcess) -> None:
    body = {"tool": "memory_append", "args": {"text": "once"}, "idempotencyKey": "note-1"}
    first, again = invoke(gateway, body), invoke(gateway, body)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    found = invoke(gateway, {"tool": "memory_search", "args": {"query": "once"}})
    assert found.json()["result"]["content"][0]["text"].count("once") == 1
    other = {**body, "args": {"text": "twice"}}
    assert problem(invoke(gateway, other))[0] == 409


def test_too_large_too_slow_and_the_wrong_verb(gateway: GatewayProcess, silence: int) -> None:
    large = {"tool": "memory_search", "args": {"query": "x" * (2 * 1024 * 1024)}}
    assert problem(invoke(gateway, large))[0] == 413
    slow = {"tool": "web_fetch", "args": {"url": f"http://127.0.0.1:{silence}/"}}
    answer = invoke(gateway, slow)
    assert problem(answer) == (500, "timeout"), answer.text
    assert httpx2.get(f"{gateway.url}/tools/invoke", timeout=30).status_code in {401, 405}


def test_what_an_agent_keeps_is_in_its_workspace(gateway: GatewayProcess) -> None:
    invoke(gateway, {"tool": "memory_append", "args": {"text": "kept", "file": "MEMORY.md"}})
    state = gateway.state_dir
    found = [path for path in state.rglob("MEMORY.md") if "kept" in path.read_text()]
    assert len(found) == 1
    assert Path(found[0]).stat().st_mode & 0o077 == 0
