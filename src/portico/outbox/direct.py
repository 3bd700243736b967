"""What a caller sends besides a turn's answer: into the outbox, and back with what became of it.

Guarantees: one idempotency key of one caller, one delivery, even when the gateway dies between
sending and remembering the answer.
"""

from __future__ import annotations

import hashlib
from typing import Any

from portico.channels.model import Poll, ReplyRoute
from portico.channels.registry import ChannelRegistry
from portico.outbox.actions import cannot
from portico.outbox.life import DeliveryState
from portico.outbox.routes import refused
from portico.outbox.service import SEND_TIMEOUT_S, Outbox
from portico.outbox.store import Delivery
from portico.protocol.errors import Outcome, Unavailable

WAIT_S = SEND_TIMEOUT_S + 1
_WAITING = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRY)


class DirectSends:
    """Sends a message or a poll, and waits until the provider has it."""

    def __init__(self, *, outbox: Outbox, senders: ChannelRegistry) -> None:
        self._outbox = outbox
        self._senders = senders

    async def message(
        self,
        route: ReplyRoute,
        text: str,
        *,
        media: tuple[str, ...],
        delivery_id: str,
        session_key: str | None = None,
    ) -> Delivery:
        """Send a message; return its delivery.

        Raises:
            InvalidRequest: there is nothing to send.
            Unavailable: it is not sent, yet or for good; `details.deliveryId` tells which it is.
        """
        if not text.strip() and not media:
            raise refused("invalid send params: text or media is required")
        accepted = await self._outbox.send(
            route, text, media=media, session_key=session_key, delivery_id=delivery_id
        )
        return await self._sent(accepted)

    async def poll(self, route: ReplyRoute, poll: Poll, *, delivery_id: str) -> Delivery:
        """Send a poll; return its delivery. Raises as `message`, and when there are no polls."""
        if not self._senders.takes_polls(route.channel, route.account):
            raise cannot(route, "poll")
        if poll.max_selections > len(poll.options):
            raise refused("invalid poll params: more selections than options")
        accepted = await self._outbox.send(
            route,
            poll.question,
            media=(),
            session_key=None,
            delivery_id=delivery_id,
            poll=poll,
        )
        return await self._sent(accepted)

    async def _sent(self, delivery_id: str) -> Delivery:
        delivery = await self._outbox.wait_settled(delivery_id, WAIT_S)
        state = None if delivery is None else delivery.state
        if delivery is not None and state is DeliveryState.SENT:
            return delivery
        reason = (None if delivery is None else delivery.last_error) or "not sent yet"
        details: dict[str, Any] = {"deliveryId": delivery_id, "state": state}
        if state in _WAITING:
            details["code"] = "OUTBOUND_DELIVERY_QUEUED"
        outcome = Outcome.UNCERTAIN if state is not DeliveryState.FAILED else Outcome.NOT_STARTED
        raise Unavailable(f"delivery {state}: {reason}", details=details, outcome=outcome)


def keyed_id(subject: str, key: str) -> str:
    """Return the id of the delivery that a caller's idempotency key stands for."""
    digest = hashlib.blake2b(f"{subject}\0{key}".encode(), digest_size=16).hexdigest()
    return f"dlv_{digest}"


def receipt_of(delivery: Delivery) -> dict[str, Any]:
    """Return what the provider answered; always with a `messageId`."""
    receipt = delivery.receipt if isinstance(delivery.receipt, dict) else {}
    return {**receipt, "messageId": str(receipt.get("messageId", delivery.delivery_id))}
