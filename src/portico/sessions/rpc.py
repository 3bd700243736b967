"""RPC methods that change sessions: create, send, patch, reset, delete, compact, abort.

Source: OpenClaw gateway protocol, "sessions.*" and "Dynamic scopes".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from portico.agents.service import Agents
from portico.clock import Clock
from portico.ids import new_id
from portico.protocol.errors import ErrorShape, GatewayError, InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions import shapes
from portico.sessions.model import Session
from portico.sessions.mutations import Busy, Expected, Patch
from portico.sessions.patching import (
    Label,
    NonEmpty,
    PermissionMode,
    SessionsPatch,
    ToolOverrides,
    change_of,
    expected_of,
    scope_of_patch,
)
from portico.sessions.service import Sessions
from portico.sessions.summary import SummaryFailed
from portico.sessions.talk import (
    AbortAck,
    ChatAttachment,
    Lanes,
    QueueMode,
    Said,
    SendAck,
    Talk,
)

T = TypeVar("T")
STOP_ATTEMPTS = 5

Text = Annotated[str, msgspec.Meta(max_length=1000)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class SessionsCreate(Params, frozen=True, kw_only=True):
    """`{key?, agentId?, label?, message?, …}`."""

    key: NonEmpty | None = None
    idempotency_key: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    label: Label | None = None
    display_name: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None
    title_source: Text | None = None
    category: Label | None = None
    model: NonEmpty | None = None
    agent_runtime: NonEmpty | None = None
    context_window: NonEmpty | None = None
    thinking_level: NonEmpty | None = None
    fast_mode: bool | Literal["auto"] | None = None
    permission_mode: PermissionMode | None = None
    tool_overrides: ToolOverrides | None = None
    incognito: bool = False
    visibility: Literal["shared", "read-only", "suggest", "draft"] | None = None
    catalog_id: NonEmpty | None = None
    parent_session_key: NonEmpty | None = None
    spawn_depth: Positive | None = None
    fork: bool = False
    fork_from: Literal["last-completed"] | None = None
    emit_command_hooks: bool | None = None
    succeeds_parent: bool | None = None
    timeout_ms: Count | None = None
    task: str | None = None
    message: str | None = None
    mentions: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=10)] | None = None
    attachments: list[ChatAttachment] | None = None
    project_id: NonEmpty | None = None
    project_git_url: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)] | None = None
    repository: dict[str, Any] | None = None
    worktree: bool = False
    worktree_source: Literal["empty"] | None = None
    worktree_base_ref: NonEmpty | None = None
    worktree_name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] | None = None
    exec_node: NonEmpty | None = None
    cwd: NonEmpty | None = None


# These change what a session is, not how it looks: refused, where others are only kept.
_NOT_OFFERED = {
    "incognito": "incognito",
    "fork": "fork",
    "catalog_id": "catalogId",
    "project_id": "projectId",
    "project_git_url": "projectGitUrl",
    "repository": "repository",
    "worktree": "worktree",
    "exec_node": "execNode",
    "cwd": "cwd",
}


def scope_of_create(params: SessionsCreate) -> Scope:
    """Admin when it would escape the session's usual limits."""
    special = (
        params.incognito,
        params.exec_node is not None,
        params.tool_overrides is not None,
        params.permission_mode == "full",
    )
    return Scope.ADMIN if any(special) else Scope.WRITE


class Created(Result, frozen=True, kw_only=True):
    """The session, and the run its first message started."""

    ok: bool = msgspec.field()
    key: str = msgspec.field()
    session_id: str = msgspec.field()
    entry: dict[str, Any] = msgspec.field()
    run_started: bool = msgspec.field()
    resolved: shapes.ModelRef = msgspec.field()
    run_id: str | None = None
    message_seq: int | None = None
    run_error: ErrorShape | None = None


class SessionsSend(Params, frozen=True, kw_only=True):
    """`{key, message, …}`."""

    key: NonEmpty
    message: str
    agent_id: NonEmpty | None = None
    mentions: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=10)] | None = None
    thinking: str | None = None
    attachments: list[ChatAttachment] | None = None
    timeout_ms: Count | None = None
    idempotency_key: NonEmpty | None = None


class ResolvedModel(Result, frozen=True, kw_only=True):
    """What the next run of a session will be asked for."""

    model_provider: str
    model: str
    agent_runtime: shapes.RuntimeRef
    runtime_selection_locked: bool = msgspec.field()
    thinking_level: str | None = None


class Patched(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The session after the change."""

    ok: bool
    path: str
    key: str
    entry: dict[str, Any]
    resolved: ResolvedModel


class SessionsReset(Params, frozen=True, kw_only=True):
    """`{key, agentId?, reason?, expectedSessionId?}`."""

    key: NonEmpty
    agent_id: NonEmpty | None = None
    reason: Literal["new", "reset"] = "reset"
    expected_session_id: NonEmpty | UnsetType = UNSET


class Reset(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The session with its new transcript."""

    ok: bool
    key: str
    entry: dict[str, Any]
    resolved: shapes.ModelRef


class SessionsDelete(Params, frozen=True, kw_only=True):
    """`{key, deleteTranscript?, …}`."""

    key: NonEmpty
    agent_id: NonEmpty | None = None
    delete_transcript: bool = True
    expected_session_id: NonEmpty | UnsetType = UNSET
    expected_lifecycle_revision: NonEmpty | UnsetType = UNSET
    expected_session_updated_at: Annotated[float, msgspec.Meta(ge=0)] | UnsetType = UNSET
    emit_lifecycle_hooks: bool | None = None
    archived_only: bool = False


def scope_of_delete(params: SessionsDelete) -> Scope:
    """What was archived may be deleted with write."""
    plain = (
        params.archived_only
        and params.expected_lifecycle_revision is UNSET
        and params.expected_session_updated_at is UNSET
        and params.emit_lifecycle_hooks is None
    )
    return Scope.WRITE if plain else Scope.ADMIN


class Deleted(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Whether there was something to delete; transcripts are not kept in files."""

    ok: bool
    key: str
    deleted: bool
    archived: tuple[str, ...] = ()


class SessionsCompact(Params, frozen=True, kw_only=True):
    """`{key, agentId?, maxLines?}`."""

    key: NonEmpty
    agent_id: NonEmpty | None = None
    max_lines: Positive | None = None


class Compacted(Result, frozen=True, kw_only=True):
    """What became of the transcript."""

    ok: bool = msgspec.field()
    key: str = msgspec.field()
    compacted: bool = msgspec.field()
    kept: int | None = None
    reason: str | None = None


class SessionsAbort(Params, frozen=True, kw_only=True):
    """`{key?, runId?, agentId?, clearQueued?}`."""

    key: NonEmpty | None = None
    run_id: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    clear_queued: bool = False


class Aborted(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The run that was stopped, if one was."""

    ok: bool
    aborted_run_id: str | None
    status: Literal["aborted", "no-active-run"]


class SessionMethods:
    """`sessions.create` and the other methods that change something."""

    def __init__(
        self, *, sessions: Sessions, agents: Agents, lanes: Lanes, talk: Talk, clock: Clock
    ) -> None:
        self._sessions = sessions
        self._agents = agents
        self._lanes = lanes
        self._talk = talk
        self._clock = clock

    @method("sessions.create", scope=Scope.WRITE, scope_rule=scope_of_create, mutates=True)
    async def create(self, call: Call, params: SessionsCreate) -> Created:
        """Make a session; with a message, start its first run."""
        for name, wire in _NOT_OFFERED.items():
            if getattr(params, name):
                raise InvalidRequest(f"this gateway does not offer sessions.create {wire}")
        agent = self._agents.get(params.agent_id)
        given = params.key or self._sessions.new_key(agent.agent_id)
        key = self._sessions.key(given, params.agent_id)
        session, _ = await self._sessions.create(key, self._first_settings(params))
        started, failure = await self._first_run(call, params, key)
        session = await self._sessions.find(key) or session
        return Created(
            ok=True,
            key=key,
            session_id=session.session_id,
            entry=shapes.entry(session),
            run_started=started is not None,
            run_id=None if started is None else started.run_id,
            message_seq=None if started is None else started.message_seq,
            run_error=failure,
            resolved=self._sessions.model_of(session, key),
        )

    def _first_settings(self, params: SessionsCreate) -> Patch:
        columns = {
            "label": params.label,
            "display_name": params.display_name,
            "model": params.model,
        }
        parent = params.parent_session_key
        settings = {
            "category": params.category,
            "thinkingLevel": params.thinking_level,
            "fastMode": params.fast_mode,
            "permissionMode": params.permission_mode,
            "toolOverrides": msgspec.to_builtins(params.tool_overrides),
            "agentRuntime": params.agent_runtime,
            "contextWindow": params.context_window,
            "spawnDepth": params.spawn_depth,
            "parentSessionKey": None if parent is None else self._sessions.key(parent),
        }
        return Patch(
            columns={name: value for name, value in columns.items() if value is not None},
            settings={name: value for name, value in settings.items() if value is not None},
        )

    async def _first_run(
        self, call: Call, params: SessionsCreate, key: str
    ) -> tuple[SendAck | None, ErrorShape | None]:
        text = params.message or params.task or ""
        if not text and not params.attachments:
            return None, None
        said = Said(
            key=key,
            text=text,
            run_id=params.idempotency_key or new_id("run"),
            door="sessions.create",
            attachments=tuple(params.attachments or ()),
            timeout_s=None if not params.timeout_ms else params.timeout_ms / 1000,
            commands=False,
        )
        try:
            ack = await self._talk.send(call, said)
        except GatewayError as error:  # the session is there; say what became of the message
            return None, error.shape()
        return (ack if isinstance(ack, SendAck) else None), None

    @method("sessions.send", scope=Scope.WRITE)
    async def send(self, call: Call, params: SessionsSend) -> SendAck | AbortAck:
        """Say something in a session, as `chat.send` does."""
        return await self._send(call, params)

    @method("sessions.steer", scope=Scope.WRITE, advertised=False)
    async def steer(self, call: Call, params: SessionsSend) -> SendAck | AbortAck:
        """Say something in a session and stop what runs there; old clients call it."""
        return await self._send(call, params, queue_mode="interrupt")

    async def _send(
        self, call: Call, params: SessionsSend, *, queue_mode: QueueMode | None = None
    ) -> SendAck | AbortAck:
        key = self._sessions.key(params.key, params.agent_id)
        said = Said(
            key=key,
            text=params.message,
            run_id=params.idempotency_key or new_id("run"),
            attachments=tuple(params.attachments or ()),
            thinking=params.thinking,
            timeout_s=None if not params.timeout_ms else params.timeout_ms / 1000,
            queue_mode=queue_mode,
        )
        return await self._talk.send(call, said)

    @method("sessions.patch", scope=Scope.WRITE, scope_rule=scope_of_patch)
    async def patch(self, call: Call, params: SessionsPatch) -> Patched:
        """Change a session's settings; null removes one."""
        key = self._sessions.key(params.key, params.agent_id)
        change = change_of(params, now=self._clock.now_ms())
        session = await self._sessions.patch(key, change, expected_of(params))
        model = self._sessions.model_of(session, key)
        agent = self._agents.find(session.agent_id) or self._agents.get(None)
        may_see = Scope.ADMIN in call.principal.scopes
        return Patched(
            ok=True,
            path=self._sessions.store_path if may_see else "[redacted]",
            key=key,
            entry=shapes.entry(session),
            resolved=ResolvedModel(
                model_provider=model.model_provider,
                model=model.model,
                agent_runtime=shapes.RuntimeRef(agent.runtime.name),
                runtime_selection_locked=False,
                thinking_level=session.settings.get("thinkingLevel"),
            ),
        )

    @method("sessions.reset", scope=Scope.ADMIN)
    async def reset(self, call: Call, params: SessionsReset) -> Reset:
        """Begin a new transcript under the same key; what runs is stopped first."""
        key = self._sessions.key(params.key, params.agent_id)
        expected = Expected(session_id=params.expected_session_id)
        session = await self._stopped(
            key, lambda: self._sessions.reset(key, reason=params.reason, expected=expected)
        )
        return Reset(
            ok=True,
            key=key,
            entry=shapes.entry(session),
            resolved=self._sessions.model_of(session, key),
        )

    @method("sessions.delete", scope=Scope.WRITE, scope_rule=scope_of_delete)
    async def delete(self, call: Call, params: SessionsDelete) -> Deleted:
        """Delete a session and its transcript; what runs is stopped first."""
        key = self._sessions.key(params.key, params.agent_id)
        expected = Expected(
            session_id=params.expected_session_id,
            revision=params.expected_lifecycle_revision,
            updated_at=params.expected_session_updated_at,
        )
        deleted = await self._stopped(
            key,
            lambda: self._sessions.delete(
                key,
                expected,
                with_transcript=params.delete_transcript,
                archived_only=params.archived_only,
            ),
        )
        if deleted:
            await self._lanes.cancel_session(key, "deleted")
        return Deleted(ok=True, key=key, deleted=deleted)

    async def _stopped(self, key: str, change: Callable[[], Awaitable[T]]) -> T:
        for _ in range(STOP_ATTEMPTS):
            try:
                return await change()
            except Busy:
                await self._lanes.cancel_session(key, "reset")
        raise Unavailable(
            f"Session {key} is still active; retry after its run has stopped.", retryable=True
        )

    @method("sessions.compact", scope=Scope.ADMIN)
    async def compact(self, call: Call, params: SessionsCompact) -> Compacted:
        """Summarise what agents remember; with `maxLines`, drop all but the newest entries."""
        key = self._sessions.key(params.key, params.agent_id)
        session = await self._sessions.find(key)
        if session is None or session.message_count == 0:
            reason = "no sessionId" if session is None else "no transcript"
            return Compacted(ok=True, key=key, compacted=False, reason=reason)
        if params.max_lines is None:
            return await self._summarise(key, session)
        try:
            trimmed = await self._sessions.trim(key, keep=params.max_lines)
        except Busy:
            raise InvalidRequest(
                f"Session {key} has an active run; retry after it finishes."
            ) from None
        kept = session.message_count if trimmed is None else trimmed.message_count
        return Compacted(ok=True, key=key, compacted=trimmed is not None, kept=kept)

    async def _summarise(self, key: str, session: Session) -> Compacted:
        if session.last_run_state == "running":
            raise InvalidRequest(f"Session {key} has an active run; retry after it finishes.")
        try:
            kept = await self._sessions.summarise(session, self._lanes)
        except SummaryFailed as error:
            return Compacted(ok=True, key=key, compacted=False, reason=str(error))
        return Compacted(ok=True, key=key, compacted=True, kept=kept)

    @method("sessions.abort", scope=Scope.WRITE)
    async def abort(self, call: Call, params: SessionsAbort) -> Aborted:
        """Stop a session's run, or one run by its id."""
        run_ids = await self._abort(params)
        return Aborted(
            ok=True,
            aborted_run_id=run_ids[0] if run_ids else None,
            status="aborted" if run_ids else "no-active-run",
        )

    async def _abort(self, params: SessionsAbort) -> list[str]:
        key = None if params.key is None else self._sessions.key(params.key, params.agent_id)
        if params.run_id is None:
            if key is None:
                raise InvalidRequest("invalid sessions.abort params: key or runId is required")
            return await self._lanes.cancel_session(key, "rpc", queued=params.clear_queued)
        run = await self._lanes.find(params.run_id)
        if run is None or (key is not None and run.session_key != key):
            return []
        return [params.run_id] if await self._lanes.cancel(params.run_id, "rpc") else []
