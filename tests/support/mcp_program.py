"""A real MCP server, as a program: `python -m tests.support.mcp_program [--http|--sse PORT]`."""

from __future__ import annotations

import base64
import os
import sys
from typing import Any

import anyio
from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("workshop")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def secret_of(name: str) -> str:
    """Return a variable of the program's environment."""
    return os.environ.get(name, "unset")


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("the saw is broken")


@server.tool()
def die() -> str:
    """End the whole program."""
    os._exit(3)


@server.tool()
async def hang() -> str:
    """Never answer."""
    await anyio.sleep_forever()
    raise AssertionError


@server.tool(structured_output=False)
def draw() -> list[Any]:
    """Draw a picture."""
    return ["a dot", Image(data=base64.b64decode(PIXEL), format="png")]


PIXEL = base64.b64encode(b"\x89PNG not really").decode()

if __name__ == "__main__":
    if sys.argv[1:2] == ["--http"]:
        server.run("streamable-http", port=int(sys.argv[2]))
    elif sys.argv[1:2] == ["--sse"]:
        server.run("sse", port=int(sys.argv[2]))
    else:
        server.run("stdio")
