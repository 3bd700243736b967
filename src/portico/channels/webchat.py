"""The built-in channel: sending to it writes a message into a session, for whoever reads there.

Guarantees: the same delivery sent twice is one message (its entry has the delivery's id).

Source: architecture, "The message path", step 7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portico.channels.contract import Outgoing, Receipt, Rejected
from portico.clock import Clock
from portico.events.hub import Hub
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.sessions import mutations, transcript
from portico.sessions.changes import SessionChanges
from portico.sessions.model import Entry
from portico.store import Store, Work

CHANNEL = "webchat"
UNTRUSTED = "untrusted"  # in a route's context: text from outside went into the message


class WebchatChannel:
    """Sends by appending to a transcript; the peer of the route is the session's key."""

    keyed = True

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        changes: SessionChanges,
        default_agent: Callable[[], str],
        main_key: str = "main",
    ) -> None:
        self._store = store
        self._clock = clock
        self._hub = hub
        self._changes = changes
        self._default_agent = default_agent
        self._main_key = main_key

    async def send(self, message: Outgoing) -> Receipt:
        """Append the message and tell those who follow the session.

        Raises:
            Rejected: the peer is not a session key, or the message has files.
        """
        if message.media:
            raise Rejected("webchat cannot be sent files")
        try:
            key = keys.canonical(
                message.route.peer.id,
                default_agent=self._default_agent(),
                main_key=self._main_key,
            )
        except InvalidRequest as error:
            raise Rejected(error.message) from None
        entry = await self._store.write(self._write, key, message, self._clock.now_ms())
        if entry is not None:
            self._publish(key, message, entry)
        return Receipt(message.delivery_id, {"conversationId": key})

    def _write(self, key: str, message: Outgoing, now: int) -> Work[Entry | None]:
        if (yield from transcript.find_entry(message.delivery_id)) is not None:
            return None
        agent_id = keys.agent_of(key, default_agent=self._default_agent())
        yield from mutations.ensure(key, agent_id=agent_id, created_via="channel", now=now)
        return (
            yield from transcript.append(
                key,
                role="assistant",
                content=[{"type": "text", "text": message.text}],
                now=now,
                meta={
                    "provider": "portico",
                    "model": "gateway-send",
                    "stopReason": "stop",
                    **transcript.marked(is_untrusted=bool(message.route.context.get(UNTRUSTED))),
                },
                entry_id=message.delivery_id,
            )
        )

    def _publish(self, key: str, message: Outgoing, entry: Entry) -> None:
        payload: dict[str, Any] = {
            "runId": f"send-{message.delivery_id}",
            "sessionKey": key,
            "agentId": keys.agent_of(key, default_agent=self._default_agent()),
            "seq": 0,
            "state": "final",
            "message": {
                "role": "assistant",
                "content": entry.content,
                "timestamp": entry.created_at,
            },
        }
        self._hub.publish("chat", payload, session_key=key, droppable=False)
        self._changes.message(key, entry)
        self._changes.announce(key, "send")
