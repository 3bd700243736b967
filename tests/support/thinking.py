"""A model agent on a fake provider, and turns for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from portico.agents.model.catalog import Catalog, ModelSpec, ProviderSpec
from portico.agents.model.cooldown import Cooldowns
from portico.agents.model.runtime import ModelRuntime, Models
from portico.agents.model.settings import AgentModel
from portico.agents.runtime import (
    AgentEvent,
    HistoryMessage,
    TextDelta,
    ThinkingDelta,
    Turn,
    TurnRequest,
)
from portico.agents.tools.contract import Tool, ToolCall
from portico.agents.tools.toolbox import Layers, ToolLimits, TurnTools
from portico.clock import Clock, SystemClock
from tests.fakes.provider import FakeProvider

SILENCE_S = 0.4  # of providers that stall; others get all the time a busy machine may take


def provider_spec(
    server: FakeProvider, name: str = "fake", *models: ModelSpec, silence_s: float = 10.0
) -> ProviderSpec:
    return ProviderSpec(
        name=name,
        base_url=server.url,
        api="openai-completions",
        api_key=f"key-of-{name}",
        timeout_s=silence_s,
        models=models or (ModelSpec("m"),),
    )


def model_runtime(
    *providers: ProviderSpec,
    settings: AgentModel | None = None,
    tools: Sequence[Tool] = (),
    clock: Clock | None = None,
    aliases: dict[str, str] | None = None,
    layers: Layers | None = None,
) -> ModelRuntime:
    async def opened(turn: Turn) -> TurnTools:
        call = ToolCall(
            agent_id=turn.agent_id,
            session_key=turn.session_key,
            call_id="",
            origin=turn.origin,
            is_untrusted=turn.request.is_untrusted,
        )
        by_name = {tool.name: tool for tool in tools}
        return TurnTools(call, by_name, layers or Layers(), ToolLimits())

    models = Models(
        Catalog(providers, aliases=aliases),
        Cooldowns(clock or SystemClock()),
        first_wait_s=0.01,
    )
    return ModelRuntime(settings or AgentModel("fake/m"), models, tools=opened)


def turn_of(
    text: str = "hi",
    *,
    entries: Sequence[HistoryMessage] = (),
    sent: Sequence[TurnRequest] = (),
    **request: Any,
) -> Turn:
    waiting = [*sent]
    numbered = [
        HistoryMessage(e.role, e.content, e.meta, e.seq or n) for n, e in enumerate(entries, 1)
    ]

    async def history(limit: int) -> list[HistoryMessage]:
        return numbered[-limit:]

    async def steering() -> TurnRequest:
        await asyncio.Event().wait()
        raise AssertionError

    async def steered() -> TurnRequest | None:
        return waiting.pop(0) if waiting else None

    return Turn(
        run_id="run",
        session_key="agent:main:main",
        session_id="sid",
        agent_id="main",
        request=TurnRequest(text=text, **request),
        history=history,
        steering=steering,
        steered=steered,
    )


async def answer(
    runtime: Any, turn: Turn, *, on_event: Callable[[AgentEvent], None] | None = None
) -> list[AgentEvent]:
    events: list[AgentEvent] = []
    async with asyncio.timeout(30), aclosing(runtime.run(turn)) as stream:
        async for event in stream:
            events.append(event)
            if on_event is not None:
                on_event(event)
    return events


def text_of(events: Sequence[AgentEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def thinking_of(events: Sequence[AgentEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ThinkingDelta))


def without_meta(turn: Turn, **request: Any) -> Turn:
    return replace(turn, request=TurnRequest(text=turn.request.text, **request))
