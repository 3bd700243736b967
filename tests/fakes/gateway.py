"""A small real gateway for tests of clients: a WebSocket server that speaks the handshake.

Methods are functions by name; `answers` says what the others get. It records what it was sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from portico.protocol.connect import ConnectParams

TOKEN = "correct-horse"
Handler = Callable[["FakeGateway", "Peer", dict[str, Any]], Awaitable[None]]


@dataclass
class Peer:
    """One connection, as the fake sees it."""

    socket: ServerConnection
    connect: ConnectParams
    seq: int = 0

    async def send(self, frame: dict[str, Any]) -> None:
        await self.socket.send(json.dumps(frame))

    async def event(self, name: str, payload: Any, **more: Any) -> None:
        self.seq += 1
        await self.send(
            {"type": "event", "event": name, "payload": payload, "seq": self.seq, **more}
        )

    async def answer(self, request: dict[str, Any], payload: Any) -> None:
        await self.send({"type": "res", "id": request["id"], "ok": True, "payload": payload})

    async def refuse(self, request: dict[str, Any], error: dict[str, Any]) -> None:
        await self.send({"type": "res", "id": request["id"], "ok": False, "error": error})


@dataclass
class FakeGateway:
    """The server; `methods` and `answers` may be changed while it runs."""

    methods: dict[str, Handler] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    tick_interval_ms: int = 30_000
    token: str | None = TOKEN
    resume_status: str | None = None
    refusal: dict[str, Any] | None = None
    peers: list[Peer] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    connects: list[ConnectParams] = field(default_factory=list)
    _server: Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        self._server = await serve(self._serve, "127.0.0.1", port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close(code=1012, reason="service restart")
            await self._server.wait_closed()

    async def _serve(self, socket: ServerConnection) -> None:
        try:
            peer = await self._welcome(socket)
            if peer is None:
                return
            self.peers.append(peer)
            async for data in socket:
                await self._take(peer, json.loads(data))
        except ConnectionClosed:
            return

    async def _welcome(self, socket: ServerConnection) -> Peer | None:
        challenge = {"nonce": "n-1", "ts": 1_700_000_000_000}
        frame = {"type": "event", "event": "connect.challenge", "payload": challenge}
        await socket.send(json.dumps(frame))
        request = json.loads(await socket.recv())
        params = msgspec.convert(request["params"], ConnectParams)  # closed: refuses what is new
        self.connects.append(params)
        peer = Peer(socket, params)
        if self.refusal is not None:
            await peer.refuse(request, self.refusal)
            await socket.close(1008, self.refusal["message"])
            return None
        if self.token is not None and params.auth.token != self.token:
            missing = params.auth.token is None
            code = "AUTH_TOKEN_MISSING" if missing else "AUTH_TOKEN_MISMATCH"
            message = f"unauthorized: gateway token {'missing' if missing else 'mismatch'}"
            error = {"code": "INVALID_REQUEST", "message": message, "details": {"code": code}}
            await peer.refuse(request, error)
            await socket.close(1008, message)
            return None
        await peer.answer(request, self._hello(params))
        return peer

    def _hello(self, params: ConnectParams) -> dict[str, Any]:
        hello: dict[str, Any] = {
            "type": "hello-ok",
            "protocol": 4,
            "server": {"version": "9.9.9", "connId": "c-1"},
            "features": {"methods": sorted({*self.methods, *self.answers}), "events": ["chat"]},
            "snapshot": {"uptimeMs": 61_000, "sessionDefaults": {"mainSessionKey": "main"}},
            "auth": {"role": params.role, "scopes": list(params.scopes), "method": "token"},
            "policy": {
                "maxPayload": 1,
                "maxBufferedBytes": 1,
                "tickIntervalMs": self.tick_interval_ms,
            },
        }
        if "event-replay" in params.caps and self.resume_status is not None:
            status = self.resume_status if params.resume else "fresh"
            hello["resume"] = {"cursor": "e:0", "status": status, "missed": 0}
        return hello

    async def _take(self, peer: Peer, request: dict[str, Any]) -> None:
        self.requests.append(request)
        method = request["method"]
        if method in self.methods:
            await self.methods[method](self, peer, request)
        elif method in self.answers:
            await peer.answer(request, self.answers[method])
        else:
            message = f"unknown method: {method}"
            await peer.refuse(request, {"code": "INVALID_REQUEST", "message": message})

    def called(self, method: str) -> list[dict[str, Any]]:
        """The params of every call of a method."""
        return [one.get("params", {}) for one in self.requests if one["method"] == method]


@asynccontextmanager
async def running_gateway(**options: Any) -> AsyncIterator[FakeGateway]:
    """A fake gateway on a free port of this machine."""
    gateway = FakeGateway(**options)
    await gateway.start()
    try:
        yield gateway
    finally:
        async with asyncio.timeout(30):
            await gateway.stop()


def chat_text(text: str) -> dict[str, Any]:
    """A transcript message of the assistant."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


async def echo_chat(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
    """`chat.send`: acknowledge, stream two deltas, then the final."""
    params = request["params"]
    run_id, text = params["idempotencyKey"], f"You said: {params['message']}"
    await peer.answer(request, {"runId": run_id, "status": "started"})
    common = {"runId": run_id, "sessionKey": "agent:main:main"}
    for part in (text[:9], text[9:]):
        await peer.event("chat", {**common, "state": "delta", "deltaText": part})
    await peer.event("chat", {**common, "state": "final", "message": chat_text(text)})


async def echo_agent(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
    """`agent`: accepted, then the result, on one request id."""
    run_id = request["params"]["idempotencyKey"]
    await peer.answer(request, {"runId": run_id, "status": "accepted", "sessionKey": "main"})
    text = f"Echo: {request['params']['message']}"
    result = {"payloads": [{"text": text}], "meta": {"durationMs": 1}}
    final = {"runId": run_id, "status": "ok", "summary": "completed", "result": result}
    await peer.answer(request, final)
