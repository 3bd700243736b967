"""Works on deliveries: every transition of `life.py` as one guarded statement."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, case, delete, exists, func, or_, select, update

from portico.channels.accounts.tables import accounts
from portico.channels.model import Poll, ReplyRoute
from portico.ids import new_id
from portico.outbox.life import DeliveryState
from portico.outbox.tables import attempts, deliveries
from portico.store import Row, Work, among, one, statement

d = deliveries.c
_WAITING = ("pending", "retry")
_OPEN = (*_WAITING, "sending")
STUCK = ("failed", "unknown", "expired")


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the deliveries table."""

    delivery_id: str
    channel: str
    account: str
    conversation: str
    position: int
    route: ReplyRoute
    text: str
    media: tuple[str, ...]
    poll: Poll | None = None
    state: DeliveryState
    run_id: str | None
    session_key: str | None
    attempts: int
    uncertain: bool
    last_error: str | None
    receipt: Any
    created_at: int
    next_attempt_at: int
    expires_at: int
    ended_at: int | None


def delivery_from_row(row: Row) -> Delivery:
    """Read a deliveries row."""
    body = msgspec.json.decode(row["body"])
    return Delivery(
        delivery_id=row["delivery_id"],
        channel=row["channel"],
        account=row["account"],
        conversation=row["conversation"],
        position=row["position"],
        route=msgspec.json.decode(row["route"], type=ReplyRoute),
        text=body["text"],
        media=tuple(body.get("media", ())),
        poll=msgspec.convert(body["poll"], Poll) if "poll" in body else None,
        state=DeliveryState(row["state"]),
        run_id=row["run_id"],
        session_key=row["session_key"],
        attempts=row["attempts"],
        uncertain=bool(row["uncertain"]),
        last_error=row["last_error"],
        receipt=None if row["receipt"] is None else msgspec.json.decode(row["receipt"]),
        created_at=row["created_at"],
        next_attempt_at=row["next_attempt_at"],
        expires_at=row["expires_at"],
        ended_at=row["ended_at"],
    )


_LAST_POSITION = statement(
    select(func.coalesce(func.max(d.position), 0).label("position")).where(
        d.conversation == bindparam("conversation")
    )
)
_INSERT = statement(
    lambda insert: (
        insert(deliveries)
        .values(
            delivery_id=bindparam("delivery_id"),
            channel=bindparam("channel"),
            account=bindparam("account"),
            conversation=bindparam("conversation"),
            position=bindparam("position"),
            route=bindparam("route"),
            body=bindparam("body"),
            state="pending",
            run_id=bindparam("run_id"),
            session_key=bindparam("session_key"),
            attempts=0,
            uncertain=0,
            created_at=bindparam("now"),
            next_attempt_at=bindparam("now"),
            expires_at=bindparam("expires_at"),
        )
        .on_conflict_do_nothing(index_elements=[d.delivery_id])
    )
)
_ahead = deliveries.alias("ahead")
_DUE = statement(
    select(d.delivery_id)
    .where(
        among(d.state, _WAITING),
        d.next_attempt_at <= bindparam("now"),
        d.expires_at >= bindparam("now"),
        ~exists().where(
            _ahead.c.conversation == d.conversation,
            or_(
                _ahead.c.position < d.position,
                # Two replicas may have given out one position at the same time.
                and_(_ahead.c.position == d.position, _ahead.c.delivery_id < d.delivery_id),
            ),
            among(_ahead.c.state, _OPEN),
        ),
        # What another replica's account must send is that replica's to claim.
        ~exists().where(
            accounts.c.channel == d.channel,
            accounts.c.account == d.account,
            accounts.c.owner != bindparam("me"),
            accounts.c.lease_until >= bindparam("now"),
        ),
    )
    .order_by(d.next_attempt_at)
    .limit(bindparam("count"))
    .with_for_update(skip_locked=True)
)
_CLAIM = statement(
    update(deliveries)
    .where(d.delivery_id == bindparam("id"), among(d.state, _WAITING))
    .values(
        state="sending",
        attempts=d.attempts + 1,
        owner=bindparam("new_owner"),
        lease_until=bindparam("until"),
    )
    .returning(deliveries)
)
_BEGIN_ATTEMPT = statement(
    lambda insert: insert(attempts).values(
        delivery_id=bindparam("id"), number=bindparam("n"), started_at=bindparam("now")
    )
)
_END_ATTEMPT = statement(
    update(attempts)
    .where(attempts.c.delivery_id == bindparam("id"), attempts.c.number == bindparam("n"))
    .values(outcome=bindparam("result"), error=bindparam("why"), ended_at=bindparam("now"))
)
_SETTLE = statement(
    update(deliveries)
    .where(
        d.delivery_id == bindparam("id"),
        d.state == "sending",
        d.attempts == bindparam("n"),
    )
    .values(
        state=bindparam("new_state"),
        uncertain=bindparam("doubt"),
        last_error=bindparam("why"),
        receipt=bindparam("new_receipt"),
        next_attempt_at=bindparam("again_at"),
        ended_at=bindparam("done_at"),
        owner=None,
        lease_until=None,
    )
    .returning(d.delivery_id)
)
_EXPIRE = statement(
    update(deliveries)
    .where(among(d.state, _WAITING), d.expires_at < bindparam("now"))
    .values(
        # What may have arrived is not said to have expired.
        state=case((d.uncertain == 1, "unknown"), else_="expired"),
        ended_at=bindparam("now"),
    )
    .returning(d.delivery_id)
)
_LAPSE = statement(
    update(deliveries)
    .where(d.owner == bindparam("gone"), d.state == "sending")
    .values(lease_until=0)
    .returning(d.delivery_id)
)
_ORPHANS = statement(
    select(deliveries).where(
        d.state == "sending",
        or_(
            d.lease_until < bindparam("now"),
            and_(bindparam("alone") == 1, d.owner != bindparam("me")),
        ),
    )
)
_GET = statement(select(deliveries).where(d.delivery_id == bindparam("id")))
_LIST = statement(select(deliveries).order_by(d.delivery_id.desc()).limit(bindparam("count")))
_LIST_IN_STATE = {
    state: statement(
        select(deliveries)
        # The second condition says which index holds them.
        .where(d.state == state, *(among(d.state, group) for group in groups))
        .order_by(d.delivery_id.desc())
        .limit(bindparam("count"))
    )
    for states, groups in ((_OPEN, (_OPEN,)), (STUCK, (STUCK,)), (("sent", "discarded"), ()))
    for state in states
}
_SENT_TO = statement(
    select(deliveries)
    .where(d.conversation == bindparam("conversation"), d.state == "sent")
    .order_by(d.position.desc())
    .limit(bindparam("count"))
)
_old = deliveries.alias("old")
_FORGET = statement(
    delete(deliveries)
    .where(
        d.delivery_id.in_(
            select(_old.c.delivery_id)
            .where(
                _old.c.ended_at < bindparam("before"),
                among(_old.c.state, ("sent", "expired", "discarded")),
            )
            .limit(bindparam("count"))
        )
    )
    .returning(d.delivery_id)
)
_FORGET_ATTEMPTS = statement(delete(attempts).where(attempts.c.delivery_id == bindparam("id")))
_COUNTS = tuple(
    statement(
        select(d.state, func.count().label("n")).where(among(d.state, states)).group_by(d.state)
    )
    for states in (_OPEN, STUCK)
)
_BOUNCE = statement(
    update(deliveries)
    .where(
        d.delivery_id == bindparam("id"),
        d.channel == bindparam("c"),
        d.account == bindparam("a"),
        among(d.state, ("sent", "unknown")),
    )
    .values(state="failed", uncertain=0, last_error=bindparam("why"))
)
_HURRY = statement(
    update(deliveries)
    .where(
        d.channel == bindparam("c"),
        d.account == bindparam("a"),
        d.state == "retry",
        d.next_attempt_at > bindparam("now"),
    )
    .values(next_attempt_at=bindparam("now"))
    .returning(d.delivery_id)
)
_NEXT_DUE = statement(
    select(func.min(d.next_attempt_at).label("at")).where(
        among(d.state, _WAITING), d.next_attempt_at > bindparam("now")
    )
)
_DECIDE = statement(
    update(deliveries)
    .where(d.delivery_id == bindparam("id"), d.state == bindparam("from_state"))
    .values(
        state=bindparam("new_state"),
        next_attempt_at=bindparam("now"),
        expires_at=bindparam("expires"),
        ended_at=bindparam("done_at"),
    )
    .returning(deliveries)
)


def enqueue(
    route: ReplyRoute,
    text: str,
    *,
    media: tuple[str, ...] = (),
    poll: Poll | None = None,
    run_id: str | None,
    session_key: str | None,
    expires_at: int,
    now: int,
    delivery_id: str | None = None,
) -> Work[str]:
    """Insert a delivery at the end of its conversation; return its id.

    Args:
        delivery_id: the id it must have; inserting it again changes nothing.
    """
    conversation = route.conversation
    last = (yield _LAST_POSITION(conversation=conversation))[0]["position"]
    delivery_id = delivery_id or new_id("dlv")
    body = {"text": text, "media": media, **({} if poll is None else {"poll": poll})}
    yield _INSERT(
        delivery_id=delivery_id,
        channel=route.channel,
        account=route.account,
        conversation=conversation,
        position=last + 1,
        route=msgspec.json.encode(route).decode(),
        body=msgspec.json.encode(body).decode(),
        run_id=run_id,
        session_key=session_key,
        expires_at=expires_at,
        now=now,
    )
    return delivery_id


def claim(owner: str, *, count: int, lease_until: int, now: int) -> Work[list[Delivery]]:
    """Claim what is due, at most one per conversation, with the attempt on record."""
    claimed = []
    for due in (yield _DUE(me=owner, now=now, count=count)):
        row = one((yield _CLAIM(id=due["delivery_id"], new_owner=owner, until=lease_until)))
        if row is not None:
            delivery = delivery_from_row(row)
            yield _BEGIN_ATTEMPT(id=delivery.delivery_id, n=delivery.attempts, now=now)
            claimed.append(delivery)
    return claimed


def settle(
    delivery: Delivery,
    state: DeliveryState,
    *,
    now: int,
    error: str | None = None,
    uncertain: bool = False,
    receipt: Any = None,
    again_at: int | None = None,
) -> Work[bool]:
    """Record how an attempt ended; `False` when another owner settled it meanwhile.

    Args:
        uncertain: nobody knows whether the provider has it.
    """
    yield _END_ATTEMPT(
        id=delivery.delivery_id, n=delivery.attempts, result=state.value, why=error, now=now
    )
    rows = yield _SETTLE(
        id=delivery.delivery_id,
        n=delivery.attempts,
        new_state=state.value,
        doubt=int(delivery.uncertain or uncertain),
        why=error,
        new_receipt=None if receipt is None else msgspec.json.encode(receipt).decode(),
        again_at=again_at or now,
        done_at=None if state is DeliveryState.RETRY else now,
    )
    return bool(rows)


def expire(*, now: int) -> Work[list[str]]:
    """Expire what waited too long; return the ids."""
    return [row["delivery_id"] for row in (yield _EXPIRE(now=now))]


def lapse(owner: str) -> Work[int]:
    """End the leases of a sender that is gone for certain; return how many it had."""
    return len((yield _LAPSE(gone=owner)))


def orphans(owner: str, *, alone: bool, now: int) -> Work[list[Delivery]]:
    """Return deliveries whose sender died in the middle."""
    rows = yield _ORPHANS(me=owner, alone=int(alone), now=now)
    return [delivery_from_row(row) for row in rows]


def find(delivery_id: str) -> Work[Delivery | None]:
    """Return a delivery, or `None`."""
    row = one((yield _GET(id=delivery_id)))
    return None if row is None else delivery_from_row(row)


def list_sent(conversation: str, *, limit: int) -> Work[list[Delivery]]:
    """Return what was sent into a conversation, the newest first."""
    rows = yield _SENT_TO(conversation=conversation, count=limit)
    return [delivery_from_row(row) for row in rows]


def list_deliveries(*, state: str = "", limit: int = 100) -> Work[list[Delivery]]:
    """Return the newest deliveries, of one state or all."""
    listing = _LIST_IN_STATE[state] if state else _LIST
    return [delivery_from_row(row) for row in (yield listing(count=limit))]


def counts() -> Work[dict[str, int]]:
    """Return how many deliveries are in each state that is not an end one wishes for."""
    found: dict[str, int] = {}
    for counting in _COUNTS:
        found |= {row["state"]: row["n"] for row in (yield counting())}
    return found


def next_due(*, now: int) -> Work[int | None]:
    """Return when the next delivery that waits for its time may be tried, in ms."""
    at: int | None = (yield _NEXT_DUE(now=now))[0]["at"]
    return at


def bounce(delivery_id: str, channel: str, account: str, *, why: str) -> Work[None]:
    """Record that what an account has sent came back; ignored when it is not its delivery."""
    yield _BOUNCE(id=delivery_id, c=channel, a=account, why=why)


def hurry(channel: str, account: str, *, now: int) -> Work[int]:
    """Make what waits to be tried again due now; return how many."""
    return len((yield _HURRY(c=channel, a=account, now=now)))


def decide(
    delivery: Delivery, state: DeliveryState, *, now: int, expires_at: int
) -> Work[Delivery | None]:
    """Carry out a person's decision on a delivery that is stuck (resend or discard)."""
    row = one(
        (
            yield _DECIDE(
                id=delivery.delivery_id,
                from_state=delivery.state.value,
                new_state=state.value,
                now=now,
                expires=expires_at,
                done_at=now if state is DeliveryState.DISCARDED else None,
            )
        )
    )
    return None if row is None else delivery_from_row(row)


def forget(*, before_ms: int, count: int) -> Work[int]:
    """Delete deliveries settled before a time, at most `count`; stuck ones stay for a person."""
    forgotten = yield _FORGET(before=before_ms, count=count)
    for row in forgotten:
        yield _FORGET_ATTEMPTS(id=row["delivery_id"])
    return len(forgotten)
