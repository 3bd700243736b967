"""Nodes against a real gateway: from the first connection to the last answer, over restarts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.e2e.node_device import NodeDevice
from tests.published import problems

WHICH = "system.which"
RUN = "system.run"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    config = {"gateway": {"auth": {"mode": "token", "token": "0123456789abcdef0123456789abcdef"}}}
    running = GatewayProcess(tmp_path_factory.mktemp("nodes") / "state", config=config).start()
    yield running
    assert running.stop() == 0
    assert running.tracebacks() == []


@pytest.fixture
def operator(gateway: GatewayProcess) -> Iterator[Operator]:
    with Operator(gateway) as connected:
        yield connected


def approve(operator: Operator, node: NodeDevice) -> None:
    entry = operator.call("node.describe", nodeId=node.node_id)
    operator.call("node.pair.approve", requestId=entry["pendingRequestId"])
    assert node.wait_event("node.pair.resolved")["payload"]["decision"] == "approved"


def ask(operator: Operator, node: NodeDevice, command: str = WHICH, **how: Any) -> str:
    return operator.send(
        "node.invoke",
        **{"nodeId": node.node_id, "command": command, "params": {"bins": ["git"]}, **how},
    )


def refused(operator: Operator, request_id: str) -> dict[str, Any]:
    with pytest.raises(Refused) as answer:
        operator.answer(request_id)
    return answer.value.error


def test_pair_approve_invoke(gateway: GatewayProcess, operator: Operator) -> None:
    with NodeDevice(gateway, WHICH, "lamp.switch") as node:
        requested = operator.wait_event("node.pair.requested", nodeId=node.node_id)
        assert requested["commands"] == [WHICH]
        listed = operator.call("node.pair.list")
        assert [one["requestId"] for one in listed["pending"]] == [requested["requestId"]]
        error = refused(operator, ask(operator, node, idempotencyKey="too-early"))
        assert error["details"]["reason"] == "command not approved"
        approve(operator, node)
        operator.wait_event("node.pair.resolved", nodeId=node.node_id, decision="approved")
        request_id = ask(operator, node, idempotencyKey="first", sessionKey="main")
        frame = node.wait_event("node.invoke.request")
        assert "seq" not in frame
        request = frame["payload"]
        listed = {name: request[name] for name in request if name != "sessionKey"}  # newer
        assert problems("NodeInvokeRequestEvent", listed) == []
        for seq, chunk in ((1, "b"), (0, "a"), (0, "a")):
            said = {"invokeId": request["id"], "nodeId": node.node_id, "seq": seq, "chunk": chunk}
            node.call("node.invoke.progress", **said)
        for seq, chunk in enumerate("ab"):
            shown = operator.wait_event("node.invoke.progress", seq=seq)
            assert shown["chunk"] == chunk
            assert (shown["nodeId"], shown["command"]) == (node.node_id, WHICH)
            assert (shown["invokeId"], shown["idempotencyKey"]) == (request["id"], "first")
        assert node.answer(request, ok=True, payloadJSON='{"bins":{}}') == {"ok": True}
        assert node.answer(request, ok=True, payload=1) == {"ok": True, "ignored": True}
        answer = operator.answer(request_id)
        assert answer["payload"] == {"bins": {}}
        assert answer["payloadJSON"] == '{"bins":{}}'
        again = operator.answer(ask(operator, node, idempotencyKey="first", sessionKey="main"))
        assert again == answer  # and the node was not asked again
        with pytest.raises(Refused, match="nodeId mismatch"):
            node.call("node.invoke.result", id=request["id"], nodeId="another", ok=True)
        listed = operator.call("node.list")
        (entry,) = [one for one in listed["nodes"] if one["nodeId"] == node.node_id]
        assert entry["commands"] == [WHICH]
        assert entry["connected"] is True


def test_node_leaves_and_comes_back(gateway: GatewayProcess, operator: Operator) -> None:
    node = NodeDevice(gateway, WHICH)
    approve(operator, node)
    first = ask(operator, node, idempotencyKey="leave-1")
    node.wait_event("node.invoke.request")
    node.close()
    error = refused(operator, first)
    assert error["message"] == "DISCONNECTED: node disconnected (system.which)"
    assert error["details"]["nodeCommandDispatched"] is True
    assert error["details"]["outcome"] == "uncertain"
    assert refused(operator, ask(operator, node, idempotencyKey="leave-1")) == error
    error = refused(operator, ask(operator, node, idempotencyKey="leave-2"))
    assert error["details"]["code"] == "NOT_CONNECTED"
    with NodeDevice(gateway, WHICH, device=node.device) as back:
        assert operator.call("node.describe", nodeId=back.node_id)["approvalState"] == "approved"
        second = ask(operator, back, idempotencyKey="leave-2")  # nothing had happened
        back.answer(back.wait_event("node.invoke.request")["payload"], ok=True, payload=2)
        assert operator.answer(second)["payload"] == 2


def test_too_slow(gateway: GatewayProcess, operator: Operator) -> None:
    with NodeDevice(gateway, WHICH) as node:
        approve(operator, node)
        slow = ask(operator, node, idempotencyKey="slow", timeoutMs=50)
        request = node.wait_event("node.invoke.request")["payload"]
        assert refused(operator, slow)["details"]["code"] == "TIMEOUT"
        cancel = node.wait_event("node.invoke.cancel")
        assert cancel["payload"] == {"invokeId": request["id"], "nodeId": node.node_id}
        assert node.answer(request, ok=True)["ignored"] is True


def test_caller_goes_away(gateway: GatewayProcess, operator: Operator) -> None:
    with NodeDevice(gateway, WHICH) as node:
        approve(operator, node)
        with Operator(gateway) as other:
            ask(other, node, idempotencyKey="gone")
            node.wait_event("node.invoke.request")
        assert node.wait_event("node.invoke.cancel")


def test_over_a_restart(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "state").start()
    node = NodeDevice(gateway, WHICH)
    with Operator(gateway) as operator:
        approve(operator, node)
        ask(operator, node, idempotencyKey="over")
        node.wait_event("node.invoke.request")
        gateway.kill()
    node.close()
    gateway.start()
    with Operator(gateway) as operator, NodeDevice(gateway, WHICH, device=node.device) as back:
        error = refused(operator, ask(operator, back, idempotencyKey="over"))
        assert error["details"]["code"] == "RESULT_LOST"
        assert error["details"]["outcome"] == "uncertain"
        fresh = ask(operator, back, idempotencyKey="fresh")
        request = back.wait_event("node.invoke.request")["payload"]
        assert request["idempotencyKey"] == "fresh"  # the other one was not sent
        back.answer(request, ok=True, payload={})
        operator.answer(fresh)
    assert gateway.stop() == 0
    assert gateway.tracebacks() == []


def plan(argv: list[str]) -> dict[str, Any]:
    return {
        "argv": argv,
        "cwd": "/srv",
        "commandText": " ".join(argv),
        "agentId": None,
        "sessionKey": None,
    }


def test_a_program_somebody_approved(gateway: GatewayProcess, operator: Operator) -> None:
    argv = ["/bin/echo", "hi"]
    with NodeDevice(gateway, RUN) as node, Operator(gateway) as reviewer:
        approve(operator, node)
        asked = operator.send(
            "exec.approval.request",
            id="run-1",
            host="node",
            nodeId=node.node_id,
            systemRunPlan=plan(argv),
            twoPhase=True,
        )
        operator.answer(asked)
        claim = {"command": argv, "runId": "run-1", "approved": True}

        def code(**claimed: Any) -> str:
            number = len(operator.events) + claims.pop()
            tried = ask(operator, node, RUN, idempotencyKey=f"c{number}", params=claimed)
            return str(refused(operator, tried)["details"]["code"])

        claims = list(range(100, 120))
        assert code(**claim) == "APPROVAL_REQUIRED"  # nobody has decided
        reviewer.call("exec.approval.resolve", id="run-1", decision="allow-once")
        assert code(command=argv, approved=True) == "MISSING_RUN_ID"
        assert code(**{**claim, "runId": "other"}) == "UNKNOWN_APPROVAL_ID"
        assert code(**{**claim, "command": ["/bin/rm"]}) == "APPROVAL_REQUEST_MISMATCH"
        assert code(**{**claim, "env": {"LD_PRELOAD": "x"}}) == "APPROVAL_ENV_MISMATCH"
        run = ask(operator, node, RUN, idempotencyKey="run", params={**claim, "cwd": "/elsewhere"})
        request = node.wait_event("node.invoke.request")["payload"]
        sent = json.loads(request["paramsJSON"])
        assert sent["approved"] is True
        assert sent["approvalDecision"] == "allow-once"
        assert sent["command"] == argv
        assert sent["cwd"] == "/srv"  # what was approved, not what the caller says
        assert sent["systemRunPlan"] == plan(argv)
        node.answer(request, ok=True, payload={"exitCode": 0})
        assert operator.answer(run)["payload"] == {"exitCode": 0}
        assert code(**claim) == "APPROVAL_REQUIRED"  # it is used up
        with NodeDevice(gateway, RUN) as other:
            approve(operator, other)
            tried = ask(operator, other, RUN, idempotencyKey="elsewhere", params=claim)
            assert refused(operator, tried)["details"]["code"] == "APPROVAL_NODE_MISMATCH"
        plain = ask(operator, node, RUN, idempotencyKey="plain", params={"command": argv, "x": 1})
        request = node.wait_event("node.invoke.request")["payload"]
        assert json.loads(request["paramsJSON"]) == {"command": argv}
        node.answer(request, ok=False, error={"code": "SYSTEM_RUN_DENIED", "message": "ask"})
        assert refused(operator, plain)["message"] == "SYSTEM_RUN_DENIED: ask"


def test_events_of_nodes(gateway: GatewayProcess, operator: Operator) -> None:
    with NodeDevice(gateway, WHICH, permissions={"accessibility": True}) as node:

        def event(name: str, **payload: Any) -> tuple[bool, str | None]:
            taken = node.call("node.event", event=name, payload=payload)
            return taken["handled"], taken.get("reason")

        assert event("voice.transcript", text="hello") == (False, "approval_required")
        approve(operator, node)
        assert event("node.host.stats", cpuCount=2) == (True, "updated")
        assert operator.wait_event("node.hostStats", nodeId=node.node_id)["hostStats"]["cpuCount"]
        assert event("node.presence.activity", idleSeconds=3) == (True, "updated")
        assert operator.wait_event("node.presence", nodeId=node.node_id)["lastActiveAtMs"]
        assert operator.call("node.list")["activeNodeId"] == node.node_id
        assert event("node.presence.alive", trigger="manual") == (True, "persisted")
        assert event("node.presence.alive", trigger="manual") == (True, "throttled")
        assert event("no.such.event") == (False, "unsupported_event")
        assert event("chat.subscribe", sessionKey="from-node") == (True, None)
        said = event("agent.request", message="hello from the node", sessionKey="from-node")
        assert said == (True, None)
        final = node.wait_event("chat")
        while final["payload"]["state"] != "final":
            final = node.wait_event("chat")
        assert "seq" not in final
        assert final["payload"]["sessionKey"] == "agent:main:from-node"
        history = operator.call("chat.history", sessionKey="from-node")["messages"]
        assert "hello from the node" in str(history[0])
        assert event("exec.finished", runId="never-asked", exitCode=1) == (
            False,
            "unmatched_exec_event",
        )


def test_what_nodes_publish_and_what_waits_for_them(
    gateway: GatewayProcess, operator: Operator
) -> None:
    with NodeDevice(gateway, WHICH) as node:
        approve(operator, node)
        tool = {"pluginId": "p", "name": "weather", "description": "The weather.", "command": WHICH}
        assert node.call("node.pluginTools.update", tools=[tool])["tools"] == [tool]
        skill = {"name": "tea", "description": "Tea.", "content": "Boil."}
        assert node.call("node.skills.update", skills=[skill])["skills"] == [skill]
        node.call("node.runnerInventory.update", runners=[])
        assert operator.call("node.describe", nodeId=node.node_id)["nodePluginTools"] == [tool]
        first = operator.call("node.pending.enqueue", nodeId=node.node_id, type="location.request")
        again = operator.call("node.pending.enqueue", nodeId=node.node_id, type="location.request")
        assert again["queued"] == first["queued"]
        drained = node.call("node.pending.drain")
        assert [item["type"] for item in drained["items"]] == ["location.request"]
        assert node.call("node.pending.drain")["items"] == []
        assert node.call("node.pending.pull") == {"nodeId": node.node_id, "actions": []}
        assert node.call("node.pending.ack", ids=["x"])["remainingCount"] == 0
        assert isinstance(node.call("skills.bins")["bins"], list)


def test_rename_reject_remove(gateway: GatewayProcess, operator: Operator) -> None:
    with NodeDevice(gateway, WHICH) as node:
        operator.call("node.rename", nodeId=node.node_id, displayName="attic")
        entry = operator.call("node.describe", nodeId=node.node_id)
        assert entry["displayName"] == "attic"
        labels = {one.get("label") for one in operator.call("device.pair.list")["paired"]}
        assert "attic" in labels
        asked = operator.call("node.pair.request", nodeId=node.node_id, platform="linux")
        assert asked["request"]["requestId"] == entry["pendingRequestId"]
        verified = operator.call("node.pair.verify", nodeId=node.node_id, token="no")
        assert verified == {"ok": False}
        rejected = operator.call("node.pair.reject", requestId=entry["pendingRequestId"])
        assert rejected["nodeId"] == node.node_id
        operator.call("node.pair.remove", nodeId=node.node_id)
        operator.wait_event("node.pair.resolved", nodeId=node.node_id, decision="removed")
        nodes = operator.call("node.list")["nodes"]
        assert node.node_id not in {one["nodeId"] for one in nodes}
    actions = {one["action"] for one in operator.call("audit.changes.list", limit=100)["changes"]}
    assert {"node.rejected", "node.removed", "node.renamed"} <= actions


def test_policy_of_a_node(gateway: GatewayProcess, operator: Operator) -> None:
    get, put = "system.execApprovals.get", "system.execApprovals.set"
    shown = {"path": "/p", "exists": True, "hash": "h", "file": {"version": 1}}
    with NodeDevice(gateway, get, put) as node:
        approve(operator, node)
        for method, command, more in (
            ("exec.approvals.node.get", get, {}),
            ("exec.approvals.node.set", put, {"file": {"version": 1}, "baseHash": "h"}),
        ):
            request_id = operator.send(method, nodeId=node.node_id, **more)
            request = node.wait_event("node.invoke.request")["payload"]
            assert request["command"] == command
            node.answer(request, ok=True, payload=shown)
            assert operator.answer(request_id) == shown
        error = refused(operator, ask(operator, node, get, idempotencyKey="direct"))
        assert "use exec.approvals.node.*" in error["message"]


def test_scopes(gateway: GatewayProcess, operator: Operator) -> None:
    with (
        NodeDevice(gateway, WHICH, "fs.listDir") as node,
        Operator(gateway, scopes=("operator.write", "operator.pairing")) as writer,
    ):
        pending = operator.call("node.describe", nodeId=node.node_id)["pendingRequestId"]
        with pytest.raises(Refused, match=r"operator\.admin"):
            writer.call("node.pair.approve", requestId=pending)
        approve(operator, node)
        error = refused(writer, ask(writer, node, "fs.listDir", idempotencyKey="ls"))
        assert error["details"]["missingScope"] == "operator.admin"


def test_a_node_of_protocol_3(gateway: GatewayProcess, operator: Operator) -> None:
    with NodeDevice(gateway, WHICH, minProtocol=3, maxProtocol=3) as node:
        assert node.hello["protocol"] == 4
        assert node.wait_event("voicewake.changed")["payload"]["triggers"]
        routed = node.wait_event("voicewake.routing.changed")
        assert routed["payload"]["config"]["version"] == 1
        assert "seq" not in routed
        approve(operator, node)
        asked = ask(operator, node, idempotencyKey="v3")
        node.answer(node.wait_event("node.invoke.request")["payload"], ok=True, payload=3)
        assert operator.answer(asked)["payload"] == 3


def test_lists_of_commands_count_at_once(gateway: GatewayProcess, operator: Operator) -> None:
    def configure(**commands: list[str]) -> None:
        read = operator.call("config.get")
        patch = json.dumps({"gateway": {"nodes": {"commands": commands}}})
        lists = ["gateway.nodes.commands.deny", "gateway.nodes.commands.allow"]
        operator.call("config.patch", raw=patch, baseHash=read["hash"], replacePaths=lists)

    with NodeDevice(gateway, WHICH, "camera.snap") as node:
        approve(operator, node)
        error = refused(operator, ask(operator, node, "camera.snap", idempotencyKey="snap-1"))
        assert "gateway.nodes.commands.allow" in error["message"]
        configure(allow=["camera.snap"], deny=[WHICH])
        assert operator.call("node.describe", nodeId=node.node_id)["commands"] == ["camera.snap"]
        error = refused(operator, ask(operator, node, idempotencyKey="which-1"))
        assert "gateway.nodes.commands.deny" in error["message"]
        snap = ask(operator, node, "camera.snap", idempotencyKey="snap-1")
        node.answer(node.wait_event("node.invoke.request")["payload"], ok=True, payload={})
        operator.answer(snap)
        configure(allow=[], deny=[])


def test_the_tool_of_agents(gateway: GatewayProcess, operator: Operator) -> None:
    with NodeDevice(gateway, "system.notify", RUN) as node:
        approve(operator, node)

        def use(**args: Any) -> str:
            return operator.send(
                "tools.invoke", name="nodes", args=args, sessionKey="agent:main:main"
            )

        shown = operator.answer(use(action="status"))
        assert node.node_id in json.dumps(shown)
        told = use(action="notify", node=node.node_id, title="tea")
        request = node.wait_event("node.invoke.request")["payload"]
        assert json.loads(request["paramsJSON"]) == {"title": "tea", "body": ""}
        node.answer(request, ok=True)
        assert operator.answer(told)["ok"] is True
        with Operator(gateway) as reviewer:
            run = use(action="run", node=node.node_id, command=["/bin/true"])
            asked = reviewer.wait_event("exec.approval.requested")
            assert asked["request"]["nodeId"] == node.node_id
            reviewer.call("exec.approval.resolve", id=asked["id"], decision="allow-once")
            request = node.wait_event("node.invoke.request")["payload"]
            assert json.loads(request["paramsJSON"])["command"] == ["/bin/true"]
            node.answer(request, ok=True, payload={"exitCode": 0})
            assert operator.answer(run)["ok"] is True
