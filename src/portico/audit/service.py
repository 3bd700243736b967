"""Recording who changed what.

    await audit.record("device.approved", actor=call.principal.subject, target=device_id)

or, where the change is a work of its own, in the same transaction:

    yield from audit.within("device.approved", actor=subject, target=device_id)

Guarantees: `record` never raises and never takes longer than `WAIT_S`: what cannot be kept is
logged, with everything it says. `within` commits with the caller's work, or not at all. Secrets are
masked, and what is kept of one change is bounded. What is too old or too much is forgotten.

Not here: who may read it (the room of settings); what language models and tools did (the turns).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from portico.audit import store as rows
from portico.audit.model import Change, Outcome, Wanted
from portico.clock import Clock
from portico.observe.redaction import Redactor
from portico.store import Store, Work

log = structlog.get_logger()

WAIT_S = 5.0
MAX_TEXT = 512
MAX_DETAILS_BYTES = 8_192
AT_ONCE = 500
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How long, and how many."""

    days: int = 90
    entries: int = 100_000


class Audit:
    """The record of changes."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        retention: Retention | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention or Retention()
        self._redactor = redactor or Redactor()

    def configure(self, retention: Retention) -> None:
        """Keep this much from now on."""
        self._retention = retention

    async def record(
        self,
        action: str,
        *,
        actor: str,
        target: str | None = None,
        details: Mapping[str, Any] | None = None,
        outcome: Outcome = "done",
    ) -> None:
        """Record a change that has been made (or refused); the caller goes on whatever happens."""
        change = self._change(action, actor, target, details, outcome)
        try:
            async with asyncio.timeout(WAIT_S):
                await self._store.write(rows.put, change)
        except Exception as error:
            log.error("audit.not_kept", **msgspec.structs.asdict(change), exc_info=error)

    def within(
        self,
        action: str,
        *,
        actor: str,
        target: str | None = None,
        details: Mapping[str, Any] | None = None,
        outcome: Outcome = "done",
    ) -> Work[None]:
        """Record a change in the transaction that makes it (`yield from`)."""
        yield from rows.put(self._change(action, actor, target, details, outcome))

    async def list(self, wanted: Wanted) -> list[Change]:
        """Return changes, the newest first."""
        return await self._store.scan(rows.list_changes, wanted)

    async def forget(self) -> int:
        """Delete what is too old, and the oldest of what is too much; return how many."""
        kept, total = self._retention, 0
        before_ms = self._clock.now_ms() - kept.days * DAY_MS
        while count := await self._store.write(
            rows.forget_before, before_ms=before_ms, count=AT_ONCE
        ):
            total += count
        while count := await self._store.write(
            rows.forget_beyond, keep=kept.entries, count=AT_ONCE
        ):
            total += count
        return total

    def _change(
        self,
        action: str,
        actor: str,
        target: str | None,
        details: Mapping[str, Any] | None,
        outcome: Outcome,
    ) -> Change:
        return Change(
            action=_short(action),
            actor=_short(self._redactor.text(actor)),
            target=None if target is None else _short(self._redactor.text(target)),
            outcome=outcome,
            details=self._details(details or {}),
            recorded_at=self._clock.now_ms(),
        )

    def _details(self, details: Mapping[str, Any]) -> dict[str, Any]:
        shown = self._redactor.fields(dict(details))
        try:
            size = len(msgspec.json.encode(shown))
        except (TypeError, ValueError, RecursionError):
            return {"unreadable": sorted(map(str, shown))[:100]}
        if size <= MAX_DETAILS_BYTES:
            return shown
        return {"tooLong": size, "names": [_short(str(name)) for name in sorted(shown)][:10]}


def _short(text: str) -> str:
    # NUL is what PostgreSQL's texts cannot hold.
    return text.replace("\0", "")[:MAX_TEXT]
