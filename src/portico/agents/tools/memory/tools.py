"""Tools for an agent's memory: search it, read a part of it, add to it.

Guarantees: where strangers and others read along, the memory is closed. Notes that hold text from
outside make the turn that reads them one that has read untrusted text.

Source: OpenClaw, `memory_search` and `memory_get`; `memory_append` is ours.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, ToolOutput, tool
from portico.agents.tools.files.workspaces import Workspaces
from portico.agents.tools.memory import notes
from portico.agents.tools.memory.search import Found, search
from portico.agents.workspace.tree import Tree
from portico.clock import Clock

MAX_RESULTS = 20
SNIPPET_CHARS = 1_200
MAX_NOTE_CHARS = 4_000
MAX_LINES = 500
MAX_SHOWN_CHARS = 40_000


class MemorySearch(ToolArgs, frozen=True, kw_only=True):
    """What `memory_search` takes."""

    query: Annotated[
        str, msgspec.Meta(min_length=1, max_length=1_000, description="Words to look for.")
    ]
    max_results: Annotated[int, msgspec.Meta(ge=1, le=MAX_RESULTS)] = 6


class MemoryGet(ToolArgs, frozen=True, kw_only=True):
    """What `memory_get` takes."""

    path: Annotated[
        str, msgspec.Meta(max_length=300, description="MEMORY.md, or memory/<name>.md.")
    ]
    from_: Annotated[int, msgspec.Meta(ge=1, description="The first line.")] = msgspec.field(
        default=1, name="from"
    )
    lines: Annotated[int, msgspec.Meta(ge=1, le=MAX_LINES, description="How many lines.")] = 100


class MemoryAppend(ToolArgs, frozen=True, kw_only=True):
    """What `memory_append` takes."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NOTE_CHARS)]
    file: Annotated[
        Literal["daily", "MEMORY.md"],
        msgspec.Meta(description="Notes of the day, or what is worth being told every time."),
    ] = "daily"


class MemoryTools:
    """`memory_search`, `memory_get` and `memory_append`."""

    def __init__(self, workspaces: Workspaces, clock: Clock) -> None:
        self._workspaces = workspaces
        self._clock = clock

    @tool("memory_search", group="memory", changes=False)
    async def search(self, call: ToolCall, args: MemorySearch) -> ToolOutput:
        """Look for words in what you have noted: MEMORY.md and the notes of the days."""
        _check(call)

        def work(tree: Tree, _path: str) -> list[Found]:
            return search(notes.every_file(tree), args.query, most=args.max_results)

        found = await self._workspaces.work(call.agent_id, "", work)
        results = [
            {
                "path": one.passage.path,
                "startLine": one.passage.start_line,
                "endLine": one.passage.end_line,
                "score": round(one.score, 3),
                "snippet": one.passage.text[:SNIPPET_CHARS],
            }
            for one in found
        ]
        is_outside = any(one.passage.is_outside for one in found)
        return ToolOutput({"results": results}, is_untrusted=is_outside)

    @tool("memory_get", group="memory", changes=False)
    async def get(self, call: ToolCall, args: MemoryGet) -> ToolOutput:
        """Read a part of a file of your notes, found with memory_search."""
        _check(call)

        def work(tree: Tree, path: str) -> ToolOutput:
            if not notes.is_of_memory(path):
                raise ToolError("That is no file of the memory: MEMORY.md, or memory/<name>.md.")
            file = notes.read(tree, path)
            if file is None:
                return ToolOutput({"path": path, "text": ""})
            lines, marks = file.lines(), file.outside()
            end = args.from_ - 1 + args.lines
            text = "\n".join(lines[args.from_ - 1 : end])[:MAX_SHOWN_CHARS]
            value = {"path": path, "text": text, "from": args.from_, "totalLines": len(lines)}
            return ToolOutput(value, is_untrusted=any(marks[args.from_ - 1 : end]))

        return await self._workspaces.work(call.agent_id, args.path, work)

    @tool("memory_append", group="memory")
    async def append(self, call: ToolCall, args: MemoryAppend) -> dict[str, Any]:
        """Note something for later."""
        _check(call)
        now_ms = self._clock.now_ms()

        def work(tree: Tree, _path: str) -> str:
            return notes.append(
                tree,
                args.text,
                is_lasting=args.file == notes.LASTING,
                is_outside=call.is_untrusted,
                now_ms=now_ms,
            )

        return {"path": await self._workspaces.work(call.agent_id, "", work)}


def _check(call: ToolCall) -> None:
    if call.is_among_strangers:
        raise ToolError("The memory is closed in conversations that strangers read.")
