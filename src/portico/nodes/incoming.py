"""Events nodes send, and what becomes of each.

Guarantees: an event counts only over the node's current connection; a node whose offer was not
approved makes no turns and follows no sessions; text of nodes is bounded and untrusted.

Source: OpenClaw gateway protocol, "node.event".
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from portico.channels.model import Attachment
from portico.clock import Clock
from portico.filetypes import kind_of
from portico.ids import ConnId, new_id
from portico.nodes import store as node_store
from portico.nodes.session import Session
from portico.nodes.talk import NodeTalk, Said
from portico.protocol.errors import GatewayError
from portico.store import Store

log = structlog.get_logger()

MAX_TEXT_CHARS = 20_000
MAX_FILES = 8
MAX_NOTICE_CHARS = 120
MAX_OUTPUT_CHARS = 180
MAX_STATS_BYTES = 16_384
MAX_IDLE_S = 2_592_000
MAX_FOLLOWED = 64
ALIVE_EVERY_MS = 60_000
STATS_EVERY_MS = 1_000  # nodes send them every minute
TRANSCRIPT_TWICE_MS = 1_500
MAX_REMEMBERED = 1_000
TRIGGERS = frozenset(
    ["background", "silent_push", "bg_app_refresh", "significant_location", "manual", "connect"]
)
_DESKTOPS = frozenset({"locked", "unlocked", "unknown"})


class EventTaken(NamedTuple):
    """What became of an event."""

    handled: bool
    reason: str | None = None


class Follows(Protocol):
    """Lets a connection follow a session."""

    def __call__(self, conn_id: ConnId, session_key: str, *, following: bool) -> None:
        """Start or stop giving it the events of a session's runs."""
        ...


Payload = dict[str, Any]
Publish = Callable[[str, Any], None]
Handler = Callable[[Session, Payload], Awaitable[EventTaken]]
INVALID = EventTaken(False, "invalid_payload")
DONE = EventTaken(True)


class NodeEvents:
    """Handles the events of nodes.

    Args:
        notices_exits: whether agents are told when a program has ended on a node.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        publish: Publish,
        talk: NodeTalk,
        follow: Follows,
        notices_exits: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._publish = publish
        self._talk = talk
        self._follow = follow
        self._notices_exits = notices_exits
        self._alive: OrderedDict[str, int] = OrderedDict()
        self._heard: OrderedDict[str, int] = OrderedDict()
        self._handlers: dict[str, Handler] = {
            "node.presence.alive": self._on_alive,
            "node.presence.activity": self._on_activity,
            "node.host.stats": self._on_stats,
            "node.desktop.availability": self._on_desktop,
        }
        self._approved_only: dict[str, Handler] = {
            "voice.transcript": self._on_transcript,
            "agent.request": self._on_request,
            "notifications.changed": self._on_notification,
            "chat.subscribe": self._on_subscribe,
            "chat.unsubscribe": self._on_unsubscribe,
            "exec.started": self._on_exec_started,
            "exec.finished": self._on_exec_finished,
            "exec.denied": self._on_exec_denied,
        }

    async def take(self, session: Session, event: str, payload: Any) -> EventTaken:
        """Act on an event; what cannot be acted on is said, never raised."""
        handler = self._handlers.get(event) or self._approved_only.get(event)
        if handler is None:
            return EventTaken(False, "unsupported_event")
        if event in self._approved_only and session.row.approved is None:
            return EventTaken(False, "approval_required")
        if not isinstance(payload, dict):
            return INVALID
        try:
            return await handler(session, payload)
        except GatewayError as error:
            log.info("node.event_refused", node_id=session.node_id, reason=error.message)
            return EventTaken(False, str(error.details.get("code", "refused")))

    # -- presence --------------------------------------------------------------------------------

    async def _on_alive(self, session: Session, payload: Payload) -> EventTaken:
        now = self._clock.now_ms()
        if now - self._alive.get(session.node_id, -ALIVE_EVERY_MS) < ALIVE_EVERY_MS:
            return EventTaken(True, "throttled")
        trigger = payload.get("trigger")
        reason = trigger if trigger in TRIGGERS else "background"
        _remember(self._alive, session.node_id, now)
        await self._store.write(node_store.seen, session.node_id, str(reason), now=now)
        return EventTaken(True, "persisted")

    async def _on_activity(self, session: Session, payload: Payload) -> EventTaken:
        if payload.get("action") == "clear":
            was_known = session.last_active_at is not None
            session.last_active_at = session.presence_updated_at = None
            if was_known:
                self._say_active(session)
            return EventTaken(True, "cleared" if was_known else "already_clear")
        idle_s = payload.get("idleSeconds")
        if not isinstance(idle_s, int) or isinstance(idle_s, bool) or not 0 <= idle_s <= MAX_IDLE_S:
            return INVALID
        granted = session.granted.permissions or {}
        if payload.get("source") != "app" and granted.get("accessibility") is not True:
            return EventTaken(False, "permission_required")
        now = self._clock.now_ms()
        session.last_active_at = max(session.last_active_at or 0, now - idle_s * 1000, 0)
        session.presence_updated_at = now
        self._say_active(session)
        return EventTaken(True, "updated")

    def _say_active(self, session: Session) -> None:
        self._publish(
            "node.presence",
            {
                "nodeId": session.node_id,
                "lastActiveAtMs": session.last_active_at,
                "presenceUpdatedAtMs": session.presence_updated_at,
            },
        )

    async def _on_stats(self, session: Session, payload: Payload) -> EventTaken:
        if len(msgspec.json.encode(payload)) > MAX_STATS_BYTES:
            return INVALID
        now, before = self._clock.now_ms(), session.host_stats or {}
        if now - before.get("updatedAtMs", -STATS_EVERY_MS) < STATS_EVERY_MS:
            return EventTaken(True, "throttled")  # all who watch are told of each
        session.host_stats = {**payload, "updatedAtMs": now}
        shown = {"nodeId": session.node_id, "hostStats": session.host_stats}
        self._publish("node.hostStats", shown)
        return EventTaken(True, "updated")

    async def _on_desktop(self, session: Session, payload: Payload) -> EventTaken:
        state = payload.get("state")
        if state not in _DESKTOPS:
            return INVALID
        if session.desktop == state:
            return EventTaken(True, "unchanged")
        session.desktop = str(state)
        return EventTaken(True, "updated")

    # -- talk ------------------------------------------------------------------------------------

    async def _on_transcript(self, session: Session, payload: Payload) -> EventTaken:
        text = _text(payload, "text")
        if text is None or len(text) > MAX_TEXT_CHARS:
            return INVALID
        given = _text(payload, "sessionKey")
        key = self._talk.key(given) if given else self._talk.main
        once = _text(payload, "eventId") or _text(payload, "transcriptId")
        if once is None and self._is_twice(session, key, text):
            return EventTaken(True, "duplicate")
        await self._say(session, text, key, once)
        return DONE

    def _is_twice(self, session: Session, key: str, text: str) -> bool:
        """Whether the same was heard a moment ago: recognisers say the same sentence twice."""
        mark = hashlib.sha256(f"{session.node_id}|{key}|{text}".encode()).hexdigest()
        now = self._clock.now_ms()
        is_twice = now - self._heard.get(mark, -TRANSCRIPT_TWICE_MS) < TRANSCRIPT_TWICE_MS
        _remember(self._heard, mark, now)
        return is_twice

    async def _on_request(self, session: Session, payload: Payload) -> EventTaken:
        text, files = _text(payload, "message"), _files(payload)
        if (text is None and not files) or len(text or "") > MAX_TEXT_CHARS:
            return INVALID
        key = self._talk.key(_text(payload, "sessionKey") or f"node-{session.node_id}")
        wants = payload.get("deliver") is True
        route = self._talk.route(_text(payload, "channel"), _text(payload, "to"))
        timeout_s = payload.get("timeoutSeconds")
        said = Said(
            node_id=session.node_id,
            name=session.row.shown_name,
            text=text or "",
            files=files,
            session_key=key,
            once=_text(payload, "key") or new_id("evt"),
            answer_to=route if wants else None,
            thinking=_text(payload, "thinking"),
            timeout_s=float(timeout_s) if isinstance(timeout_s, int) and timeout_s > 0 else None,
        )
        await self._talk.say(said)
        return EventTaken(True, "no_route" if wants and route is None else None)

    async def _say(self, session: Session, text: str, key: str, once: str | None) -> None:
        said = Said(
            node_id=session.node_id,
            name=session.row.shown_name,
            text=text,
            session_key=key,
            once=once or new_id("evt"),
        )
        await self._talk.say(said)

    async def _on_subscribe(self, session: Session, payload: Payload) -> EventTaken:
        return self._following(session, payload, following=True)

    async def _on_unsubscribe(self, session: Session, payload: Payload) -> EventTaken:
        return self._following(session, payload, following=False)

    def _following(self, session: Session, payload: Payload, *, following: bool) -> EventTaken:
        given = _text(payload, "sessionKey")
        if given is None:
            return INVALID
        key = self._talk.key(given)
        if following and len(session.followed) >= MAX_FOLLOWED:
            return EventTaken(False, "too_many_sessions")
        if following:
            session.followed.add(key)
        else:
            session.followed.discard(key)
        self._follow(session.conn_id, key, following=following)
        return DONE

    # -- what agents are told ----------------------------------------------------------------------

    async def _on_notification(self, session: Session, payload: Payload) -> EventTaken:
        change, key = _text(payload, "change"), _text(payload, "key")
        if change not in {"posted", "removed"} or key is None:
            return INVALID
        package = _text(payload, "packageName")
        parts = [_short(payload, "title"), _short(payload, "text")]
        said = " - ".join(part for part in parts if part) if change == "posted" else ""
        where = f"node={session.row.shown_name} key={key[:MAX_NOTICE_CHARS]}"
        where += f" package={package[:MAX_NOTICE_CHARS]}" if package else ""
        await self._tell(
            payload, f"Notification {change} ({where})" + (f": {said}" if said else "")
        )
        return DONE

    async def _on_exec_started(self, session: Session, payload: Payload) -> EventTaken:
        command = _short(payload, "command")
        return await self._exec(session, payload, f"Exec started ({{}}): {command or '?'}")

    async def _on_exec_finished(self, session: Session, payload: Payload) -> EventTaken:
        code, output = payload.get("exitCode"), _short(payload, "output", MAX_OUTPUT_CHARS)
        label = "timeout" if payload.get("timedOut") is True else f"code {code}"
        if label == "code 0" and not output:
            return DONE
        return await self._exec(
            session, payload, f"Exec finished ({{}}, {label})" + (f"\n{output}" if output else "")
        )

    async def _on_exec_denied(self, session: Session, payload: Payload) -> EventTaken:
        log.info("node.exec_denied", node_id=session.node_id, reason=_short(payload, "reason"))
        return DONE

    async def _exec(self, session: Session, payload: Payload, text: str) -> EventTaken:
        run_id = _text(payload, "runId")
        if run_id is None or run_id not in session.runs:
            return EventTaken(False, "unmatched_exec_event")
        if payload.get("suppressNotifyOnExit") is True or not self._notices_exits():
            return DONE
        who = f"node={session.row.shown_name} id={run_id}"
        await self._tell(payload, text.replace("{}", who, 1))
        return DONE

    async def _tell(self, payload: Payload, text: str) -> None:
        given = _text(payload, "sessionKey")
        await self._talk.tell(self._talk.key(given) if given else self._talk.main, text)


def _files(payload: Payload) -> tuple[Attachment, ...]:
    """Return what a node attached; the inbox looks at the bytes."""
    given = payload.get("attachments")
    found = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    return tuple(
        Attachment(
            type=kind_of(_text(one, "mimeType") or ""),
            mime_type=_text(one, "mimeType"),
            file_name=_text(one, "fileName"),
            content=content,
        )
        for one in found[:MAX_FILES]
        if (content := _text(one, "content")) is not None
    )


def _text(payload: Payload, name: str) -> str | None:
    value = payload.get(name)
    return value.strip() or None if isinstance(value, str) else None


def _short(payload: Payload, name: str, limit: int = MAX_NOTICE_CHARS) -> str:
    text = " ".join((_text(payload, name) or "").split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _remember(marks: OrderedDict[str, int], mark: str, now: int) -> None:
    marks[mark] = now
    marks.move_to_end(mark)
    if len(marks) > MAX_REMEMBERED:
        marks.popitem(last=False)
