"""RPC methods of the outbox: send, and what an operator does with deliveries.

`deliveries.*` are Portico's own additions: list, look, resend, discard.

Source: OpenClaw gateway protocol, "send"; architecture, "The message path", step 7.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.channels.registry import ChannelRegistry
from portico.outbox import store as outbox_store
from portico.outbox.direct import DirectSends, keyed_id, receipt_of
from portico.outbox.life import DeliveryState
from portico.outbox.routes import refused, route_to
from portico.outbox.service import Outbox
from portico.outbox.store import Delivery
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.store import Store

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class Send(Params, frozen=True, kw_only=True):
    """`{to, message? | mediaUrl? …, channel?, idempotencyKey}`."""

    to: NonEmpty
    idempotency_key: NonEmpty
    message: str | None = None
    media_url: str | None = None
    media_urls: list[str] | None = None
    buffer: str | None = None
    filename: str | None = None
    content_type: str | None = None
    as_voice: bool | None = None
    gif_playback: bool | None = None
    channel: str | None = None
    account_id: str | None = None
    agent_id: str | None = None
    reply_to_id: str | None = None
    thread_id: str | None = None
    force_document: bool | None = None
    silent: bool | None = None
    parse_mode: Literal["HTML"] | None = None
    session_key: str | None = None


class Sent(Result, frozen=True, kw_only=True):
    """The provider has it."""

    run_id: str
    message_id: str
    channel: str
    conversation_id: str | None = None


class DeliveriesList(Params, frozen=True, kw_only=True):
    """`{state?, limit?}`."""

    state: DeliveryState | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class DeliveryId(Params, frozen=True, kw_only=True):
    """`{deliveryId}`."""

    delivery_id: NonEmpty


class Decide(Params, frozen=True, kw_only=True):
    """`{deliveryId, idempotencyKey?}`."""

    delivery_id: NonEmpty
    idempotency_key: NonEmpty | None = None


class DeliveryShown(Result, frozen=True, kw_only=True):
    """One delivery."""

    delivery_id: str
    channel: str
    account_id: str
    to: str
    state: str
    attempts: int = msgspec.field()
    text: str = msgspec.field()
    created_at: int = msgspec.field()
    thread_id: str | None = None
    media_urls: tuple[str, ...] = ()
    run_id: str | None = None
    session_key: str | None = None
    last_error: str | None = None
    receipt: Any = None
    next_attempt_at: int | None = None
    expires_at: int | None = None
    ended_at: int | None = None


class DeliveriesListed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The newest deliveries, and how many are open or stuck, by state."""

    deliveries: tuple[DeliveryShown, ...]
    counts: dict[str, int]


class SendMethods:
    """`send` and `deliveries.*`."""

    def __init__(self, *, outbox: Outbox, store: Store, senders: ChannelRegistry) -> None:
        self._outbox = outbox
        self._store = store
        self._senders = senders
        self._direct = DirectSends(outbox=outbox, senders=senders)

    @method("send", scope=Scope.WRITE, mutates=True)
    async def send(self, call: Call, params: Send) -> Sent:
        """Send a message to somebody on a channel, and answer once the provider has it."""
        route = route_to(
            self._senders,
            to=params.to,
            channel=params.channel,
            account=params.account_id,
            thread_id=params.thread_id,
            reply_to_id=params.reply_to_id,
        )
        delivery = await self._direct.message(
            route,
            params.message or "",
            media=_media(params),
            session_key=params.session_key,
            delivery_id=keyed_id(call.principal.subject, params.idempotency_key),
        )
        receipt = receipt_of(delivery)
        return Sent(
            run_id=params.idempotency_key,
            message_id=receipt["messageId"],
            channel=delivery.channel,
            conversation_id=receipt.get("conversationId"),
        )

    @method("deliveries.list", scope=Scope.READ)
    async def list(self, call: Call, params: DeliveriesList) -> DeliveriesListed:
        """List deliveries, newest first, of one state or all."""
        wanted = "" if params.state is None else params.state.value
        found = await self._store.scan(
            outbox_store.list_deliveries, state=wanted, limit=params.limit
        )
        counts = await self._store.scan(outbox_store.counts)
        return DeliveriesListed(deliveries=tuple(_shown(one) for one in found), counts=counts)

    @method("deliveries.get", scope=Scope.READ)
    async def get(self, call: Call, params: DeliveryId) -> DeliveryShown:
        """Show one delivery."""
        delivery = await self._outbox.find(params.delivery_id)
        if delivery is None:
            raise InvalidRequest(f"unknown delivery: {params.delivery_id}")
        return _shown(delivery)

    @method("deliveries.resend", scope=Scope.WRITE, mutates=True)
    async def resend(self, call: Call, params: Decide) -> DeliveryShown:
        """Send again what failed or whose outcome is unknown."""
        return _shown(await self._outbox.decide(params.delivery_id, resend=True))

    @method("deliveries.discard", scope=Scope.ADMIN, mutates=True)
    async def discard(self, call: Call, params: Decide) -> DeliveryShown:
        """Give up a delivery that is not sent yet."""
        return _shown(await self._outbox.decide(params.delivery_id, resend=False))


def _media(params: Send) -> tuple[str, ...]:
    if params.buffer:
        raise refused("this gateway does not offer send buffer; pass mediaUrl")
    single = [params.media_url] if params.media_url else []
    return tuple(url for url in (*single, *(params.media_urls or ())) if url)


def _shown(delivery: Delivery) -> DeliveryShown:
    waits = delivery.state in {DeliveryState.PENDING, DeliveryState.RETRY}
    return DeliveryShown(
        delivery_id=delivery.delivery_id,
        channel=delivery.channel,
        account_id=delivery.account,
        to=delivery.route.peer.id,
        thread_id=delivery.route.thread_id,
        state=delivery.state.value,
        attempts=delivery.attempts,
        text=delivery.text,
        media_urls=delivery.media,
        run_id=delivery.run_id,
        session_key=delivery.session_key,
        last_error=delivery.last_error,
        receipt=delivery.receipt,
        created_at=delivery.created_at,
        next_attempt_at=delivery.next_attempt_at if waits else None,
        expires_at=delivery.expires_at if waits else None,
        ended_at=delivery.ended_at,
    )
