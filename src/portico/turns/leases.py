"""Works on many turns at once: leases, what nobody holds any more, what is ready, overdue or old.

Not here: the transitions of one turn (store.py).
"""

from __future__ import annotations

from sqlalchemy import and_, bindparam, delete, exists, func, or_, select, update

from portico.store import Work, statement
from portico.turns.model import TurnRow, turn_from_row
from portico.turns.tables import turns

c = turns.c
_busy = turns.alias("busy")

_READY_LANES = statement(
    select(c.session_key)
    .where(
        c.state == "queued",
        ~exists().where(_busy.c.session_key == c.session_key, _busy.c.state == "running"),
    )
    .group_by(c.session_key)
    .order_by(func.min(c.queued_at))
    .limit(bindparam("count"))
)

_HELD = statement(
    select(func.count().label("n")).where(c.state == "running", c.owner == bindparam("me"))
)

_QUEUED = statement(select(func.count().label("n")).where(c.state == "queued"))

_RENEW = statement(
    update(turns)
    .where(c.owner == bindparam("me"), c.state == "running")
    .values(lease_until=bindparam("until"))
    .returning(c.run_id, c.fence, c.cancel_reason)
)

_LAPSE = statement(
    update(turns)
    .where(c.owner == bindparam("gone"), c.state == "running")
    .values(lease_until=0)
    .returning(c.run_id)
)

_ORPHANS = statement(
    select(turns)
    .where(
        c.state == "running",
        or_(
            c.lease_until < bindparam("now"),
            and_(bindparam("alone") == 1, c.owner != bindparam("me")),
        ),
    )
    .limit(bindparam("count"))
)

_REQUEUE = statement(
    update(turns)
    .where(c.run_id == bindparam("r"), c.fence == bindparam("f"), c.state == "running")
    .values(state="queued", owner=None, lease_until=None)
    .returning(c.run_id)
)

_old = turns.alias("old")

_FORGET = statement(
    delete(turns)
    .where(
        c.run_id.in_(
            select(_old.c.run_id)
            .where(_old.c.ended_at < bindparam("before"))
            .limit(bindparam("count"))
        )
    )
    .returning(c.run_id)
)

_OVERDUE = statement(
    select(c.run_id).where(c.state == "queued", c.expires_at < bindparam("now")).limit(100)
)


_OPEN = statement(
    select(turns)
    .where(or_(c.state == "queued", c.state == "running"))
    .order_by(c.queued_at, c.position)
    .limit(bindparam("count"))
)


def open_turns(*, count: int) -> Work[list[TurnRow]]:
    """Return what runs and waits in all lanes, longest waiting first."""
    return [turn_from_row(row) for row in (yield _OPEN(count=count))]


def ready_lanes(count: int) -> Work[list[str]]:
    """Return session keys whose lane is idle and has something waiting, longest waiting first."""
    rows = yield _READY_LANES(count=count)
    return [row["session_key"] for row in rows]


def renew(owner: str, *, lease_until: int) -> Work[dict[str, tuple[int, str | None]]]:
    """Extend an owner's leases; return run id → (fence, reason to cancel)."""
    rows = yield _RENEW(me=owner, until=lease_until)
    return {row["run_id"]: (row["fence"], row["cancel_reason"]) for row in rows}


def lapse(owner: str) -> Work[int]:
    """End the leases of a process that is gone for certain; return how many it had."""
    return len((yield _LAPSE(gone=owner)))


def count_queued() -> Work[int]:
    """Return how many turns wait."""
    return int((yield _QUEUED())[0]["n"])


def holds_any(owner: str) -> Work[bool]:
    """Say whether an owner has running turns."""
    return bool((yield _HELD(me=owner))[0]["n"])


def orphans(owner: str, *, alone: bool, now: int) -> Work[list[TurnRow]]:
    """Return running turns nobody holds any more.

    Args:
        alone: this process is the only one on the database, so other owners are dead for sure.
    """
    rows = yield _ORPHANS(me=owner, alone=int(alone), now=now, count=500)
    return [turn_from_row(row) for row in rows]


def requeue(row: TurnRow) -> Work[bool]:
    """Send an orphan back to the head of its lane."""
    return bool((yield _REQUEUE(r=row.run_id, f=row.fence)))


def overdue(*, now: int) -> Work[list[str]]:
    """Return waiting turns whose time is up."""
    return [row["run_id"] for row in (yield _OVERDUE(now=now))]


def forget(*, before_ms: int, count: int) -> Work[int]:
    """Delete turns that ended before a time, at most `count`; return how many."""
    return len((yield _FORGET(before=before_ms, count=count)))
