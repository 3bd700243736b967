"""Works on the sessions of agents that are programs."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select

from portico.agents.acp.tables import acp_sessions
from portico.store import Work, one, statement

c = acp_sessions.c

_PUT = statement(
    lambda insert: (
        into := insert(acp_sessions).values(
            agent_id=bindparam("agent"),
            session_id=bindparam("session"),
            acp_session_id=bindparam("theirs"),
            program=bindparam("run_with"),
            used_at=bindparam("now"),
        )
    ).on_conflict_do_update(
        index_elements=[c.agent_id, c.session_id],
        set_={name: into.excluded[name] for name in ("acp_session_id", "program", "used_at")},
    )
)
_FIND = statement(
    select(c.acp_session_id).where(
        c.agent_id == bindparam("agent"),
        c.session_id == bindparam("session"),
        c.program == bindparam("run_with"),
    )
)
_FORGET = statement(
    delete(acp_sessions).where(c.used_at < bindparam("before")).returning(c.agent_id)
)


def remember(agent_id: str, session_id: str, theirs: str, *, program: str, now: int) -> Work[None]:
    """Note which session of a program belongs to one of ours."""
    yield _PUT(agent=agent_id, session=session_id, theirs=theirs, run_with=program, now=now)


def find(agent_id: str, session_id: str, *, program: str) -> Work[str | None]:
    """Return the program's session, or `None`."""
    row = one((yield _FIND(agent=agent_id, session=session_id, run_with=program)))
    return None if row is None else str(row["acp_session_id"])


def forget(*, before_ms: int) -> Work[int]:
    """Delete what was last used before a time; return how many."""
    return len((yield _FORGET(before=before_ms)))
