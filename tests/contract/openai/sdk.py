"""The official Python SDK, connected to a gateway on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI

from portico.agents.runtime import AgentRuntime
from tests.support.http import TOKEN, House, house, listening, settings

DOORS = {"endpoints": {"chatCompletions": {"enabled": True}, "responses": {"enabled": True}}}


@dataclass
class Connected:
    """A gateway and the SDK's client for it."""

    house: House
    openai: AsyncOpenAI
    url: str

    async def ask(self, text: str, **more: Any) -> str:
        """Ask for a completion of one message; return its text."""
        messages = [{"role": "user", "content": text}]
        answer = await self.openai.chat.completions.create(
            **{"model": "portico", "messages": messages, **more}
        )
        return answer.choices[0].message.content or ""


@asynccontextmanager
async def connected(
    folder: Path,
    *,
    runtime: AgentRuntime | None = None,
    gateway: Mapping[str, Any] | None = None,
    key: str = TOKEN,
    **more: Any,
) -> AsyncIterator[Connected]:
    """Start a gateway with the OpenAI-compatible API and connect to it."""
    config = settings({"http": DOORS, **(gateway or {})}, **more)
    async with (
        house(folder, config, runtime=runtime) as inside,
        listening(inside.gateway) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20) as client,
    ):
        yield Connected(inside, client, url)
