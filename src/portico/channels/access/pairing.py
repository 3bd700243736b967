"""Pairing: strangers ask by a code, operators approve, reject and revoke.

Guarantees: the request, the answer with its code and the refused message are one transaction; the
same message again asks nothing new. A code is stored as a hash; approving by code is locked after
wrong ones. An approval is one transaction: the person on the list, the request gone.

Source: OpenClaw, channel pairing; life.py has the rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from portico.channels.access import store as access_store
from portico.channels.access.life import (
    REASONS,
    PairingRules,
    RequestState,
    Standing,
    code_hash,
    locked_until,
    shown,
    standing_of,
)
from portico.channels.access.store import ApprovedRow, RequestRow
from portico.channels.admission import Decision, Verdict
from portico.channels.model import InboundMessage, ReplyRoute
from portico.clock import Clock
from portico.ids import new_code, new_id
from portico.protocol.errors import InvalidRequest, TooManyAttempts
from portico.store import Store, Work

log = structlog.get_logger()

ADMITTED = Decision(Verdict.ADMIT)
APPROVED_TEXT = "You are approved: write, and I will answer."
Notification = Literal["not-requested", "sent", "unsupported", "failed"]


class Answers(Protocol):
    """Where answers to people are put: the outbox, as far as pairing needs it."""

    def enqueue(self, route: ReplyRoute, text: str, *, now: int) -> Work[None]:
        """Insert a message, inside a transaction."""
        ...

    def wake(self) -> None:
        """Something was committed."""
        ...


@dataclass(frozen=True, slots=True)
class _Ask:
    """The effect of a first message: a request, and the answer with its code."""

    row: RequestRow
    text: str
    answers: Answers

    def work(self, now: int) -> Work[None]:
        """Record the request and put the answer into the outbox."""
        if (yield from access_store.ask(self.row)):
            yield from self.answers.enqueue(self.row.route, self.text, now=now)

    def committed(self) -> None:
        """It is on disk: send the answer, and tell the operator's log."""
        log.warning(
            "pairing.requested",
            channel=self.row.channel,
            account=self.row.account,
            request_id=self.row.request_id,
        )
        self.answers.wake()


@dataclass(frozen=True, slots=True)
class _Seen:
    """The effect of further messages: they are counted, and not answered."""

    message: InboundMessage

    def work(self, now: int) -> Work[None]:
        """Count it."""
        message = self.message
        yield from access_store.seen(message.channel, message.account, message.sender, now=now)

    def committed(self) -> None:
        """Nothing more to do."""


class Pairings:
    """The people of all accounts."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        answers: Answers,
        rules: Callable[[], PairingRules],
    ) -> None:
        self._store = store
        self._clock = clock
        self._answers = answers
        self._rules = rules

    @property
    def rules(self) -> PairingRules:
        """The numbers in force."""
        return self._rules()

    # -- on the message path -----------------------------------------------------------------------

    def judge(self, message: InboundMessage, *, now: int) -> Work[Decision]:
        """Admit whoever was approved; let others ask."""
        channel, account, sender = message.channel, message.account, message.sender
        if (yield from access_store.is_approved(channel, account, sender)):
            return ADMITTED
        known = yield from access_store.known_of(channel, account, sender, now=now)
        standing = standing_of(known, now=now, rules=self.rules)
        reason = REASONS[standing]
        if standing is Standing.ASK:
            return Decision(Verdict.REFUSE, reason, self._ask(message, now))
        if standing is Standing.WAIT:
            return Decision(Verdict.REFUSE, reason, _Seen(message))
        return Decision(Verdict.REFUSE, reason)

    def _ask(self, message: InboundMessage, now: int) -> _Ask:
        code, request_id = new_code(), new_id("pair")
        ttl_ms = self.rules.ttl_ms
        row = RequestRow(
            request_id=request_id,
            channel=message.channel,
            account=message.account,
            sender=message.sender,
            sender_name=message.sender_name,
            code_hash=code_hash(code, request_id),
            state=RequestState.PENDING,
            route=message.reply_route,
            messages=1,
            created_at=now,
            seen_at=now,
            expires_at=now + ttl_ms,
        )
        text = (
            f"I do not know you yet. Show the owner this code: {shown(code)}\n"
            f"It is good for {ttl_ms // 60_000} minutes. Your id here is {message.sender}."
        )
        return _Ask(row, text, self._answers)

    # -- for operators -----------------------------------------------------------------------------

    async def list_pending(self, *, channel: str = "", account: str = "") -> list[RequestRow]:
        """Return the requests that wait, the oldest first."""
        now = self._clock.now_ms()
        return await self._store.read(
            access_store.list_pending, channel=channel, account=account, now=now
        )

    async def list_approved(self, *, channel: str = "", account: str = "") -> list[ApprovedRow]:
        """Return who may write."""
        return await self._store.read(access_store.list_approved, channel=channel, account=account)

    async def approve(
        self, channel: str, account: str, request_id: str, *, by: str, notify: bool
    ) -> tuple[RequestRow, Notification]:
        """Approve a request by its id.

        Raises:
            InvalidRequest: there is no such request (any more).
        """
        request = await self._find(channel, account, request_id)
        return request, await self._approve(request, by=by, notify=notify)

    async def redeem(
        self, channel: str, account: str, code: str, *, by: str, notify: bool
    ) -> tuple[RequestRow, Notification]:
        """Approve a request by the code its person shows.

        Raises:
            InvalidRequest: no request of this account has the code.
            TooManyAttempts: too many wrong codes lately.
        """
        request = await self._store.write(
            self._redeem, channel, account, code, self._clock.now_ms()
        )
        if isinstance(request, RequestRow):
            return request, await self._approve(request, by=by, notify=notify)
        locked_ms = request
        if locked_ms is not None:
            raise TooManyAttempts(
                "too many wrong pairing codes; approve by request id, or wait",
                details={"code": "PAIRING_LOCKED"},
                retry_after_ms=locked_ms,
            )
        raise InvalidRequest("no request has this pairing code; codes run out")

    def _redeem(
        self, channel: str, account: str, code: str, now: int
    ) -> Work[RequestRow | int | None]:
        """Return the request; or how long codes are locked; `None`: wrong, and not yet locked."""
        failures, until = yield from access_store.wrong_codes(channel, account)
        if until is not None and until > now:
            return until - now
        pending = yield from access_store.list_pending(channel=channel, account=account, now=now)
        for request in pending:
            if code_hash(code, request.request_id) == request.code_hash:
                yield from access_store.put_wrong_codes(channel, account, 0, None)
                return request
        failures = (0 if until is not None else failures) + 1
        until = locked_until(failures, now=now, rules=self.rules)
        yield from access_store.put_wrong_codes(channel, account, failures, until)
        return None if until is None else until - now

    async def _approve(self, request: RequestRow, *, by: str, notify: bool) -> Notification:
        await self._store.write(self._admit, request, by, notify, self._clock.now_ms())
        log.info(
            "pairing.approved",
            channel=request.channel,
            account=request.account,
            request_id=request.request_id,
        )
        if not notify:
            return "not-requested"
        self._answers.wake()
        return "sent"

    def _admit(self, request: RequestRow, by: str, notify: bool, now: int) -> Work[None]:  # noqa: FBT001 - through the store
        yield from access_store.approve(request, by=by, now=now)
        if notify:
            yield from self._answers.enqueue(request.route, APPROVED_TEXT, now=now)

    async def admit(self, channel: str, account: str, sender: str, *, by: str) -> None:
        """Let somebody write who has not asked."""
        now = self._clock.now_ms()
        await self._store.write(
            access_store.add, channel, account, sender, name=None, by=by, now=now
        )

    async def reject(self, channel: str, account: str, request_id: str) -> RequestRow:
        """Reject a request; its person is not answered for some hours.

        Raises:
            InvalidRequest: there is no such request (any more).
        """
        request = await self._find(channel, account, request_id)
        until = self._clock.now_ms() + self.rules.rejected_ms
        if not await self._store.write(access_store.reject, request_id, until=until):
            raise _unknown(request_id)
        return request

    async def revoke(self, channel: str, account: str, sender: str) -> bool:
        """Let somebody write no longer; `False` when they could not."""
        return await self._store.write(access_store.revoke, channel, account, sender)

    async def forget(self, *, before_ms: int) -> int:
        """Delete requests that ran out before a time; return how many."""
        return await self._store.write(access_store.forget, before_ms=before_ms)

    async def _find(self, channel: str, account: str, request_id: str) -> RequestRow:
        for request in await self.list_pending(channel=channel, account=account):
            if request.request_id == request_id:
                return request
        raise _unknown(request_id)


def _unknown(request_id: str) -> InvalidRequest:
    return InvalidRequest(f"unknown pairing request: {request_id}")
