from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from portico.agents.tools.exec import container, sandbox
from portico.cli.doctor import host_checks
from portico.cli.doctor.model import Level, Patient
from portico.config import load, remember_good, resolve_paths, set_value
from portico.process.lock import LockInfo, acquire
from tests.support.certificates import write_pair
from tests.support.ports import unused_port


@pytest.fixture
def port() -> int:
    return unused_port()


@pytest.fixture
def state(home: Path, portico, port: int) -> Path:
    portico("config", "set", "gateway.port", str(port))
    return home / ".portico"


def problems(shown) -> dict[str, dict]:
    return {
        one["check"]: one for one in shown.json["findings"] if one["level"] in {"warning", "error"}
    }


def test_healthy_machine_has_no_problems(portico, state) -> None:
    shown = portico("doctor", "--json")
    assert problems(shown) == {}
    assert shown.json["ok"] is True
    assert shown.code == 0
    assert "Nothing is wrong." in portico("doctor").out


def test_open_permissions_are_found_and_mended(portico, state) -> None:
    (state / "portico.json").chmod(0o644)
    state.chmod(0o755)
    found = problems(portico("doctor", "--json"))["files.private"]
    assert found["fixable"]
    assert found["explanation"]
    shown = portico("doctor", "--fix", "--json")
    assert shown.code == 0
    assert len(shown.json["fixed"]) == 2
    assert (state / "portico.json").stat().st_mode & 0o777 == 0o600


def test_placeholder_token_is_found_and_replaced(portico, state) -> None:
    file = state / "portico.json"
    file.write_text('{ gateway: { auth: { mode: "token", token: "changeme" } } }')
    shown = portico("doctor", "--json")
    assert shown.code == 1
    assert "placeholder" in problems(shown)["config.safe"]["message"]
    mended = portico("doctor", "--fix", "--json")
    assert "config.safe" not in problems(mended)
    assert "changeme" not in file.read_text()


def test_exposed_bind_without_auth_is_found_but_left_to_a_person(portico, state) -> None:
    file = state / "portico.json"
    file.write_text('{ gateway: { bind: "lan", auth: { mode: "none" } } }')
    shown = portico("doctor", "--fix", "--json")
    assert shown.code == 1
    found = problems(shown)["config.safe"]
    assert found["level"] == "error"
    assert not found["fixable"]


def test_broken_config_is_restored_from_the_last_good_one(portico, state) -> None:
    paths = resolve_paths(env=os.environ)
    remember_good(load(paths, env=os.environ))
    good = paths.config_file.read_text()
    paths.config_file.write_text("{ gateway: ")
    found = problems(portico("doctor", "--json"))
    assert found["config.valid"]["fixable"]
    shown = portico("doctor", "--fix", "--json")
    assert shown.code == 0
    assert paths.config_file.read_text() == good
    assert paths.config_file.with_name("portico.json.broken").read_text() == "{ gateway: "


def test_broken_config_without_a_last_good_one_stays_a_problem(portico, state) -> None:
    (state / "portico.json").write_text("{ gateway: ")
    (state / "portico.json.last-good").unlink(missing_ok=True)
    shown = portico("doctor", "--fix", "--json")
    assert shown.code == 1
    assert not problems(shown)["config.valid"]["fixable"]


def test_unknown_key_is_a_warning(portico, state, port) -> None:
    (state / "portico.json").write_text(
        f'{{ gateway: {{ port: {port}, prot: 1, auth: {{ token: "{"t" * 40}" }} }} }}'
    )
    found = problems(portico("doctor", "--json"))
    assert "gateway.prot" in found["config.keys"]["message"]


def test_taken_port_is_found_with_its_owner(portico, state, port) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        shown = portico("doctor", "--json")
        found = problems(shown)["port"]
        assert str(port) in found["message"]
        if sys.platform == "linux":
            assert f"pid {os.getpid()}" in found["message"]


def test_stale_lock_is_found_and_removed(portico, state) -> None:
    lock = state / "gateway.lock"
    lock.write_text('{"pid": 999999, "port": 1, "startedAt": 0}')
    assert problems(portico("doctor", "--json"))["lock"]["fixable"]
    assert portico("doctor", "--fix", "--json").code == 0
    assert not lock.exists()


def test_running_gateway_that_does_not_answer_is_an_error(portico, state, port) -> None:
    info = LockInfo(pid=os.getpid(), port=port, started_at=0, url=f"http://127.0.0.1:{port}")
    held = acquire(state / "gateway.lock", info)
    try:
        shown = portico("doctor", "--json", "--timeout", "2")
    finally:
        held.release()
    assert shown.code == 1
    assert set(problems(shown)) == {"gateway"}


def test_old_python_and_full_disk_are_errors(state, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = resolve_paths(env=os.environ)
    patient = Patient(paths, os.environ, load(paths, env=os.environ))
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert [f.level for f in host_checks.python_version(patient)] == [Level.ERROR]
    monkeypatch.undo()
    usage = SimpleNamespace(free=10_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    assert [f.level for f in host_checks.disk_space(patient)] == [Level.ERROR]


def test_token_can_be_made_where_there_is_none(portico, state) -> None:
    paths = resolve_paths(env=os.environ)
    paths.config_file.write_text("{ gateway: { port: 0 } }")
    assert problems(portico("doctor", "--json"))["config.safe"]["fixable"]
    assert portico("doctor", "--fix").code == 0
    set_value(paths, "gateway.port", 0, env=os.environ)
    assert "token" in paths.config_file.read_text()


@pytest.mark.parametrize("host", ["auto", "gateway"])
def test_programs_of_agents_need_a_sandbox_that_works(
    portico, state, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    def found() -> dict[str, str]:
        findings = portico("doctor", "--json").json["findings"]
        return {one["check"]: one["level"] for one in findings if "tools" in one["check"]}

    assert found() == {"tools.exec": "ok"}
    monkeypatch.setattr(sandbox, "find_program", lambda: None)
    portico("config", "set", "tools.exec.security", "allowlist")
    portico("config", "set", "tools.exec.host", host)
    wanted = {"auto": {"tools.sandbox": "warning"}, "gateway": {"tools.exec": "note"}}
    assert found() == wanted[host]


def test_containers_of_agents_need_an_engine_and_an_image(
    portico, state, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "find_engine", lambda _engine: None)
    portico("config", "set", "tools.exec.security", "full")
    refused = portico("config", "set", "tools.exec.sandbox.engine", "podman")
    assert refused.code != 0
    assert "needs an image" in refused.err
    portico("config", "set", "tools.exec.sandbox.image", "debian:stable-slim")
    portico("config", "set", "tools.exec.sandbox.engine", "podman")
    findings = portico("doctor", "--json").json["findings"]
    (found,) = [one for one in findings if one["check"] == "tools.sandbox"]
    assert (found["level"], found["message"]) == ("warning", "podman is not installed")


def test_programs_of_agents_must_be_there(portico, state: Path) -> None:
    def found() -> list[dict]:
        findings = portico("doctor", "--json").json["findings"]
        return [one for one in findings if one["check"] == "agents.acp"]

    def command(name: str, **runtime: str) -> None:
        wanted = {"type": "acp", "command": name, **runtime}
        portico("config", "set", "agents.defaults.runtime", json.dumps(wanted))

    assert found() == []
    command("no-such-agent")
    (missing,) = found()
    assert missing["level"] == "error"
    assert "main is missing: no-such-agent" in missing["message"]
    program = state / "agent"
    program.touch()
    command(str(program))
    assert "is missing" in found()[0]["message"]  # nothing that can be run
    program.chmod(0o755)
    assert [one["level"] for one in found()] == ["ok"]
    command("./agent", cwd=str(state))
    assert [one["level"] for one in found()] == ["ok"]
    command(str(program), cwd=str(state / "none"))
    assert "is no directory" in found()[0]["message"]


def test_programs_of_agents_need_their_library(
    portico, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = json.dumps({"type": "acp", "command": sys.executable})
    portico("config", "set", "agents.defaults.runtime", runtime)
    assert "agents.acp" not in problems(portico("doctor", "--json"))
    monkeypatch.setitem(sys.modules, "acp", None)
    assert "portico[acp]" in problems(portico("doctor", "--json"))["agents.acp"]["next_step"]


def test_a_certificate_that_ends_soon_is_said(portico, state, tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path / "tls")  # good for a day
    portico("config", "set", "gateway.tls.certPath", str(cert))
    portico("config", "set", "gateway.tls.keyPath", str(key))
    portico("config", "set", "gateway.tls.enabled", "true")
    found = problems(portico("doctor", "--json"))["tls"]
    assert found["level"] == "warning"
    assert "ends on" in found["message"]
    assert str(cert) in found["next_step"]
