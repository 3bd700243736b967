"""One run of one account: the context it is given, and its complete teardown.

Guarantees: once `close` was called nothing it hands in is stored; when `close` returns, its tasks
have ended and its doors are shut (or the time for that was up, which is logged).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from portico.channels.accounts import store as account_store
from portico.channels.contract import HttpDoor, Received, Superseded
from portico.channels.doors import Doors
from portico.channels.model import ChannelEvent, InboundMessage
from portico.clock import Clock
from portico.store import Store, Work
from portico.tasks import Tasks

log = structlog.get_logger()


EventEffect = Callable[[str, str, ChannelEvent], Work[None]]
"""What an event of a channel's account does besides, in the transaction that records it."""


Menu = Callable[[], Sequence[tuple[str, str]]]
"""Returns the commands that providers may show, and what they do."""


def no_effect(_channel: str, _account: str, _event: ChannelEvent) -> Work[None]:
    """Do nothing besides."""
    yield from ()


class Intake(Protocol):
    """Where messages go: the inbox, as far as channels need it."""

    async def take(self, message: InboundMessage, *, beside: Callable[[], Work[None]]) -> Received:
        """Store a message and what was decided about it.

        Args:
            beside: done in the same transaction, first; when it raises, nothing is stored.
        """
        ...

    async def is_wanted(self, message: InboundMessage) -> bool:
        """Whether it would be admitted or kept as context; nothing is stored."""
        ...


class Listener(Protocol):
    """Who wants to know how a run is doing."""

    def connected(self, identity: Mapping[str, Any] | None) -> None:
        """It receives."""
        ...

    def disconnected(self, reason: str) -> None:
        """It does not, and mends it by itself."""
        ...

    def nudge(self) -> None:
        """Something has failed."""
        ...

    def admitted(self, message: InboundMessage, run_id: str) -> None:
        """A message will be answered."""
        ...


class Run:
    """The context of one run. Keeps the contract's `AccountContext`."""

    def __init__(
        self,
        *,
        channel: str,
        account: str,
        config: Any,
        generation: int,
        cursor: str | None,
        owner: str,
        shared: bool,
        store: Store,
        clock: Clock,
        intake: Intake,
        effect: EventEffect,
        doors: Doors,
        listener: Listener,
        folder: Path,
        menu: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.channel = channel
        self.account = account
        self.config = config
        self.menu = menu
        self.generation = generation
        self.clock = clock
        self.tasks = Tasks(self._task_failed)
        self.begun_s = self.alive_s = clock.monotonic_s()
        self.failure: BaseException | None = None
        self.alive_ms: int | None = None
        self.received_ms: int | None = None
        self._stream: str | None = getattr(config, "stream", None)
        self._cursor = self._of_this_stream(cursor)
        self._owner = owner
        self._shared = shared
        self._store = store
        self._intake = intake
        self._effect = effect
        self._doors = doors
        self._opened: list[HttpDoor] = []
        self._listener = listener
        self._folder = folder
        self.is_closed = False

    @property
    def cursor(self) -> str | None:
        """Where the provider's stream was."""
        return self._cursor

    @property
    def folder(self) -> Path:
        """A private folder of the account."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._folder

    async def receive(self, message: InboundMessage, *, cursor: str | None = None) -> Received:
        """Hand in a message; returns when it is on disk, the cursor with it."""
        self._check()
        whole = msgspec.structs.replace(message, channel=self.channel, account=self.account)
        received = await self._intake.take(whole, beside=lambda: self._guard(cursor))
        self._came(cursor)
        self.received_ms = self.clock.now_ms()
        if received.run_id is not None and not received.duplicate:
            self._listener.admitted(whole, received.run_id)
        return received

    async def is_wanted(self, message: InboundMessage) -> bool:
        """Whether a message would be admitted or kept as context."""
        self._check()
        whole = msgspec.structs.replace(message, channel=self.channel, account=self.account)
        return await self._intake.is_wanted(whole)

    async def note(self, event: ChannelEvent, *, cursor: str | None = None) -> bool:
        """Record what is no message; `False` when it was recorded before."""
        self._check()
        is_new = await self._store.write(self._note, event, cursor)
        self._came(cursor)
        return is_new

    async def keep_cursor(self, cursor: str) -> None:
        """Store a cursor that came with nothing else."""
        self._check()
        await self._store.write(self._guard, cursor)
        self._came(cursor)

    def alive(self) -> None:
        """The receiving side works."""
        self.alive_s = self.clock.monotonic_s()
        self.alive_ms = self.clock.now_ms()

    def connected(self, *, identity: Mapping[str, Any] | None = None) -> None:
        """It is logged in and receives."""
        if not self.is_closed:
            self.alive()
            self._listener.connected(identity)

    def disconnected(self, reason: str) -> None:
        """The connection is lost, and the run is mending it."""
        if not self.is_closed:
            self._listener.disconnected(reason)

    def open_door(self, door: HttpDoor) -> str:
        """Answer HTTP requests until this run ends."""
        self._check()
        path = self._doors.open(self.channel, self.account, door)
        self._opened.append(door)
        return path

    # -- the end ---------------------------------------------------------------------------------

    def shut(self) -> None:
        """Take nothing in any more."""
        self.is_closed = True
        while self._opened:
            self._doors.close(self.channel, self.account, self._opened.pop())

    async def close(self, reader: asyncio.Task[Any] | None, *, within_s: float) -> bool:
        """End the run: its reader first, then what it started; `False` when time was up."""
        self.shut()
        is_over = True
        if reader is not None and not reader.done():
            reader.cancel()
            _, pending = await asyncio.wait({reader}, timeout=within_s)
            is_over = not pending
        try:
            async with asyncio.timeout(within_s):
                await self.tasks.stop()
        except TimeoutError:
            is_over = False
        if not is_over:
            log.error(
                "channel.will_not_close",
                channel=self.channel,
                account=self.account,
                generation=self.generation,
            )
        return is_over

    def _task_failed(self, name: str, error: BaseException) -> None:
        if self.failure is None and not self.is_closed:
            self.failure = error
            self._listener.nudge()

    def _check(self) -> None:
        if self.is_closed:
            raise Superseded(f"run {self.generation} of {self.channel}:{self.account} has ended")

    def _came(self, cursor: str | None) -> None:
        if cursor is not None:
            self._cursor = cursor
        self.alive()

    def _of_this_stream(self, stored: str | None) -> str | None:
        if stored is None or self._stream is None:
            return stored
        whose, _, cursor = stored.partition("\n")
        return cursor if whose == self._stream else None

    def _guard(self, cursor: str | None) -> Work[None]:
        if cursor is not None and self._stream is not None:
            cursor = f"{self._stream}\n{cursor}"
        return account_store.guard(
            self.channel,
            self.account,
            owner=self._owner,
            generation=self.generation,
            shared=self._shared,
            cursor=cursor,
            now=self.clock.now_ms(),
        )

    def _note(self, event: ChannelEvent, cursor: str | None) -> Work[bool]:
        yield from self._guard(cursor)
        is_new = yield from account_store.note(
            self.channel, self.account, event, now=self.clock.now_ms()
        )
        if is_new:
            yield from self._effect(self.channel, self.account, event)
        return is_new
