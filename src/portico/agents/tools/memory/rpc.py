"""`memory.search`: an operator looks for words in what an agent has noted.

Source: OpenClaw gateway protocol, "memory.search"; the answer's shape is that of a recorded
OpenClaw 2026.9.6 without an embedding provider.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from portico.agents.service import Agents
from portico.agents.tools.contract import ToolError
from portico.agents.tools.files.workspaces import Workspaces
from portico.agents.tools.memory import notes
from portico.agents.tools.memory.search import Found, search
from portico.agents.tools.memory.tools import SNIPPET_CHARS
from portico.agents.workspace.tree import Tree
from portico.protocol.errors import Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

DEFAULT_RESULTS = 20
MAX_RESULTS = 100


class MemorySearchAsked(Params, frozen=True, kw_only=True):
    """`{query, agentId?, limit?}`."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
    agent_id: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_RESULTS)] = DEFAULT_RESULTS


class MemoryHit(Result, frozen=True, kw_only=True, omit_defaults=False):
    """A passage of the notes."""

    path: str
    start_line: int
    end_line: int
    score: float
    snippet: str
    source: Literal["memory"] = "memory"


class MemoryHits(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What was found, the best first: by words, without an embedding provider."""

    agent_id: str
    provider: Literal["none"] = "none"
    search_mode: Literal["fts-only"] = "fts-only"
    results: list[MemoryHit]


class MemoryMethods:
    """`memory.search`."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._workspaces = Workspaces(self._workspace_of)

    @method("memory.search", scope=Scope.READ)
    async def search(self, call: Call, params: MemorySearchAsked) -> MemoryHits:
        """Look for words in MEMORY.md and the notes of the days."""
        agent_id = self._agents.get(params.agent_id).agent_id

        def work(tree: Tree, _path: str) -> list[Found]:
            return search(notes.every_file(tree), params.query, most=params.limit)

        try:
            found = await self._workspaces.work(agent_id, "", work)
        except ToolError as error:
            raise Unavailable(str(error)) from None
        return MemoryHits(agent_id=agent_id, results=[_hit(one) for one in found])

    def _workspace_of(self, agent_id: str) -> Path | None:
        workspace = self._agents.get(agent_id).workspace
        return Path(workspace) if workspace else None


def _hit(found: Found) -> MemoryHit:
    passage = found.passage
    return MemoryHit(
        path=passage.path,
        start_line=passage.start_line,
        end_line=passage.end_line,
        score=round(found.score, 3),
        snippet=passage.text[:SNIPPET_CHARS],
    )
