"""Every tool of the gateway: those of its features, and those that come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
        self._later: list[Callable[[], Iterable[object]]] = []

    def add(self, feature: object) -> None:
        """Register every declared tool of a feature object.

        Raises:
            TypeError: a declaration is incomplete or its name is taken.
        """
        for tool in tools_of(feature):
            if tool.name in self._tools:
                raise TypeError(f"tool {tool.name} is registered twice")
            self._tools[tool.name] = tool

    def add_later(self, build: Callable[[], Iterable[object]]) -> None:
        """Construct and register features when tools are first asked for.

        A gateway whose agents use no tools does without their modules.
        """
        self._later.append(build)

    def add_source(self, source: ToolSource) -> None:
        """Ask a source as well; a tool of our own wins over one of the same name."""
        self._sources.append(source)

    def declared(self) -> list[Tool]:
        """Return the tools of the gateway's own features."""
        while self._later:
            for feature in self._later.pop(0)():
                self.add(feature)
        return [*self._tools.values()]

    async def every(self) -> dict[str, Tool]:
        """Return every tool there is now, by name."""
        found = {tool.name: tool for tool in self.declared()}
        for source in self._sources:
            for tool in await source.tools():
                found.setdefault(tool.name, tool)
        return found
