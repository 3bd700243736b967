"""Turns nobody waits for, as tasks: what makes one, how it is shown, lists and counts of them.

A task is a turn that a job, another agent or a program has asked for. A conversation with a person
is none, and neither is a heartbeat.

Guarantees: counts are read along an index of the tasks alone, however many turns are kept.

Not here: running and cancelling them (service.py).

Source: OpenClaw gateway protocol, "tasks.*" and the type TaskSummary.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select

from portico.agents.runtime import TurnRequest
from portico.channels.model import ReplyRoute
from portico.protocol.validation import Result
from portico.sessions.shapes import one_line
from portico.store import Statement, Work, among, statement
from portico.turns.life import OPEN, TurnState
from portico.turns.model import TaskKind, TurnRow, turn_from_row
from portico.turns.tables import turns

c = turns.c
TITLE_CHARS = 120
TEXT_CHARS = 16_000
AGENT = "agent"  # the channel by which agents write to other agents' sessions
CRON = "cron"

TaskStatus = Literal["queued", "running", "completed", "failed", "cancelled", "timed_out"]
SortBy = Literal["updatedAt", "endedAt"]
S = TurnState
STATUS: Mapping[TurnState, TaskStatus] = {
    S.QUEUED: "queued",
    S.RUNNING: "running",
    S.SUCCEEDED: "completed",
    S.MERGED: "completed",
    S.FAILED: "failed",
    S.INTERRUPTED: "failed",
    S.TIMED_OUT: "timed_out",
    S.CANCELLED: "cancelled",
    S.DROPPED: "cancelled",
    S.EXPIRED: "cancelled",
}


class Execution(Result, frozen=True):
    """How far a task is."""

    state: Literal["queued", "running", "finished"]


class TaskSummary(Result, frozen=True, kw_only=True):
    """One task.

    Attributes:
        session_key: the session that asked for it, or where it runs when none did.
        child_session_key: where it runs.
        source_id: the job it belongs to.
        result, prompt: only where one task is asked for.
    """

    id: str
    task_id: str
    run_id: str
    kind: Literal["automation_run", "subagent", "cli"]
    runtime: TaskKind
    status: TaskStatus
    execution: Execution
    title: str
    agent_id: str
    session_key: str
    child_session_key: str
    owner_key: str | None = None
    has_transcript: bool = False
    source_id: str | None = None
    created_at: int
    updated_at: int
    started_at: int | None = None
    ended_at: int | None = None
    tool_use_count: int | None = None
    error: str | None = None
    terminal_outcome: Literal["succeeded"] | None = None
    terminal_summary: str | None = None
    result: str | None = None
    prompt: str | None = None


_EXECUTION: Mapping[TurnState, Literal["queued", "running"]] = {
    S.QUEUED: "queued",
    S.RUNNING: "running",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tasks; `None`: whatever it is.

    Attributes:
        after: where the page before ended: its sort value and run id.
    """

    statuses: frozenset[TaskStatus] | None = None
    agent_id: str | None = None
    session_key: str | None = None
    sort_by: SortBy = "updatedAt"
    after: tuple[int, str] | None = None


def kind_of(channel: str, request: TurnRequest, *, created_via: str) -> TaskKind | None:
    """Return what kind of task a message makes; `None`: somebody waits for its answer.

    Args:
        channel: the door it came in by.
        created_via: what asked for it, see `Routing`.
    """
    if channel == CRON:
        return None if request.quiet is not None else "cron"  # a heartbeat, or an event told
    if channel == AGENT:
        return "subagent"
    return "cli" if created_via in {"run", "hook"} else None


def asked_by(channel: str, route: ReplyRoute) -> str | None:
    """Return the session whose agent sent a message, when an agent did."""
    return route.peer.id if channel == AGENT else None


def summary(row: TurnRow, *, is_whole: bool = False) -> TaskSummary:
    """Return a turn as a task.

    Args:
        is_whole: with what was asked and answered.
    """
    kind: TaskKind = row.task or "cli"
    result = row.result
    request = row.request
    job = request.extensions.get("cron")
    text = None if result is None else result.text
    return TaskSummary(
        id=row.run_id,
        task_id=row.run_id,
        run_id=row.run_id,
        kind="automation_run" if kind == "cron" else kind,
        runtime=kind,
        status=STATUS[row.state],
        execution=Execution(_EXECUTION.get(row.state, "finished")),
        title=one_line(request.sender_name or request.text, TITLE_CHARS),
        agent_id=row.agent_id,
        session_key=row.asked_by or row.session_key,
        child_session_key=row.session_key,
        owner_key=row.asked_by,
        has_transcript=row.session_id is not None,
        source_id=str(job["jobId"]) if isinstance(job, dict) and "jobId" in job else None,
        created_at=row.queued_at,
        updated_at=row.ended_at or row.started_at or row.queued_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        tool_use_count=None if result is None else sum(result.tools.values()),
        error=None if result is None else result.error,
        terminal_outcome="succeeded" if row.state is S.SUCCEEDED else None,
        terminal_summary=one_line(text, TITLE_CHARS) if text and row.state not in OPEN else None,
        result=text[:TEXT_CHARS] if text and is_whole else None,
        prompt=request.text[:TEXT_CHARS] if is_whole else None,
    )


def page(wanted: Wanted, *, limit: int) -> Work[tuple[list[TurnRow], tuple[int, str] | None]]:
    """Return a page of tasks, the latest first; and where the next one goes on, if there is one."""
    states = None if wanted.statuses is None else _states(wanted.statuses)
    query = _paging(
        states,
        wanted.sort_by,
        wanted.agent_id is not None,
        wanted.session_key is not None,
        wanted.after is not None,
    )
    at, last = wanted.after or (0, "")
    rows = yield query(
        agent=wanted.agent_id, key=wanted.session_key, at=at, last=last, count=limit + 1
    )
    found = [turn_from_row(row) for row in rows[:limit]]
    more = (int(rows[limit - 1]["sorted_at"]), found[-1].run_id) if len(rows) > limit else None
    return found, more


def counts() -> Work[dict[tuple[TaskKind, TurnState], int]]:
    """Return how many tasks of each kind are in each state."""
    rows = yield _COUNTS()
    return {(row["task"], TurnState(row["state"])): row["n"] for row in rows}


_COUNTS = statement(
    select(c.task, c.state, func.count().label("n"))
    .where(c.task.is_not(None))
    .group_by(c.task, c.state)
)
_SORT: dict[SortBy, ColumnElement[Any]] = {
    "updatedAt": func.coalesce(c.ended_at, c.started_at, c.queued_at),
    "endedAt": func.coalesce(c.ended_at, 0),
}


def _states(statuses: Collection[TaskStatus]) -> tuple[str, ...]:
    return tuple(state.value for state, status in STATUS.items() if status in statuses)


@lru_cache(maxsize=128)
def _paging(
    states: tuple[str, ...] | None,
    sort_by: SortBy,
    has_agent: bool,  # noqa: FBT001  # the shape of a statement
    has_session: bool,  # noqa: FBT001
    has_cursor: bool,  # noqa: FBT001
) -> Statement:
    at = _SORT[sort_by]
    where: list[ColumnElement[bool]] = [c.task.is_not(None)]
    if states is not None:
        where.append(among(c.state, states))
    if has_agent:
        where.append(c.agent_id == bindparam("agent"))
    if has_session:
        where.append(or_(c.session_key == bindparam("key"), c.asked_by == bindparam("key")))
    if has_cursor:
        before, same = at < bindparam("at"), at == bindparam("at")
        where.append(or_(before, and_(same, c.run_id < bindparam("last"))))
    return statement(
        select(turns, at.label("sorted_at"))
        .where(*where)
        .order_by(at.desc(), c.run_id.desc())
        .limit(bindparam("count"))
    )


def as_wire(row: TurnRow) -> dict[str, Any]:
    """Return a task as an event carries it."""
    return dict(msgspec.to_builtins(summary(row)))
