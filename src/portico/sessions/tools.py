"""Tools with which agents look at conversations: list them, read one, see how one stands.

Source: OpenClaw, session tools (`sessions_list`, `sessions_history`, `session_status`); the shapes
are those of its `tools.invoke`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolOutput, tool
from portico.clock import Clock
from portico.sessions.listing import Filter
from portico.sessions.model import Entry, Session, text_of
from portico.sessions.reach import Reach
from portico.sessions.service import Sessions
from portico.sessions.shapes import one_line

MAX_SESSIONS = 200
MAX_MESSAGES = 200
MAX_LAST_MESSAGES = 20
MOST_LOOKED_AT = 1_000
MESSAGE_CHARS = 4_000
HISTORY_BYTES = 40_000
NAME_CHARS = 80
MINUTE_MS = 60_000

Kind = Literal["main", "group", "cron", "hook", "node", "other"]
Positive = Annotated[int, msgspec.Meta(ge=1)]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
_STATUS = {
    "running": "running",
    "succeeded": "done",
    "failed": "failed",
    "interrupted": "failed",
    "timed_out": "timeout",
    "cancelled": "killed",
}


class SessionsList(ToolArgs, frozen=True, kw_only=True):
    """What `sessions_list` takes."""

    kinds: Annotated[
        tuple[Kind, ...] | None, msgspec.Meta(description="Only these kinds of sessions.")
    ] = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_SESSIONS)] = 100
    active_minutes: Annotated[
        Positive | None, msgspec.Meta(description="Only sessions used in the last minutes.")
    ] = None
    message_limit: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=MAX_LAST_MESSAGES, description="Show the last messages of each; 0: none."
        ),
    ] = 0
    search: Annotated[
        NonEmpty | None, msgspec.Meta(description="Part of a key, label or name.")
    ] = None


class SessionsHistory(ToolArgs, frozen=True, kw_only=True):
    """What `sessions_history` takes."""

    session_key: Annotated[
        str, msgspec.Meta(min_length=1, description="Key or session id, from sessions_list.")
    ]
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_MESSAGES)] = 50
    include_tools: Annotated[
        bool, msgspec.Meta(description="Also what tools were called and returned.")
    ] = False


class SessionStatus(ToolArgs, frozen=True, kw_only=True):
    """What `session_status` takes."""

    session_key: Annotated[
        str | None, msgspec.Meta(description="Key or session id; none: this session.")
    ] = None


class SessionShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One session of a list."""

    key: str
    session_id: str
    agent_id: str
    kind: Kind
    channel: str
    archived: bool = msgspec.field()
    pinned: bool = msgspec.field()
    display_name: str | None = None
    updated_at: int = msgspec.field()
    model: str = msgspec.field()
    context_tokens: int | None = None
    total_tokens: int | None = None
    status: str | None = None
    aborted_last_run: bool = msgspec.field()
    messages: tuple[dict[str, Any], ...] | None = None


class OpenRun(Protocol):
    """A run that runs or waits."""

    @property
    def run_id(self) -> str:
        """Its id."""
        ...

    @property
    def started_at(self) -> int | None:
        """When it began, in milliseconds; `None`: it waits."""
        ...


class Queue(Protocol):
    """Runs, as far as a session's status shows them."""

    async def open_in_lane(self, session_key: str) -> Sequence[OpenRun]:
        """Return what runs and waits in a session, in order."""
        ...


class SessionTools:
    """`sessions_list`, `sessions_history` and `session_status`.

    Args:
        context_window: how many tokens an agent's conversation with a model may have, by
            `provider/model`; `None`: nobody knows.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        reach: Reach,
        queue: Queue,
        clock: Clock,
        context_window: Callable[[str], int | None] = lambda _model: None,
    ) -> None:
        self._sessions = sessions
        self._reach = reach
        self._queue = queue
        self._clock = clock
        self._context_window = context_window

    @tool("sessions_list", group="sessions", changes=False, is_untrusted=True)
    async def list_sessions(self, call: ToolCall, args: SessionsList) -> ToolOutput:
        """List the conversations this agent can reach, the newest first."""
        found, has_more = await self._found(call, args)
        shown: list[SessionShown] = []
        is_untrusted = False
        for session in found:
            entries = await self._last_messages(session, args.message_limit)
            is_untrusted = is_untrusted or _is_untrusted(entries)
            shown.append(self._shown(session, _messages(entries) if args.message_limit else None))
        value = {
            "count": len(shown),
            "sessions": shown,
            "hasMore": has_more,
            "limitApplied": args.limit,
        }
        return ToolOutput(value, is_untrusted=is_untrusted)

    @tool("sessions_history", group="sessions", changes=False, is_untrusted=True)
    async def history(self, call: ToolCall, args: SessionsHistory) -> ToolOutput:
        """Read what was said in a conversation, the newest messages of it."""
        session = await self._reach.find(call, args.session_key)
        entries = await self._sessions.history(session.session_id, limit=args.limit, before=None)
        spoken = [entry for entry in entries if args.include_tools or _is_spoken(entry)]
        kept = _newest(_messages(spoken, with_tools=args.include_tools), HISTORY_BYTES)
        value = {
            "sessionKey": session.key,
            "messages": kept,
            "truncated": len(kept) < len(spoken) or session.message_count > len(entries),
            "droppedMessages": len(spoken) - len(kept),
        }
        return ToolOutput(value, is_untrusted=_is_untrusted(spoken))

    @tool("session_status", group="sessions", changes=False)
    async def status(self, call: ToolCall, args: SessionStatus) -> dict[str, Any]:
        """Show how a conversation stands: model, context, tokens, cost, queue, agent, channel."""
        if args.session_key is None and await self._sessions.find(call.session_key) is None:
            return self._not_begun(call)
        session = await self._reach.find(call, args.session_key)
        model = self._sessions.model_of(session, session.key)
        window = self._context_window(f"{model.model_provider}/{model.model}")
        runs = await self._queue.open_in_lane(session.key)
        now = self._clock.now_ms()
        used = session.context_tokens
        return {
            "sessionKey": session.key,
            "sessionId": session.session_id,
            "agentId": session.agent_id,
            "channel": session.channel,
            "chatType": session.chat_type,
            "modelProvider": model.model_provider,
            "model": model.model,
            "agentRuntime": self._sessions.runtime_of(session.key).id,
            "contextTokens": window,
            "totalTokens": used,
            "contextUsedPercent": round(100 * used / window) if window else None,
            "inputTokens": session.input_tokens,
            "outputTokens": session.output_tokens,
            "costUsd": round(session.cost_usd, 6),
            "messages": session.message_count,
            "thinkingLevel": session.settings.get("thinkingLevel"),
            "running": [run.run_id for run in runs if run.started_at is not None],
            "queued": sum(run.started_at is None for run in runs),
            "sessionStartedAt": session.session_started_at,
            "updatedAt": session.updated_at,
            "now": now,
        }

    def _not_begun(self, call: ToolCall) -> dict[str, Any]:
        model = self._sessions.model_of(None, call.session_key)
        return {
            "sessionKey": call.session_key,
            "agentId": call.agent_id,
            "modelProvider": model.model_provider,
            "model": model.model,
            "contextTokens": self._context_window(f"{model.model_provider}/{model.model}"),
            "messages": 0,
            "running": [],
            "queued": 0,
            "now": self._clock.now_ms(),
        }

    async def _found(self, call: ToolCall, args: SessionsList) -> tuple[list[Session], bool]:
        """Return the sessions a call lists, and whether there are more."""
        rules = self._reach.rules
        if rules.of(call) == "self":
            own = await self._sessions.find(call.session_key)
            return ([own] if own is not None and self._is_wanted(own, args) else []), False
        minutes = args.active_minutes
        wanted = Filter(
            archived=None,
            agent_id=None if rules.of(call) == "all" else call.agent_id,
            search=args.search,
            updated_after=None if minutes is None else self._clock.now_ms() - minutes * MINUTE_MS,
        )
        found: list[Session] = []
        for offset in range(0, MOST_LOOKED_AT, MAX_SESSIONS):
            page = await self._sessions.list(wanted, limit=MAX_SESSIONS, offset=offset)
            for item in page.items:
                one = item.session
                if self._is_wanted(one, args) and await self._reach.includes(call, one):
                    found.append(one)
                    if len(found) > args.limit:
                        return found[:-1], True
            if offset + MAX_SESSIONS >= page.total:
                return found, False
        return found, True

    def _is_wanted(self, session: Session, args: SessionsList) -> bool:
        return args.kinds is None or self._kind(session) in args.kinds

    def _kind(self, session: Session) -> Kind:
        rest = session.key.split(":", 2)[-1]
        if rest == self._sessions.main_key:
            return "main"
        if session.chat_type in {"group", "channel"}:
            return "group"
        head = rest.partition(":")[0]
        if rest.startswith("node-"):
            return "node"
        return head if head in {"cron", "hook"} else "other"  # type: ignore[return-value]  # mypy does not narrow by `in`

    async def _last_messages(self, session: Session, limit: int) -> Sequence[Entry]:
        if not limit:
            return ()
        newest = await self._sessions.history(
            session.session_id, limit=4 * limit, before=None
        )  # some of them are tools' results
        return [entry for entry in newest if _is_spoken(entry)][-limit:]

    def _shown(self, session: Session, messages: Sequence[dict[str, Any]] | None) -> SessionShown:
        model = self._sessions.model_of(session, session.key)
        name = session.display_name or session.label
        return SessionShown(
            key=session.key,
            session_id=session.session_id,
            agent_id=session.agent_id,
            kind=self._kind(session),
            channel=session.channel,
            archived=session.archived,
            pinned=session.pinned,
            display_name=None if name is None else one_line(name, NAME_CHARS),
            updated_at=session.updated_at,
            model=model.model,
            context_tokens=self._context_window(f"{model.model_provider}/{model.model}"),
            total_tokens=session.context_tokens or None,
            status=_STATUS.get(session.last_run_state or ""),
            aborted_last_run=session.last_run_state == "cancelled",
            messages=None if messages is None else tuple(messages),
        )


def _is_spoken(entry: Entry) -> bool:
    return entry.role in {"user", "assistant"} and bool(text_of(entry.content).strip())


def _is_untrusted(entries: Sequence[Entry]) -> bool:
    return any(entry.meta.get("untrusted") for entry in entries)


def _messages(entries: Sequence[Entry], *, with_tools: bool = False) -> list[dict[str, Any]]:
    return [_message(entry, with_tools=with_tools) for entry in entries]


def _message(entry: Entry, *, with_tools: bool) -> dict[str, Any]:
    """Return one entry as a tool shows it: its text, without pictures and files."""
    shown: dict[str, Any] = {
        "role": entry.role,
        "content": _shortened(text_of(entry.content)),
        "timestamp": entry.created_at,
    }
    sender = entry.meta.get("senderName") or entry.meta.get("sender")
    if sender and entry.role == "user":
        shown["sender"] = one_line(str(sender), NAME_CHARS)
    if with_tools:
        parts = entry.content if isinstance(entry.content, list) else ()
        calls = [part for part in parts if part.get("type") == "toolCall"]
        if calls:
            shown["toolCalls"] = [_call(part) for part in calls]
        if entry.meta.get("toolName"):
            shown["toolName"] = entry.meta["toolName"]
    return shown


def _call(part: dict[str, Any]) -> dict[str, Any]:
    arguments = msgspec.json.encode(part.get("arguments") or {}).decode()
    return {"name": part.get("name"), "arguments": _shortened(arguments)}


def _shortened(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARS else f"{text[:MESSAGE_CHARS]}…"


def _newest(messages: Sequence[dict[str, Any]], max_bytes: int) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    left = max_bytes
    for one in reversed(messages):
        left -= len(msgspec.json.encode(one))
        if left < 0:
            break
        kept.append(one)
    return kept[::-1]
