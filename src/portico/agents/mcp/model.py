"""One configured MCP server, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["starting", "connected", "lost", "not_installed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """How a server is reached: as a program, or at an address.

    Attributes:
        command: the program and its arguments; empty for servers at an address.
        env: variables besides the few that are always passed on.
        url: where a server speaks streamable HTTP; `sse` where it still speaks the older transport.
        is_trusted: the operator vouches for what its tools return.
        allow, deny: of its tools, by the names it gives them, patterns with `*`.
        connect_timeout_s: for the start of the program, the handshake and the list of tools.
        call_timeout_s: for one call.
    """

    name: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    url: str | None = None
    transport: Literal["streamable-http", "sse"] = "streamable-http"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_trusted: bool = False
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    connect_timeout_s: float = 30.0
    call_timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class McpStatus:
    """What is known of a server now.

    Attributes:
        problem: why it is not connected.
        failures: attempts since it was last connected.
    """

    name: str
    state: State
    tools: tuple[str, ...] = ()
    server: str | None = None
    problem: str | None = None
    failures: int = 0
