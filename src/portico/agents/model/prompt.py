"""From what an agent remembers to the messages of a model call.

Guarantees: every tool call a model is shown has its result beside it, since providers refuse the
conversation otherwise: one without is answered with a note, a result without its call is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)

from portico.agents.files import has_text
from portico.agents.model.catalog import Choice
from portico.agents.model.media import attached, user_content
from portico.agents.model.memory import (
    CHARS_PER_TOKEN,
    ENTRY_TOKENS,
    MEDIA_TOKENS,
    Memory,
    parts_of,
)
from portico.agents.runtime import HistoryMessage, TurnRequest

NO_RESULT = "(no result)"
NO_ANSWER = "[There was no answer: {}]"
SUMMARY = "Summary of this conversation so far:\n\n{}"


class Prompt:
    """Messages that are put together one by one.

    Args:
        files: the bytes of the files they name, by hash.
    """

    def __init__(self, choice: Choice, files: Mapping[str, bytes] | None = None) -> None:
        self._choice = choice
        self._files = files or {}
        self._open: dict[str, str] = {}  # call ids without a result: the tool's name
        self._names: dict[str, str] = {}
        self.messages: list[ModelMessage] = []

    def remember(self, memory: Memory) -> None:
        """Add what came before."""
        if memory.summary:
            self._request(UserPromptPart(SUMMARY.format(memory.summary)))
            self.messages.append(ModelResponse([TextPart("I remember.")]))
        for entry in memory.entries:
            self._entry(entry)

    def ask(self, request: TurnRequest) -> None:
        """Add the message that is to be answered."""
        results = [part for part in request.parts if part.get("type") == "toolResult"]
        for part in results:
            self._result(str(part.get("id")), part.get("text") or "")
        content: list[UserContent] = []
        if request.late_context:
            content.append(request.late_context)
        others = [part for part in request.parts if part.get("type") != "toolResult"]
        files = [*request.attachments]
        if request.text and not has_text(request.parts):
            content.append(request.text)  # with what was heard
            others = [part for part in others if not part.get("transcript")]
            files = [file for file in files if file.transcript is None]
        content += self._shown(others)
        content += [attached(file, self._choice, self._files) for file in files]
        if content or not results:
            self._user(content or [""])
        self._close_calls()

    def _entry(self, entry: HistoryMessage) -> None:
        if entry.role == "user":
            self._said(entry)
        elif entry.role == "assistant":
            self._answered(entry)
        elif entry.meta.get("toolCallId"):
            self._used_tool(entry)
        else:
            for part in parts_of(entry.content):
                if part.get("type") == "toolResult":
                    self._result(str(part.get("id")), part.get("text") or "")

    def _said(self, entry: HistoryMessage) -> None:
        parts = parts_of(entry.content)
        for part in parts:
            if part.get("type") == "toolResult":
                self._result(str(part.get("id")), part.get("text") or "")
        others = [part for part in parts if part.get("type") != "toolResult"]
        content = self._shown(others)
        if content:
            self._user(content)

    def _shown(self, parts: Sequence[dict[str, Any]]) -> list[UserContent]:
        made = (user_content(part, self._choice, self._files) for part in parts)
        return [content for content in made if content]

    def _answered(self, entry: HistoryMessage) -> None:
        self._close_calls()
        parts: list[TextPart | ToolCallPart] = []
        for part in parts_of(entry.content):
            if part.get("type") == "text" and part.get("text"):
                parts.append(TextPart(str(part["text"])))
            elif part.get("type") == "toolCall":
                call_id, name = str(part.get("id")), str(part.get("name"))
                self._open[call_id] = self._names[call_id] = name
                arguments = part.get("arguments")
                parts.append(ToolCallPart(name, arguments or {}, tool_call_id=call_id))
        if not parts and entry.meta.get("errorMessage"):
            parts.append(TextPart(NO_ANSWER.format(entry.meta["errorMessage"])))
        if parts:
            self.messages.append(ModelResponse(parts))

    def _used_tool(self, entry: HistoryMessage) -> None:
        """Say what a tool returned; its call stands before it, unless that was cut off."""
        call_id = str(entry.meta["toolCallId"])
        text = "".join(str(part.get("text") or "") for part in parts_of(entry.content))
        if call_id not in self._open:
            self._close_calls()
            name = str(entry.meta.get("toolName") or "tool")
            self._open[call_id] = self._names[call_id] = name
            self.messages.append(ModelResponse([ToolCallPart(name, {}, tool_call_id=call_id)]))
        self._result(call_id, text or NO_RESULT)

    def _result(self, call_id: str, text: Any) -> None:
        if self._open.pop(call_id, None) is not None:
            self._request(ToolReturnPart(self._names[call_id], text, tool_call_id=call_id))

    def _user(self, content: list[UserContent]) -> None:
        self._close_calls()
        only = content[0] if len(content) == 1 else None
        self._request(UserPromptPart(only if isinstance(only, str) else content))

    def _close_calls(self) -> None:
        for call_id in [*self._open]:
            self._result(call_id, NO_RESULT)

    def _request(self, part: ModelRequestPart) -> None:
        last = self.messages[-1] if self.messages else None
        if isinstance(last, ModelRequest):
            last.parts = [*last.parts, part]
        else:
            self.messages.append(ModelRequest([part]))


def prompt_tokens(messages: Sequence[ModelMessage]) -> int:
    """About how many tokens some messages are."""
    size = sum(_size(part) for message in messages for part in message.parts)
    return size // CHARS_PER_TOKEN + ENTRY_TOKENS * len(messages)


def _size(part: ModelRequestPart | ModelResponsePart) -> int:
    match part:
        case ToolCallPart():
            return len(part.tool_name) + len(part.args_as_json_str())
        case UserPromptPart(content=content) if not isinstance(content, str):
            media = MEDIA_TOKENS * CHARS_PER_TOKEN
            return sum(len(item) if isinstance(item, str) else media for item in content)
        case TextPart() | ThinkingPart() | UserPromptPart() | ToolReturnPart():
            return len(str(part.content))
        case _:
            return 0
