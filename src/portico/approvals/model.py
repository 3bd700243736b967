"""Approvals as values: what is asked, what was decided, and the row in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from portico.approvals.life import DECISIONS, ApprovalState, Decision, Reason
from portico.protocol.scopes import Scope
from portico.store import Row

Origin = Literal["client", "agent"]
ResolverKind = Literal["device", "runtime", "system"]
WithoutDecision = Literal["expired", "no-approval-route", "cancelled", "overloaded", "too-large"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked:
    """What a tool or a runtime wants to do, and asks a person about.

    Attributes:
        command: what the reviewer reads.
        command_argv: what will be run; with it, and an agent, `allow-always` is remembered.
        host: where it will run: gateway, node or sandbox.
        node_id: on which node.
        warning: something the reviewer should know.
        allowed: what the reviewer may choose.
    """

    command: str
    command_argv: tuple[str, ...] = ()
    cwd: str | None = None
    host: str = "gateway"
    agent_id: str | None = None
    session_key: str | None = None
    session_id: str | None = None
    run_id: str | None = None
    tool_call_id: str | None = None
    warning: str | None = None
    allowed: tuple[Decision, ...] = DECISIONS
    node_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """The answer to an asker. No decision is a no.

    Attributes:
        reason: why there is no decision.
        resolved_by: who decided, for people.
    """

    decision: Decision | None
    reason: WithoutDecision | None = None
    resolved_by: str | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the asker may go on."""
        return self.decision in {"allow-once", "allow-always"}


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Somebody who may see or decide approvals. `name` is for people, `subject` for the record."""

    scopes: frozenset[str]
    device_id: str | None = None
    name: str = ""
    subject: str = ""

    def may_review(self, reviewers: tuple[str, ...]) -> bool:
        """Whether an approval that is kept to some devices (none: to nobody) is theirs.

        Administrators may review everything: they could change the policy itself.
        """
        if Scope.ADMIN in self.scopes:
            return True
        return Scope.APPROVALS in self.scopes and (not reviewers or self.device_id in reviewers)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApproval:
    """An approval to put on record.

    Attributes:
        request: the wire's `request` object, as reviewers get it.
        origin: client: asked over the wire, lives until it is decided or expires; agent: asked by
            a tool in this process, ends when that goes away.
        fingerprint: of what is asked; asking the same again joins what is open.
        reviewers: device ids that may review it; empty: everybody with the scope.
        silent: reviewers are not told; they find it in the list.
    """

    approval_id: str
    request: dict[str, Any]
    allowed: tuple[Decision, ...]
    origin: Origin
    fingerprint: str
    requested_by: str
    created_at: int
    expires_at: int
    reviewers: tuple[str, ...] = ()
    silent: bool = False


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the approvals table.

    Attributes:
        owner: the process whose agent asks; it renews `lease_until` while it lives.
    """

    approval_id: str
    state: ApprovalState
    request: dict[str, Any]
    allowed: tuple[Decision, ...]
    origin: Origin
    fingerprint: str
    requested_by: str
    reviewers: tuple[str, ...]
    silent: bool
    decision: Decision | None
    reason: Reason | None
    resolver_kind: ResolverKind | None
    resolver_id: str | None
    resolved_by: str | None
    owner: str | None
    lease_until: int | None
    created_at: int
    expires_at: int
    resolved_at: int | None
    consumed_at: int | None

    @property
    def is_pending(self) -> bool:
        """Whether it waits."""
        return self.state is ApprovalState.PENDING

    @property
    def agent_id(self) -> str | None:
        """The agent that asks."""
        return self._text("agentId")

    @property
    def session_key(self) -> str | None:
        """The conversation it is about."""
        return self._text("sessionKey")

    def _text(self, name: str) -> str | None:
        value = self.request.get(name)
        return value if isinstance(value, str) and value else None


def approval_from_row(row: Row) -> Approval:
    """Read a full row."""
    return Approval(
        approval_id=row["approval_id"],
        state=ApprovalState(row["state"]),
        request=msgspec.json.decode(row["request"]),
        allowed=msgspec.json.decode(row["allowed"], type=tuple[Decision, ...]),
        origin=row["origin"],
        fingerprint=row["fingerprint"],
        requested_by=row["requested_by"],
        reviewers=msgspec.json.decode(row["reviewers"], type=tuple[str, ...]),
        silent=bool(row["silent"]),
        decision=row["decision"],
        reason=None if row["reason"] is None else Reason(row["reason"]),
        resolver_kind=row["resolver_kind"],
        resolver_id=row["resolver_id"],
        resolved_by=row["resolved_by"],
        owner=row["owner"],
        lease_until=row["lease_until"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        resolved_at=row["resolved_at"],
        consumed_at=row["consumed_at"],
    )
