"""Works on orders: each one is put once and ended once, whoever carries it out."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from sqlalchemy import and_, bindparam, delete, or_, select, update

from portico.chat.commands.model import Order
from portico.chat.commands.tables import orders
from portico.store import Row, Work, one, statement

c = orders.c
_old = orders.alias("old")
_IS_WAITING = c.state == "waiting"

_PUT = statement(
    lambda insert: insert(orders).values(
        run_id=bindparam("run_id"),
        body=bindparam("body"),
        state="waiting",
        owner=bindparam("me"),
        attempts=1,
        lease_until=bindparam("until"),
        given_at=bindparam("now"),
    )
)
_GET = statement(select(orders).where(c.run_id == bindparam("r")))
_END = statement(
    update(orders)
    .where(c.run_id == bindparam("r"), _IS_WAITING)
    .values(state="done", answer=bindparam("said"), done_at=bindparam("now"))
    .returning(c.run_id)
)
_KEEP = statement(
    update(orders)
    .where(c.run_id == bindparam("r"), c.owner == bindparam("me"), _IS_WAITING)
    .values(lease_until=bindparam("until"))
)
_ORPHANS = statement(
    select(orders)
    .where(
        _IS_WAITING,
        or_(
            c.lease_until < bindparam("now"),
            and_(bindparam("alone") == 1, c.owner != bindparam("me")),
        ),
    )
    .order_by(c.given_at, c.run_id)
    .limit(bindparam("count"))
)
_ADOPT = statement(
    update(orders)
    .where(
        c.run_id == bindparam("r"),
        c.owner == bindparam("before"),
        c.lease_until == bindparam("held"),
        _IS_WAITING,
    )
    .values(owner=bindparam("me"), lease_until=bindparam("until"), attempts=c.attempts + 1)
    .returning(orders)
)
_LAPSE = statement(
    update(orders).where(c.owner == bindparam("gone"), _IS_WAITING).values(lease_until=0)
)
_FORGET = statement(
    delete(orders)
    .where(
        c.run_id.in_(
            select(_old.c.run_id)
            .where(_old.c.done_at < bindparam("before"))
            .limit(bindparam("count"))
        )
    )
    .returning(c.run_id)
)
_decoder = msgspec.json.Decoder(Order)


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order, and how far it is."""

    order: Order
    attempts: int
    is_done: bool
    answer: str | None


def put(order: Order, *, owner: str, lease_until: int, now: int) -> Work[None]:
    """Write an order down."""
    body = msgspec.json.encode(order).decode()
    yield _PUT(run_id=order.run_id, body=body, me=owner, until=lease_until, now=now)


def find(run_id: str) -> Work[OrderRow | None]:
    """Return an order, or `None`."""
    row = one((yield _GET(r=run_id)))
    return None if row is None else _read(row)


def end(run_id: str, *, answer: str, now: int) -> Work[bool]:
    """End an order; `False` when somebody else has."""
    return bool((yield _END(r=run_id, said=answer, now=now)))


def keep(run_ids: list[str], *, owner: str, lease_until: int) -> Work[None]:
    """Hold some orders for longer."""
    for run_id in run_ids:
        yield _KEEP(r=run_id, me=owner, until=lease_until)


def adopt(
    owner: str, *, alone: bool, lease_until: int, now: int, count: int
) -> Work[list[OrderRow]]:
    """Take over what nobody carries out any more, in the order in which it was given.

    Args:
        alone: nobody else works here: what others hold is theirs no more.
    """
    taken: list[OrderRow] = []
    for row in (yield _ORPHANS(me=owner, alone=int(alone), now=now, count=count)):
        ours = yield _ADOPT(
            r=row["run_id"],
            before=row["owner"],
            held=row["lease_until"],
            me=owner,
            until=lease_until,
        )
        taken += map(_read, ours)
    return taken


def lapse(owner: str) -> Work[None]:
    """Let what an owner holds be taken over at once."""
    yield _LAPSE(gone=owner)


def forget(*, before_ms: int, count: int) -> Work[int]:
    """Delete some of what was done before a time; return how many."""
    return len((yield _FORGET(before=before_ms, count=count)))


def _read(row: Row) -> OrderRow:
    order = _decoder.decode(row["body"])
    return OrderRow(order, row["attempts"], row["state"] == "done", row["answer"])
