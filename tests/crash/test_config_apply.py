"""kill -9 while the configuration is being changed: the file is the old one or the new one."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyjson5
import pytest
from websockets.exceptions import WebSocketException

from tests.e2e.gateway import GatewayProcess, Operator

TOKEN = "0123456789abcdef0123456789abcdef"
PARTLY = 3
"""Every third edit is a patch."""
MOST_EDITS = 28
"""As many as a minute's limit lets through."""
LONG_KILLS = 60


def config_of(number: int) -> dict[str, Any]:
    """A configuration that says twice, far apart, which one it is."""
    return {
        "agents": {
            "defaults": {"runtime": "echo"},
            "list": [{"id": "main", "name": f"edit {number}"}],
        },
        "logging": {"level": "info"},
        "gateway": {"auth": {"mode": "token", "token": TOKEN}, "reload": {"debounceMs": 20}},
    }


class Editor:
    """Changes the configuration until the gateway is gone."""

    def __init__(self, gateway: GatewayProcess, chance: random.Random) -> None:
        self.gateway = gateway
        self.asked, self.answered = 0, 0
        self._chance = chance

    @property
    def file(self) -> Path:
        return self.gateway.state_dir / "portico.json"

    def edit_until_killed(self) -> None:
        """Edit without pause; kill at some moment."""
        with Operator(self.gateway) as operator:
            before = self.answered
            self._edit(operator)  # what is used for the first time takes its time
            assert self.answered == before + 1
            delay_s = self._chance.uniform(0.0, 0.4)
            killing = threading.Timer(delay_s, self.gateway.kill)
            killing.start()
            with suppress(WebSocketException, TimeoutError):
                for _ in range(MOST_EDITS):
                    self._edit(operator)
            killing.join()

    def _edit(self, operator: Operator) -> None:
        base = operator.call("config.get")["hash"]
        self.asked += 1
        tree = config_of(self.asked)
        method = "config.patch" if self.asked % PARTLY == 0 else "config.apply"
        if method == "config.patch":
            tree = {"agents": {"list": tree["agents"]["list"]}}
        operator.call(method, raw=json.dumps(tree), baseHash=base)
        self.answered = self.asked

    def look(self) -> None:
        """What is in the file is the last edit that was answered, or the one that was asked."""
        found = pyjson5.decode(self.file.read_text())
        number = int(found["agents"]["list"][0]["name"].removeprefix("edit "))
        assert self.answered <= number <= self.asked
        assert found == config_of(number), "a mixture"
        for copy in self.file.parent.glob("portico.json.*"):
            held = pyjson5.decode(copy.read_text())
            kept = int(held["agents"]["list"][0]["name"].removeprefix("edit "))
            assert held == config_of(kept), copy.name
            assert kept <= number, copy.name
        self.answered = self.asked = number


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    made = GatewayProcess(tmp_path / "state", config=config_of(0))
    yield made
    made.stop()


def kill_again_and_again(gateway: GatewayProcess, kills: int, seed: int) -> Editor:
    editor = Editor(gateway, random.Random(seed))
    for _ in range(kills):
        gateway.start()
        assert "recovery" not in gateway.ready, gateway.said()
        editor.edit_until_killed()
        editor.look()
    gateway.start()
    with Operator(gateway) as operator:
        shown = operator.call("config.get")
    assert shown["valid"]
    assert shown["appliedConfigHash"] == shown["configRevisionHash"]
    assert "last good configuration" not in gateway.said()
    assert gateway.tracebacks() == []
    return editor


def test_kill_while_the_configuration_is_changed(gateway: GatewayProcess) -> None:
    editor = kill_again_and_again(gateway, kills=4, seed=1)
    assert editor.asked > 4, "no kill came in the middle"


NOT_OURS = {"gateway": {"bind": "custom", "customBindHost": "203.0.113.7"}}
"""No machine has this address (RFC 5737): no process comes up with it."""


def kill_while_a_restart_fails(gateway: GatewayProcess, kills: int, seed: int) -> None:
    file, chance = gateway.state_dir / "portico.json", random.Random(seed)
    tree = config_of(0)
    tree["gateway"]["reload"] |= {"restartCooldownMs": 0}
    file.write_text(good := json.dumps(tree))
    for _ in range(kills):
        gateway.start()
        assert "recovery" not in gateway.ready, gateway.said()
        with Operator(gateway) as operator:
            base = operator.call("config.get")["hash"]
            operator.call("config.patch", raw=json.dumps(NOT_OURS), baseHash=base)
            killing = threading.Timer(chance.uniform(0.0, 2.0), gateway.kill)
            killing.start()
            killing.join()
        gateway.wait_for_the_line()
        assert file.with_name("portico.json.last-good").read_text() == good
        found = file.read_text()
        assert found == good or "203.0.113.7" in found
    gateway.start()
    with Operator(gateway) as operator:
        status = operator.call("status")["config"]
    assert status["fromLastGood"] is (file.read_text() != good)
    assert status["revisionHash"] == status["appliedHash"]
    assert gateway.tracebacks() == []


def test_kill_while_a_restart_fails(gateway: GatewayProcess) -> None:
    kill_while_a_restart_fails(gateway, kills=2, seed=3)


@pytest.mark.crash
@pytest.mark.timeout(900)
def test_kill_while_a_restart_fails_again_and_again(gateway: GatewayProcess) -> None:
    kill_while_a_restart_fails(gateway, kills=LONG_KILLS // 2, seed=4)


@pytest.mark.crash
@pytest.mark.timeout(900)
def test_kill_while_the_configuration_is_changed_again_and_again(gateway: GatewayProcess) -> None:
    editor = kill_again_and_again(gateway, kills=LONG_KILLS, seed=2)
    assert editor.asked > LONG_KILLS
