"""A run as a response: whole, or as events.

Items come in this order: the message, then the function calls. The message is opened by its first
text; a run that says nothing but calls has none.

Source: OpenAI API reference, "Responses" and its streaming events; OpenClaw gateway protocol,
"OpenAI-compatible".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import msgspec

from portico.agents.runtime import TextDelta, ToolCallRequested, Usage
from portico.turns.feed import Ended, Started, Step
from portico.turns.model import ClientToolCall, TurnResult, TurnRow
from portico.web.connection import HEARTBEAT
from portico.web.openai.chat import (
    DONE,
    FELL_BEHIND,
    MAX_ARGUMENTS,
    answer_text,
    arguments_of,
    unsaid,
)
from portico.web.openai.problem import OpenAIError, failure
from portico.web.openai.responses_model import (
    EventType,
    FunctionCallItem,
    Incomplete,
    InputDetails,
    MessageItem,
    OutputItem,
    OutputText,
    ResponseError,
    ResponseEvent,
    ResponseObject,
    ResponseUsage,
)


class ResponseAnswer:
    """Translates one run.

    Args:
        base: the response as it stands when it is accepted.
    """

    def __init__(self, base: ResponseObject) -> None:
        self._base = base
        self._suffix = base.id.partition("_")[2]
        self._sequence = -1
        self._text: str | None = None  # `None`: the message is not open
        self._calls: list[ClientToolCall] = []
        self._lost = False

    def response(self, row: TurnRow) -> ResponseObject:
        """Return the whole answer of a run that succeeded."""
        result = row.result or TurnResult()
        text = answer_text(row)
        items: list[OutputItem] = [] if text is None else [self._message(text)]
        items += [self._function(call, number) for number, call in enumerate(result.requested)]
        return self._finished(result, tuple(items))

    async def events(
        self, steps: AsyncGenerator[tuple[int, Step | None], None]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the stream of a run."""
        yield self._event("response.created", response=self._base)
        seen = 0
        async with aclosing(steps):
            async for number, step in steps:
                if step is None:
                    yield HEARTBEAT
                    continue
                self._lost |= number != seen + 1
                seen = number
                for event in self._translate(step):
                    yield event
        yield DONE

    def _translate(self, step: Step) -> Iterator[bytes]:
        match step:
            case Started():
                yield self._event("response.in_progress", response=self._base)
            case TextDelta(text) if text:
                yield from self._say(text)
            case ToolCallRequested(call_id, name, arguments):
                self._calls.append(ClientToolCall(call_id, name, arguments))
            case Ended(row):
                yield from self._ended(row)
            case _:
                return

    def _say(self, text: str) -> Iterator[bytes]:
        if self._text is None:
            self._text = ""
            opened = MessageItem(id=self._message_id, status="in_progress")
            yield self._event("response.output_item.added", output_index=0, item=opened)
            yield self._part("response.content_part.added", part=OutputText(text=""))
        self._text += text
        yield self._part("response.output_text.delta", delta=text, logprobs=())

    def _ended(self, row: TurnRow) -> Iterator[bytes]:
        failed = failure(row)
        if failed is not None:
            yield self._failed(failed[1])
            return
        text = answer_text(row)
        rest = unsaid(self._text or "", text, lost=self._lost)
        if rest is None:
            yield self._failed(FELL_BEHIND)
            return
        if rest:
            yield from self._say(rest)
        items: list[OutputItem] = []
        if self._text is not None:
            items.append(self._message(self._text))
            yield from self._message_done(self._text)
        result = row.result or TurnResult()
        for number, call in enumerate(result.requested or self._calls):
            items.append(self._function(call, number))
            yield from self._called(call, number, len(items) - 1)
        response = self._finished(result, tuple(items))
        kind: EventType = "response.completed"
        if response.status == "incomplete":
            kind = "response.incomplete"
        yield self._event(kind, response=response)

    def _message_done(self, text: str) -> Iterator[bytes]:
        yield self._part("response.output_text.done", text=text, logprobs=())
        yield self._part("response.content_part.done", part=OutputText(text=text))
        yield self._event("response.output_item.done", output_index=0, item=self._message(text))

    def _called(self, call: ClientToolCall, number: int, index: int) -> Iterator[bytes]:
        whole = self._function(call, number)
        opened = msgspec.structs.replace(whole, status="in_progress", arguments="")
        yield self._event("response.output_item.added", output_index=index, item=opened)
        place: dict[str, Any] = {"item_id": whole.id, "output_index": index}
        for start in range(0, len(whole.arguments), MAX_ARGUMENTS):
            piece = whole.arguments[start : start + MAX_ARGUMENTS]
            yield self._event("response.function_call_arguments.delta", delta=piece, **place)
        yield self._event(
            "response.function_call_arguments.done",
            name=call.name,
            arguments=whole.arguments,
            **place,
        )
        yield self._event("response.output_item.done", output_index=index, item=whole)

    def _failed(self, error: OpenAIError) -> bytes:
        told = ResponseError(code=error.code or "server_error", message=error.message)
        response = msgspec.structs.replace(self._base, status="failed", error=told)
        return self._event("response.failed", response=response)

    def _finished(self, result: TurnResult, items: tuple[OutputItem, ...]) -> ResponseObject:
        cut = result.stop_reason == "length"
        return msgspec.structs.replace(
            self._base,
            status="incomplete" if cut else "completed",
            incomplete_details=Incomplete() if cut else None,
            output=items,
            usage=response_usage(result.usage),
        )

    @property
    def _message_id(self) -> str:
        return f"msg_{self._suffix}"

    def _message(self, text: str) -> MessageItem:
        return MessageItem(
            id=self._message_id, status="completed", content=(OutputText(text=text),)
        )

    def _function(self, call: ClientToolCall, number: int) -> FunctionCallItem:
        return FunctionCallItem(
            id=f"fc_{self._suffix}_{number}",
            status="completed",
            call_id=call.call_id,
            name=call.name,
            arguments=arguments_of(call),
        )

    def _part(self, kind: EventType, **fields: Any) -> bytes:
        return self._event(
            kind, item_id=self._message_id, output_index=0, content_index=0, **fields
        )

    def _event(self, kind: EventType, **fields: Any) -> bytes:
        self._sequence += 1
        event = ResponseEvent(type=kind, sequence_number=self._sequence, **fields)
        return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"


def response_usage(usage: Usage) -> ResponseUsage:
    """Return the tokens of a run."""
    prompt = usage.input + usage.cache_read + usage.cache_write
    return ResponseUsage(
        input_tokens=prompt,
        input_tokens_details=InputDetails(cached_tokens=usage.cache_read),
        output_tokens=usage.output,
        total_tokens=prompt + usage.output,
    )
