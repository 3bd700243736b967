"""Heartbeats of a gateway in its own process, from the command line and over a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.test_cli import Terminal

TOKEN = "0123456789abcdef0123456789abcdef"
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
