"""What a program says of its work, as the events of a turn.

Guarantees: takes any JSON; what it does not know it passes over. Each tool call begins once and
ends at most once, whatever the order in which the program tells of it.

Source: Agent Client Protocol, "session/update", "Tool calls", "Agent plan".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from portico.agents.runtime import (
    AgentEvent,
    Progress,
    TextDelta,
    ThinkingDelta,
    ToolFinished,
    ToolStarted,
)

HARMLESS_KINDS = frozenset({"read", "search", "think"})
OUTSIDE_KINDS = frozenset({"fetch", "other"})
"""Kinds whose results come from elsewhere, or may: pages, other programs' tools."""
MAX_KEPT_CHARS = 100_000
"""Of what a tool was given, and of what it returned."""
MAX_DEPTH = 64
MAX_TOOLS = 2_000
MAX_NAME_CHARS = 200


class Updates:
    """Turns the updates of one answer into events.

    Attributes:
        has_read_outside: a tool has brought in text nobody vouches for.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._running: set[str] = set()
        self.has_read_outside = False

    def events(self, update: Mapping[str, Any]) -> Iterator[AgentEvent]:
        """Yield the events of one update."""
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                if text := _text(update.get("content")):
                    yield TextDelta(text)
            case "agent_thought_chunk":
                if text := _text(update.get("content")):
                    yield ThinkingDelta(text)
            case "tool_call" | "tool_call_update":
                yield from self.tool(update)
            case "plan":
                yield from _plan(update.get("entries"))
            case _:
                return

    def tool(self, call: Mapping[str, Any]) -> Iterator[AgentEvent]:
        """Yield what is new about a tool call."""
        call_id = call.get("toolCallId")
        if not isinstance(call_id, str) or not call_id:
            return
        if call_id not in self._names:
            if len(self._names) >= MAX_TOOLS:
                return
            yield self._began(call_id, call)
        if call.get("status") in ("completed", "failed") and call_id in self._running:
            yield self._finished(call_id, call)

    def _began(self, call_id: str, call: Mapping[str, Any]) -> ToolStarted:
        kind = str(call.get("kind") or "other")
        name = " ".join(str(call.get("title") or kind).split())[:MAX_NAME_CHARS]
        self._kinds[call_id], self._names[call_id] = kind, name
        self._running.add(call_id)
        given = _bounded(call.get("rawInput"))
        arguments = given if isinstance(given, dict) else {} if given is None else {"input": given}
        return ToolStarted(call_id, name, arguments, side_effects=kind not in HARMLESS_KINDS)

    def _finished(self, call_id: str, call: Mapping[str, Any]) -> ToolFinished:
        self._running.discard(call_id)
        is_outside = self._kinds[call_id] in OUTSIDE_KINDS
        self.has_read_outside = self.has_read_outside or is_outside
        return ToolFinished(
            call_id,
            self._names[call_id],
            _result(call),
            is_error=call["status"] == "failed",
            is_untrusted=is_outside,
        )


def _result(call: Mapping[str, Any]) -> Any:
    content = call.get("content")
    texts = [_tool_text(one) for one in content] if isinstance(content, list) else []
    told = "\n".join(text for text in texts if text)
    raw = call.get("rawOutput")
    return _bounded(told or ("" if raw is None else raw))


def _bounded(value: Any) -> Any:
    """Return it as it is; of what is too large to be kept, the beginning of its text."""
    if _is_deep(value, MAX_DEPTH):
        return "[nested too deeply to be shown]"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return value if len(text) <= MAX_KEPT_CHARS else text[:MAX_KEPT_CHARS]


def _is_deep(value: Any, most: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return most == 0 or any(_is_deep(one, most - 1) for one in inner)


def _tool_text(content: Any) -> str:
    if not isinstance(content, dict):
        return ""
    if content.get("type") == "diff":
        return f"changed {content.get('path')}"
    if content.get("type") == "terminal":
        return f"terminal {content.get('terminalId')}"
    return _text(content.get("content"))


def _text(block: Any) -> str:
    """Return the text of a content block; of what has none, what it is."""
    if not isinstance(block, dict):
        return ""
    resource = block.get("resource")
    match block.get("type"):
        case "text":
            text = block.get("text")
            return text if isinstance(text, str) else ""
        case "resource_link":
            return f"[{block.get('title') or block.get('name')}]({block.get('uri')})"
        case "resource" if isinstance(resource, dict):
            text = resource.get("text")
            return text if isinstance(text, str) else f"[{resource.get('uri')}]"
        case "image" | "audio" as kind:
            return f"[{kind}: {block.get('mimeType')}]"
        case _:
            return ""


def _plan(entries: Any) -> Iterator[Progress]:
    listed = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    if not listed:
        return
    done = sum(one.get("status") == "completed" for one in listed)
    current = next((one for one in listed if one.get("status") == "in_progress"), None)
    what = f": {current.get('content')}" if current else ""
    yield Progress("plan", f"{done} of {len(listed)} steps done{what}"[:500])
