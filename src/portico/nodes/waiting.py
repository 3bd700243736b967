"""What waits for a node, in the database: works on its queues.

Theory of operation: a node has two queues, of *work* that operators leave it and of *commands* it
refused because nobody looked at it. Whoever changes one locks the node's row first, which also
counts the changes: that number is the queues' revision, and the order in which things came.

Guarantees: what is in a queue is committed, and stays until it is taken, acknowledged, too old, or
the node is removed; a queue is bounded; the same thing waits only once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, func, select, update

from portico.nodes.tables import nodes, waiting
from portico.store import Row, Work, one, statement

Queue = Literal["work", "command"]
MAX_PER_QUEUE = 64
_p = bindparam
c = waiting.c
_QUEUE = (c.node_id == _p("node_id"), c.queue == _p("queue"))

_LOCK = statement(
    update(nodes)
    .where(nodes.c.node_id == _p("node_id"))
    .values(queue_revision=nodes.c.queue_revision)
    .returning(nodes.c.queue_revision)
)
_COUNT_UP = statement(
    update(nodes)
    .where(nodes.c.node_id == _p("node_id"))
    .values(queue_revision=nodes.c.queue_revision + 1)
)
_LIST = statement(
    select(waiting).where(*_QUEUE, c.expires_at > _p("now")).order_by(c.rank.desc(), c.number)
)
_SAME = statement(select(waiting).where(*_QUEUE, c.same == _p("same")))
_SIZE = statement(select(func.count().label("size")).select_from(waiting).where(*_QUEUE))
_ADD = statement(lambda insert: insert(waiting))
_DROP = statement(delete(waiting).where(c.id == _p("id")))
_DROP_OLDEST = statement(
    delete(waiting).where(
        c.id == select(c.id).where(*_QUEUE).order_by(c.number).limit(1).scalar_subquery()
    )
)
_DROP_OLD = statement(delete(waiting).where(*_QUEUE, c.expires_at <= _p("now")))
_SWEEP = statement(delete(waiting).where(c.expires_at <= _p("now")).returning(c.id))


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Something that waits for a node.

    Attributes:
        name: the kind of work, or the command.
        params: of the command, as JSON.
        same: what two of them have in common of which only one waits; `None`: it is like no other.
    """

    id: str
    node_id: str
    queue: Queue
    name: str
    created_at: int
    expires_at: int
    is_urgent: bool = False
    params: str | None = None
    same: str | None = None


class Put(NamedTuple):
    """What became of something that should wait.

    Attributes:
        item: what waits now: it, or the same thing that did already. `None`: the queue is full.
    """

    item: Waiting | None
    revision: int


class Taken(NamedTuple):
    """What a node was given, and whether there is more."""

    items: list[Waiting]
    has_more: bool
    revision: int


def _from_row(row: Row) -> Waiting:
    return Waiting(
        id=row["id"],
        node_id=row["node_id"],
        queue=row["queue"],
        name=row["name"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        is_urgent=row["rank"] > 0,
        params=row["params"],
        same=row["same"],
    )


def put(item: Waiting, *, replaces_oldest: bool = False) -> Work[Put]:
    """Let something wait for a node, unless the same thing does.

    Args:
        replaces_oldest: when the queue is full.
    """
    queue = {"node_id": item.node_id, "queue": item.queue}
    locked = one((yield _LOCK(node_id=item.node_id)))
    if locked is None:  # it was removed
        return Put(None, 0)
    revision = int(locked["queue_revision"])
    yield _DROP_OLD(**queue, now=item.created_at)
    known = one((yield _SAME(**queue, same=item.same))) if item.same is not None else None
    if known is not None:
        return Put(_from_row(known), revision)
    (counted,) = yield _SIZE(**queue)
    if counted["size"] >= MAX_PER_QUEUE:
        if not replaces_oldest:
            return Put(None, revision)
        yield _DROP_OLDEST(**queue)
    yield _COUNT_UP(node_id=item.node_id)
    yield _ADD(
        id=item.id,
        **queue,
        name=item.name,
        number=revision + 1,
        rank=int(item.is_urgent),
        params=item.params,
        same=item.same,
        created_at=item.created_at,
        expires_at=item.expires_at,
    )
    return Put(item, revision + 1)


def take(node_id: str, count: int, *, now: int) -> Work[Taken]:
    """Give a node the most urgent, oldest work; it does not wait any more."""
    locked = one((yield _LOCK(node_id=node_id)))
    revision = int(locked["queue_revision"]) if locked is not None else 0
    rows = yield _LIST(node_id=node_id, queue="work", now=now)
    items = [_from_row(row) for row in rows[:count]]
    for item in items:
        yield _DROP(id=item.id)
    if items:
        yield _COUNT_UP(node_id=node_id)
        revision += 1
    return Taken(items, len(rows) > count, revision)


def commands(node_id: str, *, now: int) -> Work[list[Waiting]]:
    """Return the commands that wait, the oldest first; they stay."""
    return [_from_row(row) for row in (yield _LIST(node_id=node_id, queue="command", now=now))]


def acknowledge(node_id: str, ids: Collection[str], *, now: int) -> Work[tuple[list[str], int]]:
    """Forget commands that are done; return which did wait, and how many still do."""
    yield _LOCK(node_id=node_id)
    found = [row["id"] for row in (yield _LIST(node_id=node_id, queue="command", now=now))]
    done = [one_id for one_id in found if one_id in ids]
    for one_id in done:
        yield _DROP(id=one_id)
    if done:
        yield _COUNT_UP(node_id=node_id)
    return done, len(found) - len(done)


def sweep(*, now: int) -> Work[int]:
    """Forget what is too old; return how much that was."""
    return len((yield _SWEEP(now=now)))
