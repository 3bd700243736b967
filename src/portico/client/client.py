"""The client of one gateway: connect, call, follow events, come back after a loss.

Theory of operation: one task reads the connection; when it is lost, and `reconnect` is set, the
same task opens the next one, with jittered pauses that double, and says where the events stopped. A
call waits for a connection and is sent. When the connection goes before the answer, nobody can tell
whether the call was carried out: one with an idempotency key is asked again over the next
connection, and the gateway answers it once; one without a key fails and says what is known.

Guarantees:
    - After a lost connection the client comes back with its last cursor; what it missed follows,
      or a `Gap` says that it must be fetched again.
    - A call without a key is never sent twice.
    - Coming back stops when the gateway says that trying again is useless.
    - Each stream of events is bounded; one that is read too slowly is told by a `Gap`.

Source: OpenClaw gateway protocol, "Client behaviours", "Idempotency". docs/event-replay.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakSet

from portico.client.answer import Answer
from portico.client.calling import Calling, OnAccepted
from portico.client.connection import Connection, open_connection
from portico.client.errors import (
    ClientError,
    ConnectionLost,
    ConnectRefused,
    Refused,
    TimedOut,
    Unreachable,
)
from portico.client.keyring import KeyRing
from portico.client.model import ClientSettings, Event, Gap, Hello
from portico.client.streams import EventStream
from portico.clock import Clock, SystemClock
from portico.ids import new_uuid
from portico.protocol.errors import Outcome
from portico.tasks import Tasks

DEFAULT_TIMEOUT_S: Final = 30.0
STABLE_S: Final = 10.0
"""A connection that held this long was a good one: the next pause is short again."""
APPROVAL_S: Final = 5.0
"""Somebody who approves this device does not wait long to see it come in."""
_AGAIN_S: Final = 1.0
_WAIT_STEP_MS: Final = 20_000


class GatewayClient:
    """A client of one gateway. Use it as a context manager, or `connect` and `close` it.

    Example:
        async with connect("ws://127.0.0.1:18789", token=TOKEN) as gateway:
            print(await gateway.call("health"))
            async for piece in gateway.chat("hello"):
                print(piece.text, end="")
    """

    def __init__(self, settings: ClientSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._keys = KeyRing(settings)
        self._tasks = Tasks(self._task_failed)
        self._connection: Connection | None = None
        self._ended: ClientError | None = None
        self._changed = asyncio.Event()
        self._streams: WeakSet[EventStream] = WeakSet()
        self._cursor: str | None = None
        self._follows_list = False
        self._followed: set[str] = set()
        self._seq: int | None = None
        self._attempt = 0

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> Hello:
        """Connect and shake hands; with `keeps_trying`, as often as it takes.

        Raises:
            Unreachable: no gateway answers.
            ConnectRefused: it does not let this client in.
        """
        try:
            connection = await self._open()
        except (Unreachable, ConnectRefused) as error:
            if not self._settings.keeps_trying or _is_final(error, self._settings):
                raise
            connection = await self._open_again(error)
        self._tasks.start(self._keep(connection), name="client.keep")
        return connection.hello

    @property
    def hello(self) -> Hello:
        """The latest hello. Raises `ConnectionLost` before the first one."""
        if self._connection is None:
            raise ConnectionLost(1006, "not connected")
        return self._connection.hello

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None and not self._connection.is_lost

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection and stop coming back. Safe to call twice."""
        self._end(ConnectionLost(1000, "closed by this client"), quietly=True)
        if self._connection is not None:
            await self._connection.close(code, reason)
        await self._tasks.stop()

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        wants_final: bool = False,
        on_accepted: OnAccepted | None = None,
    ) -> Any:
        """Call a method and return its result as plain JSON values.

        Args:
            idempotency_key: sent as the method's `idempotencyKey`. A call with one (also when it
                stands in `params` already) survives a lost connection: it is asked again with the
                same key, and has one answer.
            timeout_s: for all of it, pauses between connections included; `None`: no limit.
            wants_final: the method answers twice (`accepted`, then the result): return the result.
            on_accepted: told of the first of two answers.

        Raises:
            Refused: the gateway answered with an error.
            ConnectionLost: the connection went before the answer; `outcome` is `not_started` or
                `uncertain`.
            TimedOut: no answer in time; the same.
        """
        asked = dict(params) if params is not None else None
        if idempotency_key is not None:
            asked = {**(asked or {}), "idempotencyKey": idempotency_key}
        one = Calling(method, asked, wants_final, on_accepted)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._see_through(one)
        except TimeoutError:
            raise TimedOut(method, timeout_s or 0, one.outcome) from None

    async def request(
        self, method: str, params: Any = None, *, timeout_s: float | None = DEFAULT_TIMEOUT_S
    ) -> Any:
        """Call a method, as `call` does without its options; what our commands use."""
        return await self.call(method, params, timeout_s=timeout_s)

    def events(self, *names: str, limit: int | None = None) -> EventStream:
        """Follow the events that come from now on; none named: all of them.

        The stream yields an `Event` or a `Gap`, which says that some are missing; it ends when the
        client is closed and raises when the gateway is lost for good.

        Args:
            limit: how many are kept for a reader that is behind; else as the settings say.
        """
        stream = EventStream(frozenset(names), limit=limit or self._settings.event_limit)
        self._streams.add(stream)
        if self._ended is not None:
            stream.end(self._ended)
        return stream

    def chat(
        self,
        message: str,
        *,
        session: str = "main",
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Answer:
        """Say something to an agent and stream its answer.

        Nothing is sent before the answer is iterated, or `whole()` is awaited.

        Args:
            session: the session's key.
            more: further members of `chat.send`, such as `thinking` or `attachments`.
        """
        said = {**more, "sessionKey": session, "message": message}
        return Answer(self, {**said, "idempotencyKey": idempotency_key or new_uuid()})

    async def _see_through(self, one: Calling) -> Any:
        while True:
            connection = await self._ready(one)
            before, one.outcome = one.outcome, Outcome.UNCERTAIN
            try:
                result = await connection.request(
                    one.method,
                    one.params,
                    timeout_s=None,
                    wants_final=one.wants_final,
                    on_accepted=one.on_accepted,
                )
            except ConnectionLost as lost:
                if lost.outcome is Outcome.NOT_STARTED:
                    one.outcome = before
                elif not (one.has_key and self._comes_back):
                    raise
                if self._ended is not None or not self._comes_back:
                    raise lost.during(one.method, one.outcome) from None
                continue
            except Refused as refused:
                if not (self._comes_back and one.may_follow(refused)):
                    raise
                await asyncio.sleep(refused.retry_after_s or _AGAIN_S)
                continue
            if not one.is_unfinished(result):
                self._remember(one.method, result)
                return result
            await self._wait_for_run(result["runId"])

    async def _wait_for_run(self, run_id: str) -> None:
        """The run is under way since before a loss: wait a while, then ask again."""
        asked = {"runId": run_id, "timeoutMs": _WAIT_STEP_MS}
        done = await self.call("agent.wait", asked, timeout_s=None)
        if done.get("status") == "pending":
            await asyncio.sleep(_AGAIN_S)

    @property
    def _comes_back(self) -> bool:
        return self._settings.reconnect and self._ended is None

    async def _ready(self, one: Calling) -> Connection:
        while self._connection is None or self._connection.is_lost:
            if self._ended is not None:
                if one.outcome is Outcome.UNCERTAIN:
                    reason = f"not coming back: {self._ended}"
                    raise ConnectionLost(1006, reason, method=one.method, outcome=one.outcome)
                raise self._ended
            self._changed.clear()
            await self._changed.wait()
        return self._connection

    async def _open(self) -> Connection:
        self._seq = None
        resume, had_connection = self._resume(), self._connection is not None
        connection = await self._enter(resume)
        answer = connection.hello.resume
        if answer is not None and answer.cursor:
            self._cursor = answer.cursor if answer.status != "resumed" else self._cursor
        if had_connection and (answer is None or answer.status != "resumed"):
            self._tell(Gap("reconnected: events in between are not known"))
        self._connection = connection
        self._changed.set()
        if self._settings.on_connected is not None:
            self._settings.on_connected(connection.hello)
        return connection

    async def _enter(self, resume: dict[str, Any] | None) -> Connection:
        """Open a connection, with the next credentials where the first ones are refused."""
        for can_try_another in (True, False):
            try:
                connection = await open_connection(
                    self._settings,
                    clock=self._clock,
                    on_event=self._take,
                    credentials=self._keys.choose(),
                    resume=resume,
                )
            except ConnectRefused as refused:
                if not (self._keys.refused(refused) and can_try_another):
                    raise
            else:
                self._keys.accepted(connection.hello)
                return connection
        raise AssertionError

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
        while True:
            since_s = self._clock.monotonic_s()
            reason: ClientError = await connection.pump()
            if self._clock.monotonic_s() - since_s >= STABLE_S:
                self._attempt = 0
            self._changed.set()
            if not self._comes_back:
                break
            try:
                connection = await self._open_again(reason)
            except (ConnectRefused, Unreachable) as error:
                reason = error
                break
        self._end(reason)

    async def _open_again(self, reason: ClientError) -> Connection:
        """Try until a gateway lets us in, or trying is useless, or it has taken too long."""
        started_s, patience_s = self._clock.monotonic_s(), self._settings.gives_up_after_s
        while True:
            delay_s = self._delay_s(reason)
            if self._settings.on_waiting is not None:
                self._settings.on_waiting(reason, delay_s)
            await asyncio.sleep(delay_s)
            try:
                return await self._open()
            except (ConnectRefused, Unreachable) as error:
                waited_s = self._clock.monotonic_s() - started_s
                if _is_final(error, self._settings) or (patience_s and waited_s >= patience_s):
                    raise
                reason = error

    def _delay_s(self, reason: ClientError) -> float:
        longest: float = min(
            self._settings.backoff_most_s,
            self._settings.backoff_first_s * 2 ** min(self._attempt, 10),
        )
        self._attempt += 1
        asked_s = 0.0
        if isinstance(reason, ConnectRefused):
            asked_s = reason.retry_after_s
            longest = min(longest, APPROVAL_S) if reason.is_pairing else longest
        return max(longest * random.uniform(0.5, 1.0), asked_s)

    def _take(self, event: Event) -> None:
        if event.seq is not None:
            if self._seq is not None and event.seq != self._seq + 1:
                self._tell(Gap(f"{event.seq - self._seq - 1} events were dropped by the gateway"))
            self._seq = event.seq
        if event.cursor is not None:
            self._cursor = event.cursor
        self._tell(event)

    def _tell(self, item: Event | Gap) -> None:
        for stream in list(self._streams):
            stream.put(item)

    def _end(self, reason: ClientError, *, quietly: bool = False) -> None:
        if self._ended is None:
            self._ended = reason
            for stream in list(self._streams):
                stream.end(None if quietly else reason)
        self._changed.set()

    def _task_failed(self, name: str, error: BaseException) -> None:
        self._end(ConnectionLost(1006, f"{name}: {error}"))


def _is_final(error: ClientError, settings: ClientSettings) -> bool:
    if not isinstance(error, ConnectRefused):
        return False
    if error.is_pairing and settings.waits_for_approval:
        return False
    return error.is_final
