"""RPC methods that show sessions and follow them.

Source: OpenClaw gateway protocol, "sessions.*".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.clock import Clock
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions.listing import DEFAULT_LIMIT, MAX_LIMIT, Filter, Listed, SortBy
from portico.sessions.model import Session
from portico.sessions.service import Sessions
from portico.sessions.shapes import RuntimeRef, SessionRow, one_line

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
MAX_PREVIEW_KEYS = 64
MAX_CANDIDATES = 10


class ProfileRelation(Params, frozen=True):
    """A filter by what a user profile has to do with a session."""

    profile_id: NonEmpty
    relationship: Literal["owned", "created", "involving"]


class SessionsList(Params, frozen=True, kw_only=True):
    """Filters, order and extras of a list."""

    limit: Positive | None = None
    offset: Count = 0
    active_minutes: Positive | None = None
    active_only: bool = False
    require_last_interaction: bool = False
    sort_by: SortBy = "updatedAt"
    include_global: bool = False
    include_unknown: bool = False
    exclude_subagents: bool = False
    exclude_cron: bool = False
    exclude_system: bool = False
    configured_agents_only: bool = False
    include_derived_titles: bool = False
    include_last_message: bool = False
    include_activity_summary: bool = False
    label: Label | None = None
    project_id: NonEmpty | None = None
    workspace_dir: NonEmpty | None = None
    group: str | None = None
    pinned: bool | None = None
    board_face: Literal["chat", "dashboard"] | None = None
    has_board: bool | None = None
    creator_id: NonEmpty | None = None
    owner_id: NonEmpty | None = None
    owner_first: bool = False
    involving_me: bool | None = None
    profile_relation: ProfileRelation | None = None
    involving_profile_id: NonEmpty | None = None
    include_people: bool = False
    spawned_by: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    search: str | None = None
    archived: bool | Literal["all"] = False

    @property
    def asks_for_nothing(self) -> bool:
        """Whether it filters by something no session of this gateway has."""
        wanted = (
            self.project_id,
            self.workspace_dir,
            self.creator_id,
            self.owner_id,
            self.profile_relation,
            self.involving_profile_id,
            self.has_board or None,
            self.involving_me or None,
            "board" if self.board_face == "dashboard" else None,
        )
        return any(value is not None for value in wanted)


class SessionDefaults(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What a session has when it says nothing else."""

    model_provider: str
    model: str
    agent_runtime: RuntimeRef
    context_tokens: int | None = None
    thinking_levels: tuple[dict[str, str], ...] = ({"id": "off", "label": "off"},)
    thinking_options: tuple[str, ...] = ("off",)
    thinking_default: str = "off"
    model_selection_target: str = "session"


class SessionsListed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One page of sessions."""

    ts: int
    path: str
    count: int
    total_count: int
    limit_applied: int
    offset: int
    next_offset: int | None
    has_more: bool
    defaults: SessionDefaults
    sessions: tuple[SessionRow, ...]
    owners: tuple[Any, ...] = ()


class Subscribed(Result, frozen=True, kw_only=True):
    """Whether events follow; with the list when list params came along."""

    subscribed: bool = msgspec.field()
    list: SessionsListed | None = None


class OneSession(Params, frozen=True, kw_only=True):
    """`{key, agentId?}`."""

    key: NonEmpty
    agent_id: NonEmpty | None = None


class MessagesSubscribe(Params, frozen=True, kw_only=True):
    """`{key, agentId?, includeApprovals?}`."""

    key: NonEmpty
    agent_id: NonEmpty | None = None
    include_approvals: Literal[True] | None = None


class MessagesSubscribed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Whether one session's messages follow."""

    subscribed: bool
    key: str


class SessionsPreview(Params, frozen=True, kw_only=True):
    """`{keys, limit?, maxChars?}`."""

    keys: Annotated[list[NonEmpty], msgspec.Meta(min_length=1)]
    limit: Positive = 12
    max_chars: Annotated[int, msgspec.Meta(ge=20)] = 240


class PreviewItem(Result, frozen=True):
    """One message of a preview."""

    role: str
    text: str


class Preview(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The last messages of one session."""

    key: str
    status: Literal["ok", "empty", "missing", "error"]
    items: tuple[PreviewItem, ...]


class Previews(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The last messages of several sessions."""

    ts: int
    previews: tuple[Preview, ...]


class SessionsDescribe(Params, frozen=True, kw_only=True):
    """`{key, agentId?, includeDerivedTitles?, includeLastMessage?}`."""

    key: NonEmpty
    agent_id: NonEmpty | None = None
    include_derived_titles: bool = False
    include_last_message: bool = False


class Described(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One session, or nothing."""

    session: SessionRow | None


class Reference(Params, frozen=True):
    """A key with what a link showed of its name."""

    key: NonEmpty
    slug: NonEmpty | None = None


class SessionsResolve(Params, frozen=True, kw_only=True):
    """One of key, sessionId, label, reference, shortId."""

    key: NonEmpty | None = None
    session_id: NonEmpty | None = None
    label: Label | None = None
    reference: Reference | None = None
    short_id: NonEmpty | None = None
    slug_hint: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    spawned_by: NonEmpty | None = None
    include_global: bool = False
    include_unknown: bool = False
    allow_missing: bool = False


class Candidate(Result, frozen=True, kw_only=True):
    """A session that may be meant."""

    key: str
    agent_id: str
    display_name: str | None = None


class Resolved(Result, frozen=True, kw_only=True):
    """The session that is meant, or those that may be."""

    ok: bool = msgspec.field()
    key: str | None = None
    agent_id: str | None = None
    display_name: str | None = None
    candidates: tuple[Candidate, ...] | None = None


class SessionReadMethods:
    """`sessions.list` and the other methods that change nothing."""

    def __init__(self, *, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock

    @method("sessions.list", scope=Scope.READ)
    async def list(self, call: Call, params: SessionsList) -> SessionsListed:
        """List sessions, newest first, with filters and pages."""
        limit = min(params.limit or DEFAULT_LIMIT, MAX_LIMIT)
        items: tuple[Listed, ...] = ()
        total = 0
        if not params.asks_for_nothing:
            page = await self._sessions.list(
                self._filter(params),
                limit=limit,
                offset=params.offset,
                sort_by=params.sort_by,
                titles=params.include_derived_titles,
                previews=params.include_last_message,
            )
            items, total = page.items, page.total
        after = params.offset + len(items)
        return SessionsListed(
            ts=self._clock.now_ms(),
            path=self._path(call),
            count=len(items),
            total_count=total,
            limit_applied=limit,
            offset=params.offset,
            next_offset=after if after < total and items else None,
            has_more=after < total and bool(items),
            defaults=defaults_of(self._sessions, params.agent_id),
            sessions=tuple(self._sessions.row(item) for item in items),
        )

    def _path(self, call: Call) -> str:
        may_see = Scope.ADMIN in call.principal.scopes
        return self._sessions.store_path if may_see else "[redacted]"

    def _filter(self, params: SessionsList) -> Filter:
        after = None
        if params.active_minutes is not None:
            after = self._clock.now_ms() - params.active_minutes * 60_000
        return Filter(
            archived=None if params.archived == "all" else params.archived,
            agent_id=params.agent_id,
            label=params.label,
            search=params.search.strip() or None if params.search else None,
            updated_after=after,
            pinned=params.pinned,
            running=True if params.active_only else None,
            interacted=True if params.require_last_interaction else None,
            category=params.group or None,
            parent=params.spawned_by,
            agents=self._sessions.configured_agents() if params.configured_agents_only else None,
            exclude_subagents=True if params.exclude_subagents else None,
            exclude_cron=True if params.exclude_cron or params.exclude_system else None,
            include_sentinels=params.include_global or params.include_unknown,
        )

    @method("sessions.subscribe", scope=Scope.READ)
    async def subscribe(self, call: Call, params: SessionsList) -> Subscribed:
        """Start receiving `sessions.changed`; with list params, answer the list as well."""
        if call.connection is None:
            return Subscribed(subscribed=False)
        call.connection.follow_session_list(True)
        if params == SessionsList():
            return Subscribed(subscribed=True)
        return Subscribed(subscribed=True, list=await self.list(call, params))

    @method("sessions.unsubscribe", scope=Scope.READ)
    def unsubscribe(self, call: Call, params: Empty) -> Subscribed:
        """Stop receiving `sessions.changed`."""
        if call.connection is not None:
            call.connection.follow_session_list(False)
        return Subscribed(subscribed=False)

    @method("sessions.messages.subscribe", scope=Scope.READ)
    def follow(self, call: Call, params: MessagesSubscribe) -> MessagesSubscribed:
        """Start receiving one session's messages."""
        key = self._sessions.key(params.key, params.agent_id)
        if call.connection is not None:
            call.connection.follow_session(key, True)
        return MessagesSubscribed(subscribed=call.connection is not None, key=key)

    @method("sessions.messages.unsubscribe", scope=Scope.READ)
    def unfollow(self, call: Call, params: OneSession) -> MessagesSubscribed:
        """Stop receiving one session's messages."""
        key = self._sessions.key(params.key, params.agent_id)
        if call.connection is not None:
            call.connection.follow_session(key, False)
        return MessagesSubscribed(subscribed=False, key=key)

    @method("sessions.preview", scope=Scope.READ)
    async def preview(self, call: Call, params: SessionsPreview) -> Previews:
        """Show the last messages of up to 64 sessions."""
        asked = {given: self._try_key(given) for given in params.keys[:MAX_PREVIEW_KEYS]}
        known = [key for key in asked.values() if key is not None]
        found = await self._sessions.previews(known, limit=min(params.limit, MAX_LIMIT))
        previews = []
        for given, key in asked.items():
            said = None if key is None else found.get(key)
            items = tuple(
                PreviewItem(role, one_line(content, params.max_chars))
                for role, content in said or ()
            )
            status: Literal["ok", "empty", "missing", "error"] = "ok" if items else "empty"
            if said is None:
                status = "error" if key is None else "missing"
            previews.append(Preview(key=given, status=status, items=items))
        return Previews(ts=self._clock.now_ms(), previews=tuple(previews))

    def _try_key(self, given: str) -> str | None:
        try:
            return self._sessions.key(given)
        except InvalidRequest:
            return None

    @method("sessions.describe", scope=Scope.READ)
    async def describe(self, call: Call, params: SessionsDescribe) -> Described:
        """Show one session."""
        found = await self._sessions.describe(
            self._sessions.key(params.key, params.agent_id),
            titles=params.include_derived_titles,
            previews=params.include_last_message,
        )
        return Described(session=None if found is None else self._sessions.row(found))

    @method("sessions.resolve", scope=Scope.READ)
    async def resolve(self, call: Call, params: SessionsResolve) -> Resolved:
        """Find the session a key, session id, label or short id means."""
        given = params.key or (params.reference.key if params.reference else None)
        if given is not None:
            one = await self._sessions.find(self._sessions.key(given, params.agent_id))
            found = [] if one is None else [one]
        elif params.session_id is not None:
            one = await self._sessions.find_by_session_id(params.session_id)
            found = [] if one is None else [one]
        elif params.label is not None:
            found = [*await self._sessions.find_by_label(params.label)]
        elif params.short_id is not None:
            found = [*await self._sessions.find_by_short_id(params.short_id)]
        else:
            raise InvalidRequest("Either key, sessionId, label, reference or shortId is required")
        if params.agent_id is not None:
            found = [session for session in found if session.agent_id == params.agent_id]
        if len(found) == 1:
            only = _candidate(found[0])
            return Resolved(
                ok=True, key=only.key, agent_id=only.agent_id, display_name=only.display_name
            )
        if not found and not params.allow_missing:
            what = given or params.session_id or params.label or params.short_id
            raise InvalidRequest(f"No session found: {what}", details={"code": "SESSION_NOT_FOUND"})
        candidates = tuple(_candidate(session) for session in found[:MAX_CANDIDATES])
        return Resolved(ok=False, candidates=candidates or None)


def defaults_of(sessions: Sessions, agent_id: str | None = None) -> SessionDefaults:
    """Return what a new session of an agent would have."""
    key = sessions.main_session_key(agent_id)
    model = sessions.model_of(None, key)
    return SessionDefaults(
        model_provider=model.model_provider,
        model=model.model,
        agent_runtime=sessions.runtime_of(key),
    )


def _candidate(session: Session) -> Candidate:
    return Candidate(
        key=session.key,
        agent_id=session.agent_id,
        display_name=session.display_name or session.label,
    )
