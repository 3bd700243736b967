"""Works on accounts: claims, guarded cursors, what was observed; and on events."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, case, delete, func, or_, select, update

from portico.channels.accounts.tables import accounts, events
from portico.channels.contract import Superseded
from portico.channels.model import ChannelEvent
from portico.ids import new_id
from portico.store import Row, Work, one, statement

a = accounts.c


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the accounts table."""

    channel: str
    account: str
    desired: str = "running"
    observed: str = "off"
    cursor: str | None = None
    owner: str | None = None
    fence: int = 0
    lease_until: int | None = None
    generation: int = 0
    failures: int = 0
    restarts: int = 0
    last_error: str | None = None
    identity: dict[str, Any] | None = None
    started_at: int | None = None
    stopped_at: int | None = None
    connected_at: int | None = None
    received_at: int | None = None
    alive_at: int | None = None
    sent_at: int | None = None


class EventRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One recorded event."""

    event_id: str
    channel: str
    account_id: str
    received_at: int
    event: ChannelEvent


class Begun(msgspec.Struct, frozen=True):
    """A claim: the account is ours, and this is its next run."""

    generation: int
    fence: int
    cursor: str | None
    restarts: int


_AT = and_(a.channel == bindparam("c"), a.account == bindparam("n"))

_ADD = statement(
    lambda insert: (
        insert(accounts)
        .values(
            channel=bindparam("c"),
            account=bindparam("n"),
            desired="running",
            observed="off",
            fence=0,
            generation=0,
            failures=0,
            restarts=0,
            pairing_failures=0,
            updated_at=bindparam("now"),
        )
        .on_conflict_do_nothing(index_elements=[a.channel, a.account])
    )
)
_LIST = statement(select(accounts).order_by(a.channel, a.account))
_GET = statement(select(accounts).where(_AT))
_BEGIN = statement(
    update(accounts)
    .where(
        _AT,
        a.desired == "running",
        or_(
            bindparam("shared") == 1,
            a.owner.is_(None),
            a.owner == bindparam("me"),
            a.lease_until < bindparam("now"),
            bindparam("alone") == 1,
        ),
    )
    .values(
        fence=case((a.owner == bindparam("me"), a.fence), else_=a.fence + 1),
        owner=bindparam("new_owner"),
        lease_until=bindparam("until"),
        generation=a.generation + 1,
        observed="starting",
        started_at=bindparam("now"),
        updated_at=bindparam("now"),
    )
    .returning(a.generation, a.fence, a.cursor, a.restarts)
)
_RENEW = statement(
    update(accounts)
    .where(a.owner == bindparam("me"))
    .values(lease_until=bindparam("until"))
    .returning(a.channel, a.account)
)
_RELEASE = statement(
    update(accounts)
    .where(_AT, a.owner == bindparam("me"))
    .values(owner=None, lease_until=None)
    .returning(a.channel)
)
_RELEASE_ALL = statement(
    update(accounts)
    .where(a.owner == bindparam("me"))
    .values(owner=None, lease_until=None)
    .returning(a.channel)
)
_MOVE = statement(
    update(accounts)
    .where(
        _AT,
        a.generation == bindparam("g"),
        or_(bindparam("shared") == 1, a.owner == bindparam("me")),
    )
    .values(cursor=bindparam("to"), received_at=bindparam("now"), updated_at=bindparam("now"))
    .returning(a.generation)
)
_OBSERVE = statement(
    update(accounts)
    .where(_AT, a.generation == bindparam("g"))
    .values(
        observed=bindparam("state"),
        failures=bindparam("failed"),
        restarts=bindparam("again"),
        last_error=bindparam("why"),
        identity=func.coalesce(bindparam("who"), a.identity),
        stopped_at=func.coalesce(bindparam("stopped"), a.stopped_at),
        connected_at=func.coalesce(bindparam("joined"), a.connected_at),
        received_at=func.coalesce(bindparam("received"), a.received_at),
        alive_at=func.coalesce(bindparam("alive"), a.alive_at),
        sent_at=func.coalesce(bindparam("sent"), a.sent_at),
        updated_at=bindparam("now"),
    )
    .returning(a.generation)
)
_WANT = statement(
    update(accounts)
    .where(_AT)
    .values(desired=bindparam("want"), updated_at=bindparam("now"))
    .returning(a.channel)
)
_FORGET_CURSOR = statement(update(accounts).where(_AT).values(cursor=None, identity=None))
_NOTE = statement(
    lambda insert: (
        insert(events)
        .values(
            event_id=bindparam("id"),
            channel=bindparam("c"),
            account=bindparam("n"),
            event_key=bindparam("key"),
            kind=bindparam("what"),
            body=bindparam("told"),
            received_at=bindparam("now"),
        )
        .on_conflict_do_nothing(
            index_elements=[events.c.channel, events.c.account, events.c.event_key]
        )
        .returning(events.c.event_id)
    )
)
_EVENTS = statement(
    select(events)
    .where(
        or_(bindparam("c") == "", events.c.channel == bindparam("c")),
        or_(bindparam("n") == "", events.c.account == bindparam("n")),
    )
    .order_by(events.c.received_at.desc(), events.c.event_id.desc())
    .limit(bindparam("count"))
)
_old = events.alias("old")
_FORGET = statement(
    delete(events)
    .where(
        events.c.event_id.in_(
            select(_old.c.event_id)
            .where(_old.c.received_at < bindparam("before"))
            .limit(bindparam("count"))
        )
    )
    .returning(events.c.event_id)
)


def row_from(row: Row) -> AccountRow:
    """Read an accounts row."""
    values = {name: row[name] for name in AccountRow.__struct_fields__ if name != "identity"}
    identity = row["identity"]
    return AccountRow(
        **values, identity=None if identity is None else msgspec.json.decode(identity)
    )


def add(names: list[tuple[str, str]], *, now: int) -> Work[None]:
    """Make rows for accounts that have none."""
    for channel, account in names:
        yield _ADD(c=channel, n=account, now=now)


def list_accounts() -> Work[list[AccountRow]]:
    """Return every row."""
    return [row_from(row) for row in (yield _LIST())]


def find(channel: str, account: str) -> Work[AccountRow | None]:
    """Return a row, or `None`."""
    row = one((yield _GET(c=channel, n=account)))
    return None if row is None else row_from(row)


def begin(
    channel: str,
    account: str,
    *,
    owner: str,
    shared: bool,
    alone: bool,
    lease_until: int,
    now: int,
) -> Work[Begun | None]:
    """Claim an account for its next run; `None` when another owner has it, or it is not wanted.

    Args:
        shared: every replica may run it: no owner is kept.
        alone: this process is the only one on the database, so other owners are dead for sure.
    """
    row = one(
        (
            yield _BEGIN(
                c=channel,
                n=account,
                me=owner,
                new_owner=None if shared else owner,
                shared=int(shared),
                alone=int(alone),
                until=None if shared else lease_until,
                now=now,
            )
        )
    )
    if row is None:
        return None
    return Begun(row["generation"], row["fence"], row["cursor"], row["restarts"])


def renew(owner: str, *, lease_until: int) -> Work[set[tuple[str, str]]]:
    """Extend an owner's leases; return what it still has."""
    rows = yield _RENEW(me=owner, until=lease_until)
    return {(row["channel"], row["account"]) for row in rows}


def release(channel: str, account: str, *, owner: str) -> Work[None]:
    """Let others have an account."""
    yield _RELEASE(c=channel, n=account, me=owner)


def release_all(owner: str) -> Work[None]:
    """Let others have everything an owner has."""
    yield _RELEASE_ALL(me=owner)


def guard(
    channel: str,
    account: str,
    *,
    owner: str,
    generation: int,
    shared: bool,
    cursor: str | None,
    now: int,
) -> Work[None]:
    """Make sure the run still is the account's, and store its cursor.

    Raises:
        Superseded: it is not: the transaction must not be committed.
    """
    if cursor is not None:
        moved = yield _MOVE(
            c=channel, n=account, g=generation, me=owner, shared=int(shared), to=cursor, now=now
        )
        if not moved:
            raise Superseded(f"{channel}:{account} is run by somebody else now")
    elif not shared:
        row = one((yield _GET(c=channel, n=account)))
        if row is None or (row["generation"], row["owner"]) != (generation, owner):
            raise Superseded(f"{channel}:{account} is run by somebody else now")


def observe(row: AccountRow, *, now: int) -> Work[None]:
    """Record what is; nothing when a later run has taken over."""
    yield _OBSERVE(
        c=row.channel,
        n=row.account,
        g=row.generation,
        state=row.observed,
        failed=row.failures,
        again=row.restarts,
        why=row.last_error,
        who=None if row.identity is None else msgspec.json.encode(row.identity).decode(),
        stopped=row.stopped_at,
        joined=row.connected_at,
        received=row.received_at,
        alive=row.alive_at,
        sent=row.sent_at,
        now=now,
    )


def want(channel: str, account: str, desired: str, *, now: int) -> Work[None]:
    """Record what the operator wants: `running` or `stopped`."""
    yield from add([(channel, account)], now=now)
    yield _WANT(c=channel, n=account, want=desired, now=now)


def forget_login(channel: str, account: str) -> Work[None]:
    """Forget where the provider's stream was, and who the account is."""
    yield _FORGET_CURSOR(c=channel, n=account)


def note(channel: str, account: str, event: ChannelEvent, *, now: int) -> Work[bool]:
    """Record an event; `False` when it was recorded before."""
    rows = yield _NOTE(
        id=new_id("evt"),
        c=channel,
        n=account,
        key=event.event_key,
        what=event.kind,
        told=msgspec.json.encode(event).decode(),
        now=now,
    )
    return bool(rows)


def list_events(*, channel: str = "", account: str = "", limit: int = 100) -> Work[list[EventRow]]:
    """Return the newest events."""
    return [
        EventRow(
            event_id=row["event_id"],
            channel=row["channel"],
            account_id=row["account"],
            received_at=row["received_at"],
            event=msgspec.json.decode(row["body"], type=ChannelEvent),
        )
        for row in (yield _EVENTS(c=channel, n=account, count=limit))
    ]


def forget_events(*, before_ms: int, count: int) -> Work[int]:
    """Delete events received before a time, at most `count`; return how many."""
    return len((yield _FORGET(before=before_ms, count=count)))
