"""Works of the operator's console: look at messages, and have one answered after all."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import bindparam, func, or_, select, update

from portico.channels.model import ReplyRoute
from portico.inbox.tables import messages
from portico.store import Row, Work, one, statement

MessageState = Literal["queued", "context", "refused"]
m = messages.c

_GET = statement(select(messages).where(m.message_id == bindparam("id")))
_BY_RUN = statement(select(messages).where(m.run_id == bindparam("r")).limit(1))
_LIST = statement(
    select(messages)
    .where(
        or_(bindparam("wanted") == "", m.state == bindparam("wanted")),
        or_(bindparam("c") == "", m.channel == bindparam("c")),
        or_(bindparam("n") == "", m.account == bindparam("n")),
    )
    .order_by(m.received_at.desc(), m.message_id.desc())
    .limit(bindparam("count"))
)
_COUNTS = statement(select(m.state, func.count().label("n")).group_by(m.state))
_ADMIT = statement(
    update(messages)
    .where(
        m.message_id == bindparam("id"),
        func.coalesce(m.run_id, "") == bindparam("before"),
    )
    .values(state="queued", run_id=bindparam("r"), reason=bindparam("why"))
    .returning(m.message_id)
)


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One message as it was accepted."""

    message_id: str
    channel: str
    account: str
    peer_kind: str
    peer_id: str
    thread_id: str | None
    sender: str
    body: dict[str, Any]
    state: MessageState
    reason: str | None
    session_key: str | None
    run_id: str | None
    reply_route: ReplyRoute
    received_at: int


def message_from_row(row: Row) -> MessageRow:
    """Read a messages row."""
    plain = set(MessageRow.__struct_fields__) - {"body", "reply_route"}
    return MessageRow(
        **{name: row[name] for name in plain},
        body=msgspec.json.decode(row["body"]),
        reply_route=msgspec.json.decode(row["reply_route"], type=ReplyRoute),
    )


def find(message_id: str) -> Work[MessageRow | None]:
    """Return a message, or `None`."""
    row = one((yield _GET(id=message_id)))
    return None if row is None else message_from_row(row)


def find_by_run(run_id: str) -> Work[MessageRow | None]:
    """Return the message a run answers, or `None`."""
    row = one((yield _BY_RUN(r=run_id)))
    return None if row is None else message_from_row(row)


def list_messages(
    *, state: str = "", channel: str = "", account: str = "", limit: int = 100
) -> Work[list[MessageRow]]:
    """Return the newest messages."""
    rows = yield _LIST(wanted=state, c=channel, n=account, count=limit)
    return [message_from_row(row) for row in rows]


def counts() -> Work[dict[str, int]]:
    """Return how many messages there are in each state."""
    return {row["state"]: row["n"] for row in (yield _COUNTS())}


def admit(message: MessageRow, run_id: str, reason: str) -> Work[bool]:
    """Give a message another run; `False` when somebody else just did."""
    rows = yield _ADMIT(id=message.message_id, before=message.run_id or "", r=run_id, why=reason)
    return bool(rows)
