"""Works on files and on who refers to them.

Guarantees: a file whose use is committed is not forgotten, however a sweep and an acceptance meet:
accepting renews `used_at`, and forgetting asks for an old one in the statement that deletes.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import bindparam, delete, exists, func, or_, select

from portico.media.store.tables import files, transcripts, uses
from portico.sessions.tables import sessions
from portico.store import Work, one, statement
from portico.turns.tables import turns

_REMEMBER = statement(
    lambda insert: (
        insert(files)
        .values(
            sha256=bindparam("sha256"),
            size_bytes=bindparam("size_bytes"),
            mime_type=bindparam("mime_type"),
            created_at=bindparam("now"),
            used_at=bindparam("now"),
        )
        .on_conflict_do_update(index_elements=[files.c.sha256], set_={"used_at": bindparam("now")})
    )
)
_USE = statement(
    lambda insert: (
        insert(uses)
        .values(
            sha256=bindparam("sha256"),
            message_id=bindparam("message_id"),
            session_key=bindparam("session_key"),
            used_at=bindparam("now"),
        )
        .on_conflict_do_nothing(index_elements=[uses.c.sha256, uses.c.message_id])
    )
)
_FIND = statement(select(files).where(files.c.sha256 == bindparam("h")))
_SIZE = statement(
    select(func.coalesce(func.sum(files.c.size_bytes), 0).label("size_bytes")).select_from(files)
)
_waits = exists().where(
    turns.c.session_key == uses.c.session_key,
    or_(turns.c.state == "queued", turns.c.state == "running"),
)
_is_there = exists().where(sessions.c.key == uses.c.session_key)
_LET_GO = statement(
    delete(uses)
    .where(
        or_(
            uses.c.used_at < bindparam("before"),
            (uses.c.used_at < bindparam("settled")) & ~_is_there,
        ),
        ~_waits,
    )
    .returning(uses.c.sha256)
)
_FORGET = statement(
    delete(files)
    .where(
        files.c.used_at < bindparam("before"),
        ~exists().where(uses.c.sha256 == files.c.sha256),
    )
    .returning(files.c.sha256)
)
_FORGET_HEARD = statement(
    delete(transcripts).where(
        transcripts.c.created_at < bindparam("before"),
        ~exists().where(files.c.sha256 == transcripts.c.sha256),
    )
)
_HEARD = statement(
    select(transcripts.c.text).where(
        transcripts.c.sha256 == bindparam("h"), transcripts.c.engine == bindparam("e")
    )
)
_REMEMBER_HEARD = statement(
    lambda insert: (
        insert(transcripts)
        .values(
            sha256=bindparam("h"),
            engine=bindparam("e"),
            text=bindparam("said"),
            created_at=bindparam("now"),
        )
        .on_conflict_do_nothing(index_elements=[transcripts.c.sha256, transcripts.c.engine])
    )
)


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is kept."""

    sha256: str
    size_bytes: int
    mime_type: str
    created_at: int
    used_at: int


def refer(
    named: Iterable[tuple[str, int, str]], *, message_id: str, session_key: str, now: int
) -> Work[None]:
    """Record that a message refers to files: hash, size, type of each."""
    for sha256, size_bytes, mime_type in sorted(set(named)):  # one order: no deadlocks
        yield _REMEMBER(sha256=sha256, size_bytes=size_bytes, mime_type=mime_type, now=now)
        yield _USE(sha256=sha256, message_id=message_id, session_key=session_key, now=now)


def find(sha256: str) -> Work[FileRow | None]:
    """Return what is known of a file, or `None`."""
    row = one((yield _FIND(h=sha256)))
    if row is None:
        return None
    return FileRow(**{name: row[name] for name in FileRow.__struct_fields__})


def size_bytes() -> Work[int]:
    """Return how many bytes all files are."""
    return int((yield _SIZE())[0]["size_bytes"])


def let_go(*, before_ms: int, settled_ms: int) -> Work[int]:
    """Drop references from before a time, and those of sessions that were deleted.

    Conversations in which something waits or runs keep theirs.

    Args:
        settled_ms: what is younger is left alone; its session may be about to begin.
    """
    return len((yield _LET_GO(before=before_ms, settled=settled_ms)))


def forget(*, before_ms: int) -> Work[list[str]]:
    """Forget files that nobody refers to, and that nobody has named since; return their hashes."""
    gone = [row["sha256"] for row in (yield _FORGET(before=before_ms))]
    yield _FORGET_HEARD(before=before_ms)
    return gone


def heard(sha256: str, engine: str) -> Work[str | None]:
    """Return what an engine heard in a sound before, or `None`."""
    row = one((yield _HEARD(h=sha256, e=engine)))
    return None if row is None else str(row["text"])


def remember_heard(sha256: str, engine: str, text: str, *, now: int) -> Work[None]:
    """Keep what an engine heard."""
    yield _REMEMBER_HEARD(h=sha256, e=engine, said=text, now=now)
