"""Portico as an MCP server, asked by the official client; and an agent that uses the reference
server of the protocol's makers (npm)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx2
import msgspec
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, tool
from portico.protocol.scopes import Scope
from tests.e2e.node_client import FOLDER, find_node
from tests.fakes.provider import FakeProvider, Say
from tests.support.http import TOKEN, House, house, listening, settings
from tests.support.waiting import eventually

REFERENCE = FOLDER / "node_modules" / "@modelcontextprotocol" / "server-everything"


class Measure(ToolArgs, frozen=True, kw_only=True):
    text: Annotated[str, msgspec.Meta(min_length=1, description="What to measure.")]


class Nothing(ToolArgs, frozen=True):
    pass


class TestTools:
    """Stand in for features: what matters here is the door."""

    __test__ = False

    @tool("measure", group="test", changes=False, scope=Scope.READ)
    async def measure(self, call: ToolCall, args: Measure) -> dict[str, Any]:
        """Measure a text."""
        return {"length": len(args.text), "agent": call.agent_id, "session": call.session_key}

    @tool("refuse", group="test")
    async def refuse(self, call: ToolCall, args: Nothing) -> str:
        """Refuse."""
        raise ToolError("Not today.")

    @tool("forbidden", group="test")
    async def forbidden(self, call: ToolCall, args: Nothing) -> str:
        """Must not be reachable."""
        raise AssertionError


@asynccontextmanager
async def gateway(folder: Path, **gateway: Any) -> AsyncIterator[tuple[House, str]]:
    config = settings(
        {"http": {"endpoints": {"mcp": {"enabled": True}}}, **gateway},
        tools={"deny": ["forbidden"]},
        agents={"list": [{"id": "main"}, {"id": "ops"}]},
    )
    async with house(folder, config) as inside:
        inside.gateway.conversation.toolbox.registry.add(TestTools())
        async with listening(inside.gateway) as url:
            yield inside, url


@asynccontextmanager
async def client(url: str, token: str = TOKEN, **headers: str) -> AsyncIterator[Client]:
    carried = {"authorization": f"Bearer {token}", **headers}
    async with (
        httpx2.AsyncClient(headers=carried) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as connected,
    ):
        yield connected


async def test_the_official_client_lists_and_calls(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (_, url), client(url) as mcp:
        listed = {tool.name: tool for tool in (await mcp.list_tools()).tools}
        assert {"measure", "refuse"} <= set(listed)
        assert not {"forbidden", "exec", "sessions_send"} & set(listed)
        measure = listed["measure"]
        assert measure.input_schema["required"] == ["text"]
        assert measure.annotations is not None
        assert measure.annotations.read_only_hint is True
        done = await mcp.call_tool("measure", {"text": "four"})
        assert done.structured_content == {
            "length": 4,
            "agent": "main",
            "session": "agent:main:main",
        }
        refused = await mcp.call_tool("refuse", {})
        assert refused.is_error
        assert "Not today." in str(refused.content)
        wrong = await mcp.call_tool("measure", {"text": ""})
        assert wrong.is_error
        assert "/text" in str(wrong.content)
        for name in ("forbidden", "exec", "absent"):
            with pytest.raises(MCPError, match="not available"):
                await mcp.call_tool(name, {})


async def test_a_header_chooses_the_agent_and_the_session(tmp_path: Path) -> None:
    chosen = {"x-openclaw-agent-id": "ops", "x-openclaw-session-key": "desk"}
    async with gateway(tmp_path) as (_, url), client(url, **chosen) as mcp:
        done = await mcp.call_tool("measure", {"text": "x"})
        assert done.structured_content == {"length": 1, "agent": "ops", "session": "agent:ops:desk"}


async def test_nobody_gets_in_without_the_token(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (inside, _):
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        for headers in ({"authorization": ""}, {"authorization": "Bearer wrong"}):
            answer = await inside.client.post("/mcp", json=body, headers=headers)
            assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{no", 400), (b"[]", 400), (b'{"jsonrpc": "1.0"}', 400), (b"x" * 5_000_000, 413)],
)
async def test_what_is_not_mcp_is_refused(tmp_path: Path, body: bytes, status: int) -> None:
    async with gateway(tmp_path) as (inside, _):
        headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
        }
        answer = await inside.client.post("/mcp", content=body, headers=headers)
        assert answer.status_code == status


async def test_it_is_not_there_unless_enabled(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        assert (await inside.client.post("/mcp", json={})).status_code == 404


async def test_an_agent_uses_the_reference_server(tmp_path: Path) -> None:
    assert REFERENCE.exists(), "the JavaScript packages are missing: make test installs them"
    everything = {
        "command": find_node(),
        "args": [str(REFERENCE / "dist" / "index.js"), "stdio"],
    }
    async with FakeProvider() as provider:
        lab = {"baseUrl": provider.url, "apiKey": "sk", "models": [{"id": "m"}]}
        config = settings(
            agents={"defaults": {"model": "lab/m"}},
            models={"providers": {"lab": lab}},
            mcp={"servers": {"everything": everything}},
            tools={"trusted": ["http"]},
        )
        async with house(tmp_path, config) as inside:
            status = inside.gateway.conversation.mcp_servers.status
            await eventually(lambda: status()[0].state == "connected")
            provider.plan(
                Say(calls=(("mcp__everything__echo", '{"message": "over three hops"}'),)),
                Say("It said it back."),
            )
            answer = (await inside.say("echo something")).json()
            assert answer["reply"] == "It said it back."
            offered = {tool["function"]["name"] for tool in provider.requests[0]["tools"]}
            assert "mcp__everything__echo" in offered
            told = json.dumps(provider.requests[1]["messages"][-1])
            assert "over three hops" in told
            left = {tool["function"]["name"] for tool in provider.requests[1].get("tools", ())}
            assert "mcp__everything__echo" not in left  # it has read what the server says


async def test_the_command_serves_the_gateway_on_its_pipes(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (_, url):
        words = ["-m", "portico", "mcp", "serve", "--agent", "ops", "--url", url, "--token", TOKEN]
        program = StdioServerParameters(
            command=sys.executable, args=words, env={"HOME": str(tmp_path)}
        )
        async with Client(program) as mcp:
            names = {tool.name for tool in (await mcp.list_tools()).tools}
            assert "measure" in names
            done = await mcp.call_tool("measure", {"text": "ab"})
            assert done.structured_content == {
                "length": 2,
                "agent": "ops",
                "session": "agent:ops:main",
            }


def test_the_command_says_what_to_switch_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portico", "mcp", "serve", "--url", "http://127.0.0.1:9"],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert "gateway.http.endpoints.mcp.enabled" in done.stderr
