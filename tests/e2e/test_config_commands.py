"""`portico config …` beside a running gateway: it makes the change, and takes it back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess, Operator

OWN = {
    "gateway": {
        "auth": {"mode": "token", "token": "configuring-the-gateway-1"},
        "reload": {"debounceMs": 60_000, "restartCooldownMs": 600_000},
    },
    "session": {"dmScope": "per-peer"},
    "tools": {"deny": ["exec", "web_fetch"]},
    "agents": {"list": [{"id": "main"}, {"id": "ops", "name": "Ops"}]},
}
"""Nobody notices by looking at the file, and nothing restarts."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path_factory.mktemp("config") / "state", config=OWN)
    running.start()
    yield running
    running.stop()


class Ran:
    """What a command said."""

    def __init__(self, gateway: GatewayProcess, *words: str, stdin: str = "") -> None:
        done = subprocess.run(
            [sys.executable, "-m", "portico", *words, "--state-dir", str(gateway.state_dir)],
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=60,
        )
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out or self.err)


def name_of_ops(gateway: GatewayProcess) -> str:
    with Operator(gateway) as operator:
        agents = operator.call("agents.list")["agents"]
    return str(next(one["name"] for one in agents if one["id"] == "ops"))


def test_set_and_unset_are_made_by_the_gateway(gateway: GatewayProcess) -> None:
    file = gateway.state_dir / "portico.json"
    done = Ran(gateway, "config", "set", "agents.list[1].name", "Night shift")
    assert (done.code, "in force (hot)" in done.out) == (0, True), done.err
    assert name_of_ops(gateway) == "Night shift"
    assert "configuring-the-gateway-1" in file.read_text(), "secrets stay what they are"
    again = Ran(gateway, "config", "set", "agents.list[1].name", "Night shift", "--json")
    assert again.json["changed"] is False
    waits = Ran(gateway, "config", "set", "session.mainKey", "chief", "--json").json
    assert waits["changes"] == [{"path": "session.mainKey", "effect": "restart"}]
    assert (waits["restartNeeded"], waits["restart"]["ok"]) == (True, True)
    assert "in force" in Ran(gateway, "config", "unset", "session.mainKey").out
    assert "chief" not in file.read_text()
    bad = Ran(gateway, "config", "set", "logging.level", "loud", "--json")
    assert (bad.code, bad.json["error"]["code"]) == (6, "config.invalid")
    nowhere = Ran(gateway, "config", "set", "agents.list[7].name", "x", "--json")
    assert (nowhere.code, nowhere.json["error"]["code"]) == (5, "config.refused")


def test_patch_and_apply_show_their_plan(gateway: GatewayProcess, tmp_path: Path) -> None:
    file = gateway.state_dir / "portico.json"
    before = file.read_text()
    patch = json.dumps({"logging": {"level": "warn"}, "session": {"mainKey": "chief"}})
    dry = Ran(gateway, "config", "patch", patch, "--dry-run", "--json").json
    assert "error" not in dry, dry
    assert (dry["changed"], dry["dryRun"], dry["action"]) == (False, True, "restart")
    assert {one["path"]: one["effect"] for one in dry["changes"]} == {
        "logging.level": "hot",
        "session.mainKey": "restart",
    }
    assert file.read_text() == before
    shrink = '{tools: {deny: ["exec"]}}'
    refused = Ran(gateway, "config", "patch", shrink, "--json")
    assert refused.code == 5
    assert "replacePaths" in refused.json["error"]["message"]
    stale = Ran(gateway, "config", "patch", patch, "--base-hash", "0" * 64, "--json")
    assert (stale.code, "changed since" in stale.json["error"]["message"]) == (5, True)
    done = Ran(gateway, "config", "patch", "--stdin", "--replace-path", "tools.deny", stdin=shrink)
    assert done.code == 0, done.err
    assert "tools.deny" in done.out
    whole = tmp_path / "whole.json"
    whole.write_text(before)
    assert Ran(gateway, "config", "apply", "--file", str(whole)).code == 0
    assert json.loads(file.read_text()) == json.loads(before)
    offline = Ran(gateway, "config", "patch", '{logging: {level: "error"}}', "--offline", "--json")
    assert (offline.json["changed"], offline.json["action"]) == (True, "")
    with Operator(gateway) as operator:
        shown = operator.call("config.get")
        assert shown["configRevisionHash"] != shown["appliedConfigHash"], "the file alone"
    there = Ran(gateway, "config", "get", "logging.level", "--url", gateway.ws_url)
    assert there.out.strip() == "error"
    assert Ran(gateway, "config", "apply", "--file", str(whole)).code == 0
