"""The hub: one `publish` reaches every connection that may and wants to receive the event.

Guarantees:
    - An event is encoded once, whatever the number of receivers; no receiver is ever awaited.
    - `seq` counts, per connection, the events addressed to it (what a node is told apart from what
      everybody is, has none). A droppable event a slow client
      cannot take is skipped and leaves a gap in its `seq`; an undroppable one closes the client.
    - The last `window` events (bounded in number and bytes) can be replayed to a client that comes
      back with its cursor `<epoch>:<offset>`; when part of what it missed is gone, it is told.

Not here: sockets (a `Sink` per connection), event schemas (`protocol.events`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from portico.ids import ConnId
from portico.observe.metrics import Metrics
from portico.protocol.events import EVENTS, EventSpec, receivable
from portico.protocol.frames import EncodedEvent
from portico.protocol.scopes import Role

FORWARDED = frozenset(
    {
        *("agent", "chat", "cron", "sessions.changed"),
        *("session.message", "session.operation", "session.tool"),
    }
)
"""What only the process that runs a turn can tell: the rest every process tells its own clients."""


class Sink(Protocol):
    """The sending side of one connection."""

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        """Queue one frame; `False` when the client is too slow and the frame was not queued."""
        ...


@dataclass(slots=True)
class Subscription:
    """What one connection receives, and how far its sequence is.

    Attributes:
        device_id: the device behind the connection, when it proved one.
        scoped: the client asked to get agent and chat events only of sessions it follows.
        wants_cursor: the client understands replay; its events carry a cursor.
    """

    conn_id: ConnId
    sink: Sink
    role: str
    scopes: frozenset[str]
    device_id: str | None = None
    scoped: bool = False
    tool_events: bool = False
    wants_cursor: bool = False
    legacy: bool = False
    seq: int = 0
    session_list: bool = False
    sessions: frozenset[str] | set[str] = frozenset()  # a set of its own from the first follow on
    receivable: frozenset[str] = field(init=False)  # what role and scopes allow

    def __post_init__(self) -> None:
        """Decide once what may be received."""
        self.receivable = receivable(self.role, self.scopes)

    def allows(self, spec: EventSpec) -> bool:
        """Whether role and scopes let this connection have the event."""
        return spec.name in self.receivable

    def follow(self, session_key: str, *, following: bool) -> None:
        """Start or stop receiving one session's messages."""
        if not isinstance(self.sessions, set):
            self.sessions = set(self.sessions)
        if following:
            self.sessions.add(session_key)
        else:
            self.sessions.discard(session_key)

    def confide(self, session_key: str, *, following: bool) -> None:
        """Let a node follow one session: of these, and only these, it gets the runs' events."""
        self.follow(session_key, following=following)
        self.scoped = True
        runs = frozenset({"agent", "chat"})
        self.receivable = self.receivable | runs if self.sessions else self.receivable - runs

    def wants(self, spec: EventSpec, session_key: str | None, *, tool: bool) -> bool:
        """Whether the event is addressed to this connection."""
        if spec.name not in self.receivable:
            return False
        match spec.audience:
            case "everyone":
                return True
            case "session_readers":
                if tool and not self.tool_events:
                    return False
                return not self.scoped or session_key in self.sessions
            case "session_list":
                return self.session_list
            case "session_messages":
                return self.session_list or session_key in self.sessions
            case _:
                return False


class _Logged(NamedTuple):
    offset: int
    spec: EventSpec
    event: EncodedEvent
    session_key: str | None
    tool: bool


class Forwarded(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event on its way to the clients of another process."""

    name: str
    payload: Any
    session_key: str | None = None
    tool: bool = False
    droppable: bool | None = None


Forward = Callable[[Forwarded], None]


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer to a client that came back.

    Attributes:
        cursor: where the client is after the replay.
        status: `fresh`: it did not come back; `resumed`: everything it missed follows; `gap`: part
            of what it missed is gone, and it must refetch.
        missed: how many events follow.
    """

    cursor: str
    status: Literal["fresh", "resumed", "gap"]
    missed: int = 0


class Hub:
    """Publishes events to the connections of this process."""

    def __init__(
        self, *, epoch: str, window: int, window_bytes: int, metrics: Metrics | None = None
    ) -> None:
        measured = metrics or Metrics()
        self._published = measured.events_published
        self._dropped = measured.events_dropped
        self._epoch = epoch
        self._window = window
        self._window_bytes = window_bytes
        self._subscriptions: dict[ConnId, Subscription] = {}
        self._log: deque[_Logged] = deque()
        self._log_bytes = 0
        self._offset = 0
        self._forward: Forward | None = None
        self._listeners: dict[str, list[Callable[[str, Any], None]]] = {}

    def __len__(self) -> int:
        return len(self._subscriptions)

    @property
    def cursor(self) -> str:
        """Where the stream of events is now: `<epoch>:<offset>`."""
        return f"{self._epoch}:{self._offset}"

    def subscribe(self, subscription: Subscription) -> None:
        """Start delivering to a connection."""
        self._subscriptions[subscription.conn_id] = subscription

    def unsubscribe(self, conn_id: ConnId) -> None:
        """Stop delivering to a connection. Unknown ids are ignored."""
        self._subscriptions.pop(conn_id, None)

    def find(self, conn_id: ConnId) -> Subscription | None:
        """Return a connection's subscription, if it is connected here."""
        return self._subscriptions.get(conn_id)

    def receivers(self, name: str) -> list[Subscription]:
        """Return the connections here that may have an event."""
        return [one for one in self._subscriptions.values() if name in one.receivable]

    def wanted(self, name: str, session_key: str | None = None) -> bool:
        """Whether anybody here would receive the event, so that making it is worth its cost."""
        spec = EVENTS[name]
        return self._forward is not None or any(
            subscription.wants(spec, session_key, tool=False)
            for subscription in self._subscriptions.values()
        )

    def listen(self, name: str, heard: Callable[[str, Any], None]) -> None:
        """Let a part of the gateway hear an event, whoever else does. It must not raise."""
        self._listeners.setdefault(name, []).append(heard)

    def forward(self, to: Forward | None) -> None:
        """Give every event of the stream to another process, too: our clients are there now."""
        self._forward = to

    def take(self, event: Forwarded) -> None:
        """Publish what another process forwarded."""
        self.publish(
            event.name,
            event.payload,
            session_key=event.session_key,
            tool=event.tool,
            droppable=event.droppable,
        )

    def publish(
        self,
        name: str,
        payload: Any,
        *,
        session_key: str | None = None,
        tool: bool = False,
        droppable: bool | None = None,
        state_version: tuple[int, int] | None = None,
        only: Collection[ConnId] | None = None,
    ) -> None:
        """Send an event to everybody it is for.

        Args:
            session_key: the session the event belongs to, for session audiences.
            tool: a tool event, which only clients that asked for them receive.
            droppable: overrides the event's own rule (a final chat event is never dropped).
            only: send to these connections and nobody else; such events are not replayed.
        """
        spec = EVENTS.get(name)
        if spec is None:
            return
        self._published.inc(name)
        for heard in self._listeners.get(name, ()):
            heard(name, payload)
        if self._forward is not None and name in FORWARDED and only is None:
            self._forward(Forwarded(name, payload, session_key, tool, droppable))
        event = EncodedEvent(name, payload, state_version)
        drop = spec.droppable if droppable is None else droppable
        if only is not None:
            for conn_id in only:
                target = self._subscriptions.get(conn_id)
                if target is not None and target.allows(spec):
                    self._deliver(target, spec, event, droppable=drop)
            return
        if spec.replayed:
            self._remember(spec, event, session_key, tool=tool)
        for subscription in list(self._subscriptions.values()):
            if subscription.wants(spec, session_key, tool=tool):
                self._deliver(subscription, spec, event, droppable=drop)

    def tell(self, conn_id: ConnId, name: str, payload: Any) -> bool:
        """Send an event outside the sequence to one connection, whatever its role.

        `False`: it is not connected here, or too slow; nothing was sent.
        """
        target = self._subscriptions.get(conn_id)
        if target is None:
            return False
        self._published.inc(name)
        event = EncodedEvent(name, payload)
        frame = event.legacy_frame() if target.legacy else event.frame(None)
        return target.sink.send_event(frame, droppable=False)

    def _deliver(
        self, to: Subscription, spec: EventSpec, event: EncodedEvent, *, droppable: bool
    ) -> None:
        cursor = self.cursor if to.wants_cursor else None
        if not to.sink.send_event(_frame(to, spec, event, cursor), droppable=droppable):
            self._dropped.inc()

    def _remember(
        self, spec: EventSpec, event: EncodedEvent, session_key: str | None, *, tool: bool
    ) -> None:
        self._offset += 1
        if not self._window:
            return
        self._log.append(_Logged(self._offset, spec, event, session_key, tool))
        self._log_bytes += event.size_bytes
        while len(self._log) > self._window or self._log_bytes > self._window_bytes:
            self._log_bytes -= self._log.popleft().event.size_bytes

    def replay(self, to: Subscription, cursor: str) -> tuple[Replay, Iterator[bytes]]:
        """Say what a returning client missed, and give the frames to send after its hello."""
        missed = self._since(cursor)
        if missed is None:
            return Replay(self.cursor, "gap"), iter(())
        wanted = [e for e in missed if to.wants(e.spec, e.session_key, tool=e.tool)]
        frames = (
            _frame(to, entry.spec, entry.event, f"{self._epoch}:{entry.offset}") for entry in wanted
        )
        return Replay(self.cursor, "resumed", len(wanted)), frames

    def _since(self, cursor: str) -> list[_Logged] | None:
        epoch, _, offset_text = cursor.rpartition(":")
        if epoch != self._epoch or not offset_text.isdecimal():
            return None
        offset = int(offset_text)
        oldest = self._log[0].offset if self._log else self._offset + 1
        if offset > self._offset or offset < oldest - 1:
            return None
        return [entry for entry in self._log if entry.offset > offset]


def _frame(to: Subscription, spec: EventSpec, event: EncodedEvent, cursor: str | None) -> bytes:
    if to.legacy:
        return event.legacy_frame()
    if not spec.sequenced or (to.role == Role.NODE and spec.scope is not None):
        return event.frame(None, cursor=cursor)
    to.seq += 1
    return event.frame(to.seq, cursor=cursor)
