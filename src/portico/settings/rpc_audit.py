"""`audit.changes.list`: Portico's own method. Who changed what, and when."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from portico.audit.model import Change, Outcome, Wanted
from portico.audit.service import Audit
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Time = Annotated[int, msgspec.Meta(ge=0)]


class AuditChangesList(Params, frozen=True, kw_only=True):
    """Which changes.

    Attributes:
        action: a whole name, or its first part: `config` for everything about the configuration.
        cursor: `nextCursor` of the answer to go on from.
    """

    action: NonEmpty | None = None
    actor: NonEmpty | None = None
    target: NonEmpty | None = None
    after: Time | None = None
    before: Time | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    cursor: Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,17}$")] | None = None


class ChangeView(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One change."""

    sequence: int
    action: str
    actor: str
    outcome: Outcome
    recorded_at: int
    target: str | None
    details: dict[str, Any]


class AuditChanges(Result, frozen=True, kw_only=True):
    """Changes, the newest first; `nextCursor` when there are more."""

    changes: tuple[ChangeView, ...]
    next_cursor: str | None = None


class AuditMethods:
    """The method of the record."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    @method("audit.changes.list", scope=Scope.READ)
    async def list_changes(self, call: Call, params: AuditChangesList) -> AuditChanges:
        """List who changed what on this gateway, the latest first."""
        found = await self._audit.list(_wanted(params))
        shown = found[: params.limit]
        return AuditChanges(
            changes=tuple(_view(change) for change in shown),
            next_cursor=str(shown[-1].sequence) if len(found) > len(shown) else None,
        )


def _wanted(params: AuditChangesList) -> Wanted:
    return Wanted(
        action=params.action or "",
        actor=params.actor or "",
        target=params.target or "",
        after_ms=params.after or 0,
        before_ms=params.before or 0,
        below=int(params.cursor or 0),
        count=params.limit + 1,
    )


def _view(change: Change) -> ChangeView:
    return ChangeView(**msgspec.structs.asdict(change))
