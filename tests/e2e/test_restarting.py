"""A restart as others see it: the service manager, the command line, a client that asks for one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portico.process.lock import read_lock
from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.support.waiting import eventually

OWN = {"gateway": {"auth": {"mode": "token", "token": "restart-of-the-gateway-1"}}}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(tmp_path / "state", config=OWN)
    yield gateway
    gateway.kill()


def portico(gateway: GatewayProcess, *words: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [*(sys.executable, "-m", "portico"), *words, "--json", "--state-dir", gateway.state_dir],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout or done.stderr)


def last_restart(gateway: GatewayProcess) -> Any:
    state = read_lock(gateway.state_dir / "gateway.lock")
    assert state is not None
    assert state.info is not None
    return state.info.last_restart


async def test_the_service_manager_follows_the_new_process(tmp_path: Path) -> None:
    """With a listener in systemd's place: the order of words, and that nobody keeps a place."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
        gateway = GatewayProcess(tmp_path / "state", config=OWN, env=env)
        try:
            gateway.start()
            first = gateway.pid
            assert manager.recv(1000).startswith(f"READY=1\nMAINPID={first}\n".encode())
            assert manager.recv(1000) == b"WATCHDOG=1"
            gateway.hand_over()
            second = gateway.ready["pid"]
            assert manager.recv(1000).startswith(b"RELOADING=1\n")
            assert manager.recv(1000) == f"MAINPID={second}".encode()
            assert manager.recv(1000).startswith(f"READY=1\nMAINPID={second}\n".encode())
            assert manager.recv(1000) == b"WATCHDOG=1"
            assert gateway.exit_code() == 0, "the first process ends by itself"
            os.kill(second, signal.SIGTERM)
            assert manager.recv(1000).startswith(b"STOPPING=1\n")
            await eventually(lambda: not Path(f"/proc/{second}").exists())
        finally:
            gateway.kill()


def test_the_command_line_says_how_it_went(own: GatewayProcess) -> None:
    own.start()
    before = own.ready["pid"]
    code, said = portico(own, "gateway", "restart")
    assert (code, said["stoppedPid"], said["gap"]) == (0, before, False)
    assert said["url"] == own.url
    code, status = portico(own, "gateway", "status")
    assert (code, status["pid"], status["lastRestart"]["ok"]) == (0, said["pid"], True)
    good = (own.state_dir / "portico.json").read_text()
    (own.state_dir / "portico.json.last-good").unlink()
    (own.state_dir / "portico.json").write_text(good.replace('"auth"', '"bind": 7, "auth"'))
    code, failure = portico(own, "gateway", "restart")
    assert code == 1
    assert failure["error"]["code"] == "gateway.restart_rolled_back"
    (own.state_dir / "portico.json").write_text(good)
    own.ready["pid"] = said["pid"]
    assert own.stop() == 0


NOT_OURS = {"bind": "custom", "customBindHost": "203.0.113.7"}
"""No machine has this address (RFC 5737): no process comes up with it."""


async def test_a_change_with_which_no_process_comes_up_is_taken_back(own: GatewayProcess) -> None:
    file = own.state_dir / "portico.json"
    tree = OWN | {"gateway": OWN["gateway"] | {"reload": {"restartCooldownMs": 0}}}
    file.write_text(good := json.dumps(tree))
    own.start()
    with Operator(own) as operator:
        base = operator.call("config.get")["hash"]
        done = operator.call("config.patch", raw=json.dumps({"gateway": NOT_OURS}), baseHash=base)
        assert done["restart"]["ok"] is True
        assert operator.wait_event("config.changed", hash=base)["path"] == str(file)
        await eventually(lambda: last_restart(own) is not None, within_s=30)
        assert file.read_text() == good
        (kept,) = own.state_dir.glob("portico.json.rejected.*")
        assert "203.0.113.7" in kept.read_text()
        warnings = operator.call("config.get")["warnings"]
        assert any("went back to the last good one" in one["message"] for one in warnings)
        asked = {"action": "config.rolled_back"}
        changes = await eventually(
            lambda: operator.call("audit.changes.list", **asked)["changes"], within_s=30
        )
        assert [one["outcome"] for one in changes] == ["failed"]
    file.write_text(json.dumps(OWN | {"gateway": OWN["gateway"] | NOT_OURS}))
    code, failure = portico(own, "gateway", "restart")
    assert (code, failure["error"]["code"]) == (1, "gateway.restart_rolled_back")
    assert "last good one again" in failure["error"]["message"]
    assert file.read_text() == good
    assert own.stop() == 0


def test_killed_before_it_could_take_it_back(own: GatewayProcess) -> None:
    file = own.state_dir / "portico.json"
    own.start()
    own.kill()
    file.write_text(bad := json.dumps(OWN | {"gateway": OWN["gateway"] | NOT_OURS}))
    own.start()
    with Operator(own) as operator:
        assert operator.call("status")["config"]["fromLastGood"] is True
        shown = operator.call("config.get")
        assert any("did not come up" in one["message"] for one in shown["warnings"])
    assert file.read_text() == bad, "somebody may be about to mend it"
    code, failure = portico(own, "gateway", "restart")
    assert (code, failure["error"]["code"]) == (1, "gateway.restart_rolled_back")
    assert file.read_text() == json.dumps(OWN)
    assert own.stop() == 0


async def test_a_client_asks_for_a_restart(own: GatewayProcess) -> None:
    own.start()
    with Operator(own) as operator:
        identity = operator.call("gateway.identity.get")
        assert len(identity["deviceId"]) == 64
        assert operator.call("gateway.restart.preflight")["safe"] is True
        with pytest.raises(Refused, match="no longer owns"):
            operator.call("gateway.restart.request", target={"pid": 1})
        answer = operator.call("gateway.restart.request", reason="a test")
        assert (answer["status"], answer["pid"]) == ("scheduled", own.pid)
        told = operator.wait_event("shutdown")
        assert told["reason"] == "gateway restarting"
    await eventually(lambda: last_restart(own) is not None, within_s=30)
    own.ready = own._wait_ready()
    with Operator(own) as operator:
        assert operator.call("gateway.identity.get") == identity
        changes = operator.call("audit.changes.list", action="gateway")["changes"]
        assert [(one["action"], one["target"]) for one in changes] == [
            ("gateway.restart_requested", "a test")
        ]
    with Operator(own, scopes=("operator.read",)) as reader, pytest.raises(Refused):
        reader.call("gateway.restart.request")


def test_updates_are_off_until_somebody_allows_them(own: GatewayProcess) -> None:
    own.start()
    with Operator(own) as operator:
        status = operator.call("update.status")
        assert (status["updateAvailable"], status["sentinel"]) == (None, None)
        with pytest.raises(Refused, match="not allowed"):
            operator.call("update.run")
        assert operator.call("update.runs.list", limit=5) == {"runs": []}
        nobody = "00000000-0000-4000-8000-000000000000"
        assert operator.call("update.runs.get", runId=nobody) == {"run": None}
    with Operator(own, scopes=("operator.read",)) as reader, pytest.raises(Refused):
        reader.call("update.status")
    assert own.stop() == 0
    assert own.tracebacks() == []
