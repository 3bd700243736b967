"""Works on sessions and transcripts: what happens to them inside other rooms' transactions.

Guarantees: an entry's `seq` rises by one within a session id, in commit order; appending costs the
same however long the transcript is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import BigInteger, bindparam, delete, func, select, update

from portico.channels.model import Attachment
from portico.ids import new_id, new_uuid
from portico.sessions.model import Entry, Session, entry_from_row, session_from_row
from portico.sessions.tables import entries, sessions
from portico.store import Work, one, statement

COMMAND, COMMAND_ANSWER = "command", "commandAnswer"
"""Roles of what people and the gateway say to each other; agents are not told of it."""

_OPEN = statement(
    lambda insert: (
        insert(sessions)
        .values(
            key=bindparam("key"),
            session_id=bindparam("session_id"),
            agent_id=bindparam("agent_id"),
            channel=bindparam("channel"),
            chat_type=bindparam("chat_type"),
            created_via=bindparam("created_via"),
            label=None,
            display_name=None,
            settings="{}",
            model=None,
            archived=0,
            pinned=0,
            unread=0,
            last_seq=0,
            message_count=0,
            input_tokens=0,
            output_tokens=0,
            context_tokens=0,
            cost_usd=0.0,
            revision=bindparam("revision"),
            reply_route=bindparam("reply_route"),
            created_at=bindparam("now"),
            session_started_at=bindparam("now"),
            updated_at=bindparam("now"),
            last_interaction_at=bindparam("now"),
        )
        .on_conflict_do_update(
            index_elements=[sessions.c.key],
            set_={
                "updated_at": bindparam("now"),
                "last_interaction_at": bindparam("now"),
                "archived": 0,
                "reply_route": func.coalesce(bindparam("reply_route"), sessions.c.reply_route),
            },
        )
        .returning(sessions.c.session_id, sessions.c.model, sessions.c.settings)
    )
)

_NEXT_SEQ = statement(
    update(sessions)
    .where(sessions.c.key == bindparam("k"))
    .values(
        last_seq=sessions.c.last_seq + 1,
        message_count=sessions.c.message_count + 1,
        updated_at=bindparam("now"),
    )
    .returning(sessions.c.session_id, sessions.c.last_seq)
)

_NEXT_SEQ_OF_RUN = statement(
    update(sessions)
    .where(sessions.c.key == bindparam("k"))
    .values(
        last_seq=sessions.c.last_seq + 1,
        message_count=sessions.c.message_count + 1,
        updated_at=bindparam("now"),
        last_run_id=bindparam("run_id"),
        last_run_state="running",
        last_run_started_at=bindparam("now"),
        last_run_ended_at=None,
    )
    .returning(sessions.c.session_id, sessions.c.last_seq)
)

_INSERT_ENTRY = statement(
    lambda insert: insert(entries).values(
        session_id=bindparam("session_id"),
        seq=bindparam("seq"),
        entry_id=bindparam("entry_id"),
        role=bindparam("role"),
        content=bindparam("content"),
        run_id=bindparam("run_id"),
        meta=bindparam("meta"),
        created_at=bindparam("now"),
    )
)

_RUN_ENDED = statement(
    update(sessions)
    .where(sessions.c.key == bindparam("k"))
    .values(
        last_run_id=bindparam("run_id"),
        last_run_state=bindparam("state"),
        last_run_ended_at=bindparam("now"),
        updated_at=bindparam("now"),
        unread=1,
        input_tokens=sessions.c.input_tokens + bindparam("input"),
        output_tokens=sessions.c.output_tokens + bindparam("output"),
        context_tokens=func.coalesce(
            func.nullif(bindparam("context", type_=BigInteger), 0), sessions.c.context_tokens
        ),  # a run that called no model says nothing about the context
        cost_usd=sessions.c.cost_usd + bindparam("cost"),
    )
)

_SPENT = statement(
    update(sessions)
    .where(sessions.c.key == bindparam("k"))
    .values(
        input_tokens=sessions.c.input_tokens + bindparam("input"),
        output_tokens=sessions.c.output_tokens + bindparam("output"),
        cost_usd=sessions.c.cost_usd + bindparam("cost"),
    )
)

_TAKE_BACK = statement(
    delete(entries)
    .where(entries.c.session_id == bindparam("sid"), entries.c.run_id == bindparam("r"))
    .returning(entries.c.seq)
)
_TAKEN_BACK = statement(
    update(sessions)
    .where(sessions.c.key == bindparam("k"))
    .values(message_count=sessions.c.message_count - bindparam("n"))
)
_SAID_IN_RUN = statement(
    select(entries.c.seq, entries.c.content).where(
        entries.c.session_id == bindparam("sid"),
        entries.c.run_id == bindparam("r"),
        entries.c.role == "user",
    )
)
_CORRECT = statement(
    update(entries)
    .where(entries.c.session_id == bindparam("sid"), entries.c.seq == bindparam("n"))
    .values(content=bindparam("whole"))
)
_MARK_READ = statement(update(sessions).where(sessions.c.key == bindparam("k")).values(unread=0))

_GET = statement(select(sessions).where(sessions.c.key == bindparam("k")))

_HISTORY = statement(
    select(entries)
    .where(entries.c.session_id == bindparam("sid"), entries.c.seq < bindparam("before"))
    .order_by(entries.c.seq.desc())
    .limit(bindparam("count"))
)

_TOLD = statement(
    select(entries)
    .where(
        entries.c.session_id == bindparam("sid"),
        entries.c.seq < bindparam("before"),
        entries.c.role != COMMAND,
        entries.c.role != COMMAND_ANSWER,
    )
    .order_by(entries.c.seq.desc())
    .limit(bindparam("count"))
)

_SINCE = statement(
    select(entries)
    .where(entries.c.session_id == bindparam("sid"), entries.c.seq > bindparam("after"))
    .order_by(entries.c.seq)
    .limit(bindparam("count"))
)

_SAID = statement(
    select(entries)
    .where(entries.c.run_id == bindparam("r"), entries.c.role == "user")
    .order_by(entries.c.seq)
    .limit(1)
)
_OF_RUN = statement(
    select(entries)
    .where(entries.c.run_id == bindparam("r"), entries.c.seq > bindparam("after"))
    .order_by(entries.c.seq)
    .limit(bindparam("count"))
)
_ENTRY = statement(select(entries).where(entries.c.entry_id == bindparam("e")))


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that is used: what was chosen for it."""

    session_id: str
    model: str | None
    settings: dict[str, Any]


def open_session(
    key: str,
    *,
    agent_id: str,
    channel: str,
    chat_type: str,
    created_via: str,
    now: int,
    reply_route: str | None = None,
) -> Work[Opened]:
    """Make the session if it is new, mark it used if not."""
    rows = yield _OPEN(
        key=key,
        session_id=new_uuid(),
        agent_id=agent_id,
        channel=channel,
        chat_type=chat_type,
        created_via=created_via,
        revision=new_uuid(),
        reply_route=reply_route,
        now=now,
    )
    row = rows[0]
    return Opened(row["session_id"], row["model"], msgspec.json.decode(row["settings"]))


def message_content(
    text: str, parts: Sequence[dict[str, Any]], attachments: Sequence[Attachment]
) -> Any:
    """Return what a person sent as content of an entry: a string, or parts when it has them.

    Files are named, with the hash they are kept under; their bytes are not in it.
    """
    whole = [*parts, *map(_file, attachments)]
    if not whole:
        return text
    if any(part.get("type") in {"text", "toolResult"} for part in whole):
        return whole  # the parts hold the whole message, in order; `text` is only its text
    return [*([{"type": "text", "text": text}] if text else []), *whole]


def _file(attachment: Attachment) -> dict[str, Any]:
    named = {
        "type": attachment.type,
        "mimeType": attachment.mime_type,
        "fileName": attachment.file_name,
        "sizeBytes": attachment.size_bytes,
    }
    more = {"sha256": attachment.sha256, "note": attachment.note}
    return {**named, **{name: value for name, value in more.items() if value is not None}}


def note_heard(session_id: str, run_id: str, said: Mapping[str, str]) -> Work[None]:
    """Write beside the sounds of a run's messages what is said in them.

    Args:
        said: texts by the hash of the sound.
    """
    for row in (yield _SAID_IN_RUN(sid=session_id, r=run_id)):
        content = msgspec.json.decode(row["content"])
        if not isinstance(content, list):
            continue
        heard = [
            {**part, "transcript": said[part["sha256"]]} if part.get("sha256") in said else part
            for part in content
        ]
        if heard != content:
            whole = msgspec.json.encode(heard).decode()
            yield _CORRECT(sid=session_id, n=row["seq"], whole=whole)


def append(
    key: str,
    *,
    role: str,
    content: Any,
    now: int,
    run_id: str | None = None,
    meta: Mapping[str, Any] | None = None,
    entry_id: str | None = None,
    begins_run: bool = False,
) -> Work[Entry]:
    """Append one entry to the current transcript of an existing session.

    Args:
        entry_id: the entry's id, for a writer that must be able to find it again.
        begins_run: note on the session, in the same statement, that the entry's run has begun.
    """
    if begins_run:
        rows = yield _NEXT_SEQ_OF_RUN(k=key, run_id=run_id, now=now)
    else:
        rows = yield _NEXT_SEQ(k=key, now=now)
    entry = Entry(
        entry_id=entry_id or new_id("ent"),
        session_id=rows[0]["session_id"],
        seq=rows[0]["last_seq"],
        role=role,
        content=content,
        run_id=run_id,
        meta=dict(meta or {}),
        created_at=now,
    )
    yield _INSERT_ENTRY(
        session_id=entry.session_id,
        seq=entry.seq,
        entry_id=entry.entry_id,
        role=role,
        content=msgspec.json.encode(content).decode(),
        run_id=run_id,
        meta=msgspec.json.encode(entry.meta).decode(),
        now=now,
    )
    return entry


def marked(*, is_untrusted: bool) -> dict[str, Any]:
    """Return what marks an entry that holds text from outside."""
    return {"untrusted": True} if is_untrusted else {}


def append_compaction(
    key: str,
    *,
    summary: str,
    first_kept_seq: int,
    tokens_before: int,
    now: int,
    run_id: str | None = None,
    is_untrusted: bool = False,
) -> Work[Entry]:
    """Note that agents remember a summary in place of what is before `first_kept_seq`."""
    meta = {
        "kind": "compaction",
        "summary": summary,
        "firstKeptSeq": first_kept_seq,
        "tokensBefore": tokens_before,
        **marked(is_untrusted=is_untrusted),
    }
    content = [{"type": "text", "text": "Compaction"}]
    return (
        yield from append(key, role="system", content=content, now=now, run_id=run_id, meta=meta)
    )


def take_back(key: str, run_id: str) -> Work[bool]:
    """Delete what a run wrote into the session; return whether the session was unread before."""
    session = yield from find_session(key)
    if session is None:
        return False
    gone = yield _TAKE_BACK(sid=session.session_id, r=run_id)
    if gone:
        yield _TAKEN_BACK(k=key, n=len(gone))
    return session.unread


def mark_read(key: str) -> Work[None]:
    """Note that there is nothing new to read in a session."""
    yield _MARK_READ(k=key)


def run_ended(
    key: str,
    run_id: str,
    *,
    state: str,
    now: int,
    input_tokens: int = 0,
    output_tokens: int = 0,
    context_tokens: int = 0,
    cost_usd: float = 0.0,
) -> Work[None]:
    """Note on the session how a run ended and what it used."""
    yield _RUN_ENDED(
        k=key,
        run_id=run_id,
        state=state,
        now=now,
        input=input_tokens,
        output=output_tokens,
        context=context_tokens,
        cost=cost_usd,
    )


def spent(key: str, *, input_tokens: int, output_tokens: int, cost_usd: float) -> Work[None]:
    """Add to what the session has used, without a run."""
    yield _SPENT(k=key, input=input_tokens, output=output_tokens, cost=cost_usd)


def find_session(key: str) -> Work[Session | None]:
    """Return the session, or `None`."""
    row = one((yield _GET(k=key)))
    return None if row is None else session_from_row(row)


def history(session_id: str, *, limit: int, before: int | None = None) -> Work[list[Entry]]:
    """Return the newest `limit` entries with a seq below `before`, oldest first."""
    rows = yield _HISTORY(sid=session_id, before=before or 2**62, count=limit)
    return [entry_from_row(row) for row in reversed(rows)]


def told(session_id: str, *, limit: int, before: int | None = None) -> Work[list[Entry]]:
    """Return of the entries that agents are told of the newest `limit`, as `history` does."""
    rows = yield _TOLD(sid=session_id, before=before or 2**62, count=limit)
    return [entry_from_row(row) for row in reversed(rows)]


def since(session_id: str, *, after: int, limit: int) -> Work[list[Entry]]:
    """Return the oldest `limit` entries with a seq above `after`."""
    rows = yield _SINCE(sid=session_id, after=after, count=limit)
    return [entry_from_row(row) for row in rows]


def find_entry(entry_id: str) -> Work[Entry | None]:
    """Return one entry, or `None`."""
    row = one((yield _ENTRY(e=entry_id)))
    return None if row is None else entry_from_row(row)


def find_said(run_id: str) -> Work[Entry | None]:
    """Return the message that began a run, or `None` while it waits."""
    row = one((yield _SAID(r=run_id)))
    return None if row is None else entry_from_row(row)


def written_by(run_id: str, *, after: int, limit: int) -> Work[list[Entry]]:
    """Return what a run wrote behind a place in its transcript, the oldest first."""
    rows = yield _OF_RUN(r=run_id, after=after, count=limit)
    return [entry_from_row(row) for row in rows]
