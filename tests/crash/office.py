"""A gateway whose agent thinks and has a clerk, to be killed while they are at work."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.e2e.gateway import ROOT, GatewayProcess
from tests.fakes.provider import FakeProvider, Say
from tests.support.waiting import eventually

TOKEN = "crash-test-of-the-gateway"
LOOK_UP = Say(calls=(("mcp__clerk__look_up", '{"name": "Ada"}'),))
POST = Say(calls=(("mcp__clerk__post", '{"letter": "a will"}'),))


@dataclass
class Office:
    """A gateway with a thinking agent, its clerk and the clerk's book."""

    gateway: GatewayProcess
    provider: FakeProvider
    book: Path

    def entries(self) -> list[str]:
        return self.book.read_text().splitlines() if self.book.exists() else []

    def let_the_clerk_go_on(self) -> None:
        self.book.with_suffix(".open").touch()

    async def say(self, text: str, request_id: str) -> httpx2.Response:
        async with httpx2.AsyncClient(timeout=60) as client:
            return await client.post(
                f"{self.gateway.url}/v1/gateway/messages",
                headers={"Authorization": f"Bearer {TOKEN}"},
                json={"from": "ann", "text": text, "request_id": request_id},
            )

    async def killed_while(self, request_id: str, *, says: str, entry: str) -> None:
        """Say something, kill the gateway when the clerk has begun, and start it again."""
        asking = asyncio.ensure_future(self.say(says, request_id))
        await eventually(lambda: entry in self.entries(), within_s=60)
        await asyncio.to_thread(self.gateway.kill)
        with contextlib.suppress(httpx2.HTTPError):
            await asking
        self.let_the_clerk_go_on()
        await asyncio.to_thread(self.gateway.start)


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Office]:
    book = folder / "book.txt"
    async with FakeProvider() as provider:
        gateway = GatewayProcess(folder / "state", config=config_of(provider, book))
        await asyncio.to_thread(gateway.start)
        try:
            yield Office(gateway, provider, book)
            assert await asyncio.to_thread(gateway.stop) == 0
            assert gateway.tracebacks() == []
        finally:
            gateway.kill()


def config_of(provider: FakeProvider, book: Path) -> dict[str, Any]:
    clerk = {
        "command": sys.executable,
        "args": ["-m", "tests.crash.clerk", str(book)],
        "cwd": str(ROOT),
        "trusted": True,
    }
    return {
        "gateway": {"auth": {"mode": "token", "token": TOKEN}},
        "models": {"providers": {"lab": {"baseUrl": provider.url, "models": [{"id": "m"}]}}},
        "agents": {"defaults": {"model": "lab/m"}},
        "mcp": {"servers": {"clerk": clerk}},
        "tools": {"trusted": ["http", "webchat"]},
    }


def said_in(request: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return what a model was told, but for its instructions."""
    told = ((m["role"], m.get("content")) for m in request["messages"])
    return [(role, content) for role, content in told if role != "system"]
