"""`portico approvals`, against a small real gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway import TOKEN, FakeGateway, running_gateway

PENDING = {
    "approvalKind": "exec",
    "id": "apr_1",
    "request": {"command": "rm -rf build\nls", "agentId": "main"},
    "createdAtMs": 1,
    "expiresAtMs": 4_000_000_000_000,
}
ENDED = {
    "id": "apr_1",
    "status": "allowed",
    "decision": "allow-once",
    "reason": "user",
    "resolvedAtMs": 1_700_000_000_000,
    "presentation": {"kind": "exec", "commandText": "rm -rf build", "agentId": "main"},
}
POLICY = {
    "path": "/home/ann/.portico/exec-approvals.json",
    "exists": True,
    "hash": "h1",
    "file": {
        "version": 1,
        "agents": {"main": {"allowlist": [{"pattern": "/bin/ls", "argPattern": "^-l\0$"}]}},
    },
    "resolvedDefaults": {
        "security": "allowlist",
        "ask": "on-miss",
        "askFallback": "deny",
        "autoAllowSkills": False,
    },
}


def answers() -> dict[str, Any]:
    return {
        "exec.approval.list": [PENDING],
        "approval.resolve": {"applied": True, "approval": ENDED},
        "approval.history": {"items": [ENDED, ENDED | {"decision": None, "reason": "timeout"}]},
        "exec.approvals.get": POLICY,
        "exec.approvals.set": POLICY,
    }


@pytest.fixture
async def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    async with running_gateway(answers=answers(), methods={}) as fake:
        monkeypatch.setenv("PORTICO_GATEWAY_URL", fake.url)
        monkeypatch.setenv("PORTICO_GATEWAY_TOKEN", TOKEN)
        yield fake


@pytest.fixture
def portico(gateway, portico_async):
    return portico_async


async def test_what_waits_is_listed(gateway, portico) -> None:
    shown = await portico("approvals", "list")
    assert "apr_1\tmain\trm -rf build ⏎ ls\t" in shown.out
    assert (await portico("approvals", "list", "--json")).json == [PENDING]
    gateway.answers["exec.approval.list"] = []
    assert "Nothing waits" in (await portico("approvals", "list")).out


@pytest.mark.parametrize(
    ("words", "decision"),
    [
        (("allow", "apr_1"), "allow-once"),
        (("allow", "apr_1", "--always"), "allow-always"),
        (("deny", "apr_1"), "deny"),
    ],
)
async def test_a_decision_is_sent(gateway, portico, words, decision) -> None:
    shown = await portico("approvals", *words)
    assert (shown.code, shown.out) == (0, f"{decision}: rm -rf build\n")
    sent = {"id": "apr_1", "kind": "exec", "decision": decision}
    assert gateway.called("approval.resolve") == [sent]
    assert (await portico("approvals", *words, "--json")).json["applied"] is True


async def test_a_decision_that_comes_too_late_fails(gateway, portico) -> None:
    over = ENDED | {"status": "expired", "reason": "timeout"}
    gateway.answers["approval.resolve"] = {"applied": False, "approval": over}
    shown = await portico("approvals", "deny", "apr_1", "--json")
    assert shown.code == 5
    assert shown.error["code"] == "approval.over"
    assert "expired" in shown.error["message"]


async def test_history_says_how_each_ended(portico) -> None:
    shown = await portico("approvals", "history")
    assert "allow-once\tmain\trm -rf build" in shown.out
    assert "expired\tmain" in shown.out


async def test_the_policy_is_shown(portico) -> None:
    shown = await portico("approvals", "get")
    assert "/home/ann/.portico/exec-approvals.json" in shown.out
    assert "main\t/bin/ls\t^-l␀$\t" in shown.out
    assert (await portico("approvals", "get", "--json")).json == POLICY


async def test_the_policy_is_replaced(gateway, portico, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(POLICY))
    assert (await portico("approvals", "set", str(file))).code == 0
    file.write_text("{version: 1, /* new */}")
    assert (await portico("approvals", "set", str(file))).code == 0
    assert (await portico("approvals", "set", str(file), "--base-hash", "h9", "--json")).code == 0
    assert gateway.called("exec.approvals.set") == [
        {"file": POLICY["file"], "baseHash": "h1"},
        {"file": {"version": 1}, "baseHash": "h1"},
        {"file": {"version": 1}, "baseHash": "h9"},
    ]


async def test_a_file_that_is_none_is_refused(gateway, portico, tmp_path: Path) -> None:
    missing = await portico("approvals", "set", str(tmp_path / "none.json"), "--json")
    assert missing.code == 1
    (tmp_path / "bad.json").write_text("{")
    bad = await portico("approvals", "set", str(tmp_path / "bad.json"), "--json")
    assert (bad.code, bad.error["code"]) == (2, "usage.json")
    assert gateway.called("exec.approvals.set") == []
