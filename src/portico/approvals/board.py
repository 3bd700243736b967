"""What waits, as this process knows it: who is told, and who waits for the answer here.

Guarantees: each client of this process is told once that an approval waits and once that it is
over, whichever process changed it; somebody who begins to wait too late misses nothing, since the
row is read after the place in the queue is taken.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from portico.approvals.model import Approval, Reviewer
from portico.approvals.shapes import requested_event, resolved_event
from portico.clock import Clock
from portico.events.hub import Hub
from portico.ids import ConnId

REQUESTED = "exec.approval.requested"
RESOLVED = "exec.approval.resolved"
REMEMBERED_ENDS = 4_096


class Board:
    """The approvals that wait, and their audience."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._waiting: dict[str, Approval] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._futures: dict[str, set[asyncio.Future[Approval]]] = {}

    def load(self, approvals: Collection[Approval]) -> None:
        """Begin with what waited before this process did; nobody is connected yet."""
        self._waiting = {one.approval_id: one for one in approvals}

    @property
    def waiting(self) -> Collection[Approval]:
        """What waits."""
        return self._waiting.values()

    @property
    def awaited(self) -> frozenset[str]:
        """What somebody here waits for."""
        return frozenset(self._futures)

    def appeared(self, approval: Approval) -> None:
        """Tell reviewers that an approval waits, unless they know."""
        key = approval.approval_id
        if key in self._ended:
            return
        is_new = key not in self._waiting
        self._waiting[key] = approval
        if is_new and not approval.silent:
            self._publish(REQUESTED, approval, requested_event(approval))

    def ended(self, approval: Approval) -> None:
        """Tell reviewers and waiters that an approval is over, unless they know."""
        key = approval.approval_id
        is_news = key not in self._ended
        self._waiting.pop(key, None)
        self._ended[key] = None
        while len(self._ended) > REMEMBERED_ENDS:
            self._ended.popitem(last=False)
        for future in self._futures.pop(key, ()):
            if not future.done():
                future.set_result(approval)
        if is_news:
            self._publish(RESOLVED, approval, resolved_event(approval, self._clock.now_ms()))

    def dropped(self, approval_id: str) -> None:
        """Forget an approval whose row is gone."""
        self._waiting.pop(approval_id, None)

    @contextmanager
    def place(self, approval_id: str) -> Iterator[asyncio.Future[Approval]]:
        """Take a place among those who wait for an approval's end."""
        future: asyncio.Future[Approval] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(approval_id, set()).add(future)
        try:
            yield future
        finally:
            others = self._futures.get(approval_id)
            if others is not None:
                others.discard(future)
                if not others:
                    del self._futures[approval_id]

    def has_reviewer(self, reviewers: tuple[str, ...], *, but: ConnId | None = None) -> bool:
        """Whether somebody connected here may review what is kept to these devices.

        Args:
            but: a connection that does not count: it asks.
        """
        return bool(self._receivers(reviewers, but=but))

    def _receivers(self, reviewers: tuple[str, ...], *, but: ConnId | None = None) -> set[ConnId]:
        return {
            one.conn_id
            for one in self._hub.receivers(REQUESTED)
            if one.conn_id != but and Reviewer(one.scopes, one.device_id).may_review(reviewers)
        }

    def _publish(self, name: str, approval: Approval, payload: dict[str, Any]) -> None:
        only = self._receivers(approval.reviewers) if approval.reviewers else None
        self._hub.publish(name, payload, only=only)
