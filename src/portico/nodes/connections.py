"""Which nodes are connected, each over one connection.

Guarantees: a node that connects again takes the place of its old connection; nothing of that one,
no result and no event, counts any more. What a node asks for is a committed row before anybody is
told.

Source: OpenClaw gateway protocol, "Nodes".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import structlog

from portico.auth.model import Principal
from portico.clock import Clock
from portico.ids import ConnId, new_uuid
from portico.nodes import approval, policy, shapes
from portico.nodes import store as node_store
from portico.nodes.invoking import Invokes, Tell
from portico.nodes.model import NodeDevices, NodeRow, about_of, declared_of
from portico.nodes.session import Session
from portico.nodes.settings import NodeSettings
from portico.protocol.connect import ConnectParams
from portico.protocol.scopes import Role
from portico.store import Store
from portico.tasks import Tasks

log = structlog.get_logger()

Publish = Callable[[str, Any], None]
Greeting = Callable[[], Awaitable[list[tuple[str, Any]]]]
"""Returns events for a node that has connected."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A node that was let in and is about to be told so."""

    session: Session


class NodeConnections:
    """The connections of nodes, as the door tells them (`web.arrival.NodeDoor`).

    Args:
        invokes: end with the connection they were sent over, or that waits for them.
        close: ends a connection.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        tasks: Tasks,
        publish: Publish,
        tell: Tell,
        close: Callable[[ConnId, str], None],
        devices: NodeDevices,
        invokes: Invokes,
        settings: Callable[[], NodeSettings],
    ) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._publish = publish
        self._tell = tell
        self._close = close
        self._devices = devices
        self._invokes = invokes
        self._settings = settings
        self._sessions: dict[str, Session] = {}
        self._greetings: list[Greeting] = []

    async def expect(
        self, conn_id: ConnId, params: ConnectParams, principal: Principal
    ) -> Arrival | None:
        """Take note of a node that was let in, before it is told so; `None`: it is none."""
        node_id = principal.device_id
        if principal.role != Role.NODE or node_id is None:
            return None
        now = self._clock.now_ms()
        about = about_of(params, remote_ip=principal.ip)
        declared = policy.may_ask_for(about, declared_of(params), self._settings().rules)
        is_new = await self._store.read(node_store.find, node_id) is None
        decide = partial(
            approval.arrived,
            node_id=node_id,
            about=about,
            declared=declared,
            request_id=new_uuid(),
            now=now,
            silent=principal.local,
            is_preapproved=is_new and await self._devices.came_by_code(node_id),
        )
        before, row = await self._store.write(node_store.change, node_id, decide)
        assert row is not None  # noqa: S101 - it was just written
        self._announce_request(before, row)
        session = Session(
            conn_id=conn_id,
            row=row,
            declared=declared,
            connected_at=now,
            is_local=principal.local,
            path_env=params.path_env,
            computer_use=params.computer_use,
        )
        return Arrival(session)

    def _announce_request(self, before: NodeRow | None, row: NodeRow) -> None:
        asked = row.asked
        if asked is None or (before and before.asked and before.asked.surface == asked.surface):
            return
        log.info("node.asks", node_id=row.node_id, commands=asked.surface.commands)
        self._publish("node.pair.requested", shapes.pending(row, asked))

    def connected(self, arrival: Arrival) -> None:
        """Begin to use a node's connection, in place of the one it had."""
        session = arrival.session
        old = self._sessions.get(session.node_id)
        self._sessions[session.node_id] = session
        if old is not None:
            self._invokes.gone(old.conn_id)
            self._left(old)
            self._close(old.conn_id, "replaced by another connection of the same node")
        log.info("node.connected", node_id=session.node_id, state=session.row.state)
        if self._greetings:
            self._tasks.start(self._greet(session.conn_id), name="nodes.greet")

    def greet_with(self, greeting: Greeting) -> None:
        """Tell every node these events when it has connected."""
        self._greetings.append(greeting)

    async def _greet(self, conn_id: ConnId) -> None:
        for greeting in self._greetings:
            for name, payload in await greeting():
                self._tell(conn_id, name, payload)

    def gone(self, conn_id: ConnId) -> None:
        """A connection has ended, a node's or anybody's who waits for one."""
        self._invokes.gone(conn_id)
        session = next((one for one in self._sessions.values() if one.conn_id == conn_id), None)
        if session is None:
            return
        del self._sessions[session.node_id]
        self._left(session)
        now = self._clock.now_ms()
        left = self._store.write(node_store.left, session.node_id, session.host_stats, now=now)
        self._tasks.start(left, name="nodes.left")
        log.info("node.disconnected", node_id=session.node_id)

    def _left(self, session: Session) -> None:
        if session.last_active_at is not None:
            self._publish(
                "node.presence",
                {"nodeId": session.node_id, "lastActiveAtMs": None, "presenceUpdatedAtMs": None},
            )

    def session(self, node_id: str) -> Session | None:
        """Return a node's connection, or `None`."""
        return self._sessions.get(node_id)

    def sessions(self) -> list[Session]:
        """Return every connected node."""
        return list(self._sessions.values())

    def session_over(self, conn_id: ConnId | None) -> Session | None:
        """Return the node behind a connection, while it is the node's current one."""
        return next((one for one in self._sessions.values() if one.conn_id == conn_id), None)

    @property
    def active_id(self) -> str | None:
        """The connected node somebody used last."""
        used = [one for one in self._sessions.values() if one.last_active_at is not None]
        return max(used, key=lambda one: one.last_active_at or 0).node_id if used else None

    def remember(self, row: NodeRow) -> Session | None:
        """Let a connected node be what its row says now; return its connection, or `None`."""
        session = self._sessions.get(row.node_id)
        if session is not None:
            session.row = row
        return session

    def dismiss(self, node_id: str) -> None:
        """Use a node for nothing any more, and end its connection."""
        session = self._sessions.get(node_id)
        if session is not None:
            session.row = msgspec.structs.replace(session.row, approved=None, asked=None)
            self._close(session.conn_id, "node removed")
