"""Forgetting the sessions of deliveries that named none: each had one of its own.

Guarantees: a session that was used lately is kept, whoever used it; so is one in which a turn runs.
"""

from __future__ import annotations

import contextlib

from sqlalchemy import bindparam, select

from portico.clock import Clock
from portico.sessions.mutations import NOTHING_EXPECTED, Busy
from portico.sessions.service import Sessions
from portico.sessions.tables import sessions as table
from portico.store import Store, Work, statement

AT_ONCE = 500

c = table.c
_OLD = statement(
    select(c.key)
    .where(
        c.created_via == "hook",
        c.key.like("agent:%:hook:%"),
        c.updated_at < bindparam("before"),
    )
    .order_by(c.updated_at)
    .limit(bindparam("count"))
)


class HookRetention:
    """The chore of hooks.

    Args:
        keep_ms: after a session was last used; `None`: for ever.
    """

    def __init__(
        self, *, store: Store, clock: Clock, sessions: Sessions, keep_ms: int | None
    ) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self.keep_ms = keep_ms

    async def forget_sessions(self) -> int:
        """Delete sessions that were not used for so long, so many at once; return how many."""
        if self.keep_ms is None:
            return 0
        before = self._clock.now_ms() - self.keep_ms
        total = 0
        for key in await self._store.scan(_old, before=before):
            with contextlib.suppress(Busy):
                total += await self._sessions.delete(key, NOTHING_EXPECTED)
        return total


def _old(*, before: int) -> Work[list[str]]:
    rows = yield _OLD(before=before, count=AT_ONCE)
    return [str(row["key"]) for row in rows]
