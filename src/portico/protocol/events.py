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
        doc: its payload and when it comes, in Markdown.
        droppable: whether a slow client may lose it (it then sees a gap in `seq`).
        audience: `everyone` with the scope; `session_readers`: everyone, but only subscribers
            among clients that asked for session-scoped events; `session_list`: those who called
            sessions.subscribe; `session_messages`: those and the session's own subscribers;
            `direct`: only the connections the sender names.
        sequenced: whether it carries the connection's `seq`.
        replayed: whether a client that comes back gets it again. What describes a state that every
            hello carries anyway, or only a moment, is not.
    """

    name: str
    scope: Scope | None
    doc: str
    droppable: bool = True
    audience: Audience = "everyone"
    sequenced: bool = True
    replayed: bool = True


EVENTS: dict[str, EventSpec] = {
    spec.name: spec
    for spec in (
        EventSpec(
            "connect.challenge",
            None,
            "`{nonce, ts}`: the first frame of a connection; a device signs the nonce.",
            audience="direct",
            sequenced=False,
        ),
        EventSpec(
            "agent",
            Scope.READ,
            "`{runId, seq, stream, ts, data, sessionKey?, …}`: what a run does, step by step.",
            audience="session_readers",
        ),
        EventSpec(
            "chat",
            Scope.READ,
            "`{runId, sessionKey, seq, state, …}`: an answer as it grows (`delta`) and ends.",
            audience="session_readers",
        ),
        EventSpec(
            "session.message",
            Scope.READ,
            "`{sessionKey, message, messageId?, …}`: a message was added to a transcript.",
            droppable=False,
            audience="session_messages",
        ),
        EventSpec(
            "task",
            Scope.READ,
            '`{action: "upserted", task}`: a task began or ended, as `tasks.list` shows it.',
            audience="session_readers",
        ),
        EventSpec(
            "session.operation",
            Scope.READ,
            "`{operationId, operation, phase, sessionKey, …}`: a reset, a compaction.",
            audience="session_messages",
        ),
        EventSpec(
            "session.tool",
            Scope.READ,
            "As `agent` for tools, with the session: for who watches many sessions.",
            audience="session_list",
        ),
        EventSpec(
            "sessions.changed",
            Scope.READ,
            "`{sessionKey?, reason?, session?, …}`: a session changed; without a key: list again.",
            audience="session_list",
        ),
        EventSpec("skills.changed", Scope.READ, "`{reason}`: list the skills again."),
        EventSpec(
            "presence",
            Scope.READ,
            "`{presence}`: who is here now, with `stateVersion.presence`.",
            replayed=False,
        ),
        EventSpec(
            "tick",
            None,
            "`{ts}`: the gateway lives; every 30 s by default.",
            droppable=False,
            replayed=False,
        ),
        EventSpec(
            "shutdown",
            None,
            "`{reason, restartExpectedMs?}`: the gateway goes; the connection closes with 1012.",
            droppable=False,
            replayed=False,
        ),
        EventSpec(
            "health",
            None,
            "What `health` answers, without what only administrators see; every minute.",
            droppable=False,
            replayed=False,
        ),
        EventSpec(
            "heartbeat",
            None,
            "`{ts, status, …}`: an agent looked around by itself, and what came of it.",
            replayed=False,
        ),
        EventSpec(
            "exec.approval.requested",
            Scope.APPROVALS,
            "`{id, request, createdAtMs, expiresAtMs}`: a person is to decide.",
        ),
        EventSpec(
            "exec.approval.resolved",
            Scope.APPROVALS,
            "`{id, decision, resolvedBy, ts, request}`: it was decided.",
        ),
        EventSpec(
            "config.changed",
            Scope.READ,
            "`{path, hash, ts}`: the configuration is another one now.",
        ),
        EventSpec(
            "cron",
            Scope.READ,
            "`{jobId, action, job?, runId?, …}`: a job was changed, began or ended.",
        ),
        EventSpec(
            "question.requested",
            Scope.QUESTIONS,
            "A question of an agent that a person is to answer.",
            droppable=False,
        ),
        EventSpec(
            "question.resolved",
            Scope.QUESTIONS,
            "`{id, status, answers?}`: it was answered, cancelled, or is too old.",
            droppable=False,
        ),
        EventSpec("update.available", None, "`{updateAvailable}`: there is a newer version."),
        EventSpec(
            "update.run.changed",
            Scope.ADMIN,
            "`{runId, phase, status, updatedAtMs}`: how far an update is.",
            droppable=False,
        ),
        EventSpec(
            "talk.mode",
            Scope.TALK,
            "`{enabled, phase, ts}`: voice conversation was switched.",
            replayed=False,
        ),
        EventSpec(
            "users.prefs.changed",
            Scope.READ,
            "`{profileId, keys}`: read these preferences again.",
            droppable=False,
        ),
        EventSpec(
            "voicewake.changed", None, "`{triggers}`: the words that wake; nodes listen for them."
        ),
        EventSpec("voicewake.routing.changed", None, "`{config}`: whom the words call."),
        EventSpec(
            "device.pair.requested",
            Scope.PAIRING,
            "The request of a device that wants in, as `device.pair.list` shows it.",
        ),
        EventSpec(
            "device.pair.resolved",
            Scope.PAIRING,
            "`{requestId, deviceId, decision, ts}`: somebody decided about it.",
        ),
        EventSpec("device.pair.changed", Scope.PAIRING, "`{}`: list the devices again."),
        EventSpec(
            "device.pair.setup.completed",
            Scope.PAIRING,
            "`{setupId, deviceId, deviceName?, access, ts}`: a setup code was used.",
        ),
        EventSpec(
            "device.pair.setup.deliveryUncertain",
            Scope.PAIRING,
            "As completed, but the device may not have received its token.",
        ),
        EventSpec(
            "node.pair.requested",
            Scope.PAIRING,
            "The request of a node to be allowed its commands.",
        ),
        EventSpec(
            "node.pair.resolved",
            Scope.PAIRING,
            "`{requestId, nodeId, decision, ts}`: somebody decided about it.",
        ),
        EventSpec(
            "node.presence",
            Scope.READ,
            "`{nodeId, lastActiveAtMs, presenceUpdatedAtMs}`: a node was used.",
        ),
        EventSpec(
            "node.hostStats",
            Scope.READ,
            "`{nodeId, hostStats}`: load, memory and disk of a node's machine.",
            replayed=False,
        ),
        EventSpec(
            "node.runnerInventory.changed",
            Scope.READ,
            "`{nodeId}`: a node can run other programs now.",
        ),
        EventSpec(
            "node.invoke.request",
            None,
            "`{id, nodeId, command, paramsJSON, …}`: a node is to do something.",
            droppable=False,
            audience="direct",
            sequenced=False,
        ),
        EventSpec(
            "node.invoke.cancel",
            None,
            "`{invokeId, nodeId}`: nobody waits for it any more.",
            droppable=False,
            audience="direct",
            sequenced=False,
        ),
        EventSpec(
            "node.invoke.progress",
            Scope.WRITE,
            "`{invokeId, nodeId, command, idempotencyKey, seq, chunk}`: what a command says while "
            "it runs, to the connection that waits for its answer. OpenClaw does not have it.",
            audience="direct",
            sequenced=False,
        ),
        EventSpec(
            "node.invoke.input",
            None,
            "`{id, nodeId, seq, payloadJSON}`: more for a command that runs. It is never sent.",
            droppable=False,
            audience="direct",
            sequenced=False,
        ),
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
