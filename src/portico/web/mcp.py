"""`/mcp`: the agents' tools for MCP clients, over streamable HTTP.

Guarantees: no request has a session, so any replica answers it; a client sees and calls what its
credential and the agent's policy allow, as over `POST /tools/invoke`; the `mcp` library is
imported only when the endpoint is enabled.

The agent is chosen by the header `x-openclaw-agent-id`, the session by `x-openclaw-session-key`.

Source: Model Context Protocol, "Streamable HTTP".
"""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from portico import __version__
from portico.agents.service import Agents
from portico.agents.tools.contract import Tool, ToolCall
from portico.agents.tools.policy import Rules, allowed
from portico.agents.tools.toolbox import Done, Toolbox, ToolNotFound, as_text
from portico.auth.model import Principal
from portico.ids import new_id
from portico.protocol import keys
from portico.protocol.errors import GatewayError
from portico.protocol.scopes import Scope
from portico.tasks import Tasks
from portico.web.endpoint import Answer, Endpoint, HttpCall

INVALID_PARAMS = -32602
_WHO = "portico.mcp.caller"


class McpDoor:
    """The gateway as an MCP server."""

    def __init__(
        self,
        *,
        toolbox: Toolbox,
        agents: Agents,
        main_key: str,
        rules: Rules,
        max_body_bytes: int,
    ) -> None:
        self._toolbox = toolbox
        self._agents = agents
        self._main_key = main_key
        self._rules = rules
        server: Server[Any] = Server(
            "portico",
            version=__version__,
            title="Portico",
            instructions="Tools of the assistant behind this gateway.",
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        self._serving: asyncio.Task[None] | None = None
        self._manager = StreamableHTTPSessionManager(
            server, stateless=True, json_response=True, max_request_body_size=max_body_bytes
        )

    async def start(self, tasks: Tasks) -> None:
        """Be ready for requests; ended with the gateway's other tasks."""
        ready = asyncio.Event()
        self._serving = tasks.start(self._serve(ready), name="mcp.door")
        await ready.wait()

    def stop(self) -> None:
        """Answer no more."""
        if self._serving is not None:
            self._serving.cancel()

    async def _serve(self, ready: asyncio.Event) -> None:
        async with self._manager.run():
            ready.set()
            await asyncio.Event().wait()

    def endpoints(self) -> list[Endpoint]:
        """Return the routes: requests are posted; the others say that there is nothing to get."""
        return [
            Endpoint(
                method=verb,
                path="/mcp",
                handle=self._handle,
                operation=f"mcp{verb.capitalize()}",
                summary="Model Context Protocol, streamable HTTP.",
                answers={200: Answer("A JSON-RPC message.", dict[str, Any])},
                needs=Scope.WRITE,
                tag="mcp",
            )
            for verb in ("POST", "GET", "DELETE")
        ]

    async def _handle(self, call: HttpCall) -> ASGIApp:
        caller = self._caller(call)

        async def app(scope: AsgiScope, receive: Receive, send: Send) -> None:
            scope[_WHO] = caller
            await self._manager.handle_request(scope, receive, send)

        return app

    def _caller(self, call: HttpCall) -> ToolCall:
        headers = call.request.headers
        named = headers.get("x-openclaw-agent-id") or headers.get("x-openclaw-agent")
        agent = self._agents.get(keys.normalize_agent_id(named) if named else None)
        key = keys.canonical(
            headers.get("x-openclaw-session-key") or self._main_key,
            default_agent=agent.agent_id,
            main_key=self._main_key,
        )
        owner = self._agents.get(keys.agent_of(key, default_agent=agent.agent_id))
        return ToolCall(
            agent_id=owner.agent_id,
            session_key=key,
            call_id=new_id("call"),
            principal=call.principal,
        )

    async def _list(self, context: Any, _params: Any) -> types.ListToolsResult:
        call: ToolCall = context.request.scope[_WHO]
        tools = allowed((self._rules,), await self._toolbox.effective(call.agent_id, None))
        return types.ListToolsResult(
            tools=[_shown(tool) for tool in tools if _may(call.principal, tool)]
        )

    async def _call(
        self, context: Any, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        from mcp.shared.exceptions import MCPError

        call: ToolCall = context.request.scope[_WHO]
        try:
            _, done = await self._toolbox.invoke(
                call, params.name, params.arguments or {}, door=self._rules
            )
        except ToolNotFound as error:
            raise MCPError(INVALID_PARAMS, error.message) from None
        except GatewayError as error:
            return _result(Done(error.message, "REFUSED"))
        return _result(done)


def _may(principal: Principal | None, tool: Tool) -> bool:
    return principal is not None and tool.scope in principal.scopes


def _shown(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=dict(tool.parameters),
        annotations=types.ToolAnnotations(
            read_only_hint=not tool.changes, open_world_hint=tool.is_untrusted
        ),
    )


def _result(done: Done) -> types.CallToolResult:
    content: list[Any] = [types.TextContent(text=as_text(done.value))]
    for item in done.media:
        if item.type == "image" and item.content:
            mime_type = item.mime_type or "image/png"
            content.append(types.ImageContent(data=item.content, mime_type=mime_type))
    value = done.value if isinstance(done.value, dict) and not done.is_error else None
    return types.CallToolResult(content=content, structured_content=value, is_error=done.is_error)
