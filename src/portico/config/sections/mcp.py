"""`mcp`: programs and services whose tools agents may use.

Source: OpenClaw configuration reference, section `mcp`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator, model_validator

from portico.config.sections.base import Section, expand_home, group, setting


class McpToolFilter(Section):
    """Which of a server's tools there are, by the names it gives them; patterns with `*`."""

    allow: tuple[str, ...] = setting((), "When there is any, no other tool.", reload="restart")
    deny: tuple[str, ...] = setting((), "Tools to leave out.", reload="restart")


class McpServerEntry(Section):
    """One server: a command, or an address."""

    not_used: ClassVar[frozenset[str]] = frozenset({"auth", "oauth", "description", "icon"})

    enabled: bool = setting(True, "Whether to connect to it.", reload="hot")
    command: str | None = setting(None, "The program of a server that runs here.", reload="hot")
    args: tuple[str, ...] = setting((), "Its arguments.", reload="hot")
    env: dict[str, str] = setting(
        doc="Variables of the program, besides PATH, HOME and the like.",
        secret=True,
        default_factory=dict,
        reload="hot",
    )
    cwd: str | None = setting(None, "The directory it runs in.", reload="hot")
    url: str | None = setting(None, "The address of a server.", pattern=r"^https?://", reload="hot")
    transport: Literal["stdio", "streamable-http", "http", "sse"] | None = setting(
        None,
        "How it speaks; unset: stdio with a command, streamable-http with an address.",
        reload="hot",
    )
    headers: dict[str, str] = setting(
        doc="Headers of every request to an address.",
        secret=True,
        default_factory=dict,
        reload="hot",
    )
    tools: McpToolFilter = group(McpToolFilter, "Which of its tools there are.")
    trusted: bool = setting(
        False,
        "You vouch for what its tools return; else it counts as untrusted text.",
        reload="hot",
    )
    connect_timeout_seconds: float = setting(
        30.0, "For its start, the handshake and the list of tools.", gt=0, reload="hot"
    )
    timeout_seconds: float = setting(120.0, "For one call.", gt=0, reload="hot")

    _at_home = field_validator("cwd", "command")(expand_home)

    @model_validator(mode="after")
    def _is_one_of_two(self) -> McpServerEntry:
        if (self.command is None) == (self.url is None):
            raise ValueError("an MCP server needs either a command or a url")
        return self


class Mcp(Section):
    """MCP servers."""

    not_used: ClassVar[frozenset[str]] = frozenset({"apps", "sessionIdleTtlMs"})

    servers: dict[str, McpServerEntry] = setting(
        doc="The servers, by name. Their tools are called mcp__<server>__<tool>.",
        default_factory=dict,
        reload="hot",
    )
