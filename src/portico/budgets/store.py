"""Works on budgets: reserve, settle, release, list.

Theory of operation: a counter's row says what was spent and is the lock of the counter: whoever
reserves or settles touches it first, so decisions about one counter come one after another, on any
number of replicas. Reservations are rows of their own with a time at which they stop counting, so
one that nobody settles leaks nothing. What is spent may pass the limit by what a turn used beyond
its reservation, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, select, tuple_, update

from portico.budgets.model import Amount, Counter, Due, Notice, Refusal
from portico.budgets.tables import reserved, spent
from portico.budgets.windows import Window
from portico.store import Row, Work, one, statement

s, r = spent.c, reserved.c
_KEY = (s.scope, s.subject, s.starts_at, s.ends_at)

_IS_COUNTER = (
    s.scope == bindparam("of_scope"),
    s.subject == bindparam("of_subject"),
    s.starts_at == bindparam("of_start"),
    s.ends_at == bindparam("of_end"),
)

_ADD = statement(
    lambda insert: (
        (made := insert(spent))
        .values(
            scope=bindparam("of_scope"),
            subject=bindparam("of_subject"),
            starts_at=bindparam("of_start"),
            ends_at=bindparam("of_end"),
            tokens=bindparam("more_tokens"),
            nano_usd=bindparam("more_nano_usd"),
        )
        .on_conflict_do_update(
            index_elements=[*_KEY],
            set_={
                "tokens": s.tokens + made.excluded.tokens,
                "nano_usd": s.nano_usd + made.excluded.nano_usd,
            },
        )
        .returning(spent)
    )
)
_GET = statement(select(spent).where(*_IS_COUNTER))
_HELD = statement(
    select(
        func.coalesce(func.sum(r.tokens), 0).label("tokens"),
        func.coalesce(func.sum(r.nano_usd), 0).label("nano_usd"),
    ).where(
        r.scope == bindparam("of_scope"),
        r.subject == bindparam("of_subject"),
        r.starts_at == bindparam("of_start"),
        r.ends_at == bindparam("of_end"),
        r.expires_at > bindparam("now"),
    )
)
_HOLD = statement(
    lambda insert: insert(reserved).values(
        run_id=bindparam("run_id"),
        scope=bindparam("of_scope"),
        subject=bindparam("of_subject"),
        starts_at=bindparam("of_start"),
        ends_at=bindparam("of_end"),
        tokens=bindparam("more_tokens"),
        nano_usd=bindparam("more_nano_usd"),
        expires_at=bindparam("until"),
    )
)
_RELEASE = statement(
    delete(reserved)
    .where(r.run_id == bindparam("run"))
    .returning(r.scope, r.subject, r.starts_at, r.ends_at)
)
_MARK_WARNED = statement(update(spent).where(*_IS_COUNTER).values(warned_at=bindparam("at")))
_MARK_EXHAUSTED = statement(
    update(spent)
    .where(*_IS_COUNTER)
    .values(warned_at=func.coalesce(s.warned_at, bindparam("at")), exhausted_at=bindparam("at"))
)
_UNMARK = statement(update(spent).where(*_IS_COUNTER).values(exhausted_at=None))

_held_by = reserved.alias("held")
_IN_WINDOW = statement(
    select(
        spent,
        *(
            select(func.coalesce(func.sum(column), 0))
            .where(
                _held_by.c.scope == s.scope,
                _held_by.c.subject == s.subject,
                _held_by.c.starts_at == s.starts_at,
                _held_by.c.ends_at == s.ends_at,
                _held_by.c.expires_at > bindparam("now"),
            )
            .scalar_subquery()
            .label(f"held_{column.name}")
            for column in (_held_by.c.tokens, _held_by.c.nano_usd)
        ),
    )
    .where(
        s.scope == bindparam("of_scope"),
        s.starts_at == bindparam("of_start"),
        s.ends_at == bindparam("of_end"),
    )
    .order_by(s.nano_usd.desc(), s.tokens.desc(), s.subject)
    .limit(bindparam("count"))
)
_RESET = statement(
    update(spent)
    .where(*_IS_COUNTER)
    .values(tokens=0, nano_usd=0, warned_at=None, exhausted_at=None)
    .returning(s.subject)
)

_old, _stale = spent.alias("old").c, reserved.alias("stale").c
_FORGET_SPENT = statement(
    delete(spent)
    .where(
        tuple_(*_KEY).in_(
            select(_old.scope, _old.subject, _old.starts_at, _old.ends_at)
            .where(_old.ends_at < bindparam("before"))
            .limit(bindparam("count"))
        )
    )
    .returning(s.subject)
)
_FORGET_RESERVED = statement(
    delete(reserved)
    .where(
        r.run_id.in_(
            select(_stale.run_id)
            .where(_stale.expires_at < bindparam("before"))
            .limit(bindparam("count"))
        )
    )
    .returning(r.run_id)
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a request to spend.

    Attributes:
        refusal: why not; `None`: it is reserved.
        notices: what the operator has not been told yet.
    """

    refusal: Refusal | None = None
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """One counter as it stands."""

    counter: Counter
    spent: Amount
    held: Amount


def reserve(
    run_id: str, dues: Sequence[Due], estimate: Amount, *, now: int, until: int
) -> Work[Decision]:
    """Reserve an estimate with every counter a run is due to, or with none.

    A run that had reserved before (and crashed) has its reservation replaced.

    Args:
        dues: in the order of their counters, so that two of these never wait for each other.
    """
    yield _RELEASE(run=run_id)
    refusal: Refusal | None = None
    notices: list[Notice] = []
    for due in dues:
        row = (yield _ADD(**_names(due.counter), **_more(Amount())))[0]
        was, held = _amount(row), _amount((yield _HELD(**_names(due.counter), now=now))[0])
        if due.limit.share(was) < 1 and due.limit.has_room(was + held + estimate):
            if row["exhausted_at"] is not None:  # the limit was raised meanwhile
                yield _UNMARK(**_names(due.counter))
            continue
        is_spent = due.limit.share(was) >= 1 or not due.limit.has_room(was + estimate)
        refusal = refusal or Refusal(due, is_spent)
        if is_spent and row["exhausted_at"] is None:
            yield _MARK_EXHAUSTED(**_names(due.counter), at=now)
            notices.append(Notice("exhausted", due, was))
    if refusal is None:
        for due in dues:
            yield _HOLD(run_id=run_id, until=until, **_names(due.counter), **_more(estimate))
    return Decision(refusal, tuple(notices))


def look(dues: Sequence[Due]) -> Work[Decision]:
    """Say whether a run that reserves nothing may begin: no budget of its is used up."""
    for due in dues:
        row = one((yield _GET(**_names(due.counter))))
        if row is not None and due.limit.share(_amount(row)) >= 1:
            return Decision(Refusal(due, is_spent=True))
    return Decision()


def settle(run_id: str, dues: Sequence[Due], used: Amount, *, now: int) -> Work[tuple[Notice, ...]]:
    """Replace a run's reservation by what it used. Part of the work that ends its turn, once.

    It is charged where it was reserved; a run that reserved nothing, where it is due now.
    """
    limits = {due.counter: due for due in dues}
    held = [_counter(row) for row in (yield _RELEASE(run=run_id))]
    notices: list[Notice] = []
    if not used:
        return ()
    for counter in sorted(held or limits):
        row = (yield _ADD(**_names(counter), **_more(used)))[0]
        due = limits.get(counter)
        if due is not None:
            notices += yield from _noticed(due, row, now=now)
    return tuple(notices)


def _noticed(due: Due, row: Row, *, now: int) -> Work[list[Notice]]:
    total = _amount(row)
    share, names = due.limit.share(total), _names(due.counter)
    if share >= 1:
        if row["exhausted_at"] is not None:
            return []
        yield _MARK_EXHAUSTED(**names, at=now)
        return [Notice("exhausted", due, total)]
    warn_at = due.limit.warn_at
    if warn_at is None or share < warn_at or row["warned_at"] is not None:
        return []
    yield _MARK_WARNED(**names, at=now)
    return [Notice("warning", due, total)]


def charge(dues: Sequence[Due], used: Amount) -> Work[None]:
    """Count what was used without a reservation, and leave the telling to the next settlement."""
    for due in dues if used else ():
        yield _ADD(**_names(due.counter), **_more(used))


def release(run_id: str) -> Work[None]:
    """Give a run's reservation back."""
    yield _RELEASE(run=run_id)


def standings(
    scope: str, window: Window, *, subject: str | None, count: int, now: int
) -> Work[list[Standing]]:
    """Return the counters of a scope in a window, those that spent most first.

    Args:
        subject: only this one's, which may have spent nothing.
    """
    if subject is not None:
        counter = Counter(scope, subject, window)  # type: ignore[arg-type]  # a scope's name
        row = one((yield _GET(**_names(counter))))
        held = _amount((yield _HELD(**_names(counter), now=now))[0])
        return [Standing(counter, Amount() if row is None else _amount(row), held)]
    rows = yield _IN_WINDOW(
        of_scope=scope, of_start=window.starts_at, of_end=window.ends_at, count=count, now=now
    )
    return [
        Standing(
            _counter(row),
            _amount(row),
            Amount(int(row["held_tokens"]), int(row["held_nano_usd"])),  # sums are decimals
        )
        for row in rows
    ]


def reset(counter: Counter) -> Work[bool]:
    """Count from nothing again; `False`: there was nothing."""
    return bool((yield _RESET(**_names(counter))))


def forget(*, before_ms: int, count: int) -> Work[int]:
    """Delete windows that ended, and reservations that stopped counting, before a time."""
    gone = yield _FORGET_SPENT(before=before_ms, count=count)
    stale = yield _FORGET_RESERVED(before=before_ms, count=count)
    return len(gone) + len(stale)


def _names(counter: Counter) -> Mapping[str, str | int]:
    return {
        "of_scope": counter.scope,
        "of_subject": counter.subject,
        "of_start": counter.window.starts_at,
        "of_end": counter.window.ends_at,
    }


def _more(amount: Amount) -> Mapping[str, int]:
    return {"more_tokens": amount.tokens, "more_nano_usd": amount.nano_usd}


def _counter(row: Row) -> Counter:
    return Counter(row["scope"], row["subject"], Window(row["starts_at"], row["ends_at"]))


def _amount(row: Row) -> Amount:
    return Amount(int(row["tokens"]), int(row["nano_usd"]))
