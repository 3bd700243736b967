"""A pydantic-ai agent object that answers turns.

Guarantees: a tool acts only when the event that tells of it was taken; the run ends with the turn.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from pydantic_ai import AgentRunResultEvent
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import Hooks
from pydantic_ai.messages import (
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
)
from pydantic_ai.settings import ModelSettings

from portico.agents.files import loaded
from portico.agents.model.asking import shown_of
from portico.agents.model.catalog import Choice, ModelSpec, ProviderSpec
from portico.agents.model.memory import recall
from portico.agents.model.prompt import Prompt
from portico.agents.model.wishes import Wishes
from portico.agents.runtime import (
    AgentEvent,
    Final,
    ModelUsed,
    ToolFinished,
    ToolStarted,
    Turn,
    Usage,
)

MEMORY_TOKENS = 64_000
# Its model is its own: whatever comes with a message is handed on.
_ANYTHING = Choice(
    ProviderSpec("python", "", "openai-responses"),
    ModelSpec("agent", inputs=frozenset({"text", "image", "pdf", "audio", "video"})),
)


async def answer_with(
    agent: AbstractAgent[Any, Any], turn: Turn
) -> AsyncGenerator[AgentEvent, None]:
    """Yield the events of one answer."""
    released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
    hooks: Hooks[Any] = Hooks()

    @hooks.on.before_tool_execute
    async def wait(_context: Any, /, *, call: Any, tool_def: Any, args: Any) -> Any:
        await released[call.tool_call_id].wait()
        return args

    memory = await recall(turn, most_tokens=MEMORY_TOKENS)
    prompt = Prompt(_ANYTHING, await loaded(turn, turn.request, memory.entries))
    prompt.remember(memory)
    prompt.ask(turn.request)
    running = agent.run_stream_events(
        message_history=prompt.messages,
        instructions=turn.request.system_prompt,
        capabilities=[hooks],
        model_settings=_settings(turn),
    )
    async with running as events:
        async for event in events:
            match event:
                case PartStartEvent() | PartDeltaEvent():
                    if (shown := shown_of(event)) is not None:
                        yield shown
                case FunctionToolCallEvent(part=call):
                    arguments = call.args_as_dict()
                    yield ToolStarted(call.tool_call_id, call.tool_name, arguments)
                    released[call.tool_call_id].set()
                case FunctionToolResultEvent(part=part):
                    is_error = part.outcome != "success"
                    yield ToolFinished(part.tool_call_id, part.tool_name, part.content, is_error)
                case AgentRunResultEvent(result=result):
                    for used in _used(result.new_messages()):
                        yield used
                    output = result.output
                    yield Final(None if isinstance(output, str) else _json(output))
                case _:
                    pass


def _settings(turn: Turn) -> ModelSettings:
    wishes = Wishes.of(turn.request.extensions)
    limit = {"max_tokens": wishes.max_tokens} if wishes.max_tokens else {}
    made: ModelSettings = {**wishes.settings, **limit}  # type: ignore[typeddict-item]  # its keys
    return made


def _used(messages: list[Any]) -> list[ModelUsed]:
    return [
        ModelUsed(
            Usage(
                input=message.usage.input_tokens,
                output=message.usage.output_tokens,
                context=message.usage.input_tokens,
            ),
            message.provider_name,
            message.model_name,
        )
        for message in messages
        if isinstance(message, ModelResponse)
    ]


def _json(output: Any) -> str:
    plain = output.model_dump(mode="json") if hasattr(output, "model_dump") else output
    return msgspec.json.encode(plain, enc_hook=repr).decode()
