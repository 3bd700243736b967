"""Works on turns: every transition of `life.py` as one guarded statement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import bindparam, exists, func, or_, select, update

from portico.agents.runtime import TurnRequest
from portico.protocol.errors import IdempotencyMismatch, Overloaded
from portico.sessions import transcript
from portico.sessions.model import Entry
from portico.store import Work, among, one, statement
from portico.turns.life import TurnState
from portico.turns.model import Enqueued, NewTurn, TurnResult, TurnRow, turn_from_row
from portico.turns.tables import turns

c = turns.c

SUMMARY = "Earlier messages that were not answered because the queue was full:"
NOTE_LENGTH = 160
MAX_NOTES = 50
DROPPED = "Too many messages were waiting; this one was not answered."
EXPIRED = "This message waited too long for its turn; it was not answered."

_busy = turns.alias("busy")
_waiting = turns.alias("waiting")
_other = turns.alias("other")

_LANE = statement(
    select(
        func.count().filter(c.state == "queued").label("waiting"),
        func.max(c.run_id).filter(c.state == "running").label("running"),
        func.coalesce(func.max(c.position), 0).label("position"),
        select(func.count())
        .select_from(_busy)
        .where(_busy.c.state == "running", _busy.c.owner == bindparam("me"))
        .scalar_subquery()
        .label("mine"),
    ).where(c.session_key == bindparam("k"), among(c.state, ("queued", "running")))
)

_INSERT = statement(
    lambda insert: (
        insert(turns)
        .values(
            run_id=bindparam("run_id"),
            session_key=bindparam("session_key"),
            session_id=bindparam("session_id"),
            agent_id=bindparam("agent_id"),
            position=bindparam("position"),
            state=bindparam("state"),
            queue_mode=bindparam("queue_mode"),
            fingerprint=bindparam("fingerprint"),
            request=bindparam("request"),
            reply_route=bindparam("reply_route"),
            owner=bindparam("owner"),
            fence=bindparam("fence"),
            attempts=bindparam("attempts"),
            unsafe=0,
            lease_until=bindparam("lease_until"),
            queued_at=bindparam("now"),
            started_at=bindparam("started_at"),
            expires_at=bindparam("expires_at"),
            task=bindparam("task"),
            asked_by=bindparam("asked_by"),
        )
        .on_conflict_do_nothing(index_elements=[c.run_id])
        .returning(turns)
    )
)

_CLAIM = statement(
    update(turns)
    .where(
        c.run_id
        == select(_waiting.c.run_id)
        .where(_waiting.c.session_key == bindparam("k"), _waiting.c.state == "queued")
        .order_by(_waiting.c.position, _waiting.c.queued_at, _waiting.c.run_id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery(),
        ~exists().where(_busy.c.session_key == bindparam("k"), _busy.c.state == "running"),
    )
    .values(
        state="running",
        owner=bindparam("new_owner"),
        fence=c.fence + 1,
        attempts=c.attempts + 1,
        lease_until=bindparam("until"),
        started_at=func.coalesce(c.started_at, bindparam("now")),
    )
    .returning(turns)
)


_COLLECT = statement(
    update(turns)
    .where(
        c.session_key == bindparam("k"),
        c.state == "queued",
        c.queue_mode == "collect",
        c.reply_route == bindparam("route"),
        ~exists().where(  # nothing overtakes what waits before it
            _other.c.session_key == bindparam("k"),
            _other.c.state == "queued",
            _other.c.position < c.position,
            or_(_other.c.queue_mode != "collect", _other.c.reply_route != bindparam("route")),
        ),
    )
    .values(state="merged", merged_into=bindparam("into"), ended_at=bindparam("now"))
    .returning(c.run_id, c.position, c.request)
)

_START_SESSION = statement(
    update(turns)
    .where(c.run_id == bindparam("r"))
    .values(session_id=bindparam("sid"), result=bindparam("begun"))
)

_TAKE = statement(
    update(turns)
    .where(
        c.run_id == bindparam("r"),
        c.state == "queued",
        exists().where(
            _busy.c.run_id == bindparam("into"),
            _busy.c.state == "running",
            _busy.c.fence == bindparam("f"),
        ),
    )
    .values(state="merged", merged_into=bindparam("into"), ended_at=bindparam("now"))
    .returning(turns)
)
_TAKEN = statement(
    select(turns)
    .where(c.merged_into == bindparam("into"), c.queue_mode == "steer")
    .order_by(c.ended_at, c.position)
)

_SET_REQUEST = statement(
    update(turns).where(c.run_id == bindparam("r")).values(request=bindparam("new_request"))
)

_END = statement(
    update(turns)
    .where(c.run_id == bindparam("r"), c.fence == bindparam("f"), c.state == "running")
    .values(
        state=bindparam("new_state"),
        result=bindparam("new_result"),
        ended_at=bindparam("now"),
        lease_until=None,
        owner=None,
    )
    .returning(c.run_id)
)

_END_QUEUED = statement(
    update(turns)
    .where(c.run_id == bindparam("r"), c.state == "queued")
    .values(
        state=bindparam("new_state"),
        result=bindparam("new_result"),
        cancel_reason=bindparam("reason"),
        ended_at=bindparam("now"),
    )
    .returning(turns)
)

_OLDEST_QUEUED = statement(
    select(turns)
    .where(c.session_key == bindparam("k"), c.state == "queued")
    .order_by(c.position, c.queued_at, c.run_id)
    .limit(bindparam("count"))
)

_GET = statement(select(turns).where(c.run_id == bindparam("r")))
_OPEN_IN_LANE = statement(
    select(turns)
    .where(c.session_key == bindparam("k"), among(c.state, ("queued", "running")))
    .order_by(c.position)
)
_ASK_CANCEL = statement(
    update(turns)
    .where(c.run_id == bindparam("r"), c.state == "running")
    .values(cancel_reason=bindparam("reason"))
    .returning(turns)
)
_MARK_UNSAFE = statement(
    update(turns)
    .where(c.run_id == bindparam("r"), c.fence == bindparam("f"), c.state == "running")
    .values(unsafe=1)
    .returning(c.run_id)
)


def enqueue(new: NewTurn, *, owner: str, lease_until: int, slots: int, now: int) -> Work[Enqueued]:
    """Put a turn into its lane; start it at once when the lane is idle and the owner has a slot.

    Args:
        slots: how many turns the owner may run at the same time.

    Raises:
        Overloaded: the lane is full and its policy refuses the newest.
        IdempotencyMismatch: the run id belongs to another request.
    """
    lane = (yield _LANE(k=new.session_key, me=owner))[0]
    waiting, running, position = lane["waiting"], lane["running"], lane["position"] + 1
    if running is None and waiting == 0 and lane["mine"] < slots:
        row = yield from _insert(
            new, TurnState.RUNNING, position, now=now, owner=owner, lease_until=lease_until
        )
        row = yield from start(row, now=now)
        return Enqueued(row, claimed=True, waiting=0, running=None)
    new, dropped = yield from _make_room(new, waiting, now=now)
    row = yield from _insert(new, TurnState.QUEUED, position, now=now)
    return Enqueued(
        row,
        claimed=False,
        waiting=waiting + 1 - len(dropped),
        running=running,
        dropped=tuple(dropped),
    )


def _make_room(new: NewTurn, waiting: int, *, now: int) -> Work[tuple[NewTurn, list[str]]]:
    excess = waiting + 1 - new.cap
    if excess <= 0:
        return new, []
    if new.drop == "new":
        raise Overloaded
    notes: list[str] = []
    dropped: list[str] = []
    is_untrusted = new.request.is_untrusted
    for row in (yield _OLDEST_QUEUED(k=new.session_key, count=excess)):
        old = turn_from_row(row)
        yield from end_queued(old.run_id, TurnState.DROPPED, DROPPED, now=now)
        dropped.append(old.run_id)
        notes += [*_notes_of(old.request), " ".join(old.request.text.split())[:NOTE_LENGTH]]
        is_untrusted = is_untrusted or old.request.is_untrusted
    if new.drop == "summarize" and notes:
        listed = "\n".join(f"- {note}" for note in notes[-MAX_NOTES:])
        earlier = f"{new.request.late_context}\n\n" if new.request.late_context else ""
        request = msgspec.structs.replace(
            new.request,
            late_context=f"{earlier}{SUMMARY}\n{listed}",
            is_untrusted=is_untrusted,
        )
        new = replace(new, request=request)
    return new, dropped


def _notes_of(request: TurnRequest) -> list[str]:
    """What a dropped message itself knew of messages dropped before it."""
    _, _, listed = (request.late_context or "").partition(SUMMARY)
    return [line[2:] for line in listed.splitlines() if line.startswith("- ")]


def _insert(
    new: NewTurn,
    state: TurnState,
    position: int,
    *,
    now: int,
    owner: str | None = None,
    lease_until: int | None = None,
) -> Work[TurnRow]:
    running = state is TurnState.RUNNING
    rows = yield _INSERT(
        run_id=new.run_id,
        session_key=new.session_key,
        agent_id=new.agent_id,
        position=position,
        state=state.value,
        queue_mode=new.queue_mode,
        fingerprint=new.fingerprint,
        request=msgspec.json.encode(new.request).decode(),
        reply_route=msgspec.json.encode(new.reply_route).decode(),
        owner=owner,
        fence=1 if running else 0,
        attempts=1 if running else 0,
        lease_until=lease_until,
        now=now,
        started_at=now if running else None,
        expires_at=new.expires_at,
        task=new.task,
        asked_by=new.asked_by,
    )
    row = one(rows)
    if row is None:
        raise IdempotencyMismatch("run")
    return turn_from_row(row)


def start(row: TurnRow, *, now: int) -> Work[TurnRow]:
    """Write the person's message to the transcript as its turn begins (once, whatever crashes)."""
    if row.session_id is not None:
        return row
    entry = yield from _write_message(row, run_id=row.run_id, now=now)
    result = TurnResult(message_seq=entry.seq)
    begun = msgspec.json.encode(result).decode()
    yield _START_SESSION(r=row.run_id, sid=entry.session_id, begun=begun)
    return msgspec.structs.replace(row, session_id=entry.session_id, result=result)


def _write_message(row: TurnRow, *, run_id: str, now: int) -> Work[Entry]:
    try:
        return (yield from _append_message(row, run_id=run_id, now=now))
    except LookupError:  # the session was deleted while the message waited
        route = row.reply_route
        yield from transcript.open_session(
            row.session_key,
            agent_id=row.agent_id,
            channel=route.channel,
            chat_type=route.peer.kind,
            created_via="run",
            now=now,
            reply_route=msgspec.json.encode(route).decode(),
        )
        return (yield from _append_message(row, run_id=run_id, now=now))


def _append_message(row: TurnRow, *, run_id: str, now: int) -> Work[Entry]:
    request = row.request
    meta = {
        "sender": request.sender,
        "senderName": request.sender_name,
        **transcript.marked(is_untrusted=request.is_untrusted),
    }
    return (
        yield from transcript.append(
            row.session_key,
            role="user",
            content=user_content(request),
            now=now,
            run_id=run_id,
            meta={**meta, "receivedAt": request.received_at_ms, "key": row.run_id},
            begins_run=run_id == row.run_id,
        )
    )


def user_content(request: TurnRequest) -> Any:
    """Return a request's message as transcript content: a string, or parts when it has them."""
    return transcript.message_content(request.text, request.parts, request.attachments)


def claim(session_key: str, *, owner: str, lease_until: int, now: int) -> Work[TurnRow | None]:
    """Claim the lane's next turn, when the lane is idle and has one."""
    row = one((yield _CLAIM(k=session_key, new_owner=owner, until=lease_until, now=now)))
    if row is None:
        return None
    turn = turn_from_row(row)
    if turn.queue_mode == "collect" and turn.session_id is None:
        turn = yield from _collect(turn, row["reply_route"], now=now)
    return (yield from start(turn, now=now))


def _collect(turn: TurnRow, route: str, *, now: int) -> Work[TurnRow]:
    rows = yield _COLLECT(k=turn.session_key, into=turn.run_id, route=route, now=now)
    if not rows:
        return turn
    later = sorted(rows, key=lambda row: int(row["position"]))
    requests = [msgspec.json.decode(row["request"], type=TurnRequest) for row in later]
    everything = [turn.request, *requests]
    contexts = [r.late_context for r in everything if r.late_context]
    merged = msgspec.structs.replace(
        turn.request,
        text="\n\n".join(r.text for r in everything if r.text),
        parts=tuple(part for r in everything for part in r.parts),
        attachments=tuple(a for r in everything for a in r.attachments),
        late_context="\n\n".join(contexts) or None,
        is_untrusted=any(r.is_untrusted for r in everything),
    )
    yield _SET_REQUEST(r=turn.run_id, new_request=msgspec.json.encode(merged).decode())
    run_ids = tuple(row["run_id"] for row in later)
    return msgspec.structs.replace(turn, request=merged, merged=run_ids)


def take(run: TurnRow, run_id: str, *, now: int) -> Work[TurnRow | None]:
    """Let a running turn take a waiting one's message (steer).

    `None`: it does not wait any more, or the run is not the holder of its turn any more.
    """
    row = one((yield _TAKE(r=run_id, into=run.run_id, f=run.fence, now=now)))
    if row is None:
        return None
    turn = turn_from_row(row)
    yield from _write_message(turn, run_id=run.run_id, now=now)
    return turn


def taken(run_id: str) -> Work[list[TurnRequest]]:
    """Return what a run took while it ran, in order: one that begins again needs it again."""
    return [turn_from_row(row).request for row in (yield _TAKEN(into=run_id))]


def end(row: TurnRow, state: TurnState, result: TurnResult, *, now: int) -> Work[bool]:
    """End a running turn; `False` when the fence has moved on and nothing was changed."""
    rows = yield _END(
        r=row.run_id,
        f=row.fence,
        new_state=state.value,
        new_result=msgspec.json.encode(result).decode(),
        now=now,
    )
    if not rows:
        return False
    usage = result.usage
    yield from transcript.run_ended(
        row.session_key,
        row.run_id,
        state=state.value,
        now=now,
        input_tokens=usage.input,
        output_tokens=usage.output,
        context_tokens=usage.context,
        cost_usd=usage.cost_usd,
    )
    return True


def end_queued(run_id: str, state: TurnState, reason: str, *, now: int) -> Work[TurnRow | None]:
    """End a turn that has not begun; `None` when it is not waiting any more.

    Args:
        reason: who cancelled; in all other cases the sentence for the person.
    """
    if state is TurnState.CANCELLED:
        result = TurnResult(stop_reason=reason)
    else:
        result = TurnResult(stop_reason=state.value, error=reason)
    row = one(
        (
            yield _END_QUEUED(
                r=run_id,
                new_state=state.value,
                new_result=msgspec.json.encode(result).decode(),
                reason=reason,
                now=now,
            )
        )
    )
    return None if row is None else turn_from_row(row)


def find(run_id: str) -> Work[TurnRow | None]:
    """Return a turn, or `None`."""
    row = one((yield _GET(r=run_id)))
    return None if row is None else turn_from_row(row)


def find_all(run_ids: list[str]) -> Work[dict[str, TurnRow | None]]:
    """Return each of some turns, or `None` where there is none."""
    found: dict[str, TurnRow | None] = {}
    for run_id in run_ids:
        turn = yield from find(run_id)
        found[run_id] = turn
    return found


def open_in_lane(session_key: str) -> Work[list[TurnRow]]:
    """Return what runs and waits in a lane, in order."""
    return [turn_from_row(row) for row in (yield _OPEN_IN_LANE(k=session_key))]


def ask_cancel(run_id: str, reason: str) -> Work[TurnRow | None]:
    """Leave word for the owner of a running turn to cancel it."""
    row = one((yield _ASK_CANCEL(r=run_id, reason=reason)))
    return None if row is None else turn_from_row(row)


def mark_unsafe(row: TurnRow) -> Work[bool]:
    """Record that a tool with side effects is about to act; `False` when the fence moved on."""
    return bool((yield _MARK_UNSAFE(r=row.run_id, f=row.fence)))
