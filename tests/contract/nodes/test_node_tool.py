"""The tool `nodes`: what agents may do with nodes, and what they are shown."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from portico.agents.tools.contract import ToolCall, ToolError, ToolOutput, tools_of
from portico.approvals.model import ApprovalAsked, Decided
from portico.clock import SystemClock
from portico.nodes.invoking import answer_of
from portico.nodes.policy import CommandRules
from portico.nodes.settings import NodeSettings
from portico.nodes.tool_source import PublishedTools
from portico.nodes.tools import NodeTools
from portico.store import Store
from tests.support.nodes import NodeHouse
from tests.support.pages import png
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
CALL = ToolCall(agent_id="main", session_key="agent:main:main", call_id="c1", run_id="r1")
ALLOWED = NodeSettings(rules=CommandRules(allow=frozenset({"camera.snap"})))


class Reviewer:
    """A person who answers at once."""

    def __init__(self) -> None:
        self.says = Decided("allow-once")
        self.asked: list[ApprovalAsked] = []

    async def ask(self, asked: ApprovalAsked, *, timeout_s: float) -> Decided:
        self.asked.append(asked)
        return self.says


@pytest.fixture
async def house(sqlite_store: Store) -> Any:
    opened = NodeHouse(sqlite_store, SystemClock(), ALLOWED)
    yield opened
    await opened.tasks.stop()


@pytest.fixture
def reviewer() -> Reviewer:
    return Reviewer()


@pytest.fixture
def use(house: NodeHouse, reviewer: Reviewer) -> Any:
    (tool,) = tools_of(NodeTools(house.nodes, reviewer, patience_s=1))
    assert tool.is_untrusted
    assert tool.changes

    async def call(action: str, **args: Any) -> ToolOutput:
        output = await tool.run(CALL, {"action": action, **args})
        assert isinstance(output, ToolOutput)
        return output

    return call


async def answered(house: NodeHouse, asking: Any, *payloads: Any) -> tuple[Any, list[Any]]:
    """Answer the commands a call makes, in order; return its result and what was sent."""
    task = asyncio.create_task(asking)
    sent: list[Any] = []
    for number, payload in enumerate(payloads, 1):
        await eventually(lambda n=number: len(house.requests()) >= n or task.done())
        if task.done():
            break
        request = house.requests()[number - 1]
        sent.append((request["command"], json.loads(request["paramsJSON"])))
        conn_id = next(iter(house.nodes.connections.sessions())).conn_id
        answer = answer_of(payload, None)
        house.nodes.invokes.result(conn_id, request["id"], answer=answer, error=("", ""))
    return await task, sent


async def test_status_names_only_what_a_person_has_approved(house: NodeHouse, use: Any) -> None:
    await house.connect("n1" * 32, "system.which")
    shown = (await use("status")).value["nodes"][0]
    assert shown["state"] == "pending-approval"
    assert "name" not in shown
    await house.approved("n1" * 32, "system.which")
    output = await use("status")
    assert output.is_untrusted is False
    assert output.value["nodes"][0]["name"] == "a node"
    assert output.value["nodes"][0]["commands"] == ["system.which"]


async def test_run_asks_about_exactly_what_the_node_will_run(
    house: NodeHouse, use: Any, reviewer: Reviewer
) -> None:
    await house.approved("n1", "system.run", "system.run.prepare")
    plan = {"argv": ["/bin/echo", "hi"], "cwd": "/srv", "commandText": "/bin/echo hi"}
    done = {"exitCode": 0, "stdout": "hi\n"}
    output, sent = await answered(house, use("run", command=["echo", "hi"]), {"plan": plan}, done)
    assert output.value == done
    assert output.is_untrusted is None  # as the tool says: it is
    (asked,) = reviewer.asked
    assert (asked.host, asked.node_id, asked.command) == ("node", "n1", "/bin/echo hi")
    assert asked.command_argv == ("/bin/echo", "hi")
    assert "allow-always" not in asked.allowed
    assert [command for command, _ in sent] == ["system.run.prepare", "system.run"]
    assert sent[1][1]["systemRunPlan"] == plan
    assert sent[1][1]["approved"] is True


async def test_what_a_program_says_is_shown_to_who_follows_the_run(house: NodeHouse) -> None:
    session = await house.approved("n1", "system.which")
    (tool,) = tools_of(NodeTools(house.nodes, Reviewer(), patience_s=1))
    shown: list[str] = []
    call = replace(CALL, say=shown.append)

    async def use() -> Any:
        return await tool.run(call, {"action": "which", "bins": ["git"]})

    task = asyncio.create_task(use())
    await eventually(lambda: len(house.requests()) == 1)
    invoke_id, invokes = house.requests()[0]["id"], house.nodes.invokes
    for seq, chunk in ((1, "b"), (0, "a")):
        invokes.progress(session.conn_id, invoke_id, seq=seq, chunk=chunk)
    assert shown == ["a", "b"]
    invokes.result(session.conn_id, invoke_id, answer=answer_of({}, None), error=("", ""))
    assert (await task).value == {}


async def test_without_a_yes_nothing_is_run(house: NodeHouse, use: Any, reviewer: Reviewer) -> None:
    await house.approved("n1", "system.run")
    for decided, why in (
        (Decided("deny"), "refused"),
        (Decided(None, "expired"), "nobody answered"),
    ):
        reviewer.says = decided
        with pytest.raises(ToolError, match=why):
            await use("run", command=["/bin/true"])
    assert house.requests() == []


async def test_picture(house: NodeHouse, use: Any) -> None:
    await house.approved("n1", "camera.snap", caps=("camera",), platform="android")
    content = png()
    shot = {"format": "png", "base64": base64.b64encode(content).decode(), "width": 1}
    output, _ = await answered(house, use("camera_snap"), shot)
    assert output.value == {"format": "png", "width": 1}
    assert output.media[0].mime_type == "image/png"
    with pytest.raises(ToolError, match="damaged"):
        await answered(house, use("camera_snap"), shot, {"format": "png", "base64": "%"})


@pytest.mark.parametrize(
    "command", ["system.run", "fs.listDir", "system.execApprovals.set", "worker.x", "browser.proxy"]
)
async def test_what_agents_may_not_invoke(house: NodeHouse, use: Any, command: str) -> None:
    await house.approved("n1", command)
    with pytest.raises(ToolError):
        await use("invoke", invokeCommand=command)
    assert house.requests() == []


async def test_refusals_are_told(house: NodeHouse, use: Any) -> None:
    with pytest.raises(ToolError, match="0 nodes are connected"):
        await use("notify", title="hi")
    await house.approved("n1", "system.notify")
    with pytest.raises(ToolError, match="no node is called"):
        await use("notify", node="other", title="hi")
    with pytest.raises(ToolError, match="does not support"):
        await use("which", bins=["git"])
    output, sent = await answered(house, use("notify", title="hi"), None)
    assert sent == [("system.notify", {"title": "hi", "body": ""})]
    assert output.is_untrusted is False


async def test_tools_that_nodes_publish(house: NodeHouse) -> None:
    source = PublishedTools(house.nodes)
    session = await house.approved("n1", "system.notify", "system.run", "mcp.tools.call.v1")
    about = {"pluginId": "p", "description": "Says it."}
    session.tools = (
        {**about, "name": "say", "command": "system.notify"},
        {**about, "name": "run", "command": "system.run"},
        {**about, "name": "other", "command": "lamp.switch"},
        {**about, "name": "far", "mcp": {"server": "s", "tool": "t"}},
    )
    assert await source.tools() == []  # the operator has not switched it on
    house.settings = NodeSettings(publishes_tools=True)
    say, far = await source.tools()
    assert (say.name, far.name) == ("a-node__say", "a-node__far")
    assert say.is_untrusted
    assert say.changes
    output, sent = await answered(house, far.run(CALL, {"x": 1}), {"content": []})
    assert sent == [("mcp.tools.call.v1", {"server": "s", "tool": "t", "arguments": {"x": 1}})]
    assert output.value == {"content": []}
