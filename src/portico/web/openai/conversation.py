"""From a list of messages to one turn: what is said now, what was said before, the instructions.

The last user message is the turn; so are the results of tools, when they come last. What stands
before it is handed to the runtime as the conversation so far (`prior`); system and developer
messages become instructions of this turn. An assistant message after the turn is not continued.

Guarantees: pure; nothing is fetched here.

Source: OpenClaw gateway protocol, "OpenAI-compatible".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from portico.agents.runtime import HistoryMessage
from portico.web.messages.parts import Part
from portico.web.openai.content import chat_parts, response_parts
from portico.web.openai.model import ChatMessage
from portico.web.openai.problem import Refused
from portico.web.openai.responses_model import InputItem

TOOL_RESULT = "toolResult"
MAX_MESSAGES = 10_000
_IGNORED_ITEMS = frozenset({"reasoning", "item_reference"})


@dataclass(frozen=True, slots=True)
class Line:
    """One thing somebody said."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]
    name: str | None = None

    @property
    def is_result(self) -> bool:
        """Whether a tool says it."""
        return any(part["type"] == TOOL_RESULT for part in self.parts)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One turn and what surrounds it.

    Attributes:
        parts: the turn's content; empty when it is nothing but `text`.
        speaker: the name the caller gave to who speaks.
    """

    text: str
    parts: tuple[Part, ...] = ()
    prior: tuple[HistoryMessage, ...] = ()
    system_prompt: str | None = None
    speaker: str | None = None

    def with_parts(self, parts: tuple[Part, ...]) -> Conversation:
        """Return the same with other parts."""
        return replace(self, parts=parts)


def from_chat(messages: Sequence[ChatMessage]) -> Conversation:
    """Read the messages of a chat completion.

    Raises:
        InvalidRequest: there is nothing to answer, or something cannot be understood.
    """
    _limit(messages, "messages")
    system: list[str] = []
    lines: list[Line] = []
    for index, message in enumerate(messages):
        name = f"messages[{index}]"
        parts = chat_parts(message.content, name=f"{name}.content")
        match message.role:
            case "system" | "developer":
                system.append(_text(parts))
            case "user":
                lines.append(Line("user", parts, message.name))
            case "assistant":
                calls = [
                    _call(call.id, call.function.name, call.function.arguments)
                    for call in message.tool_calls or ()
                ]
                lines.append(Line("assistant", (*parts, *calls)))
            case "tool" | "function":
                lines.append(_result(message.tool_call_id or message.name, parts))
            case _:
                raise Refused(f"{name}.role is not known", param=f"{name}.role")
    return _conversation(lines, system, missing="Missing user message in `messages`.")


def from_items(
    items: str | Sequence[InputItem], *, instructions: str | None, goes_on: bool
) -> Conversation:
    """Read the input of a response.

    Args:
        goes_on: it follows a previous response, whose session remembers what was said; then all of
            the input that is not the assistant's own is the turn.

    Raises:
        InvalidRequest: there is nothing to answer, or something cannot be understood.
    """
    if isinstance(items, str):
        items = (InputItem(role="user", content=items),)
    _limit(items, "input")
    system = [instructions or ""]
    lines: list[Line] = []
    for index, item in enumerate(items):
        if (line := _item(item, f"input[{index}]")) is None:
            continue
        if isinstance(line, str):
            system.append(line)
        else:
            lines.append(line)
    if goes_on:
        lines = [_together([line for line in lines if line.role == "user"])]
    return _conversation(lines, system, missing="Missing user message in `input`.")


def _item(item: InputItem, name: str) -> Line | str | None:
    """Return what an item says; a string is for the system prompt, `None` nothing."""
    kind = item.type or "message"
    if kind in _IGNORED_ITEMS:
        return None
    if kind == "function_call":
        return Line(
            "assistant", (_call(item.call_id or "", item.name or "", item.arguments or ""),)
        )
    if kind == "function_call_output":
        return _result(item.call_id, response_parts(item.output, name=f"{name}.output"))
    if kind in {"input_text", "input_image", "input_file"}:
        return Line("user", response_parts((item,), name=name))
    if kind != "message":
        raise Refused(f"{name}: unsupported item type", param=f"{name}.type")
    parts = response_parts(item.content, name=f"{name}.content")
    match item.role:
        case "system" | "developer":
            return _text(parts)
        case "user" | "assistant" as role:
            return Line("user" if role == "user" else "assistant", parts)
        case _:
            raise Refused(f"{name}.role is not known", param=f"{name}.role")


def _conversation(lines: list[Line], system: Iterable[str], *, missing: str) -> Conversation:
    last = next((i for i in reversed(range(len(lines))) if lines[i].role == "user"), None)
    param = missing.split("`")[1]
    if last is None:
        raise Refused(missing, param=param)
    first = last
    while lines[last].is_result and first > 0 and lines[first - 1].is_result:
        first -= 1
    turn = _together(lines[first : last + 1])
    text = _text(turn.parts)
    rich = any(part["type"] != "text" for part in turn.parts)
    if not text.strip() and not rich:
        raise Refused(missing, param=param)
    prompt = "\n\n".join(part.strip() for part in system if part.strip())
    return Conversation(
        text=text,
        parts=turn.parts if rich else (),
        prior=tuple(_history(line) for line in lines[:first] if line.parts),
        system_prompt=prompt or None,
        speaker=turn.name,
    )


def _together(lines: Sequence[Line]) -> Line:
    parts = tuple(part for line in lines for part in line.parts)
    return Line("user", parts, lines[-1].name if lines else None)


def _history(line: Line) -> HistoryMessage:
    if all(part["type"] == "text" for part in line.parts):
        return HistoryMessage(line.role, _text(line.parts))
    return HistoryMessage(line.role, [_settled(part) for part in line.parts])


def _settled(part: Part) -> Part:
    """Return an earlier part; a file behind an address is not fetched again for every turn."""
    if "source_url" not in part:
        return part
    return {"type": "text", "text": f"[{part['type']}: {part['source_url']}]"}


def _call(call_id: str, name: str, arguments: str) -> Part:
    try:
        decoded: Any = msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        decoded = None
    known = decoded if isinstance(decoded, dict) else {"arguments": arguments}
    return {"type": "toolCall", "id": call_id, "name": name, "arguments": known}


def _result(call_id: str | None, parts: tuple[Part, ...]) -> Line:
    result: Part = {"type": TOOL_RESULT, "id": call_id or "", "text": _text(parts)}
    media = (part for part in parts if part["type"] != "text")
    return Line("user", (result, *media))


def _text(parts: Iterable[Part]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] in {"text", TOOL_RESULT})


def _limit(messages: Sequence[object], name: str) -> None:
    if len(messages) > MAX_MESSAGES:
        raise Refused(f"`{name}` has more than {MAX_MESSAGES} entries", param=name)
