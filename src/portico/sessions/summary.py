"""Asking a session's agent to summarise what it remembers, outside a turn."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import structlog

from portico.agents.runtime import (
    Compacting,
    ContextCompacted,
    HistoryMessage,
    ModelUsed,
    Turn,
    TurnRequest,
)
from portico.agents.service import Agents
from portico.ids import new_id
from portico.sessions import transcript
from portico.sessions.model import Session, Spent
from portico.store import Store

log = structlog.get_logger()


class SummaryFailed(Exception):
    """There is no summary; the text says why and is fit for the caller."""


async def summary_of(
    store: Store, agents: Agents, session: Session, spent: Spent
) -> ContextCompacted:
    """Return a summary by the session's agent; `spent` is told what it cost, also when it fails.

    Raises:
        SummaryFailed: its runtime keeps no memory, there is nothing old, or no model answered.
    """
    runtime = agents.runtime_for(session.agent_id)
    if not isinstance(runtime, Compacting):
        raise SummaryFailed(
            f"the {runtime.name} runtime does not summarise transcripts; pass maxLines to trim"
        )
    turn = _turn(store, session)
    release = agents.hold(runtime)
    try:
        async with aclosing(runtime.compact(turn)) as events:
            async for event in events:
                if isinstance(event, ModelUsed):
                    spent.note(event)
                elif isinstance(event, ContextCompacted):
                    return event
    except Exception as error:
        log.warning("session.compaction_failed", session_key=session.key, exc_info=error)
        raise SummaryFailed("the model could not summarise; the log says why") from error
    finally:
        release()
    raise SummaryFailed("nothing to compact")


def _turn(store: Store, session: Session) -> Turn:
    async def history(limit: int) -> list[HistoryMessage]:
        found = await store.read(transcript.told, session.session_id, limit=limit)
        return [HistoryMessage(e.role, e.content, e.meta, e.seq) for e in found]

    async def steering() -> TurnRequest:
        never: asyncio.Future[TurnRequest] = asyncio.get_running_loop().create_future()
        return await never

    return Turn(
        run_id=new_id("run"),
        session_key=session.key,
        session_id=session.session_id,
        agent_id=session.agent_id,
        request=TurnRequest(text="", model=session.model),
        history=history,
        steering=steering,
    )
