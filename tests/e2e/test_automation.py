"""Heartbeats and hooks of a gateway in its own process, over restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.test_cli import Terminal

TOKEN = "0123456789abcdef0123456789abcdef"
HOOK_TOKEN = "a-token-of-hooks-0123456789"
CI = {
    "match": {"path": "ci"},
    "name": "CI",
    "messageTemplate": "Build {{id}} is {{state}}",
    "sessionKey": "hook:ci",
    "idempotencyKey": "{{id}}",
}
QUIET, LOUD = "HEARTBEAT_OK", "[system event] The bell rang."


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder: Path = tmp_path_factory.mktemp("automation") / "state"
    # The echo agent answers with its prompt, so each of its beats is quiet.
    heart = {"every": "1s", "prompt": QUIET}
    running = GatewayProcess(
        folder,
        config={
            "gateway": {"port": 0, "auth": {"mode": "token", "token": TOKEN}},
            "agents": {"defaults": {"heartbeat": heart}},
            "hooks": {"enabled": True, "token": HOOK_TOKEN, "mappings": [CI]},
        },
    )
    running.start()
    yield running
    assert running.stop() == 0
    assert running.tracebacks() == []


def test_a_heart_beats_rests_and_goes_on_after_a_restart(gateway: GatewayProcess) -> None:
    portico = Terminal(gateway.state_dir)
    with Operator(gateway) as operator:
        operator.wait_event("heartbeat", status="ok-token")
        page = operator.call("chat.history", sessionKey="main")
        assert page["messages"] == []
        (job,) = operator.call("cron.list")["jobs"]
        assert (job["id"], job["payload"]) == ("heartbeat-main", {"kind": "heartbeat"})
    assert portico.json("system", "heartbeat", "disable") == {"ok": True, "enabled": False}
    gateway.restart()
    with Operator(gateway) as operator:
        operator.wait_event("heartbeat", status="skipped", reason="disabled")
        done = portico("system", "event", "--text", "The bell rang.", "--mode", "now")
        assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
        operator.wait_event("chat", state="final", sessionKey="agent:main:main")
        said = str(operator.call("chat.history", sessionKey="main")["messages"])
        assert LOUD in said
        assert portico.json("system", "heartbeat", "enable")["enabled"]
        operator.wait_event("heartbeat", status="ok-token")
    assert portico.json("system", "heartbeat", "last")["agentId"] == "main"


def test_a_program_posts_and_is_answered_once_over_a_restart(gateway: GatewayProcess) -> None:
    def post(**build: object) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {HOOK_TOKEN}"}
        return httpx2.post(f"{gateway.url}/hooks/ci", json=build, headers=headers, timeout=30)

    first = post(id=1, state="red")
    assert first.status_code == 200
    with Operator(gateway) as operator:
        operator.call("agent.wait", runId=first.json()["runId"], timeoutMs=50_000)
    gateway.restart()
    assert post(id=1, state="red").json() == first.json()
    second = post(id=2, state="green").json()
    assert second["runId"] != first.json()["runId"]
    assert httpx2.post(f"{gateway.url}/hooks/ci", json={}, timeout=30).status_code == 401
    with Operator(gateway) as operator:
        operator.call("agent.wait", runId=second["runId"], timeoutMs=50_000)
        page = operator.call("chat.history", sessionKey="hook:ci")
    said = str([message["content"] for message in page["messages"]])
    assert [said.count(text) for text in ("Build 1 is red", "Build 2 is green")] == [2, 2]
    assert len(page["messages"]) == 4
    assert HOOK_TOKEN not in gateway.log()
