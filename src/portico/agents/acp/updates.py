"""What a program says of its work, as the events of a turn.

Guarantees: takes any JSON; what it does not know it passes over. Each tool call begins once and
ends at most once, whatever the order in which the program tells of it. A call that is announced
begins with the next word about it: programs announce one while its arguments are still coming.

Source: Agent Client Protocol, "session/update", "Tool calls", "Agent plan".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
KINDS = HARMLESS_KINDS | OUTSIDE_KINDS | {"edit", "delete", "move", "execute", "switch_mode"}
MAX_KEPT_CHARS = 100_000
"""Of what a tool was given, and of what it returned."""
MAX_DEPTH = 64
MAX_TOOLS = 2_000
MAX_NAME_CHARS = 200


@dataclass(slots=True)
class _Call:
    """What is known of a tool call."""

    name: str = ""
    kinds: set[str] = field(default_factory=set)
    given: Any = None
    has_begun: bool = False
    has_ended: bool = False

    @property
    def is_harmless(self) -> bool:
        return bool(self.kinds) and self.kinds <= HARMLESS_KINDS

    @property
    def is_outside(self) -> bool:
        return not self.kinds or bool(self.kinds & OUTSIDE_KINDS)

    def learn(self, call: Mapping[str, Any]) -> None:
        # The first title is often the tool's name; later ones say what it is about.
        if not self.name:
            self.name = _line(call.get("name")) or _line(call.get("title"))
        if kind := _line(call.get("kind")):
            self.kinds.add(kind if kind in KINDS else "unknown")
        if not self.has_begun and call.get("rawInput") not in (None, {}):
            self.given = _bounded(call["rawInput"])

    def began(self, call_id: str) -> ToolStarted:
        self.has_begun = True
        self.name = self.name or min(self.kinds, default="other")
        given, self.given = self.given, None
        arguments = given if isinstance(given, dict) else {} if given is None else {"input": given}
        return ToolStarted(call_id, self.name, arguments, side_effects=not self.is_harmless)


class Updates:
    """Turns the updates of one answer into events.

    Attributes:
        has_read_outside: a tool has brought in text nobody vouches for.
    """

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
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
                yield from self._tool(update)
            case "plan":
                yield from _plan(update.get("entries"))
            case _:
                return

    def asked(self, call: Mapping[str, Any]) -> Iterator[AgentEvent]:
        """Yield what is new about a tool call that a permission is asked for."""
        yield from self._tool({**call, "status": "in_progress"})

    def _tool(self, update: Mapping[str, Any]) -> Iterator[AgentEvent]:
        call_id, status = update.get("toolCallId"), update.get("status")
        if not isinstance(call_id, str) or not call_id:
            return
        call = self._calls.get(call_id)
        is_announced = call is None and status in (None, "pending")
        if call is None:
            if len(self._calls) >= MAX_TOOLS:
                return
            call = self._calls[call_id] = _Call()
        call.learn(update)
        if is_announced:
            return
        if not call.has_begun:
            yield call.began(call_id)
        if status in ("completed", "failed") and not call.has_ended:
            yield self._ended(call_id, call, update)

    def _ended(self, call_id: str, call: _Call, update: Mapping[str, Any]) -> ToolFinished:
        call.has_ended = True
        self.has_read_outside = self.has_read_outside or call.is_outside
        return ToolFinished(
            call_id,
            call.name,
            _result(update),
            is_error=update["status"] == "failed",
            is_untrusted=call.is_outside,
        )


def _line(value: Any) -> str:
    return " ".join(value.split())[:MAX_NAME_CHARS] if isinstance(value, str) else ""


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
