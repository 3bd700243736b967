"""The command line against a real gateway."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.e2e.gateway import GatewayProcess
from tests.support.databases import sqlite_url
from tests.support.skills import write_skill

WAIT_S = 40


class Terminal:
    """Runs commands with the state directory of one gateway."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir

    def __call__(self, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "portico", *words],
            env={**kept, "HOME": str(self.state_dir), "PORTICO_STATE_DIR": str(self.state_dir)},
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )

    def json(self, *words: str, code: int = 0) -> Any:
        done = self(*words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout if code == 0 else done.stderr)


@pytest.fixture
def portico(gateway: GatewayProcess) -> Terminal:
    return Terminal(gateway.state_dir)


def test_health_status_and_call(gateway: GatewayProcess, portico: Terminal) -> None:
    assert portico.json("health")["ok"] is True
    assert portico("status").returncode == 0
    assert portico.json("gateway", "status")["pid"] == gateway.pid
    assert "chat.send" in portico("call", "--list").stdout.split()
    assert portico.json("call", "sessions.list", "--params", '{"limit":1}')["count"] == 0
    refused = portico.json("call", "no.such.method", code=5)
    assert refused["error"]["code"] == "gateway.unknown_method"


def test_probe_with_and_without_the_token(gateway: GatewayProcess, portico: Terminal) -> None:
    found = portico.json("gateway", "probe")
    assert (found["protocol"], found["auth"]["accepted"]) == (4, True)
    wrong = portico("gateway", "probe", "--token", "not-the-token-of-this-gateway")
    assert wrong.returncode == 4
    wrong_health = portico("health", "--token", "not-the-token-of-this-gateway")
    assert wrong_health.returncode == 4


def test_agent_chat_and_sessions(gateway: GatewayProcess, portico: Terminal) -> None:
    answer = portico("agent", "--message", "Hello there", "--timeout", "30")
    assert answer.returncode == 0, answer.stderr
    assert "Hello there" in answer.stdout
    talked = portico("chat", "--session", "agent:main:ideas", said="one\ntwo\n")
    assert talked.returncode == 0, talked.stderr
    assert talked.stdout.index("one") < talked.stdout.index("two")
    keys = {row["key"] for row in portico.json("sessions", "list")["sessions"]}
    assert keys == {"agent:main:main", "agent:main:ideas"}
    shown = portico.json("sessions", "show", "agent:main:ideas")
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"] * 2
    assert portico("sessions", "reset", "main", "--yes").returncode == 0
    assert portico("sessions", "delete", "agent:main:ideas", "--yes").returncode == 0
    assert portico("sessions", "show", "agent:main:ideas").returncode == 5


def test_logs_and_doctor(gateway: GatewayProcess, portico: Terminal) -> None:
    assert "gateway.ready" in portico("logs", "tail").stdout
    # The state directory was made by the test, open to everybody.
    report = portico.json("doctor", "--fix")
    assert report["ok"] is True, report
    by_check = {finding["check"]: finding for finding in report["findings"]}
    assert by_check["gateway"]["level"] == "ok"


def test_second_gateway_of_a_state_directory_is_refused(
    gateway: GatewayProcess, portico: Terminal
) -> None:
    second = portico.json("run", "--port", "0", code=5)
    assert second["error"]["code"] == "gateway.running"
    assert str(gateway.pid) in second["error"]["message"]


def test_taken_port_names_its_owner(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        refused = Terminal(tmp_path).json("run", "--port", port, code=1)
    assert refused["error"]["code"] == "port.taken"
    assert port in refused["error"]["message"]


@pytest.mark.parametrize("said", ["not a database", "schema 9999", "Connection refused"])
def test_a_database_that_cannot_be_used_is_told(tmp_path: Path, said: str) -> None:
    database = tmp_path / "portico.sqlite"
    if said == "not a database":
        database.write_text("It was a picture of a cat. " * 100)
    elif said == "schema 9999":
        sqlite_url(tmp_path)
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.execute("""UPDATE documents SET value = '"9998"' WHERE name = 'floor'""")
    else:
        url = "postgresql://portico:swordfish@127.0.0.1:1/portico"
        config = {"store": {"url": url}, "gateway": {"auth": {"mode": "token", "token": "t" * 40}}}
        (tmp_path / "portico.json").write_text(json.dumps(config))
    refused = Terminal(tmp_path).json("run", "--port", "0", code=1)
    assert refused["error"]["code"] == "store.unusable"
    assert said in refused["error"]["message"]
    assert "swordfish" not in str(refused)


def test_interrupt_on_a_terminal_ends_the_gateway(gateway: GatewayProcess) -> None:
    process = gateway._process
    assert process is not None
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0
    assert not (gateway.state_dir / "gateway.lock").exists()


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Terminal]:
    """A state directory whose gateway, if any is left, is stopped."""
    terminal = Terminal(tmp_path)
    yield terminal
    terminal("gateway", "stop", "--force", "--wait", "10")


def test_gateway_is_started_in_the_background_restarted_and_stopped(
    background: Terminal,
) -> None:
    assert background("gateway", "status").returncode == 3
    first = background.json("gateway", "restart", "--port", "0")
    assert background.json("health")["ok"] is True
    second = background.json("gateway", "restart", "--port", "0")
    assert second["stoppedPid"] == first["pid"]
    assert background.json("gateway", "status")["pid"] == second["pid"]
    assert background.json("gateway", "stop") == {"stopped": True, "pid": second["pid"]}
    assert background.json("gateway", "stop")["stopped"] is False


def test_exported_protocol_knows_every_advertised_method(
    gateway: GatewayProcess, portico: Terminal
) -> None:
    document = json.loads(portico("protocol", "export").stdout)
    jsonschema_rs.meta.validate(document)
    advertised = set(portico.json("call", "--list")["methods"])
    assert advertised == {
        name for name, method in document["methods"].items() if method["advertised"]
    }
    text = portico("protocol", "export", "--format", "typescript").stdout
    for name in advertised:
        assert f'"{name}": {{ params: ' in text


def test_skills(gateway: GatewayProcess, portico: Terminal, tmp_path: Path) -> None:
    source = write_skill(tmp_path, "hat", "A hat.")
    assert portico.json("skills", "install", str(source))["name"] == "hat"
    found = portico.json("skills", "info", "hat")
    assert (found["source"], found["modelVisible"]) == ("openclaw-managed", True)
    assert portico.json("skills", "disable", "hat")["running"] is True
    assert portico.json("skills", "info", "hat")["disabled"] is True
    assert "hat" in portico.json("skills", "check")["disabled"]
    assert portico("skills", "remove", "hat").returncode == 0
    assert portico("skills", "info", "hat").returncode == 5
