"""A gateway process in its line: what it takes from the one before and gives to the one after.

Theory of operation (the predecessor on the left):

    start_successor            load, build, open the database, accept on the shared sockets
                         <---  ready
    accept no more, send WebSocket clients away, give up lanes, jobs and accounts
    go                   --->  take the accounts, be the one the lock names
    events of what still runs --->  tell our clients
    answer what is in flight, drain, end  --->  (end of the link) take what it left

Guarantees: until `ready` the predecessor does everything it always did, and goes on with it when
`ready` does not come in time or the successor ends. When a successor dies after `ready` while its
predecessor still drains, another one is started on the same sockets. When a predecessor dies, its
successor takes over at once.

Not here: what is given up and taken (`portico.app`), the descriptors (`portico.succession`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from subprocess import TimeoutExpired

import msgspec
import structlog

from portico import __version__
from portico.app import Gateway
from portico.events.hub import Forwarded
from portico.process.lock import Lock, LockInfo
from portico.process.notify import Notifier
from portico.process.openclaw_lock import announce, withdraw
from portico.succession.estate import Estate, Successor, start_successor
from portico.succession.link import Link, Word

log = structlog.get_logger()

GO_PATIENCE_S = 30.0
MAX_SUCCESSORS = 3
END_S = 0.4


class NotReady(Exception):
    """The successor did not become ready; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """What goes from one process to the next.

    Attributes:
        command: the command line of the next process.
        info: what the lock says of this process.
    """

    lock: Lock
    listeners: Sequence[socket.socket]
    command: Sequence[str]
    env: Mapping[str, str]
    info: LockInfo


@dataclass(frozen=True, slots=True)
class _Next:
    """The process that takes over, and the way to it."""

    started: Successor
    link: Link

    @property
    def pid(self) -> int:
        return self.started.process.pid


class Line:
    """One process of the line."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        belongings: Belongings,
        estate: Estate | None,
        notifier: Notifier,
        ready_s: Callable[[], float],
    ) -> None:
        self._gateway = gateway
        self._ours = belongings
        self._kept = [os.dup(listener.fileno()) for listener in belongings.listeners]
        self._estate = estate
        self.notifier = notifier
        self._ready_s = ready_s
        self._place = -1 if estate is None else estate.place
        self._stopped = -1
        self._reading = -1  # the other end of the place, of the first process of the line
        self._back: Link | None = None
        self._next: _Next | None = None
        self._told_to_go = asyncio.Event()
        self._has_given_up = False

    # -- the successor's side --------------------------------------------------------------------

    @property
    def has_predecessor(self) -> bool:
        """Whether this process was started to take over."""
        return self._estate is not None

    @property
    def is_lock_shared(self) -> bool:
        """Whether another process of the line holds the lock, too."""
        return self._has_given_up or (self.has_predecessor and not self._told_to_go.is_set())

    async def greet(self, *, on_stop: Callable[[], None]) -> None:
        """Tell the predecessor who we are, and listen to it from now on."""
        if self._estate is None:
            return
        self._back = await Link.open(socket.socket(fileno=self._estate.link))
        self._back.say(Word("hello", pid=os.getpid(), owner=self._gateway.ground.boot_id))
        self._gateway.ground.tasks.start(self._follow(self._back, on_stop), name="line.follow")

    async def take_over(self) -> None:
        """Say that we are ready and return when the predecessor has given up, or is gone."""
        if self._back is not None:
            self._back.say(Word("ready", pid=os.getpid(), version=__version__))
            with contextlib.suppress(TimeoutError):  # its leases keep us from doing anything twice
                async with asyncio.timeout(GO_PATIENCE_S):
                    await self._told_to_go.wait()
            self._gateway.path.accounts.look_again()
            self._gateway.ground.restarts.succeeded()
        self._say_place(f"pid {os.getpid()}")
        self.show()
        self.notifier.ready(f"Listening at {self._ours.info.url}")

    async def _follow(self, back: Link, on_stop: Callable[[], None]) -> None:
        async for word in back.words():
            match word.say:
                case "go":
                    self._told_to_go.set()
                case "stop":
                    on_stop()
                case "event":
                    self._take(word.event)
                case _:
                    log.warning("line.unknown_word", word=word.say)
        await back.close()
        self._told_to_go.set()
        owner = "" if self._estate is None else self._estate.owner
        log.info("line.alone", predecessor=owner)
        await self._gateway.outlive(owner)
        self._gateway.keep_company(has_company=False)

    def _take(self, raw: msgspec.Raw) -> None:
        with contextlib.suppress(msgspec.MsgspecError):
            self._gateway.ground.hub.take(msgspec.json.decode(raw, type=Forwarded))

    # -- the predecessor's side ------------------------------------------------------------------

    async def hand_over(self, stop_accepting: Callable[[], None]) -> bool:
        """Start a successor and give up to it; `False`: it did not come up, nothing has changed."""
        found = await self._find_successor()
        if found is None:
            return False
        self._next = found
        self._has_given_up = True
        stop_accepting()
        self.notifier.say(f"MAINPID={found.pid}")
        await self._gateway.give_up(self._forward)
        found.link.say(Word("go"))
        log.info("line.handed_over", pid=found.pid)
        return True

    async def _find_successor(self) -> _Next | None:
        gateway = self._gateway
        self.notifier.reloading(gateway.ground.clock.monotonic_s())
        gateway.keep_company(has_company=True)
        if not gateway.features.updates.awaits_restart:  # else it is the new version that is tried
            await gateway.ground.settings.restart_begins()
        try:
            return await self._start_next()
        except NotReady as error:
            gateway.keep_company(has_company=False)
            gateway.ground.restarts.failed(await gateway.ground.settings.restart_failed(str(error)))
            self.show()
            self.notifier.ready(f"Restart rolled back: {error}")
            return None

    async def _start_next(self) -> _Next:
        """Start a process and return it when it is ready.

        Raises:
            NotReady: it ended, or time is up; it is gone then.
        """
        self._make_place()
        ours = self._ours
        try:
            started = start_successor(
                ours.command,
                env=ours.env,
                lock=ours.lock.descriptor,
                listeners=self._kept,
                place=self._place,
                owner=self._gateway.ground.boot_id,
            )
        except OSError as error:
            raise NotReady(f"it could not be started: {error}") from None
        log.info("line.successor_started", pid=started.process.pid)
        link = await Link.open(started.end)
        owner: list[str] = []
        ready_s = self._ready_s()
        try:
            async with asyncio.timeout(ready_s):
                await self._wait_ready(link, owner)
        except TimeoutError:
            await self._bury(started, link, owner)
            raise NotReady(f"it was not ready within {ready_s:g} s") from None
        except NotReady as error:
            code = await self._bury(started, link, owner)
            raise NotReady(str(error) or f"it ended with exit code {code}") from None
        except BaseException:
            await asyncio.shield(self._bury(started, link, owner))
            raise
        return _Next(started, link)

    async def _wait_ready(self, link: Link, owner: list[str]) -> None:
        async for word in link.words():
            if word.say == "hello":
                owner.append(word.owner)
            elif word.say == "failed":
                raise NotReady(word.reason)
            elif word.say == "ready":
                return
        raise NotReady

    async def _bury(self, gone: Successor, link: Link, owner: Sequence[str]) -> int | None:
        """End a successor for certain, and take back what it may have begun."""
        with contextlib.suppress(TimeoutExpired):  # it may be about to end by itself
            await asyncio.to_thread(gone.process.wait, END_S)
        gone.kill()
        code = await asyncio.to_thread(gone.process.wait)
        await link.close()
        for name in owner:
            await self._gateway.outlive(name)
        return code

    @property
    def has_given_up(self) -> bool:
        """Whether a successor accepts: there is no way back."""
        return self._has_given_up

    def _forward(self, event: Forwarded) -> None:
        if self._next is not None:
            self._next.link.forward(event)

    async def attend(self) -> None:
        """See to it that somebody serves while we drain: a successor that dies gets a successor."""
        for _ in range(MAX_SUCCESSORS):
            served = self._next
            if served is None:
                return
            async for _word in served.link.words():
                pass
            code = await asyncio.to_thread(served.started.process.wait)
            if code == 0:  # it was told to stop
                return
            log.error("line.successor_died", pid=served.pid, code=code)
            try:
                self._next = found = await self._start_next()
            except NotReady as error:
                log.error("line.no_successor", reason=str(error))
                return
            self.notifier.say(f"MAINPID={found.pid}")
            found.link.say(Word("go"))

    def stop_next(self) -> None:
        """Pass a signal to stop on to the process that serves now; once: twice means at once."""
        if self._next is None or self._next.pid == self._stopped:
            return
        if self._next.started.process.poll() is None:
            self._stopped = self._next.pid
            os.kill(self._next.pid, signal.SIGTERM)

    # -- what others see -------------------------------------------------------------------------

    def show(self) -> None:
        """Write into the lock who we are."""
        info = msgspec.structs.replace(
            self._ours.info, last_restart=self._gateway.ground.restarts.last
        )
        self._ours.lock.update(info)
        announce(self._ours.lock.path.parent, info)

    def _make_place(self) -> None:
        if self._place < 0 and self._estate is None and not self.notifier.is_heard:
            self._reading, self._place = os.pipe()

    def _say_place(self, words: str) -> None:
        if self._place >= 0:
            with contextlib.suppress(OSError):
                os.write(self._place, f"{words}\n".encode())

    async def end(self, code: int, *, handed_over: bool) -> tuple[int, int] | None:
        """Close what is ours; return pid and pipe if this process must keep its place.

        The lock is left alone when a successor has it.
        """
        for descriptor in self._kept:
            os.close(descriptor)
        if not handed_over:
            self._say_place(f"exit {code}")
            withdraw(self._ours.lock.path.parent, os.getpid())
            self._ours.lock.release()
            return None
        self._ours.lock.leave()
        if self._next is None:
            return None
        await self._next.link.close()
        if self._reading < 0:
            return None
        os.close(self._place)
        os.set_inheritable(self._reading, True)
        return self._next.pid, self._reading
