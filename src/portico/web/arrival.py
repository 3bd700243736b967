"""A client that was let in: what it will receive, and how the others come to know of it."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from portico.auth.model import Principal
from portico.events.hub import Sink, Subscription
from portico.events.presence import PresenceEntry, client_text
from portico.ids import ConnId
from portico.protocol.connect import (
    EVENT_REPLAY_CAP,
    SESSION_SCOPED_EVENTS_CAP,
    TOOL_EVENTS_CAP,
    ConnectParams,
)
from portico.protocol.frames import Dialect
from portico.protocol.scopes import Role


class NodeDoor(Protocol):
    """The nodes, as far as connections tell them."""

    async def expect(
        self, conn_id: ConnId, params: ConnectParams, principal: Principal
    ) -> Any | None:
        """Take note of a client that was let in, before it is told; `None`: it is no node."""
        ...

    def connected(self, arrival: Any) -> None:
        """A client that was taken note of has been told."""
        ...

    def gone(self, conn_id: ConnId) -> None:
        """A connection has ended."""
        ...


class NoNodes:
    """A door without nodes."""

    async def expect(
        self, conn_id: ConnId, params: ConnectParams, principal: Principal
    ) -> Any | None:
        """Nobody is one."""
        return None

    def connected(self, arrival: Any) -> None:
        """Never happens."""

    def gone(self, conn_id: ConnId) -> None:
        """Nobody cares."""


def subscription_for(
    conn_id: ConnId, sink: Sink, *, params: ConnectParams, principal: Principal, dialect: Dialect
) -> Subscription:
    """Return what a connection receives, with what it followed before it came back."""
    caps, resume = principal.caps, params.resume
    subscription = Subscription(
        conn_id=conn_id,
        sink=sink,
        role=principal.role,
        scopes=principal.scopes,
        device_id=principal.device_id,
        scoped=SESSION_SCOPED_EVENTS_CAP in caps or params.client.id.endswith("-copilot"),
        tool_events=TOOL_EVENTS_CAP in caps,
        wants_cursor=EVENT_REPLAY_CAP in caps,
        legacy=dialect == "legacy",
    )
    if resume is not None and subscription.wants_cursor:
        subscription.session_list = resume.session_list
        for session_key in resume.sessions:
            subscription.follow(session_key, following=True)
    return subscription


def presence_of(
    conn_id: ConnId, *, params: ConnectParams, principal: Principal, now_ms: int
) -> tuple[str, PresenceEntry]:
    """Return a client's key and entry in the presence table: a node's key is its device."""
    client = params.client
    is_node = principal.role == Role.NODE
    key = principal.device_id if is_node and principal.device_id else conn_id
    entry = PresenceEntry(
        ts=now_ms,
        host=client.display_name or client.id,
        client_id=client.id,
        ip=None if principal.local else principal.ip,
        version=client.version,
        platform=client.platform,
        device_family=client.device_family,
        model_identifier=client.model_identifier,
        time_zone=client.time_zone,
        mode=client.mode,
        reason="connect",
        online_since=now_ms,
        device_id=principal.device_id,
        roles=(principal.role.value,),
        scopes=principal.granted or None,
        instance_id=client.instance_id or key,
    )
    return key, msgspec.structs.replace(entry, text=client_text(entry))
