"""A broken configuration never keeps a gateway from starting, and it comes back by itself."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.gateway import GatewayProcess, Operator, Refused

TOKEN = "0123456789abcdef0123456789abcdef"
GOOD: dict[str, Any] = {
    "gateway": {"auth": {"mode": "token", "token": TOKEN}, "reload": {"debounceMs": 0}},
    "agents": {"defaults": {"runtime": "echo"}},
}


def write(gateway: GatewayProcess, text: str) -> None:
    (gateway.state_dir / "portico.json").write_text(text)


@pytest.fixture
def gateway(tmp_path: Path) -> Any:
    made = GatewayProcess(tmp_path / "state", config=GOOD)
    yield made
    made.stop()


def mended(gateway: GatewayProcess) -> None:
    """Wait until the new process runs, and the old one is out of its way."""
    before = gateway.ready["pid"]
    gateway.ready = gateway._wait_ready()
    assert gateway.ready["pid"] != before
    assert "recovery" not in gateway.ready
    until = time.monotonic() + 40
    while '"line.alone"' not in gateway.log():
        assert time.monotonic() < until, gateway.said()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{ gateway: { auth: { token: ", "not valid JSON5"),
        ("{ gateway: { bind: 5 } }", "gateway.bind"),
    ],
)
def test_it_says_what_is_wrong_and_leaves_when_it_is_mended(
    gateway: GatewayProcess, text: str, says: str
) -> None:
    write(gateway, text)
    gateway.start()
    assert gateway.ready["recovery"] is True
    with httpx2.Client(base_url=gateway.url) as client:
        assert client.get("/health").status_code == 200
        ready = client.get("/ready")
        assert ready.status_code == 503
        assert "recovery mode" in ready.text
        page = client.get("/")
        assert says in page.text
        assert client.get("/", headers={"origin": "https://evil.example"}).text == "recovery mode\n"
        assert client.post("/v1/gateway/messages", json={}).status_code == 503
    write(gateway, json.dumps(GOOD))
    mended(gateway)
    gateway.port = int(gateway.ready["url"].rpartition(":")[2])
    with Operator(gateway) as operator:
        assert operator.call("agents.list")["agents"]
    assert gateway.tracebacks() == []


def test_the_command_line_mends_it_through_the_gateway(gateway: GatewayProcess) -> None:
    write(gateway, "{ gateway: { bind: 5 } }")
    gateway.start()
    command = [sys.executable, "-m", "portico", "call", "config.get"]
    done = subprocess.run(
        [*command, "--state-dir", str(gateway.state_dir), "--json"],
        env=gateway._environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["valid"] is False


def test_only_what_mends_it_is_offered(gateway: GatewayProcess) -> None:
    write(gateway, json.dumps({"gateway": {**GOOD["gateway"], "bind": 5}}))
    gateway.start()
    with Operator(gateway) as operator:
        methods = operator.hello["features"]["methods"]
        assert {"config.get", "config.apply", "health"} <= set(methods)
        assert not any(name.startswith(("chat.", "agents", "sessions.")) for name in methods)
        with pytest.raises(Refused):
            operator.call("sessions.list")
        shown = operator.call("config.get")
        assert shown["valid"] is False
        assert TOKEN not in json.dumps(shown)
        raw = json.dumps(GOOD)
        operator.call("config.apply", raw=raw, baseHash=shown["hash"])
    mended(gateway)


def test_the_last_good_one_is_used_when_there_is_one(gateway: GatewayProcess) -> None:
    gateway.start()
    write(gateway, "{ broken")
    gateway.restart()
    assert "recovery" not in gateway.ready
    assert "running with the last good configuration" in gateway.said()
    assert httpx2.get(f"{gateway.url}/ready").status_code == 200
