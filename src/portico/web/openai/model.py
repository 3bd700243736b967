"""Chat completions, models and embeddings on the wire.

Fields nobody here knows are ignored, as every server of this API does.

Source: OpenAI API reference, "Chat", "Models", "Embeddings"; OpenClaw gateway protocol,
"OpenAI-compatible".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
TokenCount = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
FinishReason = Literal["stop", "length", "tool_calls"]


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what comes in."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what goes out: every field is there, absent values are null."""


class Brief(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what goes out and leaves out what it does not say."""


# -- what is asked ---------------------------------------------------------------------------------


class ImageUrl(Asked, frozen=True, kw_only=True):
    """An image: an http(s) address or a data URL."""

    url: str = ""
    detail: str | None = None


class InputAudio(Asked, frozen=True, kw_only=True):
    """A sound, base64, with its format (`wav`, `mp3`)."""

    data: str = ""
    format: str = ""


class InputFile(Asked, frozen=True, kw_only=True):
    """A file: base64 or a data URL with a name, or an id the agent knows."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class MessagePart(Asked, frozen=True, kw_only=True):
    """One part of a message's content.

    Attributes:
        type: text, image_url, input_audio, file or refusal.
    """

    type: str = ""
    text: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: InputFile | None = None
    refusal: str | None = None


class CalledFunction(Asked, frozen=True, kw_only=True):
    """What an assistant called; `arguments` is a JSON text."""

    name: str = ""
    arguments: str = ""


class ToolCallAsked(Asked, frozen=True, kw_only=True):
    """A tool call of an earlier assistant message."""

    id: str = ""
    type: str = "function"
    function: CalledFunction = CalledFunction()


class ChatMessage(Asked, frozen=True, kw_only=True):
    """One message.

    Attributes:
        role: system, developer, user, assistant, tool or function.
    """

    role: str = ""
    content: str | tuple[MessagePart, ...] | None = None
    name: str | None = None
    tool_calls: tuple[ToolCallAsked, ...] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None


class FunctionTool(Asked, frozen=True, kw_only=True):
    """A function the caller can run."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ChatTool(Asked, frozen=True, kw_only=True):
    """A tool; only functions are known."""

    type: str = "function"
    function: FunctionTool | None = None


class ChatStreamOptions(Asked, frozen=True, kw_only=True):
    """How a stream behaves.

    Attributes:
        include_usage: send the usage in a last chunk without choices.
    """

    include_usage: bool | None = None


class ChatRequest(Asked, frozen=True, kw_only=True):
    """A chat completion as it is asked for.

    Attributes:
        model: which agent answers: `portico`, `portico/<agent>`, `agent:<agent>` …
        user: one session for everything this user asks.
    """

    model: str | None = None
    messages: tuple[ChatMessage, ...] | None = None
    stream: bool | None = None
    stream_options: ChatStreamOptions | None = None
    user: str | None = None
    tools: tuple[ChatTool, ...] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    n: int | None = None
    max_completion_tokens: TokenCount | None = None
    max_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: int | None = None
    stop: str | Annotated[tuple[str, ...], msgspec.Meta(max_length=4)] | None = None


class EmbeddingRequest(Asked, frozen=True, kw_only=True):
    """Texts to embed."""

    input: str | tuple[Any, ...] | None = None
    model: str | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=65_536)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


# -- what is told ----------------------------------------------------------------------------------


class Function(Told, frozen=True, kw_only=True):
    """What the caller is to run."""

    name: str
    arguments: str


class ToolCall(Told, frozen=True, kw_only=True):
    """A tool call the caller is to make."""

    id: str
    type: Literal["function"] = "function"
    function: Function


class AnswerMessage(Brief, frozen=True, kw_only=True):
    """The answer."""

    role: Literal["assistant"] = msgspec.field()
    content: str | None
    tool_calls: tuple[ToolCall, ...] | None = None


class Choice(Told, frozen=True, kw_only=True):
    """The one choice."""

    index: int = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: FinishReason


class CachedTokens(Told, frozen=True, kw_only=True):
    """Where prompt tokens came from."""

    cached_tokens: int = 0


class ChatUsage(Told, frozen=True, kw_only=True):
    """Tokens of all model calls of the run."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: CachedTokens = CachedTokens()


class ChatCompletion(Told, frozen=True, kw_only=True):
    """A complete answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: ChatUsage


class FunctionDelta(Brief, frozen=True, kw_only=True):
    """A piece of a call."""

    name: str | None = None
    arguments: str = msgspec.field()


class ToolCallDelta(Brief, frozen=True, kw_only=True):
    """A piece of a call; the first one has its id and name."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta


class Delta(Brief, frozen=True, kw_only=True):
    """What is new."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] | None = None


class ChunkChoice(Told, frozen=True, kw_only=True):
    """The one choice of a chunk."""

    index: int = 0
    delta: Delta
    finish_reason: FinishReason | None = None


class ToolProgress(Brief, frozen=True, kw_only=True):
    """A tool of the agent's own, for callers that asked to see them.

    Attributes:
        detail: a short hint at the arguments, without secrets.
    """

    id: str
    name: str
    status: Literal["running", "completed", "failed"]
    detail: str | None = None


class ChatChunk(Brief, frozen=True, kw_only=True):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"] = msgspec.field()
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    usage: ChatUsage | None = None
    tool: ToolProgress | None = msgspec.field(name="portico_tool", default=None)


class Model(Told, frozen=True, kw_only=True):
    """An agent, as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str
    permission: tuple[str, ...] = ()


class ModelList(Told, frozen=True, kw_only=True):
    """Every agent."""

    object: Literal["list"] = "list"
    data: tuple[Model, ...]


class Embedding(Told, frozen=True, kw_only=True):
    """One text's vector: numbers, or base64 of little-endian 32-bit floats."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Told, frozen=True, kw_only=True):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Told, frozen=True, kw_only=True):
    """The vectors, in the order of the texts."""

    object: Literal["list"] = "list"
    data: tuple[Embedding, ...]
    model: str
    usage: EmbeddingUsage
