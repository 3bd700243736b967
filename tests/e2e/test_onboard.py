"""`portico onboard` in a real terminal and without one, and a gateway with what it wrote."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Self

import pyjson5

from tests.e2e.gateway import ROOT, GatewayProcess, Operator

WAIT_S = 40.0
KEY = "sk-planted-secret-0123456789"


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {"HOME": str(home), "PYTHONPATH": str(ROOT / "src"), "TERM": "dumb"} | more


def onboard(state_dir: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portico", "onboard", "--state-dir", str(state_dir), *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
        env=environment(state_dir.parent, **env),
    )


class Terminal:
    """A command on a pseudo-terminal of its own."""

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            words, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""
        self._seen = 0

    def wait_for(self, text: str) -> None:
        while (place := self.shown.find(text, self._seen)) < 0:
            assert self._more(), f"{text!r} was never shown:\n{self.shown}"
        self._seen = place + len(text)

    def type(self, text: str) -> None:
        os.write(self._ours, f"{text}\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_S)
        os.close(self._ours)

    def end(self) -> int:
        while self._more():
            pass
        return self.process.wait(WAIT_S)

    def _more(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], WAIT_S)
        try:
            read = os.read(self._ours, 65_536) if ready else b""
        except OSError:  # how Linux says that the other side is closed
            read = b""
        self.shown += read.decode(errors="replace")
        return bool(read)


def test_in_a_terminal_and_then_a_gateway_answers(tmp_path: Path) -> None:
    state = tmp_path / "state"
    words = [sys.executable, "-m", "portico", "onboard", "--state-dir", str(state)]
    with Terminal(words, environment(tmp_path, PATH=str(tmp_path))) as terminal:
        for title, prompt, typed in (
            ("Workspace", "> [", "not/absolute"),
            ("Give the whole path", "> [", str(tmp_path / "work")),
            ("Port", "> [", ""),
            ("Network", "Number", ""),
            ("Way in", "Number", "2"),
            ("Password", "> ", KEY),
            ("Language model", "Number", ""),
            ("Channel", "Number", "webhook"),
            ("Webhook: secret", "> ", KEY),
            ("Write these settings?", "[Y/n]", ""),
        ):
            terminal.wait_for(title)
            terminal.wait_for(prompt)
            terminal.type(typed)
        assert terminal.end() == 0, terminal.shown
    assert KEY not in terminal.shown, "a secret was echoed"
    written = pyjson5.decode((state / "portico.json").read_text())
    assert written["gateway"]["auth"]["mode"] == "password"
    assert written["agents"]["defaults"]["workspace"] == str(tmp_path / "work")
    assert written["channels"]["webhook"]["secret"] == KEY
    assert (state / "portico.json").stat().st_mode & 0o077 == 0
    gateway = GatewayProcess(state).start()
    try:
        place = ("--state-dir", str(state))
        told = subprocess.run(
            [*(sys.executable, "-m", "portico", "agent", "--message", "hello"), *place],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment(tmp_path),
        )
        assert "Echo: hello" in told.stdout, told.stderr
    finally:
        assert gateway.stop() == 0
    assert gateway.tracebacks() == []
    assert KEY not in gateway.log()


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    words = [sys.executable, "-m", "portico", "onboard", "--state-dir", str(state)]
    with Terminal(words, environment(tmp_path, PATH=str(tmp_path))) as terminal:
        terminal.wait_for("Workspace")
        os.kill(terminal.process.pid, 2)
        assert terminal.end() == 130, terminal.shown
    assert not state.exists()


def test_without_a_terminal(tmp_path: Path) -> None:
    state = tmp_path / "state"
    asked = onboard(state)
    assert asked.returncode == 2
    assert "no terminal" in asked.stderr
    refused = onboard(state, "--non-interactive", "--port", "99999")
    assert refused.returncode == 5
    assert not state.exists()
    given = ("--port", "18790", "--channel", "webhook", "--setting", "secret=${PLANTED}")
    done = onboard(state, "--non-interactive", "--json", *given, PLANTED=KEY)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "status": "done",
        "config": str(state / "portico.json"),
        "accounts": ["webhook:default"],
        "running": False,
    }
    text = (state / "portico.json").read_text()
    assert "${PLANTED}" in text
    assert KEY not in text + done.stdout + done.stderr


def test_a_gateway_that_runs_takes_the_settings_over(tmp_path: Path) -> None:
    state = tmp_path / "state"
    gateway = GatewayProcess(state, env={"PLANTED": KEY}).start()
    try:
        with Operator(gateway) as operator:
            given = ("--channel", "webhook", "--setting", "secret=${PLANTED}")
            done = onboard(state, "--flow", "channels", "--non-interactive", "--json", *given)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["running"] is True
            plugins = {one["id"]: one for one in operator.call("plugins.list")["plugins"]}
            assert plugins["webhook"]["state"] == "enabled"
            begun = operator.call("wizard.start", flow="channels", channel="webhook")
            answered = operator.call(
                "wizard.next",
                sessionId=begun["sessionId"],
                answer={"stepId": begun["step"]["id"], "value": "short"},
            )
            assert (answered["done"], "secret: " in answered["error"]) == (False, True)
            told = operator.call("wizard.cancel", sessionId=begun["sessionId"])
            assert told == {"status": "cancelled"}
    finally:
        assert gateway.stop() == 0
    assert gateway.tracebacks() == []
    assert KEY not in gateway.log()


def test_a_service_is_installed_where_something_keeps_services(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    manager = programs / ("launchctl" if sys.platform == "darwin" else "systemctl")
    manager.write_text('#!/bin/sh\necho "$@" >> "$HOME/asked"\n')
    manager.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    state = tmp_path / "state"
    done = onboard(state, "--non-interactive", "--install-service", PATH=path)
    assert done.returncode == 0, done.stderr
    assert "is a service of this machine now" in done.stdout
    assert (tmp_path / "asked").exists()
    assert list(tmp_path.rglob("portico*.service")) or list(tmp_path.rglob("*portico*.plist"))
