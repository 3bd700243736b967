"""Works on the record of changes."""

from __future__ import annotations

import msgspec
from sqlalchemy import bindparam, delete, func, or_, select

from portico.audit.model import Change, Wanted
from portico.audit.tables import changes
from portico.store import Row, Work, one, statement

c = changes.c

_PUT = statement(
    lambda insert: insert(changes).values(
        **{column.name: bindparam(column.name) for column in changes.c if column.name != "sequence"}
    )
)
_LIST = statement(
    select(changes)
    .where(
        or_(
            bindparam("action") == "",
            c.action == bindparam("action"),
            func.substr(c.action, 1, func.length(bindparam("first"))) == bindparam("first"),
        ),
        or_(bindparam("actor") == "", c.actor == bindparam("actor")),
        or_(bindparam("target") == "", c.target == bindparam("target")),
        c.sequence < bindparam("below"),
        c.recorded_at >= bindparam("after"),
        c.recorded_at < bindparam("before"),
    )
    .order_by(c.sequence.desc())
    .limit(bindparam("count"))
)
_old = changes.alias("old")
_FORGET = statement(
    delete(changes)
    .where(
        c.sequence.in_(
            select(_old.c.sequence)
            .where(_old.c.recorded_at < bindparam("before"))
            .limit(bindparam("count"))
        )
    )
    .returning(c.sequence)
)
_LAST_KEPT = statement(
    select(c.sequence).order_by(c.sequence.desc()).limit(1).offset(bindparam("kept"))
)
_FORGET_UP_TO = statement(
    delete(changes)
    .where(
        c.sequence.in_(
            select(_old.c.sequence)
            .where(_old.c.sequence <= bindparam("up_to"))
            .order_by(_old.c.sequence)
            .limit(bindparam("count"))
        )
    )
    .returning(c.sequence)
)

_NO_BOUND = 1 << 62


def put(change: Change) -> Work[None]:
    """Record a change."""
    yield _PUT(
        action=change.action,
        actor=change.actor,
        target=change.target,
        outcome=change.outcome,
        details=msgspec.json.encode(change.details).decode(),
        recorded_at=change.recorded_at,
    )


def list_changes(wanted: Wanted) -> Work[list[Change]]:
    """Return changes, the newest first."""
    rows = yield _LIST(
        action=wanted.action,
        first=f"{wanted.action}.",
        actor=wanted.actor,
        target=wanted.target,
        below=wanted.below or _NO_BOUND,
        after=wanted.after_ms,
        before=wanted.before_ms or _NO_BOUND,
        count=wanted.count,
    )
    return [_change(row) for row in rows]


def forget_before(*, before_ms: int, count: int) -> Work[int]:
    """Delete changes recorded before a time, at most `count`; return how many."""
    return len((yield _FORGET(before=before_ms, count=count)))


def forget_beyond(*, keep: int, count: int) -> Work[int]:
    """Delete the oldest beyond the newest `keep`, at most `count`; return how many."""
    row = one((yield _LAST_KEPT(kept=keep)))
    if row is None:
        return 0
    return len((yield _FORGET_UP_TO(up_to=row["sequence"], count=count)))


def _change(row: Row) -> Change:
    return Change(
        sequence=row["sequence"],
        action=row["action"],
        actor=row["actor"],
        target=row["target"],
        outcome=row["outcome"],
        details=msgspec.json.decode(row["details"]),
        recorded_at=row["recorded_at"],
    )
