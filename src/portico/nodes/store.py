"""Works on nodes: each change is one transaction over one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, select, update

from portico.nodes.model import About, NodeRow, Surface, SurfaceRequest
from portico.nodes.tables import dispatches, nodes, waiting
from portico.store import Row, Work, one, statement

_p = bindparam
c = nodes.c
d = dispatches.c

_KEPT = frozenset({"node_id", "queue_revision"})  # what changing a row leaves alone

_FIND = statement(select(nodes).where(c.node_id == _p("node_id")))
_LOCK = statement(select(nodes).where(c.node_id == _p("node_id")).with_for_update())
_BY_REQUEST = statement(select(nodes).where(c.request_id == _p("request_id")))
_ALL = statement(select(nodes).order_by(c.created_at, c.node_id))
_PUT = statement(
    lambda insert: (into := insert(nodes)).on_conflict_do_update(
        index_elements=["node_id"],
        set_={column.name: into.excluded[column.name] for column in c if column.name not in _KEPT},
    )
)
_SEEN = statement(
    update(nodes)
    .where(c.node_id == _p("p_node_id"))
    .values(last_seen_at=_p("p_now"), last_seen_reason=_p("p_reason"))
)
_LEFT = statement(
    update(nodes)
    .where(c.node_id == _p("p_node_id"))
    .values(last_disconnected_at=_p("p_now"), host_stats=_p("p_stats"))
)
_DROP = statement(delete(nodes).where(c.node_id == _p("node_id")).returning(c.node_id))
_DROP_WAITING = statement(delete(waiting).where(waiting.c.node_id == _p("node_id")))
_CLAIM = statement(
    lambda insert: (
        insert(dispatches)
        .on_conflict_do_nothing(index_elements=["subject", "key"])
        .returning(d.invoke_id)
    )
)
_RELEASE = statement(delete(dispatches).where(d.subject == _p("subject"), d.key == _p("key")))
_FORGET = statement(delete(dispatches).where(d.sent_at < _p("before")).returning(d.invoke_id))


def node_from_row(row: Row) -> NodeRow:
    """Read a full row."""
    return NodeRow(
        node_id=row["node_id"],
        name=row["name"],
        about=msgspec.json.decode(row["about"], type=About),
        approved=_read(row["approved"], Surface),
        approved_at=row["approved_at"],
        approved_by=row["approved_by"],
        asked=_read(row["asked"], SurfaceRequest),
        is_preapproved=bool(row["preapproved"]),
        created_at=row["created_at"],
        last_connected_at=row["last_connected_at"],
        last_disconnected_at=row["last_disconnected_at"],
        last_seen_at=row["last_seen_at"],
        last_seen_reason=row["last_seen_reason"],
        host_stats=_read(row["host_stats"], dict[str, Any]),
    )


def _read(text: str | None, kind: Any) -> Any:
    return None if text is None else msgspec.json.decode(text, type=kind)


def _write(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _values(node: NodeRow) -> dict[str, Any]:
    return {
        "node_id": node.node_id,
        "name": node.name,
        "about": _write(node.about),
        "approved": _write(node.approved),
        "approved_at": node.approved_at,
        "approved_by": node.approved_by,
        "request_id": node.asked.request_id if node.asked else None,
        "asked": _write(node.asked),
        "preapproved": int(node.is_preapproved),
        "created_at": node.created_at,
        "last_connected_at": node.last_connected_at,
        "last_disconnected_at": node.last_disconnected_at,
        "last_seen_at": node.last_seen_at,
        "last_seen_reason": node.last_seen_reason,
        "host_stats": _write(node.host_stats),
        "queue_revision": 0,  # when it is new
    }


def find(node_id: str) -> Work[NodeRow | None]:
    """Return a node, or `None`."""
    row = one((yield _FIND(node_id=node_id)))
    return None if row is None else node_from_row(row)


def find_request(request_id: str) -> Work[NodeRow | None]:
    """Return the node that asks something, or `None`."""
    row = one((yield _BY_REQUEST(request_id=request_id)))
    return None if row is None else node_from_row(row)


def list_all() -> Work[list[NodeRow]]:
    """Return every node, the oldest first."""
    return [node_from_row(row) for row in (yield _ALL())]


def change(
    node_id: str, decide: Callable[[NodeRow | None], NodeRow | None]
) -> Work[tuple[NodeRow | None, NodeRow | None]]:
    """Change a node's row as a function says; return it before and after.

    Args:
        decide: returns the row it should be; `None`: leave it as it is.
    """
    row = one((yield _LOCK(node_id=node_id)))
    before = None if row is None else node_from_row(row)
    after = decide(before)
    if after is not None and after != before:
        yield _PUT(**_values(after))
    return before, after


def seen(node_id: str, reason: str, *, now: int) -> Work[None]:
    """Note that a node gave a sign of life."""
    yield _SEEN(p_node_id=node_id, p_reason=reason, p_now=now)


def left(node_id: str, stats: dict[str, Any] | None, *, now: int) -> Work[None]:
    """Note that a node's connection ended, and what it last said of its host."""
    yield _LEFT(p_node_id=node_id, p_stats=_write(stats), p_now=now)


def remove(node_id: str) -> Work[bool]:
    """Forget a node, and what waits for it; `False`: there was none."""
    was_known = bool((yield _DROP(node_id=node_id)))
    yield _DROP_WAITING(node_id=node_id)
    return was_known


def claim(
    *, subject: str, key: str, invoke_id: str, node_id: str, command: str, now: int
) -> Work[bool]:
    """Note that a command is about to be sent under a key; `False`: one was before."""
    rows = yield _CLAIM(
        subject=subject, key=key, invoke_id=invoke_id, node_id=node_id, command=command, sent_at=now
    )
    return bool(rows)


def release(*, subject: str, key: str) -> Work[None]:
    """Take a claim back: nothing was sent."""
    yield _RELEASE(subject=subject, key=key)


def forget_dispatches(*, before_ms: int) -> Work[int]:
    """Forget which commands were sent before a time; return how many."""
    return len((yield _FORGET(before=before_ms)))
