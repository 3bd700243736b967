"""Works on approvals: every transition of `life.py` as one guarded statement."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, delete, func, or_, select, update

from portico.approvals.life import Decision, Reason, state_after, state_without_decision
from portico.approvals.model import Approval, NewApproval, Reviewer, approval_from_row
from portico.approvals.tables import approvals, watchers
from portico.protocol.errors import Overloaded
from portico.store import Rows, Work, one, statement

c = approvals.c
w = watchers.c

_IS_PENDING = c.state == "pending"
_ENDED: dict[str, Any] = {
    "state": bindparam("new_state"),
    "decision": bindparam("new_decision"),
    "reason": bindparam("new_reason"),
    "resolver_kind": bindparam("new_kind"),
    "resolver_id": bindparam("new_resolver"),
    "resolved_by": bindparam("new_by"),
    "resolved_at": bindparam("now"),
    "owner": None,
    "lease_until": None,
}

_COUNT = statement(select(func.count().label("n")).where(_IS_PENDING))
_INSERT = statement(
    lambda insert: (
        insert(approvals)
        .values(
            approval_id=bindparam("id"),
            state="pending",
            request=bindparam("request"),
            allowed=bindparam("allowed"),
            origin=bindparam("origin"),
            fingerprint=bindparam("fingerprint"),
            requested_by=bindparam("requested_by"),
            reviewers=bindparam("reviewers"),
            silent=bindparam("silent"),
            owner=bindparam("owner"),
            lease_until=bindparam("lease_until"),
            created_at=bindparam("now"),
            expires_at=bindparam("expires_at"),
        )
        .on_conflict_do_nothing(index_elements=[c.approval_id])
        .returning(approvals)
    )
)
_GET = statement(select(approvals).where(c.approval_id == bindparam("id")))
_PENDING = statement(
    select(approvals).where(_IS_PENDING).order_by(c.created_at, c.approval_id).limit(bindparam("n"))
)
_UNUSED = statement(
    select(c.approval_id)
    .where(
        c.fingerprint == bindparam("print"),
        c.origin == "agent",
        c.consumed_at.is_(None),
        or_(and_(_IS_PENDING, c.expires_at > bindparam("now")), c.decision.is_not(None)),
    )
    .order_by(c.created_at)
    .limit(1)
)
_ADOPT = statement(
    update(approvals)
    .where(c.approval_id == bindparam("id"))
    .values(owner=bindparam("me"), lease_until=bindparam("until"))
    .returning(approvals)
)
_DECIDE = statement(
    update(approvals)
    .where(c.approval_id == bindparam("id"), _IS_PENDING, c.expires_at > bindparam("now"))
    .values(**_ENDED)
    .returning(approvals)
)
_END = statement(
    update(approvals)
    .where(c.approval_id == bindparam("id"), _IS_PENDING)
    .values(**_ENDED)
    .returning(approvals)
)
_EXPIRE = statement(
    update(approvals)
    .where(_IS_PENDING, c.expires_at <= bindparam("now"))
    .values(**_ENDED)
    .returning(approvals)
)
_ABANDON = statement(
    update(approvals)
    .where(_IS_PENDING, c.lease_until < bindparam("now"))
    .values(**_ENDED)
    .returning(approvals)
)
_CONSUME = statement(
    update(approvals)
    .where(c.approval_id == bindparam("id"), c.consumed_at.is_(None))
    .values(consumed_at=bindparam("now"))
    .returning(c.approval_id)
)
_RENEW = statement(
    update(approvals)
    .where(_IS_PENDING, c.owner == bindparam("me"))
    .values(lease_until=bindparam("until"))
)
_INHERIT = statement(
    update(approvals)
    .where(_IS_PENDING, c.owner.is_not(None), c.owner != bindparam("me"))
    .values(lease_until=bindparam("until"))
)
_INHERIT_FROM = statement(
    update(approvals)
    .where(_IS_PENDING, c.owner == bindparam("gone"))
    .values(lease_until=bindparam("until"))
)
_HISTORY = statement(
    select(approvals)
    .where(
        c.resolved_at.is_not(None),
        or_(
            c.resolved_at < bindparam("at"),
            and_(c.resolved_at == bindparam("at"), c.approval_id < bindparam("before")),
        ),
    )
    .order_by(c.resolved_at.desc(), c.approval_id.desc())
    .limit(bindparam("n"))
)
_old = approvals.alias("old")
_FORGET = statement(
    delete(approvals)
    .where(
        c.approval_id.in_(
            select(_old.c.approval_id)
            .where(_old.c.resolved_at < bindparam("before"))
            .limit(bindparam("n"))
        )
    )
    .returning(c.approval_id)
)
_WATCH = statement(
    lambda insert: (
        into := insert(watchers).values(owner=bindparam("me"), until=bindparam("till"))
    ).on_conflict_do_update(index_elements=[w.owner], set_={"until": into.excluded.until})
)
_UNWATCH = statement(
    delete(watchers).where(or_(w.owner == bindparam("me"), w.until < bindparam("now")))
)
_WATCHED = statement(
    select(w.owner).where(w.owner != bindparam("me"), w.until > bindparam("now")).limit(1)
)


def put(
    new: NewApproval, *, owner: str | None, lease_until: int | None, most: int
) -> Work[Approval]:
    """Put an approval on record; return it, or the one that is there under its id.

    Raises:
        Overloaded: too many wait already.
    """
    known = one((yield _GET(id=new.approval_id)))
    if known is not None:
        return approval_from_row(known)
    if (yield _COUNT())[0]["n"] >= most:
        raise Overloaded
    rows = yield _INSERT(
        id=new.approval_id,
        request=msgspec.json.encode(new.request).decode(),
        allowed=msgspec.json.encode(new.allowed).decode(),
        origin=new.origin,
        fingerprint=new.fingerprint,
        requested_by=new.requested_by,
        reviewers=msgspec.json.encode(new.reviewers).decode(),
        silent=int(new.silent),
        owner=owner,
        lease_until=lease_until,
        expires_at=new.expires_at,
        now=new.created_at,
    )
    return approval_from_row((rows or (yield _GET(id=new.approval_id)))[0])


def put_or_join(new: NewApproval, *, owner: str, lease_until: int, most: int) -> Work[Approval]:
    """Put an agent's approval on record, or join the one that asks the same and is not used up.

    Raises:
        Overloaded: too many wait already.
    """
    unused = one((yield _UNUSED(print=new.fingerprint, now=new.created_at)))
    if unused is not None:
        rows = yield _ADOPT(id=unused["approval_id"], me=owner, until=lease_until)
        return approval_from_row(rows[0])
    return (yield from put(new, owner=owner, lease_until=lease_until, most=most))


def find(approval_id: str) -> Work[Approval | None]:
    """Return an approval, or `None`."""
    return _first((yield _GET(id=approval_id)))


def list_pending(count: int) -> Work[list[Approval]]:
    """Return what waits, the oldest first."""
    return _all((yield _PENDING(n=count)))


def list_ended(*, before_ms: int, before_id: str, count: int) -> Work[list[Approval]]:
    """Return what has ended, the newest first, from a place on."""
    return _all((yield _HISTORY(at=before_ms, before=before_id, n=count)))


def decide(
    approval_id: str, decision: Decision, *, by: Reviewer, now: int
) -> Work[tuple[Approval | None, bool]]:
    """Record a reviewer's decision; return the approval and whether this changed it.

    What is past its time expires instead.
    """
    rows = yield _DECIDE(
        id=approval_id,
        new_state=state_after(decision).value,
        new_decision=decision,
        new_reason=Reason.USER.value,
        new_kind="runtime" if by.device_id is None else "device",
        new_resolver=by.device_id or by.subject,
        new_by=by.name,
        now=now,
    )
    if rows:
        return _first(rows), True
    return (yield from end(approval_id, Reason.TIMEOUT, now=now))


def end(approval_id: str, reason: Reason, *, now: int) -> Work[tuple[Approval | None, bool]]:
    """End an approval without a decision; return it and whether this changed it."""
    rows = yield _END(id=approval_id, **_without_decision(reason), now=now)
    if rows:
        return _first(rows), True
    return _first((yield _GET(id=approval_id))), False


def expire(*, now: int) -> Work[list[Approval]]:
    """End what is past its time; return those, each to one caller only."""
    return _all((yield _EXPIRE(**_without_decision(Reason.TIMEOUT), now=now)))


def abandon(*, now: int) -> Work[list[Approval]]:
    """End what agents asked that did not come back; return those, each to one caller only."""
    return _all((yield _ABANDON(**_without_decision(Reason.GATEWAY_RESTART), now=now)))


def consume(approval_id: str, *, now: int) -> Work[bool]:
    """Note that an asker acts on the decision; `False`: another one has."""
    return bool((yield _CONSUME(id=approval_id, now=now)))


def renew(owner: str, *, until: int) -> Work[None]:
    """Say that the askers of a process are there."""
    yield _RENEW(me=owner, until=until)


def inherit(owner: str, *, until: int) -> Work[None]:
    """Give the askers of processes that are gone for sure until then to come back."""
    yield _INHERIT(me=owner, until=until)


def inherit_from(gone: str, *, until: int) -> Work[None]:
    """Give the askers of one process that is gone for sure until then to come back."""
    yield _INHERIT_FROM(gone=gone, until=until)


def forget(*, before_ms: int, count: int) -> Work[int]:
    """Delete approvals that ended before a time, at most `count`; return how many."""
    return len((yield _FORGET(before=before_ms, n=count)))


def watch(owner: str, *, until: int | None, now: int) -> Work[None]:
    """Say until when a process has reviewers connected; `None`: it has none."""
    yield _UNWATCH(me=owner, now=now)
    if until is not None:
        yield _WATCH(me=owner, till=until)


def is_watched(owner: str, *, now: int) -> Work[bool]:
    """Say whether another process has reviewers connected."""
    return bool((yield _WATCHED(me=owner, now=now)))


def _without_decision(reason: Reason) -> dict[str, str | None]:
    return {
        "new_state": state_without_decision(reason).value,
        "new_decision": None,
        "new_reason": reason.value,
        "new_kind": "system",
        "new_resolver": None,
        "new_by": None,
    }


def _first(rows: Rows) -> Approval | None:
    row = one(rows)
    return None if row is None else approval_from_row(row)


def _all(rows: Rows) -> list[Approval]:
    return [approval_from_row(row) for row in rows]
