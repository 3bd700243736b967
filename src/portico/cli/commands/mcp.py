"""`portico mcp list|serve`."""

from __future__ import annotations

from typing import Any

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_json, print_table
from portico.cli.target import Target, connected, resolve_target

NOT_INSTALLED = "This command needs the mcp package."


@command("list")
async def list_servers(*, to: Remote = THERE) -> int:
    """List the MCP servers whose tools agents may use.

    Examples:
        portico mcp list
        portico mcp list --json
    """
    async with connected(to) as client:
        found = await client.request("mcp.servers", {}, timeout_s=to.timeout_s)
    servers = found["servers"]
    if to.json:
        print_json(found)
    elif not servers:
        print("No MCP servers are configured. Add one under mcp.servers.")
    else:
        print_table(
            ("Server", "State", "Tools", ""),
            [
                (s["name"], s["state"], len(s.get("tools", ())), s.get("problem") or "")
                for s in servers
            ],
        )
    return ExitCode.OK


@command("serve")
async def serve(*, agent: str | None = None, session: str | None = None, to: Remote = THERE) -> int:
    """Serve the gateway's tools over MCP on standard input and output.

    For MCP clients that start a program. It passes everything on to the gateway's /mcp, which
    gateway.http.endpoints.mcp.enabled switches on.

    Args:
        agent: Whose tools; the default agent's when not given.
        session: In which session they act.

    Examples:
        portico mcp serve
        portico mcp serve --agent ops
    """
    try:
        from portico.cli.mcp_bridge import Unreachable, bridge
    except ImportError as error:
        raise Failure(
            NOT_INSTALLED, code="mcp.not_installed", next_step="pip install 'portico[mcp]'"
        ) from error

    target = resolve_target(to)
    try:
        await bridge(_url(target), headers=_headers(target, agent, session), tls=target.tls)
    except Unreachable as error:
        raise Failure(
            f"{_url(target)} does not answer as an MCP server: {error}",
            code="mcp.unreachable",
            next_step="portico config set gateway.http.endpoints.mcp.enabled true",
            exit_code=ExitCode.UNREACHABLE,
        ) from error
    return ExitCode.OK


def _url(target: Target) -> str:
    return f"http{target.url.removeprefix('ws').rstrip('/')}/mcp"


def _headers(target: Target, agent: str | None, session: str | None) -> dict[str, str]:
    secret = target.credentials.token or target.credentials.password
    given: dict[str, Any] = {
        "authorization": f"Bearer {secret}" if secret else None,
        "x-openclaw-agent-id": agent,
        "x-openclaw-session-key": session,
    }
    return {name: value for name, value in given.items() if value}
