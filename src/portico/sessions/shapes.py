"""Sessions and transcript entries in the shapes the wire shows.

Guarantees: `row` is a function of the session's row and the configured agents alone, so a row sent
with `sessions.changed` equals the row a list made at the same moment shows.

Source: OpenClaw gateway protocol, `SessionRow`, "chat.history", "sessions.changed".
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from portico.agents.service import Agent, Agents
from portico.protocol import keys
from portico.protocol.validation import Result
from portico.sessions import transcript
from portico.sessions.model import Entry, Session, text_of

PREVIEW_CHARS = 240
TITLE_CHARS = 80
MEDIA_PATH = "/v1/gateway/media/"
OMITTED = "[message omitted: too large]"

RunStatus = Literal["queued", "running", "done", "failed", "killed", "timeout"]
_STATUS: dict[str, RunStatus] = {
    "running": "running",
    "succeeded": "done",
    "failed": "failed",
    "interrupted": "failed",
    "timed_out": "timeout",
    "cancelled": "killed",
}
_CHANNEL_KIND = {"direct": "direct", "group": "group", "channel": "group"}


class RuntimeRef(Result, frozen=True):
    """Which runtime answers, and why it."""

    id: str
    source: str = msgspec.field(default_factory=lambda: "agent")


class ModelRef(Result, frozen=True, omit_defaults=False):
    """A model by provider and name."""

    model_provider: str
    model: str


class SessionRow(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One session, as lists and events show it. Members without a value are left out."""

    key: str
    kind: str
    session_id: str | msgspec.UnsetType = msgspec.UNSET
    agent_id: str | msgspec.UnsetType = msgspec.UNSET
    label: str | msgspec.UnsetType = msgspec.UNSET
    auto_label: str | msgspec.UnsetType = msgspec.UNSET
    icon: str | msgspec.UnsetType = msgspec.UNSET
    color: str | msgspec.UnsetType = msgspec.UNSET
    category: str | msgspec.UnsetType = msgspec.UNSET
    board_face: str | msgspec.UnsetType = msgspec.UNSET
    board_presentation: str | msgspec.UnsetType = msgspec.UNSET
    status_note: str | msgspec.UnsetType = msgspec.UNSET
    attention: str | msgspec.UnsetType = msgspec.UNSET
    display_name: str | msgspec.UnsetType = msgspec.UNSET
    derived_title: str | msgspec.UnsetType = msgspec.UNSET
    last_message_preview: str | msgspec.UnsetType = msgspec.UNSET
    channel: str | msgspec.UnsetType = msgspec.UNSET
    chat_type: str | msgspec.UnsetType = msgspec.UNSET
    classification: str | msgspec.UnsetType = msgspec.UNSET
    is_main: bool | msgspec.UnsetType = msgspec.UNSET
    is_background: bool | msgspec.UnsetType = msgspec.UNSET
    archived: bool = False
    archived_at: int | msgspec.UnsetType = msgspec.UNSET
    pinned: bool = False
    pinned_at: int | msgspec.UnsetType = msgspec.UNSET
    unread: bool = False
    marked_unread_at: int | msgspec.UnsetType = msgspec.UNSET
    created_via: str | msgspec.UnsetType = msgspec.UNSET
    created_at: int | msgspec.UnsetType = msgspec.UNSET
    updated_at: int | None = None
    snapshot_at: int | msgspec.UnsetType = msgspec.UNSET
    last_interaction_at: int | msgspec.UnsetType = msgspec.UNSET
    last_activity_at: int | msgspec.UnsetType = msgspec.UNSET
    parent_session_key: str | msgspec.UnsetType = msgspec.UNSET
    previous_session_id: str | msgspec.UnsetType = msgspec.UNSET
    visibility: str = "shared"
    status: RunStatus | msgspec.UnsetType = msgspec.UNSET
    last_run_id: str | msgspec.UnsetType = msgspec.UNSET
    started_at: int | msgspec.UnsetType = msgspec.UNSET
    ended_at: int | msgspec.UnsetType = msgspec.UNSET
    runtime_ms: int | msgspec.UnsetType = msgspec.UNSET
    has_active_run: bool = False
    active_run_ids: tuple[str, ...] = ()
    aborted_last_run: bool = False
    active_leaf_entry_id: str | msgspec.UnsetType | None = msgspec.UNSET
    input_tokens: int | msgspec.UnsetType = msgspec.UNSET
    output_tokens: int | msgspec.UnsetType = msgspec.UNSET
    total_tokens: int | msgspec.UnsetType = msgspec.UNSET
    total_tokens_fresh: bool = False
    estimated_cost_usd: float | msgspec.UnsetType = msgspec.UNSET
    model_provider: str | msgspec.UnsetType = msgspec.UNSET
    model: str | msgspec.UnsetType = msgspec.UNSET
    model_override_source: str | None = None
    agent_runtime: RuntimeRef | msgspec.UnsetType = msgspec.UNSET
    thinking_level: str | msgspec.UnsetType = msgspec.UNSET
    fast_mode: bool | str | msgspec.UnsetType = msgspec.UNSET
    verbose_level: str | msgspec.UnsetType = msgspec.UNSET
    trace_level: str | msgspec.UnsetType = msgspec.UNSET
    reasoning_level: str | msgspec.UnsetType = msgspec.UNSET
    elevated_level: str | msgspec.UnsetType = msgspec.UNSET
    response_usage: str | msgspec.UnsetType = msgspec.UNSET
    permission_mode: str | msgspec.UnsetType = msgspec.UNSET
    sandbox_mode: str | msgspec.UnsetType = msgspec.UNSET
    native_runtime_consent: str | msgspec.UnsetType = msgspec.UNSET
    tool_overrides: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    send_policy: str | msgspec.UnsetType = msgspec.UNSET
    group_activation: str | msgspec.UnsetType = msgspec.UNSET
    exec_node: str | msgspec.UnsetType = msgspec.UNSET


_ROW_SETTINGS = {
    field.encode_name: field.name
    for field in msgspec.structs.fields(SessionRow)
    if field.name
    in {
        "auto_label", "icon", "color", "category", "board_face", "board_presentation",
        "status_note", "attention", "archived_at", "pinned_at", "marked_unread_at",
        "parent_session_key", "previous_session_id", "thinking_level", "fast_mode",
        "verbose_level", "trace_level", "reasoning_level", "elevated_level", "response_usage",
        "permission_mode", "sandbox_mode", "native_runtime_consent", "tool_overrides",
        "send_policy", "group_activation", "exec_node",
    }
}  # fmt: skip
_ROW_NAMES = tuple(field.encode_name for field in msgspec.structs.fields(SessionRow))


def model_of(agent: Agent, override: str | None = None) -> ModelRef:
    """Return the model an agent's runs are asked for: the session's, else the agent's own."""
    named = override or agent.model
    if not named:
        return ModelRef("portico", agent.runtime.name)
    provider, slash, model = named.partition("/")
    return ModelRef(provider, model) if slash else ModelRef("portico", named)


def row(
    session: Session,
    agents: Agents,
    *,
    main_key: str,
    now: int,
    title: str | None = None,
    preview: str | None = None,
) -> SessionRow:
    """Return a session as lists show it.

    Args:
        title: what the first message says, when titles were asked for.
        preview: what the last message says, when previews were asked for.
    """
    agent = agents.find(session.agent_id) or agents.get(None)
    model = model_of(agent, session.model)
    running = session.last_run_state == "running" and session.last_run_id is not None
    optional: dict[str, Any] = {
        "label": session.label,
        "display_name": session.display_name or session.label,
        "derived_title": None if title is None else _title(session, title),
        "last_message_preview": preview,
        "last_interaction_at": session.last_interaction_at,
        "last_activity_at": session.last_run_ended_at or session.last_interaction_at,
        "status": _STATUS.get(session.last_run_state or ""),
        "last_run_id": session.last_run_id,
        "started_at": session.last_run_started_at,
        "ended_at": session.last_run_ended_at,
        "runtime_ms": _runtime_ms(session),
        **{name: session.settings.get(wire) for wire, name in _ROW_SETTINGS.items()},
    }
    return SessionRow(
        key=session.key,
        kind=_kind(session),
        session_id=session.session_id,
        agent_id=session.agent_id,
        channel=session.channel,
        chat_type=session.chat_type,
        classification=classification(session.key, main_key),
        is_main=_rest(session.key) == main_key,
        is_background=_rest(session.key).startswith(("cron:", "hook:")),
        archived=session.archived,
        pinned=session.pinned,
        unread=session.unread,
        created_via=session.created_via,
        created_at=session.created_at,
        updated_at=session.updated_at,
        snapshot_at=now,
        has_active_run=running,
        active_run_ids=(session.last_run_id or "",) if running else (),
        aborted_last_run=session.last_run_state == "cancelled",
        input_tokens=session.input_tokens,
        output_tokens=session.output_tokens,
        total_tokens=session.context_tokens,
        total_tokens_fresh=session.last_run_ended_at is not None,
        estimated_cost_usd=session.cost_usd,
        model_provider=model.model_provider,
        model=model.model,
        model_override_source="user" if session.model else None,
        agent_runtime=RuntimeRef(agent.runtime.name),
        **{name: value for name, value in optional.items() if value is not None},
    )


def absent_row(key: str, agents: Agents, *, main_key: str, now: int) -> SessionRow:
    """Return what is shown of a session that has not begun."""
    agent_id = keys.agent_of(key, default_agent=agents.default_id)
    agent = agents.find(agent_id) or agents.get(None)
    model = model_of(agent)
    return SessionRow(
        key=key,
        kind="global" if key == "global" else "direct",
        agent_id=agent_id,
        classification=classification(key, main_key),
        is_main=_rest(key) == main_key,
        is_background=False,
        snapshot_at=now,
        model_provider=model.model_provider,
        model=model.model,
        agent_runtime=RuntimeRef(agent.runtime.name),
        active_leaf_entry_id=None,
    )


def flattened(shown: SessionRow) -> dict[str, Any]:
    """Return a row's members for `sessions.changed`: those without a value are null there."""
    present = msgspec.to_builtins(shown)
    return {name: present.get(name) for name in _ROW_NAMES if name not in {"key", "snapshotAt"}}


def entry(session: Session) -> dict[str, Any]:
    """Return a session as the answers of mutations show it (an open map)."""
    shown: dict[str, Any] = {
        "sessionId": session.session_id,
        "lifecycleRevision": session.revision,
        "createdVia": session.created_via,
        "createdAt": session.created_at,
        "updatedAt": session.updated_at,
        "sessionStartedAt": session.session_started_at,
        "lastInteractionAt": session.last_interaction_at,
        "chatType": session.chat_type,
        "channel": session.channel,
        "label": session.label,
        "displayName": session.display_name,
        "archived": session.archived,
        "pinned": session.pinned,
        "unread": session.unread,
        "inputTokens": session.input_tokens,
        "outputTokens": session.output_tokens,
        "totalTokens": session.context_tokens,
        "totalTokensFresh": session.last_run_ended_at is not None,
        "abortedLastRun": session.last_run_state == "cancelled",
        "modelOverride": session.model,
        **session.settings,
    }
    return {name: value for name, value in shown.items() if value is not None}


def classification(key: str, main_key: str) -> str:
    """Say what kind of key a session has: main, direct, group, thread, cron, hook or custom."""
    rest = _rest(key)
    if rest == main_key:
        return "main"
    if ":thread:" in rest:
        return "thread"
    if ":group:" in rest or ":channel:" in rest:
        return "group"
    if rest.startswith("direct:") or ":direct:" in rest:
        return "direct"
    head = rest.partition(":")[0]
    return head if head in {"cron", "hook", "subagent", "dashboard"} else "custom"


_SHOWN_ROLES = {transcript.COMMAND: "user", transcript.COMMAND_ANSWER: "assistant"}


def message(said: Entry, *, max_chars: int | None = None) -> dict[str, Any]:
    """Return one transcript entry as a message (an open map).

    Args:
        max_chars: longer texts are cut there and marked.
    """
    meta, role = said.meta, _SHOWN_ROLES.get(said.role, said.role)
    content, cut = _cut(_linked(said.content), max_chars)
    mark: dict[str, Any] = {
        "id": said.entry_id,
        "seq": said.seq,
        "recordTimestampMs": said.created_at,
    }
    shown: dict[str, Any] = {
        "role": role,
        "content": content,
        "timestamp": meta.get("receivedAt") or said.created_at,
    }
    if role == "user":
        _describe_user(shown, mark, meta)
    elif role == "assistant":
        _describe_assistant(shown, meta)
    elif role == "toolResult":
        for name in ("toolCallId", "toolName", "isError"):
            if meta.get(name) is not None:
                shown[name] = meta[name]
    if meta.get("kind"):
        mark["kind"] = meta["kind"]
    if said.run_id is not None:
        mark["runId"] = said.run_id
    if cut:
        mark["truncated"] = True
    shown["__openclaw"] = mark
    return shown


def _linked(content: Any) -> Any:
    """Return content whose files say where they can be downloaded."""
    if not isinstance(content, list):
        return content
    return [
        {**part, "url": f"{MEDIA_PATH}{part['sha256']}"} if part.get("sha256") else part
        for part in content
    ]


def omitted(said: Entry) -> dict[str, Any]:
    """Return a message in place of one that is too large for the answer."""
    shown = message(said, max_chars=0)
    shown["content"] = [{"type": "text", "text": OMITTED}]
    return shown


def one_line(content: Any, limit: int) -> str:
    """Return the text of content on one line, cut at a length."""
    text = " ".join(text_of(content).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _describe_user(shown: dict[str, Any], mark: dict[str, Any], meta: dict[str, Any]) -> None:
    if meta.get("key"):
        shown["idempotencyKey"] = mark["idempotencyKey"] = f"{meta['key']}:user"
    for name in ("sender", "senderName", "context"):
        if meta.get(name):
            mark[name] = meta[name]


def _describe_assistant(shown: dict[str, Any], meta: dict[str, Any]) -> None:
    usage = meta.get("usage") or {}
    read, written = int(usage.get("input", 0)), int(usage.get("output", 0))
    zero = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}
    shown["usage"] = {
        **zero,
        "input": read,
        "output": written,
        "totalTokens": read + written,
        "cost": {**zero, "total": usage.get("costUsd", 0)},
    }
    for name in ("provider", "model", "stopReason", "errorMessage"):
        if meta.get(name) is not None:
            shown[name] = meta[name]
    if meta.get("aborted"):
        shown["aborted"] = True


def _cut(content: Any, limit: int | None) -> tuple[Any, bool]:
    if limit is None or (isinstance(content, str) and len(content) <= limit):
        return content, False
    if isinstance(content, str):
        return f"{content[:limit]}…", True
    parts, was_cut = [], False
    for part in content or ():
        text = part.get("text")
        too_long = isinstance(text, str) and len(text) > limit
        parts.append({**part, "text": f"{text[:limit]}…"} if too_long else part)
        was_cut = was_cut or too_long
    return parts, was_cut


def _title(session: Session, first_message: str) -> str | None:
    return session.display_name or session.label or first_message or None


def _kind(session: Session) -> str:
    if session.key in {"global", "unknown"}:
        return session.key
    return _CHANNEL_KIND.get(session.chat_type, "direct")


def _rest(key: str) -> str:
    return key.split(":", 2)[2] if key.startswith("agent:") else key


def _runtime_ms(session: Session) -> int | None:
    if session.last_run_started_at is None or session.last_run_ended_at is None:
        return None
    return max(0, session.last_run_ended_at - session.last_run_started_at)
