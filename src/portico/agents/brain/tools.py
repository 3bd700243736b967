"""The tools with which an agent searches its person's notes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
import structlog

from portico.agents.brain import folder as notes
from portico.agents.brain.model import BrainConfig, NoteFound, NotesUnavailable, config_of
from portico.agents.brain.qmd import Qmd, QmdFailed
from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, tool

log = structlog.get_logger()

SKILL = "qmd-brain"
MAX_RESULTS = 20
MAX_LINES = 500
MAX_SHOWN_CHARS = 40_000


class NotesSearch(ToolArgs, frozen=True, kw_only=True):
    """What `notes_search` takes."""

    query: Annotated[
        str, msgspec.Meta(min_length=1, max_length=1_000, description="Words to look for.")
    ]
    max_results: Annotated[int, msgspec.Meta(ge=1, le=MAX_RESULTS)] = 6


class NotesRead(ToolArgs, frozen=True, kw_only=True):
    """What `notes_read` takes."""

    path: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=500, description="A note's path, or its docid."),
    ]
    from_: Annotated[int, msgspec.Meta(ge=1, description="The first line.")] = msgspec.field(
        default=1, name="from"
    )
    lines: Annotated[int, msgspec.Meta(ge=1, le=MAX_LINES, description="How many lines.")] = 200


class NotesFound(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was found, and by whom."""

    engine: Literal["qmd", "built-in"]
    results: list[NoteFound]


class BrainTools:
    """`notes_search` and `notes_read`.

    Args:
        config: what is configured now for the skill; `None`: it is switched off.
    """

    def __init__(self, *, config: Callable[[], Mapping[str, Any] | None], qmd: Qmd) -> None:
        self._config = config
        self._qmd = qmd

    @tool("notes_search", group="memory", changes=False)
    async def search(self, call: ToolCall, args: NotesSearch) -> NotesFound:
        """Look for something in the person's own notes, a folder of Markdown.

        Your own notes are elsewhere: memory_search.
        """
        config = self._now(call)
        if await self._uses_qmd(config):
            try:
                found = await self._qmd.search(config, args.query, args.max_results)
            except QmdFailed as error:
                log.warning("qmd.failed", error=str(error))
                if config.engine == "qmd":
                    raise ToolError(
                        "qmd did not answer; the operator finds why in the log."
                    ) from None
            else:
                return NotesFound(engine="qmd", results=found)
        try:
            results = await asyncio.to_thread(
                notes.search, config.path, args.query, args.max_results
            )
        except NotesUnavailable as error:
            raise ToolError(str(error)) from None
        return NotesFound(engine="built-in", results=results)

    @tool("notes_read", group="memory", changes=False)
    async def read(self, call: ToolCall, args: NotesRead) -> dict[str, Any]:
        """Read a note, or a part of it, found with notes_search."""
        config = self._now(call)
        text = await self._text(config, args.path)
        if text is None:
            raise ToolError(f"There is no note {args.path[:200]}.")
        lines = text.splitlines()
        shown = "\n".join(lines[args.from_ - 1 : args.from_ - 1 + args.lines])
        return {
            "path": args.path,
            "text": shown[:MAX_SHOWN_CHARS],
            "from": args.from_,
            "totalLines": len(lines),
        }

    async def _text(self, config: BrainConfig, path: str) -> str | None:
        if path.startswith("#"):
            try:
                return await self._qmd.get(path)
            except QmdFailed as error:
                log.warning("qmd.failed", error=str(error))
                return None
        try:
            return await asyncio.to_thread(notes.read, config.path, path)
        except NotesUnavailable as error:
            raise ToolError(str(error)) from None

    async def _uses_qmd(self, config: BrainConfig) -> bool:
        if config.engine == "built-in" or config.collection is None:
            return False
        return config.engine == "qmd" or await asyncio.to_thread(self._qmd.program) is not None

    def _now(self, call: ToolCall) -> BrainConfig:
        if call.is_among_strangers:
            raise ToolError("The notes are closed in conversations that strangers read.")
        config = self._config()
        if config is None:
            raise ToolError(f"The operator has switched {SKILL} off.")
        try:
            return config_of(config)
        except NotesUnavailable as error:
            raise ToolError(str(error)) from None
