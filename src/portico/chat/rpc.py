"""RPC methods of the operator's chat: chat.send, history, abort, inject, startup, metadata.

Source: OpenClaw gateway protocol, "chat.*".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from portico.agents.rpc_models import ModelSummary, models_of
from portico.agents.service import Agents
from portico.chat import history
from portico.chat.commands.book import CommandBook
from portico.chat.commands.reading import needs_admin
from portico.chat.history import PageOf
from portico.chat.service import ChatService
from portico.events.hub import Hub
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions.listing import Listed
from portico.sessions.model import Session
from portico.sessions.rpc_read import SessionDefaults, defaults_of
from portico.sessions.service import Sessions
from portico.sessions.shapes import SessionRow, message
from portico.sessions.talk import AbortAck, ChatAttachment, QueueMode, Said, SendAck
from portico.turns.model import TurnRow
from portico.turns.service import Turns

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
RunId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class ChatSend(Params, frozen=True, kw_only=True):
    """`{sessionKey, message, idempotencyKey, …}`."""

    session_key: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    message: str
    idempotency_key: NonEmpty
    agent_id: NonEmpty | None = None
    session_id: NonEmpty | None = None
    mentions: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=10)] | None = None
    work_context: dict[str, Any] | None = None
    intent: dict[str, Any] | None = None
    thinking: str | None = None
    fast_mode: bool | Literal["auto"] | None = None
    fast_auto_on_seconds: Positive | None = None
    queue_mode: QueueMode | None = None
    deliver: bool | None = None
    originating_channel: str | None = None
    originating_to: str | None = None
    originating_account_id: str | None = None
    originating_thread_id: str | None = None
    reply_to_id: NonEmpty | None = None
    attachments: list[ChatAttachment] | None = None
    tool_bindings: dict[str, Any] | None = None
    timeout_ms: Count | None = None
    system_input_provenance: dict[str, Any] | None = None
    system_provenance_receipt: str | None = None
    suppress_command_interpretation: bool = False
    expected_leaf_entry_id: NonEmpty | UnsetType | None = UNSET
    expected_session_routing_contract: NonEmpty | None = None
    expected_permission_mode: (
        Literal["read-only", "guarded", "workspace", "full"] | UnsetType | None
    ) = UNSET
    expected_tool_overrides: dict[str, Any] | UnsetType | None = UNSET


def scope_of_send(params: ChatSend) -> Scope:
    """Commands that reset a session need what `sessions.reset` needs."""
    obeyed = not params.suppress_command_interpretation
    return Scope.ADMIN if obeyed and needs_admin(params.message) else Scope.WRITE


class ChatHistory(Params, frozen=True, kw_only=True):
    """`{sessionKey, limit?, offset? | messageId? | cursor?, …}`."""

    session_key: NonEmpty
    agent_id: NonEmpty | None = None
    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = history.DEFAULT_LIMIT
    max_bytes: Annotated[int, msgspec.Meta(ge=1024)] | None = None
    offset: Count | None = None
    pending_before: Positive | None = None
    input_run_ids: Annotated[list[RunId], msgspec.Meta(min_length=1, max_length=50)] | None = None
    message_id: NonEmpty | None = None
    session_id: NonEmpty | None = None
    max_chars: Annotated[int, msgspec.Meta(ge=1, le=500_000)] | None = None


class ChatStartup(Params, frozen=True, kw_only=True):
    """The params of `chat.history`, or `{shortId, agentId}`."""

    session_key: NonEmpty | None = None
    short_id: NonEmpty | None = None
    slug_hint: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = history.DEFAULT_LIMIT
    max_bytes: Annotated[int, msgspec.Meta(ge=1024)] | None = None
    offset: Count | None = None
    pending_before: Positive | None = None
    input_run_ids: Annotated[list[RunId], msgspec.Meta(min_length=1, max_length=50)] | None = None
    message_id: NonEmpty | None = None
    session_id: NonEmpty | None = None
    max_chars: Annotated[int, msgspec.Meta(ge=1, le=500_000)] | None = None


class InFlightRun(Result, frozen=True):
    """The run that is answering, and its answer so far."""

    run_id: str
    text: str | None = None


class Transcript(Result, frozen=True, kw_only=True):
    """A page of a transcript with what surrounds it."""

    session_key: str = msgspec.field()
    messages: tuple[dict[str, Any], ...] = msgspec.field()
    pending_inputs: dict[str, Any] = msgspec.field()
    has_more: bool = msgspec.field()
    total_messages: int = msgspec.field()
    defaults: SessionDefaults = msgspec.field()
    session_info: SessionRow = msgspec.field()
    session_id: str | None = None
    delta_cursor: str | None = None
    offset: int | None = None
    next_offset: int | None = None
    thinking_level: str | None = None
    verbose_level: str | None = None
    fast_mode: bool | str | None = None
    tool_overrides: dict[str, Any] | None = None
    in_flight_run: InFlightRun | None = None
    input_receipts: tuple[dict[str, Any], ...] | None = None
    metadata: ChatMetadata | None = None
    resolution: dict[str, Any] | None = None


class TranscriptDelta(Result, frozen=True, kw_only=True):
    """What was added to a transcript since a cursor."""

    kind: str = msgspec.field()
    messages: tuple[dict[str, Any], ...] = msgspec.field()
    delta_cursor: str = msgspec.field()
    session_info: SessionRow = msgspec.field()
    pending_inputs: dict[str, Any] = msgspec.field()
    in_flight_run: InFlightRun | None = None
    input_receipts: tuple[dict[str, Any], ...] | None = None
    metadata: ChatMetadata | None = None


class TranscriptReset(Result, frozen=True, kw_only=True):
    """The cursor is of no use any more: read the page."""

    kind: str = msgspec.field()


class ChatMetadata(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What a composer offers: models and commands."""

    models: tuple[ModelSummary, ...]
    commands: tuple[dict[str, Any], ...]
    runtime_selection_locked: bool = False


class MetadataGet(Params, frozen=True, kw_only=True):
    """`{agentId?, sessionKey?}`."""

    agent_id: NonEmpty | None = None
    auth_profile_id: RunId | None = None
    session_key: NonEmpty | None = None


class CommandsList(Params, frozen=True, kw_only=True):
    """`{sessionKey?, agentId?, scope?, …}`."""

    session_key: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    provider: str | None = None
    scope: Literal["text", "native", "both"] = "both"
    include_args: bool = True


class Commands(Result, frozen=True, omit_defaults=False):
    """The commands that the gateway answers itself."""

    commands: tuple[dict[str, Any], ...]


class ChatAbort(Params, frozen=True, kw_only=True):
    """`{sessionKey, runId?}`."""

    session_key: NonEmpty
    agent_id: NonEmpty | None = None
    run_id: NonEmpty | None = None
    preserve_side_runs: bool | None = None


class ChatInject(Params, frozen=True, kw_only=True):
    """`{sessionKey, message, label?}`."""

    session_key: NonEmpty
    message: NonEmpty
    agent_id: NonEmpty | None = None
    label: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class Injected(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The note is in the transcript."""

    ok: bool
    message_id: str


class ChatMethods:
    """`chat.*`."""

    def __init__(
        self,
        *,
        chat: ChatService,
        sessions: Sessions,
        turns: Turns,
        agents: Agents,
        hub: Hub,
        book: CommandBook,
        max_history_bytes: int = 6 << 20,
    ) -> None:
        self._chat = chat
        self._sessions = sessions
        self._turns = turns
        self._agents = agents
        self._hub = hub
        self._book = book
        self._max_history_bytes = max_history_bytes

    @method("chat.send", scope=Scope.WRITE, scope_rule=scope_of_send)
    async def send(self, call: Call, params: ChatSend) -> SendAck | AbortAck:
        """Send a message; the answer arrives as `chat` events."""
        key = self._sessions.key(params.session_key, params.agent_id)
        if params.intent is not None:
            raise InvalidRequest("this gateway does not offer chat.send intent")
        await self._check_expectations(key, params)
        said = Said(
            key=key,
            text=params.message,
            run_id=params.idempotency_key,
            attachments=tuple(params.attachments or ()),
            thinking=params.thinking,
            timeout_s=params.timeout_ms / 1000 if params.timeout_ms else None,
            queue_mode=params.queue_mode,
            commands=not params.suppress_command_interpretation,
        )
        return await self._chat.send(call, said)

    async def _check_expectations(self, key: str, params: ChatSend) -> None:
        leaf, mode = params.expected_leaf_entry_id, params.expected_permission_mode
        if params.session_id is None and leaf is UNSET and mode is UNSET:
            return
        session = await self._sessions.find(key)
        if params.session_id is not None and session and session.session_id != params.session_id:
            raise _conflict("session-changed", "the session was reset; reload it and send again")
        if mode is not UNSET:
            set_mode = None if session is None else session.settings.get("permissionMode")
            if set_mode != mode:
                raise _conflict("permission-mode-changed", "the session's permissions changed")
        if leaf is not UNSET and await self._leaf_of(session) != leaf:
            raise _conflict("active-leaf-changed", "the conversation moved on; reload and retry")

    async def _leaf_of(self, session: Session | None) -> str | None:
        if session is None:
            return None
        newest = await self._sessions.history(session.session_id, limit=1, before=None)
        return newest[0].entry_id if newest else None

    @method("chat.history", scope=Scope.READ)
    async def history(
        self, call: Call, params: ChatHistory
    ) -> Transcript | TranscriptDelta | TranscriptReset:
        """Show a page of the transcript, or what was added since a cursor."""
        given = (params.cursor, params.offset, params.message_id)
        if sum(one is not None for one in given) > 1:
            raise InvalidRequest(
                "invalid chat.history params: cursor, offset and messageId exclude each other"
            )
        key = self._sessions.key(params.session_key, params.agent_id)
        session = await self._sessions.find(key)
        if params.session_id is not None and session and session.session_id != params.session_id:
            session = None  # that transcript is not shown under this key any more
        wanted = PageOf(
            limit=params.limit,
            max_bytes=min(params.max_bytes or self._max_history_bytes, self._max_history_bytes),
            max_chars=params.max_chars,
            offset=params.offset or 0,
            message_id=params.message_id,
            cursor=params.cursor,
        )
        if params.cursor is not None:
            return await self._delta(key, session, wanted, params)
        return await self._page(key, session, wanted, params)

    async def _page(
        self, key: str, session: Session | None, wanted: PageOf, params: ChatHistory
    ) -> Transcript:
        lane = await self._turns.open_in_lane(key)
        pending = history.pending_inputs(lane, params.pending_before)
        receipts = await self._receipts(params.input_run_ids)
        defaults = defaults_of(self._sessions, self._sessions.agent_of(key))
        if session is None:
            return Transcript(
                session_key=key,
                messages=(),
                pending_inputs=pending,
                has_more=False,
                total_messages=0,
                defaults=defaults,
                session_info=self._sessions.absent_row(key),
                input_receipts=receipts,
            )
        page = await history.page(self._sessions, session, wanted)
        after = page.offset + len(page.messages)
        return Transcript(
            session_key=key,
            session_id=session.session_id,
            messages=page.messages,
            pending_inputs=pending,
            delta_cursor=history.cursor_of(session).encode(),
            offset=page.offset or None,
            next_offset=after if page.has_more else None,
            has_more=page.has_more,
            total_messages=page.total,
            defaults=defaults,
            session_info=await self._info(session),
            thinking_level=session.settings.get("thinkingLevel"),
            verbose_level=session.settings.get("verboseLevel"),
            fast_mode=session.settings.get("fastMode"),
            tool_overrides=session.settings.get("toolOverrides"),
            in_flight_run=self._in_flight(key, lane),
            input_receipts=receipts,
        )

    async def _delta(
        self, key: str, session: Session | None, wanted: PageOf, params: ChatHistory
    ) -> TranscriptDelta | TranscriptReset:
        added = await history.delta(self._sessions, session, wanted)
        if added is None or session is None:
            return TranscriptReset(kind="reset")
        lane = await self._turns.open_in_lane(key)
        return TranscriptDelta(
            kind="delta",
            messages=added,
            delta_cursor=history.cursor_of(session).encode(),
            session_info=await self._info(session),
            pending_inputs=history.pending_inputs(lane, params.pending_before),
            in_flight_run=self._in_flight(key, lane),
            input_receipts=await self._receipts(params.input_run_ids),
        )

    async def _info(self, session: Session) -> SessionRow:
        row = self._sessions.row(Listed(session))
        return msgspec.structs.replace(row, active_leaf_entry_id=await self._leaf_of(session))

    def _in_flight(self, key: str, lane: list[TurnRow]) -> InFlightRun | None:
        active = self._turns.active_run(key)
        if active is not None:
            return InFlightRun(active[0], active[1] or None)
        running = next((row for row in lane if row.state == "running"), None)
        return None if running is None else InFlightRun(running.run_id)

    async def _receipts(self, run_ids: list[str] | None) -> tuple[dict[str, Any], ...] | None:
        if run_ids is None:
            return None
        found: list[dict[str, Any]] = []
        for run_id in run_ids:
            row = await self._turns.find(run_id)
            if row is None:
                continue
            entry = await self._sessions.find_said(run_id)
            if entry is None:
                found.append({"runId": run_id, "state": "pending"})
            else:
                consumed = {"state": "consumed", "consumedByEventId": entry.entry_id}
                found.append({"runId": run_id, **consumed})
        return tuple(found)

    @method("chat.startup", scope=Scope.READ)
    async def startup(
        self, call: Call, params: ChatStartup
    ) -> Transcript | TranscriptDelta | TranscriptReset:
        """Show a page of the transcript together with what a composer offers."""
        given, resolution = params.session_key, None
        if (given is None) == (params.short_id is None):
            raise InvalidRequest("invalid chat.startup params: sessionKey or shortId is required")
        if given is None:
            given = await self._resolve(params)
            resolution = {"ok": True, "key": given, "agentId": self._sessions.agent_of(given)}
        asked = ChatHistory(
            session_key=given,
            agent_id=None if params.session_key is None else params.agent_id,
            cursor=params.cursor,
            limit=params.limit,
            max_bytes=params.max_bytes,
            offset=params.offset,
            pending_before=params.pending_before,
            input_run_ids=params.input_run_ids,
            message_id=params.message_id,
            session_id=params.session_id,
            max_chars=params.max_chars,
        )
        shown = await self.history(call, asked)
        if isinstance(shown, TranscriptReset):
            return shown
        metadata = self._metadata(self._sessions.agent_of(self._sessions.key(given)))
        if isinstance(shown, TranscriptDelta):
            return msgspec.structs.replace(shown, metadata=metadata)
        return msgspec.structs.replace(shown, metadata=metadata, resolution=resolution)

    async def _resolve(self, params: ChatStartup) -> str:
        found = await self._sessions.find_by_short_id(params.short_id or "")
        own = [one for one in found if params.agent_id in (None, one.agent_id)]
        if len(own) != 1:
            raise InvalidRequest(
                f"No session found: {params.short_id}", details={"code": "SESSION_NOT_FOUND"}
            )
        return own[0].key

    @method("chat.metadata", scope=Scope.READ)
    def metadata(self, call: Call, params: MetadataGet) -> ChatMetadata:
        """Show the models and commands a composer can offer."""
        if params.session_key and params.auth_profile_id:
            raise InvalidRequest("invalid chat.metadata params: sessionKey excludes authProfileId")
        if params.session_key is not None:
            key = self._sessions.key(params.session_key, params.agent_id)
            return self._metadata(self._sessions.agent_of(key))
        return self._metadata(params.agent_id)

    def _metadata(self, agent_id: str | None) -> ChatMetadata:
        agent = self._agents.find(agent_id or "") or self._agents.get(None)
        return ChatMetadata(models=models_of(self._agents, agent), commands=self._commands())

    @method("commands.list", scope=Scope.READ)
    def commands(self, call: Call, params: CommandsList) -> Commands:
        """List the commands that the gateway answers itself."""
        return Commands(self._commands(with_args=params.include_args))

    def _commands(self, *, with_args: bool = True) -> tuple[dict[str, Any], ...]:
        return tuple(one.as_json(with_args=with_args) for one in self._book)

    @method("chat.abort", scope=Scope.WRITE)
    async def abort(self, call: Call, params: ChatAbort) -> AbortAck:
        """Cancel a run, or everything that waits and runs in a session."""
        key = self._sessions.key(params.session_key, params.agent_id)
        if params.run_id is None:
            run_ids = await self._turns.cancel_session(key, "rpc")
            return AbortAck(aborted=bool(run_ids), run_ids=tuple(run_ids))
        row = await self._turns.find(params.run_id)
        if row is not None and row.session_key != key:
            raise InvalidRequest("runId does not match sessionKey")
        aborted = row is not None and await self._turns.cancel(params.run_id, "rpc")
        return AbortAck(aborted=aborted, run_ids=(params.run_id,) if aborted else ())

    @method("chat.inject", scope=Scope.ADMIN)
    async def inject(self, call: Call, params: ChatInject) -> Injected:
        """Append a note to a transcript in the assistant's name, without a run."""
        key = self._sessions.key(params.session_key, params.agent_id)
        text = f"[{params.label}]\n\n{params.message}" if params.label else params.message
        meta = {"provider": "portico", "model": "gateway-injected", "stopReason": "stop"}
        entry = await self._sessions.append(
            key, role="assistant", text=text, meta=meta, reason="send", only_existing=True
        )
        if entry is None:
            raise InvalidRequest(f"session not found: {key}", details={"code": "SESSION_NOT_FOUND"})
        shown = message(entry)
        shown.pop("__openclaw")
        self._hub.publish(
            "chat",
            {
                "runId": f"inject-{entry.entry_id}",
                "sessionKey": key,
                "agentId": self._sessions.agent_of(key),
                "seq": 0,
                "state": "final",
                "message": shown,
            },
            session_key=key,
            droppable=False,
        )
        return Injected(ok=True, message_id=entry.entry_id)


def _conflict(reason: str, text: str) -> InvalidRequest:
    return InvalidRequest(text, details={"reason": reason})
