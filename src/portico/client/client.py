"""The client that commands use: connect, request, follow events, come back after a loss.

Guarantees:
    - After a lost connection, with `reconnect`, the client comes back with jittered backoff and its
      last cursor; what it missed follows, or a `Gap` says that it must be fetched again.
    - A request under way when the connection closes fails; it is never sent a second time.
    - A consumer that is too slow loses the oldest events and is told by a `Gap`.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

from portico.client.connection import Connection, OnAccepted, open_connection
from portico.client.errors import (
    ClientError,
    ConnectionLost,
    ConnectRefused,
    TimedOut,
    Unreachable,
)
from portico.client.model import ClientSettings, Event, Gap, Hello
from portico.clock import Clock, SystemClock
from portico.tasks import Tasks

DEFAULT_TIMEOUT_S = 10.0


class GatewayClient:
    """A client of one gateway. Use it as a context manager, or `connect` and `close` it."""

    def __init__(self, settings: ClientSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._tasks = Tasks(self._task_failed)
        self._connection: Connection | None = None
        self._ended: ClientError | None = None
        self._changed = asyncio.Event()
        self._events: deque[Event | Gap] = deque(maxlen=settings.event_limit)
        self._cursor: str | None = None
        self._follows_list = False
        self._followed: set[str] = set()
        self._seq: int | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> Hello:
        """Connect and shake hands. Raises `Unreachable` or `ConnectRefused`."""
        connection = await self._open()
        self._tasks.start(self._keep(connection), name="client.keep")
        return connection.hello

    @property
    def hello(self) -> Hello:
        """The latest hello. Raises `ConnectionLost` before the first one."""
        if self._connection is None:
            raise ConnectionLost(1006, "not connected")
        return self._connection.hello

    async def close(self) -> None:
        """Close the connection and stop coming back. Safe to call twice."""
        self._end(ConnectionLost(1000, "closed by this client"))
        if self._connection is not None:
            await self._connection.close()
        await self._tasks.stop()

    async def request(
        self, method: str, params: Any = None, *, timeout_s: float | None = DEFAULT_TIMEOUT_S
    ) -> Any:
        """Call a method and return its result as plain JSON values.

        Raises:
            Refused: the gateway answered with an error.
            ConnectionLost, TimedOut: no answer; what was asked may have been carried out.
        """
        connection = await self._ready(timeout_s)
        result = await connection.request(method, params, timeout_s=timeout_s)
        self._remember(method, result)
        return result

    async def request_final(
        self,
        method: str,
        params: Any = None,
        *,
        timeout_s: float | None = None,
        on_accepted: OnAccepted | None = None,
    ) -> Any:
        """Call a method that answers twice (`accepted`, then the result); return the result."""
        connection = await self._ready(timeout_s)
        return await connection.request(
            method, params, timeout_s=timeout_s, wants_final=True, on_accepted=on_accepted
        )

    async def events(self) -> AsyncIterator[Event | Gap]:
        """Yield events as they come. Raises the reason when the connection has ended for good."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._ended is not None:
                raise self._ended
            self._changed.clear()
            await self._changed.wait()

    async def _ready(self, timeout_s: float | None) -> Connection:
        try:
            async with asyncio.timeout(timeout_s):
                while self._connection is None or self._connection.is_lost:
                    if self._ended is not None:
                        raise self._ended
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimedOut("connecting again", timeout_s or 0) from None
        return self._connection

    async def _open(self) -> Connection:
        self._seq = None
        resume, had_connection = self._resume(), self._connection is not None
        connection = await open_connection(
            self._settings, clock=self._clock, on_event=self._take, resume=resume
        )
        answer = connection.hello.resume
        if answer is not None and answer.cursor:
            self._cursor = answer.cursor if answer.status != "resumed" else self._cursor
        if had_connection and (answer is None or answer.status != "resumed"):
            self._put(Gap("reconnected: events in between are not known"))
        self._connection = connection
        self._changed.set()
        return connection

    def _resume(self) -> dict[str, Any] | None:
        """Say where we were, to a gateway that gave us a cursor."""
        if self._cursor is None:
            return None
        followed = {"sessions": sorted(self._followed), "sessionList": self._follows_list}
        return {"cursor": self._cursor, **followed}

    def _remember(self, method: str, result: Any) -> None:
        """Keep what we follow, to ask for the same after coming back."""
        if method in {"sessions.subscribe", "sessions.unsubscribe"}:
            self._follows_list = method == "sessions.subscribe"
        elif method == "sessions.messages.subscribe":
            self._followed.add(result["key"])
        elif method == "sessions.messages.unsubscribe":
            self._followed.discard(result["key"])

    async def _keep(self, connection: Connection) -> None:
        reason = await connection.pump()
        while self._settings.reconnect and self._ended is None:
            self._changed.set()
            try:
                connection = await self._open_again()
            except ConnectRefused as refused:
                reason = refused
                break
            reason = await connection.pump()
        self._end(reason)

    async def _open_again(self) -> Connection:
        attempt = 0
        while True:
            await asyncio.sleep(self._delay_s(attempt))
            attempt += 1
            try:
                return await self._open()
            except ConnectRefused as refused:
                if refused.is_final:
                    raise
            except Unreachable:
                continue

    def _delay_s(self, attempt: int) -> float:
        longest: float = min(
            self._settings.backoff_most_s,
            self._settings.backoff_first_s * 2 ** min(attempt, 10),
        )
        return longest * random.uniform(0.5, 1.0)

    def _take(self, event: Event) -> None:
        if event.seq is not None:
            if self._seq is not None and event.seq != self._seq + 1:
                self._put(Gap(f"{event.seq - self._seq - 1} events were dropped by the gateway"))
            self._seq = event.seq
        if event.cursor is not None:
            self._cursor = event.cursor
        self._put(event)

    def _put(self, item: Event | Gap) -> None:
        if len(self._events) == self._events.maxlen:
            self._events.popleft()
            self._events[0] = Gap("this client did not keep up")
        self._events.append(item)
        self._changed.set()

    def _end(self, reason: ClientError) -> None:
        if self._ended is None:
            self._ended = reason
        self._changed.set()

    def _task_failed(self, name: str, error: BaseException) -> None:
        self._end(ConnectionLost(1006, f"{name}: {error}"))
