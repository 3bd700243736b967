"""One MCP server, kept connected: its tools as ours.

Guarantees:
    - A server that is down, slow, or talks nonsense costs its own tools and nothing else; it is
      tried again with growing pauses, and said once when it is lost and once when it is back.
    - The `mcp` library is imported only when a server is configured, in a thread.
    - A call never outlives its time, and never waits for a server that is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import structlog

from portico.agents.mcp.content import value_of
from portico.agents.mcp.model import McpServer, McpStatus, State
from portico.agents.tools.contract import Tool, ToolCall, ToolError, ToolOutput

log = structlog.get_logger()

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
LOOK_EVERY_S = 60.0
"""How often the list of tools is read again, which also tells whether the server lives."""
FIRST_WAIT_S = 5.0
"""How long the first turn after a start waits for a server that is still starting."""
MAX_NAME = 64
CONNECTION_CLOSED = -32000
"""The JSON-RPC code of the `mcp` library for a peer that is gone."""
MAX_TOOLS = 200
MAX_DESCRIPTION = 4_000


class McpConnection:
    """Keeps one server connected while `serve` runs."""

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self._client: Any = None
        self._tools: tuple[Tool, ...] = ()
        self._state: State = "starting"
        self._problem: str | None = None
        self._failures = 0
        self._announced: str | None = None
        self._tried = asyncio.Event()
        self._stirred = asyncio.Event()
        self._is_lost = False

    def status(self) -> McpStatus:
        """Return what is known now."""
        return McpStatus(
            self.server.name,
            self._state,
            tuple(tool.name for tool in self._tools),
            self._announced,
            self._problem,
            self._failures,
        )

    async def tools(self) -> list[Tool]:
        """Return its tools; the first time, waits a little for a server that is starting."""
        if not self._tried.is_set():
            try:
                await asyncio.wait_for(self._tried.wait(), FIRST_WAIT_S)
            except TimeoutError:
                return []
        return [*self._tools]

    async def serve(self) -> None:
        """Connect, stay connected, connect again; until cancelled."""
        try:
            transport: Any = await asyncio.to_thread(
                importlib.import_module, "portico.agents.mcp.transport"
            )
        except ImportError as error:
            self._missing(error)
            return
        try:
            while True:
                try:
                    await self._stay(transport)
                except Exception as error:  # noqa: BLE001  # a foreign program: anything
                    self._lost(error)
                else:
                    self._lost(ConnectionError("the connection was lost"))
                if _is_told_to_stop():  # the library swallowed it while it closed a connection
                    break
                await asyncio.sleep(self._pause_s())
        finally:
            self._state = "stopped"

    async def _stay(self, transport: Any) -> None:
        limit_s = self.server.connect_timeout_s
        self._stirred.clear()
        self._is_lost = False
        try:
            async with asyncio.timeout(limit_s) as limit:
                async with transport.connected(self.server, on_change=self._stirred.set) as client:
                    await self._list(client, transport.every_tool)
                    limit.reschedule(None)
                    self._found(client)
                    await self._watch(client, transport.every_tool)
        except TimeoutError as error:
            raise TimeoutError(f"no answer within {limit_s:g} s") from error
        finally:
            self._client, self._tools = None, ()

    async def _watch(self, client: Any, every_tool: Callable[[Any], Awaitable[list[Any]]]) -> None:
        while not self._is_lost:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), LOOK_EVERY_S)
            self._stirred.clear()
            if not self._is_lost:
                async with asyncio.timeout(self.server.connect_timeout_s):
                    await self._list(client, every_tool)

    async def _list(self, client: Any, every_tool: Callable[[Any], Awaitable[list[Any]]]) -> None:
        wanted = [tool for tool in await every_tool(client) if self._is_wanted(tool.name)]
        if len(wanted) > MAX_TOOLS:
            log.warning("mcp.too_many_tools", server=self.server.name, tools=len(wanted))
        self._tools = tuple(self._tool(tool) for tool in wanted[:MAX_TOOLS])

    def _is_wanted(self, name: str) -> bool:
        server = self.server
        if any(fnmatchcase(name, pattern) for pattern in server.deny):
            return False
        return not server.allow or any(fnmatchcase(name, pattern) for pattern in server.allow)

    def _tool(self, foreign: Any) -> Tool:
        hints = foreign.annotations
        remote_name: str = foreign.name

        async def run(_call: ToolCall, given: Mapping[str, Any]) -> ToolOutput:
            return await self._call(remote_name, given)

        return Tool(
            name=tool_name(self.server.name, remote_name),
            description=(foreign.description or remote_name)[:MAX_DESCRIPTION],
            run=run,
            parameters=dict(foreign.input_schema),
            group="mcp",
            changes=not (self.server.is_trusted and hints is not None and hints.read_only_hint),
            is_untrusted=not self.server.is_trusted,
            timeout_s=self.server.call_timeout_s,
            source=f"mcp:{self.server.name}",
        )

    async def _call(self, name: str, given: Mapping[str, Any]) -> ToolOutput:
        client = self._client
        if client is None:
            raise ToolError(f"The MCP server {self.server.name} is not connected.")
        try:
            result = await client.call_tool(name, dict(given))
        except Exception as error:
            if getattr(error, "code", CONNECTION_CLOSED) != CONNECTION_CLOSED:
                raise ToolError(f"{name}: {error}") from error  # a living server's answer
            self._is_lost = True
            self._stirred.set()
            log.warning("mcp.call_failed", server=self.server.name, tool=name, exc_info=error)
            raise ToolError(f"The MCP server {self.server.name} broke off.") from error
        output = value_of(result)
        if result.is_error:
            raise ToolError(str(output.value) or f"{name} failed.")
        return output

    def _found(self, client: Any) -> None:
        info = client.server_info
        self._announced = f"{info.name} {info.version}" if info else None
        self._client = client
        self._state, self._problem, self._failures = "connected", None, 0
        self._tried.set()
        log.info("mcp.connected", server=self.server.name, tools=len(self._tools))

    def _lost(self, error: Exception) -> None:
        self._state, self._problem = "lost", _told(error)
        self._failures += 1
        self._tried.set()
        if self._failures == 1:
            log.warning("mcp.lost", server=self.server.name, reason=self._problem)

    def _missing(self, error: ImportError) -> None:
        self._state = "not_installed"
        self._problem = "install it with: pip install 'portico[mcp]'"
        self._tried.set()
        log.error("mcp.not_installed", server=self.server.name, error=str(error))

    def _pause_s(self) -> float:
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10))
        return random.uniform(longest / 2, longest)


def _is_told_to_stop() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def tool_name(server: str, name: str) -> str:
    """Return how a server's tool is called here: `mcp__<server>__<tool>`, as providers take it."""
    whole = re.sub(r"[^A-Za-z0-9_-]", "_", f"mcp__{server}__{name}")
    if len(whole) <= MAX_NAME:
        return whole
    digest = hashlib.blake2b(whole.encode(), digest_size=4).hexdigest()
    return f"{whole[: MAX_NAME - 9]}_{digest}"


def _told(error: BaseException) -> str:
    """Return the first plain cause, without addresses' credentials or a traceback."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:300]
