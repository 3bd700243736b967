"""Every event the gateway sends: who may receive it, and whether a slow client may miss it.

Guarantees: an event that is not in the table is never delivered (fail closed).

Source: OpenClaw gateway protocol, "Events"; names, scopes and drop rules are the protocol's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from portico.protocol.scopes import Role, Scope

Audience = Literal["everyone", "session_readers", "session_list", "session_messages", "direct"]


@dataclass(frozen=True, slots=True)
class EventSpec:
    """How one event travels.

    Attributes:
        scope: what an operator needs to receive it; `None`: every role, nodes included.
        droppable: whether a slow client may lose it (it then sees a gap in `seq`).
        audience: `everyone` with the scope; `session_readers`: everyone, but only subscribers
            among clients that asked for session-scoped events; `session_list`: those who called
            sessions.subscribe; `session_messages`: those and the session's own subscribers;
            `direct`: only the connections the sender names.
        sequenced: whether it carries the connection's `seq`.
        replayed: whether a client that comes back gets it again. What describes a state that every
            hello carries anyway, or only a moment, is not.
        doc: what it says and when, in a sentence or two.
    """

    name: str
    scope: Scope | None
    droppable: bool = True
    audience: Audience = "everyone"
    sequenced: bool = True
    replayed: bool = True
    doc: str = ""


EVENTS: dict[str, EventSpec] = {
    spec.name: spec
    for spec in (
        EventSpec("connect.challenge", None, audience="direct", sequenced=False),
        EventSpec("agent", Scope.READ, audience="session_readers"),
        EventSpec("chat", Scope.READ, audience="session_readers"),
        EventSpec("session.message", Scope.READ, droppable=False, audience="session_messages"),
        EventSpec("session.operation", Scope.READ, audience="session_messages"),
        EventSpec("session.tool", Scope.READ, audience="session_list"),
        EventSpec("sessions.changed", Scope.READ, audience="session_list"),
        EventSpec("skills.changed", Scope.READ),
        EventSpec("presence", Scope.READ, replayed=False),
        EventSpec("tick", None, droppable=False, replayed=False),
        EventSpec("shutdown", None, droppable=False, replayed=False),
        EventSpec("health", None, droppable=False, replayed=False),
        EventSpec("heartbeat", None, replayed=False),
        EventSpec("exec.approval.requested", Scope.APPROVALS),
        EventSpec("exec.approval.resolved", Scope.APPROVALS),
        EventSpec("config.changed", Scope.READ),
        EventSpec("cron", Scope.READ),
        EventSpec("question.requested", Scope.QUESTIONS, droppable=False),
        EventSpec("question.resolved", Scope.QUESTIONS, droppable=False),
        EventSpec("update.available", None),
        EventSpec("update.run.changed", Scope.ADMIN, droppable=False),
        EventSpec("talk.mode", Scope.TALK, replayed=False),
        EventSpec("users.prefs.changed", Scope.READ, droppable=False),
        EventSpec("voicewake.changed", None),  # nodes listen for the words
        EventSpec("voicewake.routing.changed", None),
        EventSpec("device.pair.requested", Scope.PAIRING),
        EventSpec("device.pair.resolved", Scope.PAIRING),
        EventSpec("device.pair.changed", Scope.PAIRING),
        EventSpec("device.pair.setup.completed", Scope.PAIRING),
        EventSpec("device.pair.setup.deliveryUncertain", Scope.PAIRING),
        EventSpec("node.pair.requested", Scope.PAIRING),
        EventSpec("node.pair.resolved", Scope.PAIRING),
        EventSpec("node.presence", Scope.READ),
        EventSpec("node.hostStats", Scope.READ, replayed=False),
        EventSpec("node.runnerInventory.changed", Scope.READ),
        EventSpec("node.invoke.request", None, droppable=False, audience="direct", sequenced=False),
        EventSpec("node.invoke.cancel", None, droppable=False, audience="direct", sequenced=False),
        EventSpec("node.invoke.input", None, droppable=False, audience="direct", sequenced=False),
    )
}

ADVERTISED_EVENTS: list[str] = list(EVENTS)


def may_receive(spec: EventSpec, role: str, scopes: frozenset[str]) -> bool:
    """Say whether a connection of this role with these (expanded) scopes may get the event."""
    if spec.scope is None:
        return True
    return role == Role.OPERATOR and spec.scope in scopes


@lru_cache(maxsize=256)
def receivable(role: str, scopes: frozenset[str]) -> frozenset[str]:
    """Return the names of the events a role with these (expanded) scopes may get."""
    return frozenset(spec.name for spec in EVENTS.values() if may_receive(spec, role, scopes))
