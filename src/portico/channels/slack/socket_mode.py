"""Socket Mode: events over a WebSocket that Slack replaces every now and then.

Theory of operation: a connection lives from its `hello` to Slack's notice that it will close it
(`disconnect`: warning, refresh_requested). At the notice a new one is made first; the old one
answers what it still has, and is closed. A connection lost without a notice ends `run`.

Guarantees:
    - Envelopes of one conversation are handled one after the other; each is acknowledged on the
      connection it came on, after its handler has returned, and never when that raised.
    - When `run` is over, whatever the reason, no connection is left.

The connection itself is aiohttp's; addresses come from the library's `apps.connections.open`. Its
own Socket Mode client is not used: it closes before it opens, handles envelopes in no order and
tries again for ever when the token is refused.

Source: https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
import msgspec
import structlog
from slack_sdk.socket_mode.response import SocketModeResponse

from portico.channels.contract import Misconfigured
from portico.tasks import Tasks

log = structlog.get_logger()

HELLO_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 1.0
LAST_ANSWERS_S = 5.0
"""How long a connection that is replaced may answer what it has."""
MAX_IN_FLIGHT = 32

Frame = dict[str, Any]
Answer = Callable[[Frame], Awaitable[dict[str, Any] | None]]
"""Handles an envelope; what it returns goes along with the acknowledgement."""
OnHello = Callable[[Frame, int], None]
"""Is told of a connection that stands, and how many there are here."""


class Connection:
    """One WebSocket, as far as Slack has told about it."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.hello: Frame | None = None
        self.notice: str | None = None
        self.is_lost = False
        self.in_flight = 0
        self.changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when a condition holds."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def until_over(self) -> None:
        """Return when it is lost, or will be closed."""
        await self.until(lambda: self.is_lost or self.notice is not None)

    async def acknowledge(self, envelope_id: str, payload: dict[str, Any] | None) -> None:
        """Tell Slack that an envelope is on disk; when that cannot be, it comes again."""
        said = json.dumps(SocketModeResponse(envelope_id, payload).to_dict())
        with contextlib.suppress(ConnectionError, RuntimeError):  # closed meanwhile
            await self.ws.send_str(said)


class SocketMode:
    """Keeps one connection, and sometimes two for a moment.

    Args:
        open_url: asks Slack for an address to connect to.
        handle: takes an envelope in.
        stray: takes in a frame that is none.
        lane_of: the conversation an envelope belongs to.
        alive: called for everything that comes in.
    """

    def __init__(
        self,
        *,
        open_url: Callable[[], Awaitable[str]],
        http: aiohttp.ClientSession,
        proxy: str | None,
        ping_s: float,
        tasks: Tasks,
        handle: Answer,
        stray: Callable[[str], Awaitable[None]],
        lane_of: Callable[[Frame], str],
        alive: Callable[[], None],
    ) -> None:
        self._open_url = open_url
        self._http = http
        self._proxy = proxy
        self._ping_s = ping_s
        self._tasks = tasks
        self._handle = handle
        self._stray = stray
        self._lane_of = lane_of
        self._alive = alive
        self._open: set[Connection] = set()
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._lanes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, on_hello: OnHello) -> None:
        """Receive until cancelled.

        Args:
            on_hello: called for each connection that stands.

        Raises:
            ConnectionError: the connection was lost.
            Misconfigured: Socket Mode is switched off.
        """
        try:
            current = await self._connect(on_hello)
            while True:
                await current.until_over()
                if current.notice is None:
                    raise ConnectionError("Slack has closed the connection")
                _judge(current.notice)
                log.info("slack.connection_replaced", reason=current.notice)
                fresh = await self._connect(on_hello)
                self._tasks.start(self._retire(current), name="slack.retire")
                current = fresh
        finally:
            await asyncio.gather(*(self._close(one) for one in [*self._open]))

    async def _connect(self, on_hello: OnHello) -> Connection:
        url = await self._open_url()
        timeout = aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S)
        try:
            ws = await self._http.ws_connect(
                url, autoping=False, timeout=timeout, proxy=self._proxy
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            # Its text has the address in it, and that a ticket.
            raise ConnectionError(f"no connection to Slack: {type(error).__name__}") from None
        connection = Connection(ws)
        self._open.add(connection)
        self._tasks.start(self._read(connection), name="slack.read")
        self._tasks.start(self._ping(connection), name="slack.ping")
        await self._greeted(connection)
        on_hello(connection.hello or {}, len(self._open))
        return connection

    async def _greeted(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                await connection.until(
                    lambda: bool(connection.hello or connection.notice or connection.is_lost)
                )
        except TimeoutError:
            raise ConnectionError("Slack says no hello") from None
        if connection.hello is None:
            _judge(connection.notice or "")
            raise ConnectionError("Slack has closed the connection before its hello")

    # -- one connection --------------------------------------------------------------------------

    async def _read(self, connection: Connection) -> None:
        while True:
            message = await connection.ws.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    self._alive()
                    await self._take(connection, message.data)
                case aiohttp.WSMsgType.PING:
                    self._alive()
                    with contextlib.suppress(ConnectionError):
                        await connection.ws.pong(message.data)
                case aiohttp.WSMsgType.PONG | aiohttp.WSMsgType.BINARY:
                    self._alive()
                case _:
                    connection.is_lost = True
                    connection.changed.set()
                    await self._close(connection)
                    return

    async def _ping(self, connection: Connection) -> None:
        while not connection.is_lost:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._ping_s):
                    await connection.until(lambda: connection.is_lost)
                return
            with contextlib.suppress(ConnectionError):
                await connection.ws.ping()

    async def _take(self, connection: Connection, text: str) -> None:
        frame = _frame(text)
        kind = frame.get("type")
        if kind == "hello":
            connection.hello = frame
        elif kind == "disconnect":
            connection.notice = str(frame.get("reason") or "disconnect")
        elif isinstance(frame.get("envelope_id"), str):
            await self._slots.acquire()
            connection.in_flight += 1
            self._tasks.start(self._answer(connection, frame), name="slack.envelope")
            return
        else:
            await self._stray(text)
        connection.changed.set()

    async def _answer(self, connection: Connection, frame: Frame) -> None:
        name = self._lane_of(frame)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = asyncio.Lock()
        try:
            async with lane:
                payload = await self._handle(frame)
            await connection.acknowledge(frame["envelope_id"], payload)
        finally:
            self._slots.release()
            connection.in_flight -= 1
            connection.changed.set()

    async def _retire(self, connection: Connection) -> None:
        """Let a connection answer what it has, and close it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_S):
                await connection.until(lambda: connection.is_lost or not connection.in_flight)
        await self._close(connection)

    async def _close(self, connection: Connection) -> None:
        self._open.discard(connection)
        with contextlib.suppress(ConnectionError):
            await connection.ws.close()


def _judge(notice: str) -> None:
    """Raise what a notice means, if it is not simply time for a new connection."""
    if notice == "link_disabled":
        raise Misconfigured("Socket Mode is switched off in the app's settings at Slack")
    if notice == "too_many_websockets":
        raise ConnectionError("the app has too many connections: other programs use its appToken")


def _frame(text: str) -> Frame:
    try:
        return msgspec.json.decode(text, type=Frame)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return {}
