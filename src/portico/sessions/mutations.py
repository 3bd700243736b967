"""Works that change a session as a whole: patch, reset, trim, delete.

Guarantees: each is one transaction; what the caller expects of the session is checked inside it;
a session with a running turn is never reset, trimmed or deleted under it.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import bindparam, delete, select, update

from portico.channels.model import PeerKind
from portico.ids import new_uuid
from portico.protocol.errors import InvalidRequest
from portico.sessions import transcript
from portico.sessions.model import Session, session_from_row
from portico.sessions.tables import entries, sessions
from portico.store import Work, statement

c = sessions.c


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller believes of the session it changes; `UNSET`: it does not care."""

    session_id: str | msgspec.UnsetType = msgspec.UNSET
    revision: str | msgspec.UnsetType = msgspec.UNSET
    updated_at: float | msgspec.UnsetType = msgspec.UNSET
    settings: dict[str, Any] = msgspec.field(default_factory=dict)

    def check(self, session: Session) -> None:
        """Compare with the session as it is.

        Raises:
            InvalidRequest: it changed since the caller looked.
        """
        found = {
            "expectedSessionId": (self.session_id, session.session_id),
            "expectedLifecycleRevision": (self.revision, session.revision),
            "expectedSessionUpdatedAt": (self.updated_at, session.updated_at),
            **{
                f"expected{name[:1].upper()}{name[1:]}": (value, session.settings.get(name))
                for name, value in self.settings.items()
            },
        }
        for name, (wanted, actual) in found.items():
            if wanted is not msgspec.UNSET and wanted != actual:
                raise InvalidRequest(
                    f"session {session.key} changed since it was read; look again and retry",
                    details={"code": "SESSION_CHANGED", "reason": name},
                )


NOTHING_EXPECTED = Expected()


class Busy(Exception):
    """The session has a running turn."""


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """New values: columns by name, other settings by wire name (`None` removes one)."""

    columns: dict[str, Any] = msgspec.field(default_factory=dict)
    settings: dict[str, Any] = msgspec.field(default_factory=dict)


_PATCH = statement(
    update(sessions)
    .where(c.key == bindparam("k"))
    .values(
        label=bindparam("new_label"),
        display_name=bindparam("new_name"),
        model=bindparam("new_model"),
        archived=bindparam("new_archived"),
        pinned=bindparam("new_pinned"),
        unread=bindparam("new_unread"),
        settings=bindparam("new_settings"),
        revision=bindparam("new_revision"),
        updated_at=bindparam("now"),
    )
    .returning(sessions)
)
_RESET = statement(
    update(sessions)
    .where(c.key == bindparam("k"))
    .values(
        session_id=bindparam("new_session_id"),
        revision=bindparam("new_revision"),
        settings=bindparam("new_settings"),
        last_seq=0,
        message_count=0,
        input_tokens=0,
        output_tokens=0,
        context_tokens=0,
        cost_usd=0.0,
        unread=0,
        last_run_id=None,
        last_run_state=None,
        last_run_started_at=None,
        last_run_ended_at=None,
        session_started_at=bindparam("now"),
        updated_at=bindparam("now"),
    )
)
_TRIM = statement(
    delete(entries).where(entries.c.session_id == bindparam("sid"), entries.c.seq <= bindparam("s"))
)
_TRIMMED = statement(
    update(sessions)
    .where(c.key == bindparam("k"))
    .values(
        message_count=bindparam("kept"),
        revision=bindparam("new_revision"),
        updated_at=bindparam("now"),
    )
)
_DELETE = statement(delete(sessions).where(c.key == bindparam("k")))
_DELETE_ENTRIES = statement(delete(entries).where(entries.c.session_id == bindparam("sid")))
_GET = statement(select(sessions).where(c.key == bindparam("k")))
_LABEL_OWNER = statement(
    select(c.key).where(c.label == bindparam("wanted"), c.key != bindparam("k")).limit(1)
)


def ensure(key: str, *, agent_id: str, created_via: str, now: int) -> Work[tuple[Session, bool]]:
    """Return the session and whether it was made now."""
    found = yield from transcript.find_session(key)
    if found is not None:
        return found, False
    yield from transcript.open_session(
        key,
        agent_id=agent_id,
        channel="webchat",
        chat_type=chat_type_of(key),
        created_via=created_via,
        now=now,
    )
    return (yield from _get(key)), True


def patch(
    key: str, change: Patch, expected: Expected, *, agent_id: str, now: int
) -> Work[tuple[Session, bool]]:
    """Change a session's settings, making it if it is new; return it and whether it was made.

    Raises:
        InvalidRequest: it is not as expected, or the label belongs to another session.
    """
    session, made = yield from ensure(key, agent_id=agent_id, created_via="operator", now=now)
    expected.check(session)
    label = change.columns.get("label")
    if label is not None and (yield _LABEL_OWNER(wanted=label, k=key)):
        raise InvalidRequest(f"label already in use: {label}", details={"code": "LABEL_IN_USE"})
    settings = {**session.settings, **change.settings}
    columns = change.columns
    rows = yield _PATCH(
        k=key,
        new_label=columns.get("label", session.label),
        new_name=columns.get("display_name", session.display_name),
        new_model=columns.get("model", session.model),
        new_archived=int(columns.get("archived", session.archived)),
        new_pinned=int(columns.get("pinned", session.pinned)),
        new_unread=int(columns.get("unread", session.unread)),
        new_settings=_json({n: v for n, v in settings.items() if v is not None}),
        new_revision=new_uuid(),
        now=now,
    )
    return session_from_row(rows[0]), made


def reset(
    key: str, expected: Expected, *, agent_id: str, reason: Literal["new", "reset"], now: int
) -> Work[Session]:
    """Begin a new transcript under the key; settings stay, the old transcript is kept aside.

    Raises:
        Busy: a turn is running.
    """
    session, _ = yield from ensure(key, agent_id=agent_id, created_via="operator", now=now)
    expected.check(session)
    _check_idle(session)
    yield _RESET(
        k=key,
        new_session_id=new_uuid(),
        new_revision=new_uuid(),
        new_settings=_json({**session.settings, "previousSessionId": session.session_id}),
        now=now,
    )
    yield from transcript.append(
        key,
        role="system",
        content=[{"type": "text", "text": "Reset"}],
        now=now,
        meta={"kind": "reset", "reason": reason, "previousSessionId": session.session_id},
    )
    return (yield from _get(key))


def trim(key: str, *, keep: int, now: int) -> Work[Session | None]:
    """Drop all but the newest `keep` entries; `None` when there are no more than that.

    Raises:
        Busy: a turn is running.
    """
    session = yield from transcript.find_session(key)
    if session is None or session.message_count <= keep:
        return None
    _check_idle(session)
    yield _TRIM(sid=session.session_id, s=session.last_seq - keep)
    yield _TRIMMED(k=key, kept=keep, new_revision=new_uuid(), now=now)
    return (yield from transcript.find_session(key))


def remove(
    key: str, expected: Expected, *, with_transcript: bool, archived_only: bool
) -> Work[Session | None]:
    """Delete a session; return it as it was, `None` when there is none.

    Raises:
        Busy: a turn is running.
        InvalidRequest: it is not as expected, or not archived where that is a condition.
    """
    session = yield from transcript.find_session(key)
    if session is None:
        return None
    expected.check(session)
    if archived_only and not session.archived:
        raise InvalidRequest(f"session {key} is not archived")
    _check_idle(session)
    if with_transcript:
        yield _DELETE_ENTRIES(sid=session.session_id)
        previous = session.settings.get("previousSessionId")
        if previous is not None:
            yield _DELETE_ENTRIES(sid=previous)
    yield _DELETE(k=key)
    return session


def chat_type_of(key: str) -> PeerKind:
    """Return what a key says about the other side: direct, group or channel."""
    if ":group:" in key:
        return "group"
    return "channel" if ":channel:" in key else "direct"


def _get(key: str) -> Work[Session]:
    return session_from_row((yield _GET(k=key))[0])


def _check_idle(session: Session) -> None:
    if session.last_run_state == "running":
        raise Busy


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
