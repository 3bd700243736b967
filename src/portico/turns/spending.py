"""What was spent for a session outside its turns: summaries that somebody asked for.

It is kept as a turn that has ended, so that reports and budgets count it like any other; it never
waited in a lane, and has no message and no answer.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import bindparam

from portico.agents.runtime import TurnRequest
from portico.channels.model import Peer, ReplyRoute
from portico.ids import new_id
from portico.sessions import transcript
from portico.sessions.model import Session, Spent
from portico.store import Work, statement
from portico.turns.life import TurnState
from portico.turns.model import TurnResult
from portico.turns.tables import turns

PURPOSE = "compaction"  # the stop reason of such a turn

_RECORD = statement(
    lambda insert: insert(turns).values(
        run_id=bindparam("run_id"),
        session_key=bindparam("session_key"),
        session_id=bindparam("session_id"),
        agent_id=bindparam("agent_id"),
        position=0,
        state=TurnState.SUCCEEDED.value,
        queue_mode="followup",
        fingerprint="",
        request=bindparam("request"),
        reply_route=bindparam("reply_route"),
        fence=0,
        attempts=0,
        unsafe=0,
        result=bindparam("result"),
        queued_at=bindparam("now"),
        started_at=bindparam("now"),
        ended_at=bindparam("now"),
    )
)


def record(session: Session, spent: Spent, *, now: int) -> Work[str]:
    """Note what was spent for a session; return the id of the run it is kept as."""
    run_id = new_id("run")
    route = ReplyRoute(channel="internal", account="default", peer=Peer("direct", session.key))
    usage = spent.usage
    result = TurnResult(
        stop_reason=PURPOSE,
        usage=msgspec.structs.replace(usage, context=0),
        calls=spent.calls,
        provider=spent.provider,
        model=spent.model,
    )
    yield _RECORD(
        run_id=run_id,
        session_key=session.key,
        session_id=session.session_id,
        agent_id=session.agent_id,
        request=msgspec.json.encode(TurnRequest(text="")).decode(),
        reply_route=msgspec.json.encode(route).decode(),
        result=msgspec.json.encode(result).decode(),
        now=now,
    )
    yield from transcript.spent(
        session.key,
        input_tokens=usage.input,
        output_tokens=usage.output,
        cost_usd=usage.cost_usd,
    )
    return run_id
