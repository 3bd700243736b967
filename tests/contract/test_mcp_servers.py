"""Agents use real MCP servers: a program on its pipes, and one at an address."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships none
import pytest

from portico.agents.mcp.connection import McpConnection, tool_name
from portico.agents.mcp.model import McpServer
from portico.agents.mcp.servers import McpServers
from portico.agents.tools.contract import Tool, ToolCall, ToolError, ToolOutput
from portico.tasks import Tasks
from tests.support.mcp_program import PIXEL
from tests.support.ports import unused_port
from tests.support.waiting import eventually

ROOT = str(Path(__file__).resolve().parents[2])
CALL = ToolCall(agent_id="main", session_key="agent:main:main", call_id="c")
PROGRAM = (sys.executable, "-m", "tests.support.mcp_program")


def program(**settings: object) -> McpServer:
    env = {"WORKSHOP": "oak", "PYTHONPATH": ROOT}
    return McpServer(name="workshop", command=PROGRAM, cwd=ROOT, env=env, **settings)  # type: ignore[arg-type]  # the settings of each test


@asynccontextmanager
async def serving(server: McpServer) -> AsyncIterator[McpConnection]:
    problems: list[BaseException] = []
    tasks = Tasks(lambda _name, error: problems.append(error))
    connection = McpConnection(server)
    tasks.start(connection.serve(), name="mcp")
    try:
        yield connection
    finally:
        async with asyncio.timeout(30):
            await tasks.stop()
        assert not problems


async def connected(connection: McpConnection) -> dict[str, Tool]:
    await eventually(lambda: connection.status().state == "connected", within_s=30)
    return {tool.name.rpartition("__")[2]: tool for tool in await connection.tools()}


async def test_its_tools_are_ours() -> None:
    async with serving(program()) as connection:
        tools = await connected(connection)
        add = tools["add"]
        assert (add.name, add.group, add.source) == ("mcp__workshop__add", "mcp", "mcp:workshop")
        assert add.description == "Add two numbers."
        assert add.parameters["required"] == ["a", "b"]
        assert add.is_untrusted
        assert add.changes  # an untrusted server's word that it changes nothing is no proof
        done = await add.run(CALL, {"a": 2, "b": 3})
        assert done == ToolOutput("5")
        picture = await tools["draw"].run(CALL, {})
        assert picture.value == "a dot"
        assert [(m.type, m.mime_type, m.content) for m in picture.media] == [
            ("image", "image/png", PIXEL)
        ]
        with pytest.raises(ToolError, match="fail"):
            await tools["fail"].run(CALL, {})
        with pytest.raises(ToolError):
            await tools["add"].run(CALL, {"a": "two"})
        assert (await tools["add"].run(CALL, {"a": 1, "b": 1})).value == "2"  # it still lives


async def test_it_gets_its_own_variables_and_none_of_the_gateways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTICO_TOKEN", "canary")
    async with serving(program()) as connection:
        tell = (await connected(connection))["secret_of"]
        assert (await tell.run(CALL, {"name": "WORKSHOP"})).value == "oak"
        assert (await tell.run(CALL, {"name": "PORTICO_TOKEN"})).value == "unset"


async def test_a_server_that_dies_fails_its_call_and_comes_back() -> None:
    async with serving(program()) as connection:
        tools = await connected(connection)
        with pytest.raises(ToolError, match="broke off"):
            await tools["die"].run(CALL, {})
        await eventually(lambda: connection.status().state == "lost", within_s=30)
        with pytest.raises(ToolError, match="not connected"):
            await tools["add"].run(CALL, {"a": 1, "b": 1})
        again = await connected(connection)
        assert (await again["add"].run(CALL, {"a": 1, "b": 1})).value == "2"


async def test_a_call_that_hangs_ends_in_its_time_and_the_server_stays() -> None:
    async with serving(program(call_timeout_s=0.5)) as connection:
        tools = await connected(connection)
        with pytest.raises(ToolError):
            await tools["hang"].run(CALL, {})
        await connected(connection)


async def test_only_wanted_tools_are_taken() -> None:
    async with serving(program(allow=("a*", "d*"), deny=("die",), is_trusted=True)) as connection:
        tools = await connected(connection)
        assert set(tools) == {"add", "draw"}
        assert not tools["add"].is_untrusted


async def test_nothing_of_a_server_is_left_when_it_is_stopped() -> None:
    async with serving(program()) as connection:
        await connected(connection)
        children = psutil.Process().children(recursive=True)
        mine = [p for p in children if "tests.support.mcp_program" in p.cmdline()]
        assert mine
    await eventually(lambda: not any(p.is_running() for p in mine), within_s=30)
    assert connection.status().state == "stopped"


@pytest.mark.parametrize(
    "command",
    [
        ("/does/not/exist",),
        (sys.executable, "-c", "import sys; sys.exit(1)"),
        (sys.executable, "-c", "print('no protocol here', flush=True); input()"),
        (sys.executable, "-c", "input(); input()"),
    ],
    ids=["absent", "exits", "talks nonsense", "is silent"],
)
async def test_a_server_that_cannot_be_used_costs_its_own_tools_only(
    command: tuple[str, ...],
) -> None:
    problems: list[BaseException] = []
    tasks = Tasks(lambda _name, error: problems.append(error))
    broken = McpServer(name="broken", command=command, connect_timeout_s=1)
    servers = McpServers([broken, program()], tasks=tasks)
    servers.start()
    try:
        await eventually(lambda: servers.status()[0].state == "lost", within_s=30)
        await eventually(lambda: servers.status()[1].state == "connected", within_s=30)
        names = {tool.name for tool in await servers.tools()}
        assert "mcp__workshop__add" in names
        assert servers.status()[0].problem
    finally:
        async with asyncio.timeout(30):
            await tasks.stop()
    assert not problems


@asynccontextmanager
async def at_an_address(kind: str, port: int) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, kind, str(port), cwd=ROOT, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.fixture(params=["streamable-http", "sse"])
def far(request: pytest.FixtureRequest) -> tuple[str, int, McpServer]:
    """How to start a server at an address, its port, and how it is reached."""
    port = unused_port()
    kind, path = {"streamable-http": ("--http", "mcp"), "sse": ("--sse", "sse")}[request.param]
    url = f"http://127.0.0.1:{port}/{path}"
    server = McpServer(name="far", url=url, transport=request.param, call_timeout_s=60)
    return kind, port, server


async def test_a_server_at_an_address(far: tuple[str, int, McpServer]) -> None:
    kind, port, server = far
    async with at_an_address(kind, port), serving(server) as connection:
        tools = await connected(connection)  # tried again until it listens
        assert (await tools["add"].run(CALL, {"a": 20, "b": 22})).value == "42"
        assert (await tools["draw"].run(CALL, {})).media[0].content == PIXEL
        with pytest.raises(ToolError, match="fail"):
            await tools["fail"].run(CALL, {})
        assert (await tools["add"].run(CALL, {"a": 1, "b": 1})).value == "2"
        assert connection.status().server is not None


async def test_a_server_at_an_address_goes_away_and_comes_back(
    far: tuple[str, int, McpServer],
) -> None:
    kind, port, server = far
    async with serving(server) as connection:
        async with at_an_address(kind, port):
            tools = await connected(connection)
            hanging = asyncio.ensure_future(tools["hang"].run(CALL, {}))
            assert (await tools["add"].run(CALL, {"a": 1, "b": 1})).value == "2"
        with pytest.raises(ToolError, match="broke off"):  # what ran when it was killed
            await hanging
        await eventually(lambda: connection.status().state == "lost", within_s=30)
        with pytest.raises(ToolError, match="not connected"):
            await tools["add"].run(CALL, {"a": 1, "b": 1})
        assert connection.status().problem
        async with at_an_address(kind, port):
            again = await connected(connection)
            assert (await again["add"].run(CALL, {"a": 1, "b": 1})).value == "2"


async def test_what_is_asked_of_a_server_that_is_gone_fails_at_once(
    far: tuple[str, int, McpServer],
) -> None:
    kind, port, server = far
    async with serving(server) as connection:
        async with at_an_address(kind, port):
            tools = await connected(connection)
        async with asyncio.timeout(30):  # not only when the call's time is over
            with pytest.raises(ToolError, match=r"broke off|not connected"):
                await tools["add"].run(CALL, {"a": 1, "b": 1})


def test_names_are_what_providers_take() -> None:
    assert tool_name("git hub", "issues/list") == "mcp__git_hub__issues_list"
    long = tool_name("s" * 40, "t" * 40)
    assert len(long) == 64
    assert long != tool_name("s" * 40, "t" * 41)
