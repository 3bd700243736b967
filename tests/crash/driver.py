"""Push numbered messages through both doors of a real gateway while it is killed again and again.

Each session writes its messages in order and never twice at the same time: it sends one, waits for
the acknowledgement, goes on. Whatever was not acknowledged when the gateway died is sent again with
the same key. So the history that must be in the database afterwards is known exactly.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from tests.e2e.gateway import GatewayProcess, connect_params

# A dead gateway answers nothing; a slow machine is not a dead gateway.
ANSWER_TIMEOUT_S = 30.0
ATTACH_TIMEOUT_S = 60.0
CONFIG = {
    "gateway": {"auth": {"mode": "token", "token": "crash-test-of-the-gateway"}},
    "messages": {"queue": {"cap": 10_000}},
}
Breaker = Callable[["Driver"], Awaitable[None]]


class Down(Exception):
    """No answer: the gateway is away, or went away."""


@dataclass(frozen=True)
class Message:
    session: str
    number: int
    text: str

    @property
    def key(self) -> str:
        return f"{self.session}-{self.number}"

    @property
    def is_unsafe(self) -> bool:
        return "unsafe=" in self.text


def numbered(session: str, number: int) -> Message:
    directive = ["", "/sim delay_ms=2\n", "/sim tools=1\n", "/sim delay_ms=10\n"][number % 4]
    if number % 16 == 5:
        directive = "/sim unsafe=1 delay_ms=5\n"
    return Message(session, number, f"{directive}message {number} of {session}")


class Link:
    """One WebSocket connection for all sessions of that door."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._next = 0
        self.reader = asyncio.ensure_future(self._read())

    @classmethod
    async def open(cls, gateway: GatewayProcess) -> Link:
        socket = await connect(gateway.ws_url, max_size=None, open_timeout=ANSWER_TIMEOUT_S)
        link = cls(socket)
        try:
            await link.call("connect", connect_params(gateway.token))
        except Down:
            await link.close()
            raise
        return link

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        self._next += 1
        request_id = str(self._next)
        future = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        frame = {"type": "req", "id": request_id, "method": method, "params": params}
        try:
            await self._socket.send(json.dumps(frame))
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await future
        except (WebSocketException, OSError, TimeoutError) as error:
            raise Down(repr(error)) from error
        if not answer["ok"]:
            if answer["error"].get("retryable"):
                raise Down(str(answer["error"]))
            raise AssertionError(f"{method} refused: {answer['error']}")
        return answer.get("payload")

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                frame = json.loads(text)
                future = self._waiting.pop(frame.get("id", ""), None)
                if future is not None and not future.done():
                    future.set_result(frame)
        except WebSocketException:
            pass
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionResetError("the connection closed"))
                    future.exception()  # whoever asked may have failed to send, and never look
            self._waiting.clear()

    async def close(self) -> None:
        self.reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.reader
        await self._socket.close()


@dataclass
class Driver:
    """Clients of one gateway.

    Attributes:
        acknowledged: what the gateway took responsibility for, in order, per session.
        resent: how many messages were sent more than once.
    """

    gateway: GatewayProcess
    websocket_sessions: int = 10
    http_sessions: int = 10
    seed: int = 0
    acknowledged: dict[str, list[Message]] = field(default_factory=dict)
    resent: int = 0
    breaks: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._up = asyncio.Event()
        self._link: Link | None = None
        self._http: httpx2.AsyncClient | None = None
        self._progress = asyncio.Event()
        self._next_number: dict[str, int] = {}

    @property
    def count(self) -> int:
        return sum(len(messages) for messages in self.acknowledged.values())

    async def attach(self) -> None:
        """Connect the clients; the gateway is up."""
        await self.detach()
        self._link = await Link.open(self.gateway)
        self._http = httpx2.AsyncClient(
            base_url=self.gateway.url,
            headers={"Authorization": f"Bearer {self.gateway.token}"},
            timeout=ANSWER_TIMEOUT_S,
            limits=httpx2.Limits(max_connections=self.http_sessions),
        )
        self._up.set()

    async def detach(self) -> None:
        """Disconnect the clients."""
        self._up.clear()
        if self._link is not None:
            await self._link.close()
        if self._http is not None:
            await self._http.aclose()
        self._link = self._http = None

    async def round(self, messages: int, breaker: Breaker | None) -> None:
        """Push that many messages; break the gateway once at a random moment in between."""
        sessions = [f"ws{n}" for n in range(self.websocket_sessions)]
        sessions += [f"http{n}" for n in range(self.http_sessions)]
        each = -(-messages // len(sessions))
        target = self.count + self.random.randint(messages // 10, messages * 9 // 10)
        pushing = [asyncio.ensure_future(self._push(session, each)) for session in sessions]
        try:
            if breaker is not None:
                await self._reached(target, pushing)
                # Not only in the moment of an acknowledgement.
                await asyncio.sleep(self.random.random() * 0.03)
                self.breaks += 1
                await breaker(self)
            await asyncio.gather(*pushing)
        finally:
            for task in pushing:
                task.cancel()

    async def _reached(self, count: int, pushing: Sequence[asyncio.Future[None]]) -> None:
        while self.count < count and not any(task.done() for task in pushing):
            self._progress.clear()
            await self._progress.wait()

    async def _push(self, session: str, count: int) -> None:
        first = self._next_number.get(session, 0)
        self._next_number[session] = first + count
        for number in range(first, first + count):
            message = numbered(session, number)
            await self._until_acknowledged(message)
            self.acknowledged.setdefault(session, []).append(message)
            self._progress.set()

    async def _until_acknowledged(self, message: Message) -> None:
        tries = 0
        while True:
            await self._up.wait()
            tries += 1
            try:
                if message.session.startswith("ws"):
                    await self._over_websocket(message)
                else:
                    await self._over_http(message)
            except Down:
                await asyncio.sleep(0.02)
            else:
                self.resent += tries > 1
                return

    async def _over_websocket(self, message: Message) -> None:
        if self._link is None:
            raise Down
        answer = await self._link.call(
            "chat.send",
            {
                "sessionKey": message.session,
                "message": message.text,
                "idempotencyKey": message.key,
                "suppressCommandInterpretation": True,
            },
        )
        assert answer["runId"] == message.key, answer

    async def _over_http(self, message: Message) -> None:
        if self._http is None:
            raise Down
        body = {"from": message.session, "text": message.text, "request_id": message.key}
        try:
            response = await self._http.post("/v1/gateway/messages", json=body)
        except (httpx2.HTTPError, RuntimeError) as error:  # RuntimeError: closed meanwhile
            raise Down(repr(error)) from error
        answer = response.json()
        if message.is_unsafe and answer.get("error", {}).get("type") == "interrupted":
            return  # stopped in the middle of an effect: that is its end, and it is said
        if response.status_code in {429, 502, 503}:
            raise Down(response.text)
        assert response.status_code == 200, (message, response.status_code, response.text)
        expected = f"Echo: message {message.number} of {message.session}"
        assert answer["reply"] == expected, (message, answer)


async def kill_and_restart(driver: Driver) -> None:
    """Kill -9, start again on the same state, let the clients back in."""
    driver.gateway.kill()
    await driver.detach()
    await asyncio.to_thread(driver.gateway.start)
    await attach_patiently(driver)


async def terminate_and_restart(driver: Driver) -> None:
    """SIGTERM in the middle, then the same."""
    code = await asyncio.to_thread(driver.gateway.stop)
    assert code == 0, driver.gateway.said()
    await driver.detach()
    await asyncio.to_thread(driver.gateway.start)
    await attach_patiently(driver)


async def attach_patiently(driver: Driver) -> None:
    async with asyncio.timeout(ATTACH_TIMEOUT_S):
        while True:
            try:
                await driver.attach()
            except (Down, OSError, InvalidHandshake):
                await asyncio.sleep(0.05)
            else:
                return
