"""The control plane: every open WebSocket, and what is done for all of them.

One periodic sweep serves all timers (handshake, ping, close grace), one callback per loop tick
flushes all connections that have something to send.

Guarantees: until `open`, and again from `shut_down` on, `connect` is answered with UNAVAILABLE; at
most 32 connections of one address (of IPv6, one /64) have not connected yet, and at most so many
are open in all.

Not here: one connection (`web.ws`), its conversation (`rpc.connection`).

Source: OpenClaw gateway protocol, "Limits and timers", "Lifecycle gating".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from portico.auth.model import Principal
from portico.auth.peer import subscriber_of
from portico.auth.service import Authenticator
from portico.clock import Clock
from portico.events.hub import Hub
from portico.events.presence import Presence
from portico.ids import ConnId
from portico.protocol.errors import Unavailable
from portico.rpc.connection import ConnectionLimits, gateway_starting, gateway_stopping
from portico.rpc.dispatch import Dispatcher
from portico.rpc.hello import HelloBuilder
from portico.tasks import Tasks
from portico.web.arrival import NodeDoor, NoNodes

SWEEP_S = 0.25


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Bounds and timers of the WebSockets; the defaults are the protocol's."""

    max_payload_bytes: int = 26_214_400
    max_preauth_payload_bytes: int = 65_536
    max_buffered_bytes: int = 52_428_800
    max_pending_handshake_frames: int = 15
    handshake_timeout_ms: int = 15_000
    max_preauth_connections_per_ip: int = 32
    max_connections: int = 20_000
    tick_interval_ms: int = 30_000
    ping_interval_ms: int = 25_000
    pong_timeout_ms: int = 25_000
    close_grace_ms: int = 1_000


class Socket(Protocol):
    """One connection, as far as what is done for all of them needs it."""

    is_pinged: bool

    @property
    def ip(self) -> str | None:
        """The address it comes from."""
        ...

    @property
    def conn_id(self) -> ConnId:
        """Its id."""
        ...

    @property
    def principal(self) -> Principal | None:
        """Who is at its end, once they are let in."""
        ...

    def flush(self) -> None:
        """Write everything that is queued, at once."""
        ...

    def ping(self) -> bool:
        """Ask the client whether it is there; `False`: it did not answer the last time."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Close it; it is cut when the client does not answer in time."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...


class _Deadlines:
    """Sockets by the time something is due. All wait equally long, so they stay in order."""

    __slots__ = ("_due_s",)

    def __init__(self) -> None:
        self._due_s: dict[Socket, float] = {}

    def put(self, socket: Socket, due_s: float) -> None:
        self._due_s.pop(socket, None)
        self._due_s[socket] = due_s

    def discard(self, socket: Socket) -> bool:
        return self._due_s.pop(socket, None) is not None

    def take_due(self, now_s: float) -> Iterator[Socket]:
        due = []
        for socket, due_s in self._due_s.items():
            if due_s > now_s:
                break
            due.append(socket)
        for socket in due:
            if self.discard(socket):
                yield socket


class ControlPlane:
    """What the connections of this process have in common."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        authenticator: Authenticator,
        hub: Hub,
        presence: Presence,
        hello: HelloBuilder,
        tasks: Tasks,
        clock: Clock,
        limits: SocketLimits,
        claimed: Callable[[str], bool] = lambda _path: False,
        nodes: NodeDoor | None = None,
    ) -> None:
        """Gather what connections need.

        Args:
            claimed: says which paths are not for the control plane.
        """
        self.dispatcher = dispatcher
        self.authenticator = authenticator
        self.hub = hub
        self.presence = presence
        self.hello = hello
        self.tasks = tasks
        self.clock = clock
        self.limits = limits
        self.claimed = claimed
        self.nodes: NodeDoor = nodes or NoNodes()
        self.connection_limits = ConnectionLimits(limits.max_pending_handshake_frames)
        self.wire_log = logging.getLogger("portico.web.wire")
        self.wire_log.setLevel(logging.WARNING)
        self._refusal: Callable[[], Unavailable] | None = gateway_starting
        self._sockets: set[Socket] = set()
        self._by_subscriber: dict[str, int] = {}
        self._handshakes = _Deadlines()
        self._pings = _Deadlines()
        self._closes = _Deadlines()
        self._unsent: list[Socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeping: asyncio.Task[Any] | None = None
        self._emptied = asyncio.Event()

    def __len__(self) -> int:
        return len(self._sockets)

    async def start(self) -> None:
        """Begin to sweep and tick."""
        if self._sweeping is None:
            self._sweeping = self.tasks.start(self._sweep(), name="ws.sweep")

    def open(self) -> None:
        """Let clients connect from now on."""
        self._refusal = None

    def gate(self) -> Unavailable | None:
        """Say why nobody may connect now, or `None`."""
        return None if self._refusal is None else self._refusal()

    async def shut_down(
        self, *, reason: str = "gateway stopping", restart_expected_ms: int | None = None
    ) -> None:
        """Say goodbye to every client and close it; returns when all are gone or out of time."""
        self._refusal = gateway_stopping
        payload: dict[str, Any] = {"reason": reason}
        if restart_expected_ms is not None:
            payload["restartExpectedMs"] = restart_expected_ms
        self.hub.publish("shutdown", payload)
        self._emptied.clear()
        for socket in list(self._sockets):
            socket.close(1012, "service restart")
        if self._sockets:
            try:
                async with asyncio.timeout(self.limits.close_grace_ms / 1000):
                    await self._emptied.wait()
            except TimeoutError:
                for socket in list(self._sockets):
                    socket.abort()

    async def stop(self) -> None:
        """End the sweep and cut what is still open. Safe to call twice."""
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            sweeping.cancel()
            await asyncio.wait([sweeping])
        for socket in list(self._sockets):
            socket.abort()

    def close_where(self, applies: Callable[[Principal], bool], *, code: int, reason: str) -> int:
        """Close the connections of some principals and return how many."""
        chosen = [s for s in self._sockets if s.principal is not None and applies(s.principal)]
        for socket in chosen:
            socket.close(code, reason)
        return len(chosen)

    def principals(self) -> list[Principal]:
        """Return who is connected here, once for each connection."""
        return [s.principal for s in self._sockets if s.principal is not None]

    def connected_devices(self) -> set[str]:
        """Return the devices that are connected here."""
        return {p.device_id for p in self.principals() if p.device_id is not None}

    def close_one(self, conn_id: ConnId, *, code: int, reason: str) -> None:
        """Close one connection, if it is still open."""
        for socket in self._sockets:
            if socket.conn_id == conn_id:
                socket.close(code, reason)
                return

    def is_connected(self, device_id: str) -> bool:
        """Say whether a device is connected here."""
        return any(
            s.principal is not None and s.principal.device_id == device_id for s in self._sockets
        )

    def has_room(self, ip: str | None) -> bool:
        """Say whether one more connection from an address may begin its handshake."""
        if len(self._sockets) >= self.limits.max_connections:
            return False
        return (
            self._by_subscriber.get(subscriber_of(ip), 0)
            < self.limits.max_preauth_connections_per_ip
        )

    def opened(self, socket: Socket) -> None:
        """Note a new socket; it has its handshake timeout to connect."""
        self._sockets.add(socket)
        who = subscriber_of(socket.ip)
        self._by_subscriber[who] = self._by_subscriber.get(who, 0) + 1
        now_s = self.clock.monotonic_s()
        self._handshakes.put(socket, now_s + self.limits.handshake_timeout_ms / 1000)
        self._pings.put(socket, now_s + self.limits.ping_interval_ms / 1000)

    def admitted(self, socket: Socket) -> None:
        """Note that a socket's client is let in."""
        if self._handshakes.discard(socket):
            self._release_ip(socket)

    def closing(self, socket: Socket) -> None:
        """Note that a socket was asked to close; it is cut when its grace is over."""
        due_s = self.clock.monotonic_s() + self.limits.close_grace_ms / 1000
        self._closes.put(socket, due_s)

    def lost(self, socket: Socket) -> None:
        """Forget a socket."""
        self._sockets.discard(socket)
        self.admitted(socket)
        self._pings.discard(socket)
        self._closes.discard(socket)
        if not self._sockets:
            self._emptied.set()

    def flush_soon(self, socket: Socket) -> None:
        """Write what a socket has to send at the end of this loop tick."""
        self._unsent.append(socket)
        if len(self._unsent) == 1:
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        for socket in unsent:
            socket.flush()

    def _release_ip(self, socket: Socket) -> None:
        who = subscriber_of(socket.ip)
        left = self._by_subscriber.get(who, 0) - 1
        if left > 0:
            self._by_subscriber[who] = left
        else:
            self._by_subscriber.pop(who, None)

    async def _sweep(self) -> None:
        tick_s = self.limits.tick_interval_ms / 1000
        next_tick_s = self.clock.monotonic_s() + tick_s
        period_s = min(SWEEP_S, tick_s)
        while True:
            await asyncio.sleep(period_s)
            now_s = self.clock.monotonic_s()
            self.sweep(now_s)
            if now_s >= next_tick_s:
                next_tick_s = max(next_tick_s + tick_s, now_s)
                self.hub.publish("tick", {"ts": self.clock.now_ms()})

    def sweep(self, now_s: float) -> None:
        """Do what is due: handshake timeouts, pings, and the end of close graces."""
        for socket in self._handshakes.take_due(now_s):
            self._release_ip(socket)
            socket.close(1000)
        for socket in self._closes.take_due(now_s):
            socket.abort()
        limits = self.limits
        for socket in self._pings.take_due(now_s):
            awaiting = socket.is_pinged
            if not socket.ping():
                continue
            wait_ms = limits.ping_interval_ms if awaiting else limits.pong_timeout_ms
            self._pings.put(socket, now_s + wait_ms / 1000)
