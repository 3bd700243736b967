"""The Responses API on the wire.

Source: OpenAI API reference, "Responses" and its streaming events; OpenClaw gateway protocol,
"OpenAI-compatible".
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from portico.web.openai.model import Asked, FunctionTool, Probability, Temperature, TokenCount, Told

Status = Literal["in_progress", "completed", "incomplete", "failed"]
EventType = Literal[
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
    "response.completed",
    "response.incomplete",
    "response.failed",
]


class InputContent(Asked, frozen=True, kw_only=True):
    """One part of an item's content.

    Attributes:
        type: input_text, output_text, input_image, input_file or refusal.
        image_url: an http(s) address or a data URL.
    """

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None


class InputItem(InputContent, frozen=True, kw_only=True):
    """One item of the input.

    Attributes:
        type: message (or none), function_call, function_call_output, input_text, input_image or
            input_file; reasoning and item_reference are ignored.
    """

    role: str | None = None
    content: str | tuple[InputContent, ...] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | tuple[InputContent, ...] | None = None


class ResponseTool(FunctionTool, frozen=True, kw_only=True):
    """A tool; only functions are known."""

    type: str = "function"
    name: str = ""


class ResponsesRequest(Asked, frozen=True, kw_only=True):
    """A response as it is asked for.

    Attributes:
        input: the newest message, or everything said so far.
        instructions: extra instructions for this run.
        previous_response_id: go on in the session of this response.
    """

    model: str | None = None
    input: str | tuple[InputItem, ...] | None = None
    instructions: str | None = None
    tools: tuple[ResponseTool, ...] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    max_output_tokens: TokenCount | None = None
    user: str | None = None
    previous_response_id: str | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None
    background: bool | None = None
    conversation: Any = None


# -- what is told ----------------------------------------------------------------------------------


class OutputText(Told, frozen=True, kw_only=True):
    """The text of the answer."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: tuple[str, ...] = ()
    logprobs: tuple[str, ...] = ()


class MessageItem(Told, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """The answer."""

    id: str
    status: Status
    role: Literal["assistant"] = "assistant"
    content: tuple[OutputText, ...] = ()


class FunctionCallItem(Told, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """A function the caller is to run."""

    id: str
    status: Status
    call_id: str
    name: str
    arguments: str


OutputItem = MessageItem | FunctionCallItem


class InputDetails(Told, frozen=True, kw_only=True):
    """Where input tokens came from."""

    cached_tokens: int = 0


class OutputDetails(Told, frozen=True, kw_only=True):
    """What output tokens were used for."""

    reasoning_tokens: int = 0


class ResponseUsage(Told, frozen=True, kw_only=True):
    """Tokens of all model calls of the run."""

    input_tokens: int = 0
    input_tokens_details: InputDetails = InputDetails()
    output_tokens: int = 0
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int = 0


class ResponseError(Told, frozen=True, kw_only=True):
    """Why there is no answer."""

    code: str
    message: str


class Incomplete(Told, frozen=True, kw_only=True):
    """Why the answer ends early."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseObject(Told, frozen=True, kw_only=True):
    """A response, finished or not."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Status
    model: str
    output: tuple[OutputItem, ...] = ()
    error: ResponseError | None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    temperature: float | None = None
    tool_choice: str | dict[str, Any] = "auto"
    tools: tuple[ResponseTool, ...] = ()
    top_p: float | None = None
    usage: ResponseUsage | None = None
    user: str | None = None


class ResponseEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a stream."""

    type: EventType
    sequence_number: int
    response: ResponseObject | None = None
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    item: OutputItem | None = None
    part: OutputText | None = None
    delta: str | None = None
    text: str | None = None
    name: str | None = None
    arguments: str | None = None
    logprobs: tuple[str, ...] | None = None
