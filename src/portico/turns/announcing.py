"""What others are told of turns: who follows one, the page, the list of sessions, the figures.

Guarantees: nothing is told before it is committed.

Not here: what a run says while it runs (publish.py).
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from portico.clock import Clock
from portico.events.hub import Hub
from portico.observe.metrics import Metrics
from portico.sessions.model import Entry
from portico.store import Store
from portico.tasks import Tasks
from portico.turns import store as turn_store
from portico.turns.active import ActiveRun
from portico.turns.ending import Ending
from portico.turns.feed import Feeds
from portico.turns.model import TurnResult, TurnRow
from portico.turns.publish import RunPublisher


class Changes(Protocol):
    """Tells subscribers of the session list what changed."""

    def announce(self, session_key: str, reason: str) -> None:
        """Publish `sessions.changed` for a session."""
        ...

    def message(self, session_key: str, entry: Entry) -> None:
        """Publish `session.message` for a new transcript entry."""
        ...

    def wrote(self, session_key: str, session_id: str, seq: int) -> None:
        """The same for an entry the caller only knows the place of."""
        ...


class Announcer:
    """Tells what has become of turns."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        feeds: Feeds,
        changes: Changes,
        tasks: Tasks,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._clock = clock
        self._hub = hub
        self._feeds = feeds
        self._changes = changes
        self._tasks = tasks
        self._metrics = metrics

    def waits(self, row: TurnRow) -> None:
        """A turn was put into a lane, where it waits for a while."""
        self._feeds.open(row.run_id)
        self._changes.announce(row.session_key, "send")

    def begins(self, run: ActiveRun) -> None:
        """A turn was claimed, with those that were merged into it."""
        row, now = run.row, self._clock.now_ms()
        self._feeds.open(row.run_id)
        for run_id in row.merged:
            run.publisher.merged(msgspec.structs.replace(row, run_id=run_id), now)
            self._tasks.start(self._close_feed(run_id), name=f"turn.merged:{run_id}")
        is_shown = row.attempts == 1 and row.request.quiet is None
        if is_shown and row.result and row.result.message_seq and row.session_id:
            self._changes.wrote(row.session_key, row.session_id, row.result.message_seq)
        self._changes.announce(row.session_key, "send")

    def left(self, session_key: str) -> None:
        """A run has left its lane, however it ended."""
        self._changes.announce(session_key, "run-capacity")

    def ended(self, ending: Ending) -> None:
        """A run has ended."""
        self._measure(ending.row)
        if ending.entry is not None:
            self._changes.message(ending.row.session_key, ending.entry)

    def ended_waiting(self, row: TurnRow, now: int) -> None:
        """A turn has ended that never began."""
        publisher = RunPublisher(self._hub, self._clock, row, live_text_ms=0)
        publisher.ended(row.state, row.result or TurnResult(), now)
        self._feeds.close(row.run_id, row)
        self._measure(row)

    def cancelled_waiting(self, row: TurnRow, now: int) -> None:
        """A turn was cancelled before it began."""
        self.ended_waiting(row, now)
        self._changes.announce(row.session_key, "abort")

    def dropped(self, run_id: str, *, by: TurnRow) -> None:
        """A turn that waited gave its place to a newer one."""
        if self._feeds.find(run_id) is not None:
            self._tasks.start(self._close_feed(run_id), name=f"turn.dropped:{run_id}")
        self._hub.publish(
            "chat",
            {
                "runId": run_id,
                "sessionKey": by.session_key,
                "agentId": by.agent_id,
                "seq": 0,
                "state": "error",
                "errorMessage": turn_store.DROPPED,
                "errorKind": "unknown",
                "stopReason": "dropped",
            },
            session_key=by.session_key,
            droppable=False,
        )

    async def ended_elsewhere(self, *, running: set[str]) -> None:
        """Close the feeds of runs that ended elsewhere, so that nobody follows them for ever.

        Args:
            running: the runs of this process, whose ends are told when they are here.
        """
        unsure = [run_id for run_id in self._feeds.open_ids() if run_id not in running]
        for run_id, row in (await self._store.scan(turn_store.find_all, unsure)).items():
            if row is None:
                self._feeds.forget(run_id)
            elif not row.is_open:
                self._feeds.close(run_id, row)

    async def _close_feed(self, run_id: str) -> None:
        row = await self._store.read(turn_store.find, run_id)
        if row is not None and not row.is_open:
            self._feeds.close(run_id, row)

    def _measure(self, row: TurnRow) -> None:
        state, metrics = row.state.value, self._metrics
        metrics.turns_ended.inc(state)
        if row.started_at is not None and row.ended_at is not None:
            metrics.turn_wait_seconds.observe((row.started_at - row.queued_at) / 1000)
            metrics.turn_seconds.observe((row.ended_at - row.started_at) / 1000, state)
