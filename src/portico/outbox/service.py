"""The outbox: answers leave from here, in order per conversation, each attempt on record.

Guarantees: a delivery is committed with the turn that made it; its attempt is committed before the
provider is called; a crash in between is resolved as `life.py` says. A conversation whose head
waits does not hold up other conversations.

Not here: how a channel sends (a `Channel` per account), what is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import structlog

from portico.channels.contract import (
    Channel,
    NotReady,
    Outgoing,
    OutgoingPoll,
    Polls,
    Receipt,
    Rejected,
)
from portico.channels.model import Poll, ReplyRoute
from portico.clock import Clock
from portico.observe.metrics import Metrics
from portico.outbox import store as outbox_store
from portico.outbox.life import (
    TRANSITIONS,
    DeliveryState,
    Next,
    RetryPolicy,
    after_failure,
    after_uncertainty,
    describe,
)
from portico.outbox.store import Delivery
from portico.protocol.errors import InvalidRequest
from portico.store import Store, Work
from portico.store.patience import until_written
from portico.tasks import Tasks

log = structlog.get_logger()

FORGET_AT_ONCE = 500
MAX_IN_FLIGHT = 64
LEASE_S = 60.0
SEND_TIMEOUT_S = 30.0
SWEEP_S = 5.0
CLOSE_SWEEP_S = 0.2  # while another process leaves its deliveries to us
REMEMBERED_SENDS = 500


Prepare = Callable[[Outgoing], Awaitable[Outgoing]]
"""Returns a message as it is to be sent. It never raises, and takes less than half of the time."""


class Senders(Protocol):
    """Finds the channel account a route leads to."""

    def find(self, channel: str, account: str) -> Channel | None:
        """Return the account's sender; `None` when it is not configured or not running."""
        ...

    def is_mailbox(self, channel: str) -> bool:
        """Whether answers on this channel are read from the transcript, not sent."""
        ...

    def pieces(self, channel: str, account: str, text: str) -> list[str]:
        """Return a text as the messages it takes on an account."""
        ...


class Outbox:
    """Sends what is due."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        senders: Senders,
        tasks: Tasks,
        owner: str,
        alone: bool,
        policy: RetryPolicy,
        prepare: Prepare | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._prepare = prepare
        self._counted = (metrics or Metrics()).deliveries
        self._store = store
        self._clock = clock
        self._senders = senders
        self._tasks = tasks
        self._owner = owner
        self._alone = alone
        self._policy = policy
        self._wakeup = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._sweep_s = SWEEP_S
        self._in_flight: set[str] = set()
        self._claiming = False
        self._stopping = False

    def configure(self, policy: RetryPolicy) -> None:
        """Try again by other rules from now on."""
        self._policy = policy

    async def start(self) -> None:
        """Resolve what a dead sender left, then send what is due."""
        await self._resolve_orphans(alone=self._alone)
        self._tasks.start(self._keep_sending(), name="outbox")
        self._wakeup.set()

    def keep_company(self, *, alone: bool, closely: bool) -> None:
        """Another process begins or ceases to send from the same outbox; see `Turns`."""
        self._alone = alone
        self._sweep_s = CLOSE_SWEEP_S if closely else SWEEP_S
        self.wake()

    def resume(self) -> None:
        """Send again after a drain."""
        if self._stopping:
            self._stopping = False
            self._tasks.start(self._keep_sending(), name="outbox")
            self.wake()

    async def outlive(self, owner: str) -> None:
        """Let what a process was sending that is gone for certain be resolved at once."""
        await self._store.write(outbox_store.lapse, owner)
        self.wake()

    async def drain(self, deadline_s: float) -> None:
        """Send nothing new and wait for sends in flight, at most `deadline_s`."""
        self._stopping = True
        try:
            async with asyncio.timeout(deadline_s):
                while self._in_flight or self._claiming:
                    self._wakeup.clear()
                    await self._wakeup.wait()
        except TimeoutError:
            log.warning("outbox.drain_deadline", in_flight=len(self._in_flight))

    def enqueue(
        self,
        route: ReplyRoute,
        text: str,
        *,
        run_id: str | None,
        session_key: str | None,
        now: int,
    ) -> Work[bool]:
        """Insert an answer, inside the transaction that ends its turn."""
        if self._senders.is_mailbox(route.channel):
            return False
        yield from self.insert(route, text, run_id=run_id, session_key=session_key, now=now)
        return True

    async def send(
        self,
        route: ReplyRoute,
        text: str,
        *,
        media: tuple[str, ...],
        session_key: str | None,
        delivery_id: str | None = None,
        poll: Poll | None = None,
    ) -> str:
        """Accept a message of somebody else than a turn; return its delivery id once committed.

        Args:
            poll: what is sent in place of the text.
            delivery_id: the id it must have; accepting it again changes nothing. Of a text that
                takes several messages it is the first one's.
        """
        first = await self._store.write(
            self.insert,
            route,
            text,
            media=media,
            session_key=session_key,
            now=self._clock.now_ms(),
            delivery_id=delivery_id,
            poll=poll,
        )
        self.wake()
        return first

    def insert(
        self,
        route: ReplyRoute,
        text: str,
        *,
        session_key: str | None,
        now: int,
        media: tuple[str, ...] = (),
        run_id: str | None = None,
        delivery_id: str | None = None,
        poll: Poll | None = None,
    ) -> Work[str]:
        """The work of `send`, for whoever commits it with something of its own; then `wake`."""
        first = delivery_id
        pieces = (
            self._senders.pieces(route.channel, route.account, text) if poll is None else [text]
        )
        for number, piece in enumerate(pieces):
            made = yield from outbox_store.enqueue(
                route,
                piece,
                media=media if number == 0 else (),
                poll=poll,
                run_id=run_id,
                session_key=session_key,
                expires_at=self._expires_at(now),
                now=now,
                delivery_id=first if number == 0 or first is None else f"{first}.{number + 1}",
            )
            first = first or made
        return first or ""

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._wakeup.set()

    def account_ready(self, channel: str, account: str) -> None:
        """An account can send (again): try now what waits for it."""
        self._tasks.start(self._hurry(channel, account), name=f"outbox.ready:{channel}:{account}")

    async def _hurry(self, channel: str, account: str) -> None:
        try:
            await self._store.write(outbox_store.hurry, channel, account, now=self._clock.now_ms())
        except Exception as error:  # noqa: BLE001 - they are tried when their time comes
            log.warning("outbox.hurry_failed", error=repr(error))
        self.wake()

    async def find(self, delivery_id: str) -> Delivery | None:
        """Return a delivery."""
        return await self._store.read(outbox_store.find, delivery_id)

    async def sent_as(self, route: ReplyRoute, message_id: str) -> Delivery | None:
        """Return the delivery that became a message, if it is among the last of a conversation."""
        sent = await self._store.read(
            outbox_store.list_sent, route.conversation, limit=REMEMBERED_SENDS
        )
        return next((one for one in sent if _message_id(one) == message_id), None)

    async def wait_settled(self, delivery_id: str, timeout_s: float) -> Delivery | None:
        """Return the delivery once its first attempt has ended, or as it is when time is up."""
        deadline = self._clock.monotonic_s() + timeout_s
        while True:
            delivery = await self.find(delivery_id)
            waiting = delivery is not None and delivery.state in (
                DeliveryState.PENDING,
                DeliveryState.SENDING,
            )
            if not waiting or self._clock.monotonic_s() >= deadline:
                return delivery
            await asyncio.sleep(0.01)

    async def decide(self, delivery_id: str, *, resend: bool) -> Delivery:
        """Resend or discard a stuck delivery.

        Raises:
            InvalidRequest: there is no such delivery, or it is not stuck.
        """
        delivery = await self.find(delivery_id)
        if delivery is None:
            raise InvalidRequest(f"unknown delivery: {delivery_id}")
        state = DeliveryState.PENDING if resend else DeliveryState.DISCARDED
        if state not in TRANSITIONS.get(delivery.state, ()):
            raise InvalidRequest(f"delivery {delivery_id} is {delivery.state}; nothing to decide")
        now = self._clock.now_ms()
        decided = await self._store.write(
            outbox_store.decide, delivery, state, now=now, expires_at=self._expires_at(now)
        )
        if decided is None:
            raise InvalidRequest(f"delivery {delivery_id} changed meanwhile; look again")
        self.wake()
        return decided

    async def forget(self, *, before_ms: int) -> int:
        """Delete deliveries settled before a time, some at a time; return how many."""
        total = 0
        while count := await self._store.write(
            outbox_store.forget, before_ms=before_ms, count=FORGET_AT_ONCE
        ):
            total += count
        return total

    # -- sending ---------------------------------------------------------------------------------

    def _expires_at(self, now: int) -> int:
        return now + int(self._policy.expire_after_s * 1000)

    async def _keep_sending(self) -> None:
        swept_at_s = self._clock.monotonic_s()
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._sweep_s):
                    await self._wakeup.wait()
            self._wakeup.clear()
            try:
                if self._clock.monotonic_s() - swept_at_s >= self._sweep_s:
                    swept_at_s = self._clock.monotonic_s()
                    await self._resolve_orphans(alone=False)
                await self._send_due()
            except Exception as error:  # the database may be away; the next sweep tries again
                log.error("outbox.sweep_failed", exc_info=error)

    async def _send_due(self) -> None:
        free = MAX_IN_FLIGHT - len(self._in_flight)
        if free <= 0 or self._stopping:
            return
        now = self._clock.now_ms()
        for delivery_id in await self._store.write(outbox_store.expire, now=now):
            log.warning("delivery.expired", delivery_id=delivery_id)
        self._claiming = True
        try:
            claimed = await self._store.write(self._claim, free)
            for delivery in claimed:
                self._in_flight.add(delivery.delivery_id)
                self._tasks.start(self._attempt(delivery), name=f"send:{delivery.delivery_id}")
        finally:
            self._claiming = False
            if self._is_stopping():  # `drain` waits for this
                self._wakeup.set()
        await self._wake_when_due()

    def _is_stopping(self) -> bool:
        return self._stopping

    def _claim(self, count: int) -> Work[list[Delivery]]:
        if self._stopping:
            return []
        now = self._clock.now_ms()
        until = now + int(LEASE_S * 1000)
        return (yield from outbox_store.claim(self._owner, count=count, lease_until=until, now=now))

    async def _wake_when_due(self) -> None:
        now = self._clock.now_ms()
        due = await self._store.read(outbox_store.next_due, now=now)
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None
        if due is not None and due - now < SWEEP_S * 1000:
            delay_s = (due - now) / 1000
            self._alarm = asyncio.get_running_loop().call_later(delay_s, self._wakeup.set)

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            await self._settle_attempt(delivery)
        finally:
            self._in_flight.discard(delivery.delivery_id)
            self._wakeup.set()

    async def _settle_attempt(self, delivery: Delivery) -> None:
        sender = self._senders.find(delivery.channel, delivery.account)
        try:
            receipt = await self._call(sender, delivery)
        except Exception as error:  # noqa: BLE001 - each kind has its own consequence, see life.py
            keyed = sender is not None and sender.keyed
            follow = after_failure(
                error,
                attempts=delivery.attempts,
                keyed=keyed,
                policy=self._policy,
                uncertain=delivery.uncertain,
            )
            await self._record(delivery, follow, describe(error))
            return
        details = {"messageId": receipt.message_id, **receipt.details}
        await self._settle(delivery, Next(DeliveryState.SENT), receipt=_as_json(details))

    async def _call(self, sender: Channel | None, delivery: Delivery) -> Receipt:
        if sender is None:
            raise NotReady(f"channel {delivery.channel}:{delivery.account} is not running")
        if delivery.poll is not None:
            return await self._call_poll(sender, delivery, delivery.poll)
        outgoing = Outgoing(
            delivery.delivery_id,
            delivery.route,
            delivery.text,
            delivery.media,
            delivery.run_id,
            may_have_arrived=delivery.uncertain,
            made_ms=delivery.created_at,
        )
        async with asyncio.timeout(SEND_TIMEOUT_S):
            if self._prepare is not None:
                outgoing = await self._prepare(outgoing)
            return await sender.send(outgoing)

    @staticmethod
    async def _call_poll(sender: Channel, delivery: Delivery, poll: Poll) -> Receipt:
        if not isinstance(sender, Polls):
            raise Rejected(f"{delivery.channel} takes no polls")
        outgoing = OutgoingPoll(
            delivery.delivery_id,
            delivery.route,
            poll.question,
            poll.options,
            poll.max_selections,
            poll.duration_s,
            poll.is_anonymous,
        )
        async with asyncio.timeout(SEND_TIMEOUT_S):
            return await sender.send_poll(outgoing)

    async def _record(self, delivery: Delivery, follow: Next, error: str) -> None:
        log.warning(
            "delivery.attempt_failed",
            delivery_id=delivery.delivery_id,
            channel=delivery.channel,
            becomes=follow.state.value,
            attempts=delivery.attempts,
            error=error,
        )
        await self._settle(delivery, follow, error=error)

    async def _settle(
        self, delivery: Delivery, follow: Next, *, error: str | None = None, receipt: Any = None
    ) -> None:
        """Put an outcome on record; tried again while the lease is held: only we know it."""
        now = self._clock.now_ms()
        await until_written(
            lambda: self._store.write(
                outbox_store.settle,
                delivery,
                follow.state,
                now=now,
                error=error,
                uncertain=follow.uncertain,
                receipt=receipt,
                again_at=now + int(follow.delay_s * 1000),
            ),
            patience_s=LEASE_S - SEND_TIMEOUT_S,
            on_delay=lambda failure: log.warning("delivery.settle_delayed", error=repr(failure)),
        )
        self._counted.inc(delivery.channel, follow.state.value)

    async def _resolve_orphans(self, *, alone: bool) -> None:
        now = self._clock.now_ms()
        found = await self._store.read(outbox_store.orphans, self._owner, alone=alone, now=now)
        for delivery in found:
            if delivery.delivery_id in self._in_flight:
                continue
            sender = self._senders.find(delivery.channel, delivery.account)
            follow = after_uncertainty(
                attempts=delivery.attempts,
                keyed=sender is not None and sender.keyed,
                policy=self._policy,
            )
            await self._record(delivery, follow, "the gateway stopped while sending")


def _message_id(delivery: Delivery) -> str | None:
    receipt = delivery.receipt
    return receipt.get("messageId") if isinstance(receipt, dict) else None


def _as_json(details: dict[str, Any]) -> dict[str, Any]:
    try:
        msgspec.json.encode(details)
    except (TypeError, ValueError):  # sent it is, whatever else the channel wanted to keep
        return {"messageId": str(details["messageId"])}
    return details
