"""Works on people: who may write, who asks to, and the count of wrong codes."""

from __future__ import annotations

import msgspec
from sqlalchemy import and_, bindparam, delete, func, or_, select, update

from portico.channels.access.life import HOUR_MS, Known, RequestState
from portico.channels.access.tables import approved, requests
from portico.channels.accounts.tables import accounts
from portico.channels.model import ReplyRoute
from portico.store import Row, Work, one, statement

r, p = requests.c, approved.c


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    request_id: str
    channel: str
    account: str
    sender: str
    sender_name: str | None
    code_hash: str
    state: RequestState
    route: ReplyRoute
    messages: int
    created_at: int
    seen_at: int
    expires_at: int


class ApprovedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One person who may write."""

    channel: str
    account: str
    sender: str
    sender_name: str | None
    approved_by: str
    approved_at: int


_OWN = and_(r.channel == bindparam("c"), r.account == bindparam("n"), r.sender == bindparam("s"))
_SELECTED = and_(
    or_(bindparam("c") == "", r.channel == bindparam("c")),
    or_(bindparam("n") == "", r.account == bindparam("n")),
)

_IS_APPROVED = statement(
    select(p.sender).where(
        p.channel == bindparam("c"), p.account == bindparam("n"), p.sender == bindparam("s")
    )
)
_FIND_OWN = statement(select(requests).where(_OWN))
_COUNT = statement(
    select(
        func.count().filter(r.state == "pending", r.expires_at > bindparam("now")).label("pending"),
        func.count().filter(r.created_at > bindparam("since")).label("lately"),
    ).where(r.channel == bindparam("c"), r.account == bindparam("n"))
)
_ASK = statement(
    lambda insert: (
        (
            made := insert(requests).values(
                request_id=bindparam("id"),
                channel=bindparam("c"),
                account=bindparam("n"),
                sender=bindparam("s"),
                sender_name=bindparam("called"),
                code_hash=bindparam("digest"),
                state="pending",
                route=bindparam("back"),
                messages=1,
                created_at=bindparam("now"),
                seen_at=bindparam("now"),
                expires_at=bindparam("until"),
            )
        )
        .on_conflict_do_update(
            index_elements=[r.channel, r.account, r.sender],
            set_={
                name: made.excluded[name]
                for name in (
                    "request_id",
                    "sender_name",
                    "code_hash",
                    "state",
                    "route",
                    "messages",
                    "created_at",
                    "seen_at",
                    "expires_at",
                )
            },
            # Two messages at once ask once.
            where=r.expires_at <= bindparam("now"),
        )
        .returning(r.request_id)
    )
)
_SEEN = statement(
    update(requests)
    .where(_OWN)
    .values(messages=r.messages + 1, seen_at=bindparam("now"))
    .returning(r.request_id)
)
_PENDING = statement(
    select(requests)
    .where(_SELECTED, r.state == "pending", r.expires_at > bindparam("now"))
    .order_by(r.created_at, r.request_id)
)
_APPROVE = statement(
    lambda insert: (
        made := insert(approved).values(
            channel=bindparam("c"),
            account=bindparam("n"),
            sender=bindparam("s"),
            sender_name=bindparam("called"),
            approved_by=bindparam("by"),
            approved_at=bindparam("now"),
        )
    ).on_conflict_do_update(
        index_elements=[p.channel, p.account, p.sender],
        set_={"sender_name": func.coalesce(made.excluded.sender_name, p.sender_name)},
    )
)
_DROP = statement(delete(requests).where(r.request_id == bindparam("id")).returning(r.request_id))
_REJECT = statement(
    update(requests)
    .where(r.request_id == bindparam("id"), r.state == "pending")
    .values(state="rejected", expires_at=bindparam("until"))
    .returning(r.request_id)
)
_APPROVED = statement(
    select(approved)
    .where(
        or_(bindparam("c") == "", p.channel == bindparam("c")),
        or_(bindparam("n") == "", p.account == bindparam("n")),
    )
    .order_by(p.channel, p.account, p.approved_at)
)
_REVOKE = statement(
    delete(approved)
    .where(p.channel == bindparam("c"), p.account == bindparam("n"), p.sender == bindparam("s"))
    .returning(p.sender)
)
_WRONG = statement(
    select(accounts.c.pairing_failures, accounts.c.pairing_locked_until).where(
        accounts.c.channel == bindparam("c"), accounts.c.account == bindparam("n")
    )
)
_SET_WRONG = statement(
    update(accounts)
    .where(accounts.c.channel == bindparam("c"), accounts.c.account == bindparam("n"))
    .values(pairing_failures=bindparam("count"), pairing_locked_until=bindparam("until"))
    .returning(accounts.c.channel)
)
_FORGET = statement(
    delete(requests).where(r.expires_at < bindparam("before")).returning(r.request_id)
)


def request_from_row(row: Row) -> RequestRow:
    """Read a requests row."""
    return RequestRow(
        request_id=row["request_id"],
        channel=row["channel"],
        account=row["account"],
        sender=row["sender"],
        sender_name=row["sender_name"],
        code_hash=row["code_hash"],
        state=RequestState(row["state"]),
        route=msgspec.json.decode(row["route"], type=ReplyRoute),
        messages=row["messages"],
        created_at=row["created_at"],
        seen_at=row["seen_at"],
        expires_at=row["expires_at"],
    )


def is_approved(channel: str, account: str, sender: str) -> Work[bool]:
    """Say whether somebody may write."""
    return bool((yield _IS_APPROVED(c=channel, n=account, s=sender)))


def known_of(channel: str, account: str, sender: str, *, now: int) -> Work[Known]:
    """Return what is on record of a stranger, and of the others who ask."""
    own = one((yield _FIND_OWN(c=channel, n=account, s=sender)))
    counts = (yield _COUNT(c=channel, n=account, now=now, since=now - HOUR_MS))[0]
    return Known(
        state=None if own is None else RequestState(own["state"]),
        expires_at=0 if own is None else own["expires_at"],
        pending=counts["pending"],
        lately=counts["lately"],
    )


def ask(row: RequestRow) -> Work[bool]:
    """Record a request; `False` when the person asked in the same moment elsewhere."""
    return bool(
        (
            yield _ASK(
                id=row.request_id,
                c=row.channel,
                n=row.account,
                s=row.sender,
                called=row.sender_name,
                digest=row.code_hash,
                back=msgspec.json.encode(row.route).decode(),
                now=row.created_at,
                until=row.expires_at,
            )
        )
    )


def seen(channel: str, account: str, sender: str, *, now: int) -> Work[None]:
    """Note that somebody who asks has written again."""
    yield _SEEN(c=channel, n=account, s=sender, now=now)


def list_pending(*, channel: str = "", account: str = "", now: int) -> Work[list[RequestRow]]:
    """Return the requests that wait, the oldest first."""
    rows = yield _PENDING(c=channel, n=account, now=now)
    return [request_from_row(row) for row in rows]


def approve(request: RequestRow, *, by: str, now: int) -> Work[None]:
    """Let the person who asked write."""
    yield from add(
        request.channel, request.account, request.sender, name=request.sender_name, by=by, now=now
    )
    yield _DROP(id=request.request_id)


def add(
    channel: str, account: str, sender: str, *, name: str | None, by: str, now: int
) -> Work[None]:
    """Let somebody write."""
    yield _APPROVE(c=channel, n=account, s=sender, called=name, by=by, now=now)


def reject(request_id: str, *, until: int) -> Work[bool]:
    """Reject a request; `False` when it does not wait any more."""
    return bool((yield _REJECT(id=request_id, until=until)))


def list_approved(*, channel: str = "", account: str = "") -> Work[list[ApprovedRow]]:
    """Return who may write, by account, the first approved first."""
    names = ApprovedRow.__struct_fields__
    rows = yield _APPROVED(c=channel, n=account)
    return [ApprovedRow(**{name: row[name] for name in names}) for row in rows]


def revoke(channel: str, account: str, sender: str) -> Work[bool]:
    """Let somebody write no longer; `False` when they could not."""
    return bool((yield _REVOKE(c=channel, n=account, s=sender)))


def wrong_codes(channel: str, account: str) -> Work[tuple[int, int | None]]:
    """Return how many wrong codes were given in a row, and until when codes are not taken."""
    row = one((yield _WRONG(c=channel, n=account)))
    return (0, None) if row is None else (row["pairing_failures"], row["pairing_locked_until"])


def put_wrong_codes(channel: str, account: str, count: int, until: int | None) -> Work[None]:
    """Record how many wrong codes were given in a row."""
    yield _SET_WRONG(c=channel, n=account, count=count, until=until)


def forget(*, before_ms: int) -> Work[int]:
    """Delete requests that ran out before a time; return how many."""
    return len((yield _FORGET(before=before_ms)))
