"""RPC methods of tasks: the turns nobody waits for.

Source: OpenClaw gateway protocol, "tasks.*".
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions import shapes, transcript
from portico.sessions.service import Sessions
from portico.store import Store
from portico.turns import background
from portico.turns.background import SortBy, TaskStatus, TaskSummary, Wanted
from portico.turns.model import TurnRow
from portico.turns.service import Turns

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Cursor = Annotated[str, msgspec.Meta(max_length=512)]
DEFAULT_LIMIT = 100
CANCELLED = "cancelled by an operator"


class TasksList(Params, frozen=True, kw_only=True):
    """`{status?, agentId?, sessionKey?, limit?, cursor?, sortBy?}`."""

    status: TaskStatus | list[TaskStatus] | None = None
    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = DEFAULT_LIMIT
    cursor: Cursor | None = None
    sort_by: SortBy = "updatedAt"


class TasksListed(Result, frozen=True, kw_only=True):
    """A page of tasks, the latest first."""

    tasks: list[TaskSummary] = msgspec.field()
    next_cursor: str | None = None


class OneTask(Params, frozen=True, kw_only=True):
    """`{taskId}`."""

    task_id: NonEmpty


class TaskShown(Result, frozen=True, omit_defaults=False):
    """One task, with what was asked and answered."""

    task: TaskSummary


class TaskCancel(Params, frozen=True, kw_only=True):
    """`{taskId, reason?}`."""

    task_id: NonEmpty
    reason: str | None = None


class TaskCancelled(Result, frozen=True, kw_only=True):
    """What became of it: `found` says whether there is such a task."""

    found: bool
    cancelled: bool
    reason: str | None = None
    task: TaskSummary | None = None


class TaskHistory(Params, frozen=True, kw_only=True):
    """`{taskId, cursor?, limit?}`."""

    task_id: NonEmpty
    cursor: Annotated[str, msgspec.Meta(min_length=1, max_length=8192)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 100


class TaskMessages(Result, frozen=True, kw_only=True):
    """What a task's run has written to its transcript, the oldest first."""

    messages: list[dict[str, Any]] = msgspec.field()
    next_cursor: str | None = None


class TaskMethods:
    """`tasks.*`."""

    def __init__(self, *, turns: Turns, sessions: Sessions, store: Store) -> None:
        self._turns = turns
        self._sessions = sessions
        self._store = store

    @method("tasks.list", scope=Scope.READ)
    async def list(self, call: Call, params: TasksList) -> TasksListed:
        """List the runs of jobs, of agents for other agents, and of programs."""
        asked = params.status
        statuses = [asked] if isinstance(asked, str) else asked
        key = params.session_key
        wanted = Wanted(
            statuses=None if statuses is None else frozenset(statuses),
            agent_id=params.agent_id,
            session_key=None if key is None else self._sessions.key(key, params.agent_id),
            sort_by=params.sort_by,
            after=None if params.cursor is None else _read(params.cursor),
        )
        rows, more = await self._store.scan(background.page, wanted, limit=params.limit)
        return TasksListed(
            tasks=[background.summary(row) for row in rows],
            next_cursor=None if more is None else f"{more[0]}:{more[1]}",
        )

    @method("tasks.get", scope=Scope.READ)
    async def get(self, call: Call, params: OneTask) -> TaskShown:
        """Show one task, with what was asked and answered."""
        return TaskShown(background.summary(await self._require(params.task_id), is_whole=True))

    @method("tasks.history", scope=Scope.READ)
    async def history(self, call: Call, params: TaskHistory) -> TaskMessages:
        """Show what a task's run has written to its transcript."""
        row = await self._require(params.task_id)
        entries = await self._store.read(
            transcript.written_by,
            row.run_id,
            after=0 if params.cursor is None else _number(params.cursor),
            limit=params.limit + 1,
        )
        shown = entries[: params.limit]
        more = str(shown[-1].seq) if len(entries) > params.limit else None
        return TaskMessages(messages=[shapes.message(one) for one in shown], next_cursor=more)

    @method("tasks.cancel", scope=Scope.WRITE)
    async def cancel(self, call: Call, params: TaskCancel) -> TaskCancelled:
        """Cancel a task that waits or runs."""
        row = await self._find(params.task_id)
        if row is None:
            return TaskCancelled(found=False, cancelled=False, reason="Task not found.")
        cancelled = row.is_open and await self._turns.cancel(row.run_id, params.reason or CANCELLED)
        now = await self._find(params.task_id) or row
        reason = None if cancelled else f"Task is already {background.STATUS[now.state]}."
        return TaskCancelled(
            found=True, cancelled=cancelled, reason=reason, task=background.summary(now)
        )

    async def _find(self, task_id: str) -> TurnRow | None:
        row = await self._turns.find(task_id)
        return None if row is None or row.task is None else row

    async def _require(self, task_id: str) -> TurnRow:
        row = await self._find(task_id)
        if row is None:
            raise InvalidRequest(f"task not found: {task_id}")
        return row


def _read(cursor: str) -> tuple[int, str]:
    at, _, run_id = cursor.partition(":")
    return _number(at), run_id


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidRequest("unknown cursor")
    return int(text)
