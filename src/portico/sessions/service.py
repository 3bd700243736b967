"""Sessions: find, list, create, patch, reset, trim, delete.

Guarantees: keys go through one canonicalisation; every change is committed before it is announced.

Not here: runs (turns), what a message becomes (chat).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from portico.agents.service import Agents
from portico.clock import Clock
from portico.ids import new_uuid
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.sessions import listing, mutations, shapes, transcript
from portico.sessions.changes import SessionChanges
from portico.sessions.listing import Filter, Listed, Page, SortBy
from portico.sessions.model import Entry, Session, Spent
from portico.sessions.mutations import NOTHING_EXPECTED, Expected, Patch
from portico.sessions.summary import SummaryFailed, summary_of
from portico.sessions.talk import Ledger
from portico.store import Store, Work


class Sessions:
    """The sessions of this gateway."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        changes: SessionChanges,
        agents: Agents,
        main_key: str = "main",
        store_path: str = "",
    ) -> None:
        self._store = store
        self._clock = clock
        self.changes = self._changes = changes
        self._agents = agents
        self.main_key = main_key
        self.store_path = store_path

    # -- keys ------------------------------------------------------------------------------------

    def key(self, given: str, agent_id: str | None = None) -> str:
        """Return the canonical form of a key a client gave.

        Raises:
            InvalidRequest: malformed, or of another agent than the one named beside it.
        """
        wanted = None if agent_id is None else keys.normalize_agent_id(agent_id)
        key = keys.canonical(
            given, default_agent=wanted or self._agents.default_id, main_key=self.main_key
        )
        if wanted is not None and self.agent_of(key) != wanted and ":" in key:
            raise InvalidRequest(f'agentId "{agent_id}" does not own session {key}')
        return key

    def agent_of(self, key: str) -> str:
        """Return the agent a canonical key belongs to."""
        return keys.agent_of(key, default_agent=self._agents.default_id)

    def main_session_key(self, agent_id: str | None = None) -> str:
        """Return the key of an agent's main session."""
        return f"agent:{agent_id or self._agents.default_id}:{self.main_key}"

    def new_key(self, agent_id: str) -> str:
        """Return a fresh key, for a session nobody named."""
        return f"agent:{agent_id}:dashboard:{new_uuid()}"

    def configured_agents(self) -> tuple[str, ...]:
        """Return the ids of the agents that are configured now."""
        return tuple(agent.agent_id for agent in self._agents.list())

    # -- reading ---------------------------------------------------------------------------------

    async def find(self, key: str) -> Session | None:
        """Return a session, or `None`."""
        return await self._store.read(transcript.find_session, key)

    async def list(
        self,
        wanted: Filter,
        *,
        limit: int,
        offset: int = 0,
        sort_by: SortBy = "updatedAt",
        titles: bool = False,
        previews: bool = False,
    ) -> Page:
        """Return a page of sessions, newest first."""
        return await self._store.scan(
            listing.list_sessions,
            wanted,
            limit=limit,
            offset=offset,
            sort_by=sort_by,
            titles=titles,
            previews=previews,
        )

    async def describe(self, key: str, *, titles: bool, previews: bool) -> Listed | None:
        """Return one session with its title and preview, where asked for."""

        def work() -> Work[Listed | None]:
            found = yield from transcript.find_session(key)
            if found is None:
                return None
            return (yield from listing.listed(found, titles=titles, previews=previews))

        return await self._store.read(work)

    async def previews(
        self, wanted: Sequence[str], *, limit: int
    ) -> dict[str, Sequence[tuple[str, Any]] | None]:
        """Return role and content of the last messages by key; `None`: no such session."""

        def work() -> Work[dict[str, Sequence[tuple[str, Any]] | None]]:
            found: dict[str, Sequence[tuple[str, Any]] | None] = {}
            for key in wanted:
                session = yield from transcript.find_session(key)
                if session is None:
                    found[key] = None
                else:
                    found[key] = yield from listing.said_last(session.session_id, limit=limit)
            return found

        return await self._store.scan(work)

    async def find_by_session_id(self, session_id: str) -> Session | None:
        """Return the session that shows a transcript, or `None`."""
        found = await self._store.read(listing.find_by_session_id, session_id)
        return found[0] if found else None

    async def find_by_label(self, label: str) -> Sequence[Session]:
        """Return the first few sessions with a label, the newest first."""
        return await self._store.read(listing.find_by_label, label)

    async def find_by_short_id(self, short_id: str) -> Sequence[Session]:
        """Return the first few sessions whose session id begins so."""
        return await self._store.read(listing.find_by_session_id_prefix, short_id)

    def row(self, found: Listed) -> shapes.SessionRow:
        """Return a session as lists show it."""
        return shapes.row(
            found.session,
            self._agents,
            main_key=self.main_key,
            now=self._clock.now_ms(),
            title=found.title,
            preview=found.preview,
        )

    def absent_row(self, key: str) -> shapes.SessionRow:
        """Return what is shown of a session that has not begun."""
        return shapes.absent_row(
            key, self._agents, main_key=self.main_key, now=self._clock.now_ms()
        )

    def model_of(self, session: Session | None, key: str) -> shapes.ModelRef:
        """Return the model a session's next run is asked for."""
        agent = self._agents.find(self.agent_of(key)) or self._agents.get(None)
        return shapes.model_of(agent, None if session is None else session.model)

    def runtime_of(self, key: str) -> shapes.RuntimeRef:
        """Return the runtime a session's runs go to."""
        return shapes.RuntimeRef(self._agents.runtime_for(self.agent_of(key)).name)

    # -- changing --------------------------------------------------------------------------------

    async def create(
        self, key: str, change: Patch, *, created_via: str = "operator"
    ) -> tuple[Session, bool]:
        """Make a session, or return the one that is there; and whether it was made."""
        now = self._clock.now_ms()
        agent_id = self.agent_of(key)

        def work() -> Work[tuple[Session, bool]]:
            found = yield from transcript.find_session(key)
            if found is not None:
                return found, False
            return (
                yield from mutations.patch(
                    key, change, NOTHING_EXPECTED, agent_id=agent_id, now=now
                )
            )

        session, made = await self._store.write(work)
        if made:
            self._changes.announce(key, "create")
        return session, made

    async def patch(self, key: str, change: Patch, expected: Expected) -> Session:
        """Change a session's settings.

        Raises:
            InvalidRequest: it is not as expected, or the label belongs to another session.
        """
        session, _ = await self._store.write(
            mutations.patch,
            key,
            change,
            expected,
            agent_id=self.agent_of(key),
            now=self._clock.now_ms(),
        )
        self._changes.announce(key, "patch")
        return session

    async def reset(
        self, key: str, *, reason: Literal["new", "reset"], expected: Expected = NOTHING_EXPECTED
    ) -> Session:
        """Begin a new transcript under the key.

        Raises:
            Busy: a turn is running.
        """
        session = await self._store.write(
            mutations.reset,
            key,
            expected,
            agent_id=self.agent_of(key),
            reason=reason,
            now=self._clock.now_ms(),
        )
        self._changes.announce(key, reason)
        return session

    async def trim(self, key: str, *, keep: int) -> Session | None:
        """Drop all but the newest entries; `None` when there was nothing to drop.

        Raises:
            Busy: a turn is running.
        """
        session = await self._store.write(mutations.trim, key, keep=keep, now=self._clock.now_ms())
        if session is not None:
            self._changes.announce(key, "compact")
        return session

    async def summarise(self, session: Session, ledger: Ledger) -> int:
        """Let the session's agent summarise the older part; return how many entries it keeps.

        What is said meanwhile stays: the summary covers only what was there.

        Args:
            ledger: keeps what it cost, also when there is no summary.

        Raises:
            SummaryFailed: why there is none.
        """
        spent = Spent()
        try:
            found = await summary_of(self._store, self._agents, session, spent)
        except SummaryFailed:
            if spent.calls:
                await self._store.write(ledger.record, session, spent)
            raise
        now = self._clock.now_ms()

        def work() -> Work[bool]:
            yield from ledger.record(session, spent)
            current = yield from transcript.find_session(session.key)
            if current is None or current.session_id != session.session_id:
                return False
            yield from transcript.append_compaction(
                session.key,
                summary=found.summary,
                first_kept_seq=found.first_kept_seq,
                tokens_before=found.tokens_before,
                is_untrusted=found.is_untrusted,
                now=now,
            )
            return True

        if not await self._store.write(work):
            raise SummaryFailed("the session was reset meanwhile")
        self._changes.announce(session.key, "compact")
        return session.last_seq - found.first_kept_seq + 1

    async def delete(
        self,
        key: str,
        expected: Expected,
        *,
        with_transcript: bool = True,
        archived_only: bool = False,
    ) -> bool:
        """Delete a session; `False` when there is none.

        Raises:
            Busy: a turn is running.
            InvalidRequest: it is the main session, or not as expected.
        """
        if key == self.main_session_key(self.agent_of(key)):
            raise InvalidRequest(f"Cannot delete the main session ({key}).")
        gone = await self._store.write(
            mutations.remove,
            key,
            expected,
            with_transcript=with_transcript,
            archived_only=archived_only,
        )
        if gone is not None:
            self._changes.deleted(key, gone.session_id, gone.agent_id)
        return gone is not None

    async def append(
        self,
        key: str,
        *,
        role: str,
        text: str,
        meta: dict[str, Any] | None = None,
        reason: str = "send",
        only_existing: bool = False,
    ) -> Entry | None:
        """Append a note to a session's transcript; `None` when it must exist and does not."""
        now = self._clock.now_ms()
        agent_id = self.agent_of(key)

        def work() -> Work[Entry | None]:
            if only_existing and (yield from transcript.find_session(key)) is None:
                return None
            yield from mutations.ensure(key, agent_id=agent_id, created_via="operator", now=now)
            content = [{"type": "text", "text": text}]
            return (
                yield from transcript.append(key, role=role, content=content, now=now, meta=meta)
            )

        entry = await self._store.write(work)
        if entry is not None:
            self._changes.message(key, entry)
            self._changes.announce(key, reason)
        return entry

    async def history(
        self, session_id: str, *, limit: int, before: int | None
    ) -> tuple[Entry, ...]:
        """Return the newest entries below a seq, oldest first."""
        found = await self._store.read(transcript.history, session_id, limit=limit, before=before)
        return tuple(found)

    async def since(self, session_id: str, *, after: int, limit: int) -> tuple[Entry, ...]:
        """Return the oldest entries above a seq."""
        return tuple(await self._store.read(transcript.since, session_id, after=after, limit=limit))

    async def find_entry(self, entry_id: str) -> Entry | None:
        """Return one transcript entry, or `None`."""
        return await self._store.read(transcript.find_entry, entry_id)

    async def find_said(self, run_id: str) -> Entry | None:
        """Return what a person said that began a run, once it is in the transcript."""
        return await self._store.read(transcript.find_said, run_id)
