"""A whole gateway for tests of its HTTP side: real store, real path, called over ASGI."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import uvicorn

from portico.agents.runtime import Abilities, AgentEvent, AgentRuntime, Final, Turn, TurnRequest
from portico.agents.service import Agent, Agents
from portico.app import Gateway
from portico.config import resolve_paths
from portico.config.service import load_text
from tests.support.databases import sqlite_url
from tests.support.waiting import eventually

TOKEN = "a-long-test-token-0123456789"
MESSAGES = "/v1/gateway/messages"
STREAM = "/v1/gateway/messages:stream"
STATUS = "/v1/gateway/status"
CANCEL = "/v1/gateway/cancel"


class Scripted:
    """A runtime that does what a test says: it waits for `go`, then yields `events`."""

    name = "scripted"
    abilities = Abilities(resumable=True)

    def __init__(self, *events: AgentEvent, held: bool = False) -> None:
        self.events = events or (Final("done"),)
        self.seen: list[TurnRequest] = []
        self.running = 0
        self.most_running = 0
        self.go = asyncio.Event()
        if not held:
            self.go.set()

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.seen.append(await _with_bytes(turn))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.go.wait()
            for event in self.events:
                yield event
        finally:
            self.running -= 1


async def _with_bytes(turn: Turn) -> TurnRequest:
    files = [
        msgspec.structs.replace(one, data=await turn.load(one)) for one in turn.request.attachments
    ]
    parts = [await _part_with_bytes(turn, part) for part in turn.request.parts]
    return msgspec.structs.replace(turn.request, attachments=tuple(files), parts=tuple(parts))


async def _part_with_bytes(turn: Turn, part: dict[str, Any]) -> dict[str, Any]:
    """Return a part as it was sent: with its bytes in place of their name."""
    if "sha256" not in part:
        return part
    content = await turn.file(part["sha256"])
    assert content is not None
    ours = {"sha256", "sizeBytes", *(["mime_type"] if "format" in part else [])}
    rest = {name: value for name, value in part.items() if name not in ours}
    return {**rest, "data": base64.b64encode(content).decode()}


@dataclass
class House:
    """A started gateway and a client that is let in."""

    gateway: Gateway
    client: httpx2.AsyncClient

    @property
    def messages(self) -> Any:
        """The service behind the API."""
        endpoints = self.gateway.front.web.endpoints
        send = next(e.handle for e in endpoints if e.path == MESSAGES and e.method == "POST")
        return send.__self__._messages  # type: ignore[attr-defined]  # a bound method

    async def say(self, text: str, **fields: Any) -> httpx2.Response:
        return await self.client.post(MESSAGES, json={"from": "ann", "text": text, **fields})

    async def status(self, request_id: str) -> httpx2.Response:
        return await self.client.get(STATUS, params={"request_id": request_id})

    async def until(self, request_id: str, *states: str) -> dict[str, Any]:
        async def reached() -> dict[str, Any] | None:
            answer = await self.status(request_id)
            found: dict[str, Any] = answer.json()
            return found if answer.status_code == 200 and found["state"] in states else None

        found: dict[str, Any] = await eventually(reached)
        return found

    async def cancel(self, **what: str) -> dict[str, Any]:
        answer = await self.client.post(CANCEL, json=what)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def settings(gateway: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    auth = {"mode": "token", "token": TOKEN}
    return {"gateway": {"auth": auth, **(gateway or {})}, **more}


@asynccontextmanager
async def house(
    folder: Path,
    config: Mapping[str, Any] | None = None,
    *,
    runtime: AgentRuntime | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[House]:
    """Start a gateway whose agent is `runtime` (the echo by default)."""
    paths = resolve_paths(env={}, state_dir=folder)
    sqlite_url(paths.state_dir)
    text = msgspec.json.encode(config or settings()).decode()
    gateway = Gateway(load_text(paths, text, env={}), env={})
    if runtime is not None:
        only = Agents([Agent(agent_id="main", runtime=runtime)], "main")
        gateway.conversation.agents.__dict__.update(only.__dict__)
    await gateway.start()
    gateway.open()
    transport = httpx2.ASGITransport(gateway.front.web.asgi, client=("127.0.0.1", 50000))
    client = httpx2.AsyncClient(
        transport=transport,
        base_url="http://127.0.0.1:18789",
        headers={"authorization": f"Bearer {TOKEN}"} if headers is None else dict(headers),
        timeout=30,
    )
    try:
        async with client:
            yield House(gateway, client)
    finally:
        await gateway.stop()


@asynccontextmanager
async def listening(gateway: Gateway) -> AsyncIterator[str]:
    """Serve a gateway on a real socket of this machine; yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        gateway.front.web.asgi,
        ws=gateway.front.websocket,
        http="httptools",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await server.shutdown(sockets=[listener])


def events_of(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (id, event, data) of a stream's text."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and line[0] != ":")
        if "data" in fields:
            found.append((fields["id"], fields["event"], msgspec.json.decode(fields["data"])))
    return found
