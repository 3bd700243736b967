"""RPC methods that read transcripts beside the chat, and that change several sessions at once.

Source: OpenClaw gateway protocol, "sessions.get", "sessions.search", "sessions.branches.list",
"sessions.patchMany", "chat.message.get".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.clock import Clock
from portico.protocol.errors import ErrorShape, GatewayError, InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import OpenParams, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions import searching, shapes
from portico.sessions.patching import (
    NonEmpty,
    SessionsPatch,
    change_of,
    expected_of,
    scope_of_patch,
)
from portico.sessions.service import Sessions
from portico.store import Store

MAX_KEYS = 200
MAX_MESSAGES = 1_000
MAX_MESSAGE_CHARS = 2_000_000
HEADLINE_CHARS = 120
_ENVELOPE = ("key", "agentId")


class SessionsGet(OpenParams, frozen=True, kw_only=True):
    """`{key | sessionKey, limit?, agentId?}`."""

    key: NonEmpty | None = None
    session_key: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_MESSAGES)] = 200


class Messages(Result, frozen=True, omit_defaults=False):
    """What was said, the oldest first."""

    messages: list[dict[str, Any]]


class MessageGet(Params, frozen=True, kw_only=True):
    """`{sessionKey, agentId?, messageId, maxChars?}`."""

    session_key: NonEmpty
    agent_id: NonEmpty | None = None
    message_id: NonEmpty
    max_chars: Annotated[int, msgspec.Meta(ge=1, le=MAX_MESSAGE_CHARS)] | None = None


class MessageFound(Result, frozen=True, kw_only=True):
    """One message, or why there is none."""

    ok: bool
    message: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    unavailable_reason: Literal["not_found"] | None = None


class Search(Params, frozen=True, kw_only=True):
    """`{query, agentId?, sessionKeys?, limit?}`."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    agent_id: NonEmpty | None = None
    session_keys: Annotated[list[NonEmpty], msgspec.Meta(max_length=MAX_KEYS)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=25)] = 10


class HitShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One message that holds every word."""

    session_key: str
    session_id: str
    message_id: str
    role: str
    timestamp: int
    snippet: str
    score: float


class Found(Result, frozen=True, kw_only=True):
    """The newest messages with all the words; `truncated`: there may be older ones."""

    results: list[HitShown] = msgspec.field()
    truncated: bool = False


class BranchesOf(Params, frozen=True, kw_only=True):
    """`{sessionKey, agentId?}`."""

    session_key: NonEmpty
    agent_id: NonEmpty | None = None


class Branch(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One course a conversation has taken."""

    leaf_entry_id: str
    headline: str
    message_count: int
    active: bool


class Branches(Result, frozen=True, omit_defaults=False):
    """Every course of a conversation: one, once something was said."""

    branches: list[Branch]


class PatchTarget(Params, frozen=True, kw_only=True):
    """Which session, and what is believed of it."""

    key: NonEmpty
    agent_id: NonEmpty | msgspec.UnsetType = msgspec.UNSET
    expected_session_id: NonEmpty | msgspec.UnsetType = msgspec.UNSET
    expected_lifecycle_revision: NonEmpty | msgspec.UnsetType = msgspec.UNSET


class PatchMany(Params, frozen=True, kw_only=True):
    """`{targets, patch}`."""

    targets: Annotated[list[PatchTarget], msgspec.Meta(min_length=1, max_length=100)]
    patch: dict[str, Any]


class Outcome(Result, frozen=True, kw_only=True):
    """What became of one session."""

    ok: bool
    key: str
    error: ErrorShape | None = None


class Outcomes(Result, frozen=True, omit_defaults=False):
    """What became of each session, in the order they were named."""

    outcomes: list[Outcome]


def scope_of_many(params: PatchMany) -> Scope:
    """As for one: everyday settings need write, the others need admin."""
    return scope_of_patch(_patch_of(params, params.targets[0]))


class SessionFindMethods:
    """`sessions.get`, `.search`, `.branches.list`, `.patchMany`, and `chat.message.get`."""

    def __init__(self, *, sessions: Sessions, store: Store, clock: Clock) -> None:
        self._sessions = sessions
        self._store = store
        self._clock = clock

    @method("sessions.get", scope=Scope.READ, advertised=False)
    async def get(self, call: Call, params: SessionsGet) -> Messages:
        """Return the newest messages of a session."""
        given = params.key or params.session_key
        if given is None:
            raise InvalidRequest("invalid sessions.get params: must have required property 'key'")
        session = await self._sessions.find(self._sessions.key(given, params.agent_id))
        if session is None:
            return Messages([])
        found = await self._sessions.history(session.session_id, limit=params.limit, before=None)
        return Messages([shapes.message(entry) for entry in found])

    @method("chat.message.get", scope=Scope.READ)
    async def message(self, call: Call, params: MessageGet) -> MessageFound:
        """Return one message of a session, as long as it is."""
        key = self._sessions.key(params.session_key, params.agent_id)
        session = await self._sessions.find(key)
        entry = await self._sessions.find_entry(params.message_id)
        if session is None or entry is None or entry.session_id != session.session_id:
            return MessageFound(ok=False, unavailable_reason="not_found")
        most = params.max_chars or MAX_MESSAGE_CHARS
        return MessageFound(ok=True, message=shapes.message(entry, max_chars=most))

    @method("sessions.search", scope=Scope.READ)
    async def search(self, call: Call, params: Search) -> Found:
        """Find messages that hold all the words, the newest first."""
        words = tuple(dict.fromkeys(params.query.casefold().split()))
        if not words:
            return Found(results=[])
        keys = params.session_keys
        sought = searching.Sought(
            words,
            keys=None if keys is None else {self._sessions.key(one) for one in keys},
            agent_id=params.agent_id,
            limit=params.limit,
        )
        hits, is_cut = await self._store.scan(searching.search, sought)
        shown = [
            HitShown(
                session_key=hit.key,
                session_id=hit.session_id,
                message_id=hit.entry_id,
                role=hit.role,
                timestamp=hit.created_at,
                snippet=hit.snippet,
                score=float(hit.score),
            )
            for hit in hits
        ]
        return Found(results=shown, truncated=is_cut)

    @method("sessions.branches.list", scope=Scope.READ)
    async def branches(self, call: Call, params: BranchesOf) -> Branches:
        """List the courses a conversation has taken; ours never part, so there is at most one."""
        session = await self._sessions.find(self._sessions.key(params.session_key, params.agent_id))
        if session is None:
            return Branches([])
        newest = await self._sessions.history(session.session_id, limit=1, before=None)
        if not newest:
            return Branches([])
        branch = Branch(
            leaf_entry_id=newest[0].entry_id,
            headline=shapes.one_line(newest[0].content, HEADLINE_CHARS),
            message_count=session.message_count,
            active=True,
        )
        return Branches([branch])

    @method("sessions.patchMany", scope=Scope.WRITE, scope_rule=scope_of_many)
    async def patch_many(self, call: Call, params: PatchMany) -> Outcomes:
        """Change the same settings of several sessions; each by itself may fail."""
        outcomes = []
        for target in params.targets:
            patch = _patch_of(params, target)
            key = self._sessions.key(patch.key, patch.agent_id)
            try:
                change = change_of(patch, now=self._clock.now_ms())
                await self._sessions.patch(key, change, expected_of(patch))
            except GatewayError as error:
                outcomes.append(Outcome(ok=False, key=key, error=error.shape()))
            else:
                outcomes.append(Outcome(ok=True, key=key))
        return Outcomes(outcomes)


def _patch_of(params: PatchMany, target: PatchTarget) -> SessionsPatch:
    given = {name: value for name, value in params.patch.items() if name not in _ENVELOPE}
    whole = {**given, **msgspec.to_builtins(target)}
    if any(name.startswith("expected") for name in given):
        raise InvalidRequest(
            "invalid sessions.patchMany params: at /patch: expectations are per target"
        )
    try:
        return msgspec.convert(whole, SessionsPatch)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"invalid sessions.patchMany params: at /patch: {error}") from None
