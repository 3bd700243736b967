"""Every tool of the gateway: those of its features, and those that come and go."""

from __future__ import annotations

from typing import Protocol

from portico.agents.tools.contract import Tool, tools_of


class ToolSource(Protocol):
    """Brings tools that are not declared in code: those of MCP servers."""

    async def tools(self) -> list[Tool]:
        """Return what there is now, quickly; a source that is down returns none, never raises."""
        ...


class ToolRegistry:
    """Looks tools up."""

    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}
        self._sources: list[ToolSource] = []

    def add(self, feature: object) -> None:
        """Register every declared tool of a feature object.

        Raises:
            TypeError: a declaration is incomplete or its name is taken.
        """
        for tool in tools_of(feature):
            if tool.name in self._tools:
                raise TypeError(f"tool {tool.name} is registered twice")
            self._tools[tool.name] = tool

    def add_source(self, source: ToolSource) -> None:
        """Ask a source as well; a tool of our own wins over one of the same name."""
        self._sources.append(source)

    def declared(self) -> list[Tool]:
        """Return the tools of the gateway's own features."""
        return [*self._tools.values()]

    async def every(self) -> dict[str, Tool]:
        """Return every tool there is now, by name."""
        found = dict(self._tools)
        for source in self._sources:
            for tool in await source.tools():
                found.setdefault(tool.name, tool)
        return found
