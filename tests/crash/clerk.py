"""An MCP server whose tools take as long as the test likes, and write down that they began.

python -m tests.crash.clerk BOOK     # a tool goes on when the file BOOK.open is there
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("clerk")
BOOK = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def look_up(name: str) -> str:
    """Look a number up."""
    return await _write_down(f"looked up {name}")


@server.tool()
async def post(letter: str) -> str:
    """Post a letter."""
    return await _write_down(f"posted {letter}")


async def _write_down(line: str) -> str:
    with BOOK.open("a") as book:
        book.write(f"{line}\n")
    while not BOOK.with_suffix(".open").exists():
        await anyio.sleep(0.01)
    return line


if __name__ == "__main__":
    server.run("stdio")
