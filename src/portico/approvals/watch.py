"""The watch over what waits: deadlines, askers that are gone, and what other processes did.

Guarantees: an approval is expired or abandoned by one process, whichever is first, and each process
tells its own clients of it. Alone on its database and with nothing waiting, it does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

import structlog

from portico.approvals import store as approval_store
from portico.approvals.board import Board
from portico.approvals.model import Approval
from portico.clock import Clock
from portico.store import Store

log = structlog.get_logger()

LOOK_S = 1.0
LONGEST_PAUSE_S = 60.0
WATCHER_LEASE_MS = 10_000
LEASE_MS = 90_000
RENEW_MS = 30_000
RETURN_MS = 60_000


class Watch:
    """Looks after the board.

    Args:
        owner: names this process to the others on the database.
        alone: there are no others.

    Attributes:
        asking: how many agents of this process wait for an answer.
    """

    def __init__(
        self, *, board: Board, store: Store, clock: Clock, owner: str, alone: bool, most: int
    ) -> None:
        self._board = board
        self._store = store
        self._clock = clock
        self._owner = owner
        self._alone = alone
        self.most = most
        self._changed = asyncio.Event()
        self._renewed_ms = 0
        self._watching_until_ms = 0
        self.asking = 0

    async def take_up(self) -> None:
        """Learn what waits; give those who asked before this start the time to come back."""
        if self._alone:
            until = self._clock.now_ms() + RETURN_MS
            await self._store.write(approval_store.inherit, self._owner, until=until)
        self._board.load(await self._store.read(approval_store.list_pending, self.most))

    def keep_company(self, *, alone: bool) -> None:
        """Another process begins or ceases to work on the same approvals."""
        self._alone = alone
        self._changed.set()

    async def outlive(self, owner: str) -> None:
        """Give those who asked in a process that is gone for certain the time to come back."""
        until = self._clock.now_ms() + RETURN_MS
        await self._store.write(approval_store.inherit_from, owner, until=until)

    def look_again(self) -> None:
        """Something has changed: reckon anew what is due next."""
        self._changed.set()

    async def is_reviewed_elsewhere(self) -> bool:
        """Say whether another process has reviewers connected."""
        if self._alone:
            return False
        now = self._clock.now_ms()
        return await self._store.read(approval_store.is_watched, self._owner, now=now)

    async def keep(self) -> None:
        """Watch, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self.sweep()
            except Exception as error:  # the database may be away; the next round tries again
                log.error("approvals.sweep_failed", exc_info=error)
                await asyncio.sleep(LOOK_S)

    def _pause_s(self) -> float | None:
        """Return how long nothing is due; `None`: until something changes."""
        now = self._clock.now_ms()
        dues = [one.expires_at for one in self._board.waiting]
        dues += [lease for one in self._board.waiting if (lease := self._foreign_lease(one))]
        waits_s = [LONGEST_PAUSE_S] if dues else []
        waits_s += [(due - now) / 1000 for due in dues]
        if self.asking:
            waits_s.append(RENEW_MS / 1000)
        if not self._alone:
            waits_s.append(LOOK_S)
        return max(min(waits_s), 0.001) if waits_s else None

    async def sweep(self) -> None:
        """Do what is due."""
        now = self._clock.now_ms()
        await self._renew(now)
        if any(one.expires_at <= now for one in self._board.waiting):
            self._over(await self._store.write(approval_store.expire, now=now))
        leases = [self._foreign_lease(one) for one in self._board.waiting]
        if any(lease is not None and lease < now for lease in leases):
            self._over(await self._store.write(approval_store.abandon, now=now))
        if not self._alone:
            await self._tell_others(now)
            await self._look()

    def _foreign_lease(self, approval: Approval) -> int | None:
        return None if approval.owner == self._owner else approval.lease_until

    async def _renew(self, now: int) -> None:
        if self.asking and now - self._renewed_ms >= RENEW_MS:
            self._renewed_ms = now
            await self._store.write(approval_store.renew, self._owner, until=now + LEASE_MS)

    async def _tell_others(self, now: int) -> None:
        has_reviewer = self._board.has_reviewer(())
        if has_reviewer and self._watching_until_ms - now < WATCHER_LEASE_MS / 2:
            self._watching_until_ms = now + WATCHER_LEASE_MS
            until: int | None = self._watching_until_ms
        elif not has_reviewer and self._watching_until_ms:
            self._watching_until_ms, until = 0, None
        else:
            return
        await self._store.write(approval_store.watch, self._owner, until=until, now=now)

    async def _look(self) -> None:
        """Learn from the rows what appeared and what ended."""
        known = {one.approval_id for one in self._board.waiting} | self._board.awaited
        pending = await self._store.read(approval_store.list_pending, self.most)
        for approval in pending:
            self._board.appeared(approval)
        for approval_id in known - {one.approval_id for one in pending}:
            found = await self._store.read(approval_store.find, approval_id)
            if found is None:
                self._board.dropped(approval_id)
            elif not found.is_pending:
                self._board.ended(found)

    def _over(self, approvals: Collection[Approval]) -> None:
        for approval in approvals:
            reason = approval.reason.value if approval.reason else None
            log.info("approval.ended", approval_id=approval.approval_id, reason=reason)
            self._board.ended(approval)
