"""`portico nodes`, against a small real gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway import TOKEN, FakeGateway, Peer, running_gateway

KITCHEN, ATTIC = "a" * 64, "ab" * 32
NODES: list[dict[str, Any]] = [
    {
        "nodeId": KITCHEN,
        "displayName": "kitchen",
        "platform": "linux",
        "approvalState": "approved",
        "connected": True,
        "lastSeenAtMs": 1,
        "caps": ["system"],
        "commands": [f"c.{number}" for number in range(8)],
    },
    {
        "nodeId": ATTIC,
        "approvalState": "pending-approval",
        "pendingRequestId": "req-1",
        "connected": False,
        "caps": [],
        "commands": [],
    },
]
LISTED = {"ts": 1, "nodes": NODES}
PENDING = {"requestId": "req-1", "nodeId": ATTIC, "commands": ["system.run"], "caps": [], "ts": 1}
PLAN = {"argv": ["/bin/uname"], "cwd": "/", "commandText": "/bin/uname"}


def answer(payload: Any) -> dict[str, Any]:
    return {"ok": True, "nodeId": KITCHEN, "command": "x", "payload": payload, "payloadJSON": "{}"}


async def say(peer: Peer, request: dict[str, Any], seq: int, chunk: str, **other: Any) -> None:
    said = {
        "invokeId": "i",
        "nodeId": KITCHEN,
        "command": "x",
        "idempotencyKey": request["params"]["idempotencyKey"],
        "seq": seq,
        "chunk": chunk,
    }
    event = {"type": "event", "event": "node.invoke.progress", "payload": {**said, **other}}
    await peer.send(event)


async def invoked(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
    await say(peer, request, 0, "Lin")
    await say(peer, request, 0, "somebody else's", idempotencyKey="other")
    await say(peer, request, 1, "ux\n")
    match request["params"]["command"]:
        case "system.run.prepare":
            payload: Any = {"plan": PLAN}
        case "system.run":
            payload = {"exitCode": 3, "stdout": "Linux\n", "stderr": "hm\n"}
        case _:
            payload = {"bins": {}}
    await peer.answer(request, answer(payload))


@pytest.fixture
async def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    answers: dict[str, Any] = {
        "node.list": LISTED,
        "node.describe": {"ts": 1, **NODES[0]},
        "node.pair.list": {"pending": [PENDING], "paired": []},
        "node.pair.approve": {"requestId": "req-1", "node": {"commands": ["system.run"]}},
        "node.pair.reject": {"requestId": "req-1", "nodeId": ATTIC},
        "node.pair.remove": {"nodeId": KITCHEN},
        "node.rename": {"nodeId": KITCHEN, "displayName": "cellar"},
        "exec.approval.request": {"id": "x", "decision": "allow-once"},
    }
    methods = {"node.invoke": invoked}
    async with running_gateway(answers=answers, methods=methods) as fake:
        monkeypatch.setenv("PORTICO_GATEWAY_URL", fake.url)
        monkeypatch.setenv("PORTICO_GATEWAY_TOKEN", TOKEN)
        yield fake


@pytest.fixture
def portico(gateway, portico_async):
    return portico_async


async def test_what_there_is(gateway, portico) -> None:
    shown = await portico("nodes", "list")
    assert "aaaaaaaaaaaa\tkitchen\tlinux\tapproved\tyes\t" in shown.out
    assert "c.0, c.1, c.2, c.3, c.4, c.5 and 2 more" in shown.out
    assert "portico nodes pending" in shown.err
    here = await portico("nodes", "list", "--connected", "--json")
    assert [one["nodeId"] for one in here.json["nodes"]] == [KITCHEN]
    assert "req-1\tabababababab\t\tsystem.run\t" in (await portico("nodes", "pending")).out
    assert "kitchen" in (await portico("nodes", "describe", "kitchen")).out
    gateway.answers["node.list"] = {"ts": 1, "nodes": []}
    gateway.answers["node.pair.list"] = {"pending": [], "paired": []}
    assert "portico qr" in (await portico("nodes", "list")).out
    assert "No node asks" in (await portico("nodes", "pending")).out


@pytest.mark.parametrize(
    ("words", "method", "params", "said"),
    [
        (("approve", "req-1"), "node.pair.approve", {"requestId": "req-1"}, "system.run"),
        (("approve", "abab"), "node.pair.approve", {"requestId": "req-1"}, "Approved: abab"),
        (("reject", "req-1"), "node.pair.reject", {"requestId": "req-1"}, "Rejected: abab"),
        (("remove", "kitchen"), "node.pair.remove", {"nodeId": KITCHEN}, "Removed: aaaa"),
        (
            ("rename", "aaaa", "cellar"),
            "node.rename",
            {"nodeId": KITCHEN, "displayName": "cellar"},
            "is now called cellar",
        ),
    ],
)
async def test_changes(gateway, portico, words, method, params, said) -> None:
    shown = await portico("nodes", *words)
    assert (shown.code, gateway.called(method)) == (0, [params])
    assert said in shown.out
    assert (await portico("nodes", *words, "--json")).json == gateway.answers[method]


async def test_invoke(gateway, portico) -> None:
    given = ("kitchen", "system.which", "--params", '{"bins": ["git"]}', "--key", "k")
    shown = await portico("nodes", "invoke", *given)
    assert shown.json == {"bins": {}}
    (sent,) = gateway.called("node.invoke")
    assert sent == {
        "nodeId": KITCHEN,
        "command": "system.which",
        "params": {"bins": ["git"]},
        "timeoutMs": 30_000,
        "idempotencyKey": "k",
    }
    assert (await portico("nodes", "invoke", "kitchen", "x", "--params", "{")).code == 2
    assert (await portico("nodes", "invoke", "cellar", "x")).code == 5


async def test_run(gateway, portico) -> None:
    shown = await portico("nodes", "run-command", "kitchen", "--", "uname", "-a")
    assert (shown.code, shown.out) == (3, "Linux\n")
    assert "hm" in shown.err
    (sent,) = gateway.called("node.invoke")
    assert sent["params"] == {"command": ["uname", "-a"], "timeoutMs": 30_000}
    assert (await portico("nodes", "run-command", "kitchen")).code == 2


async def test_live_output(gateway, portico) -> None:
    run = ("run-command", "kitchen", "--live")
    shown = await portico("nodes", *run, "--", "uname")
    assert (shown.code, shown.out) == (3, "Linux\n")  # as it came, and not again at the end
    lines = (await portico("nodes", *run, "--json", "--", "uname")).out.splitlines()
    said = [json.loads(line) for line in lines]
    assert said[:2] == [{"seq": 0, "chunk": "Lin"}, {"seq": 1, "chunk": "ux\n"}]
    assert said[2]["payload"]["exitCode"] == 3
    shown = await portico("nodes", "invoke", "kitchen", "system.which", "--live")
    assert shown.json == {"bins": {}}
    assert "Linux" in shown.err


async def test_live_output_with_a_hole_says_so(gateway, portico) -> None:
    async def lossy(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        await say(peer, request, 3, "end")
        await peer.answer(request, answer({"exitCode": 0, "stdout": "begin end"}))

    gateway.methods["node.invoke"] = lossy
    shown = await portico("nodes", "run-command", "kitchen", "--live", "--", "uname")
    assert (shown.code, shown.out) == (0, "end")
    assert "--no-live" in shown.err


async def test_run_after_a_decision(gateway, portico) -> None:
    shown = await portico("nodes", "run-command", "kitchen", "--ask", "--", "uname")
    assert shown.code == 3
    (asked,) = gateway.called("exec.approval.request")
    assert asked["systemRunPlan"] == PLAN
    assert f"portico approvals allow {asked['id']}" in shown.err
    run = gateway.called("node.invoke")[-1]["params"]
    assert (run["approved"], run["runId"], run["command"]) == (True, asked["id"], PLAN["argv"])
    gateway.answers["exec.approval.request"] = {"id": "x", "decision": "deny"}
    assert (await portico("nodes", "run-command", "kitchen", "--ask", "--", "uname")).code == 5
    assert len(gateway.called("node.invoke")) == 3  # prepared again, and not run
