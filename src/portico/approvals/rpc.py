"""RPC methods of approvals: ask, wait, decide, look.

A reviewer is known by the connection it comes over: its scopes and its device. What is kept to
some devices does not exist for the others; a `reviewer` on a channel cannot be proved here and is
refused.

Source: OpenClaw gateway protocol, "exec.approval.*", "approval.*".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import structlog

from portico.approvals import shapes
from portico.approvals.asking import ExecApprovalRequest, NonEmpty, new_approval
from portico.approvals.life import DECISIONS, Decision, Outcome
from portico.approvals.model import Approval, Reviewer
from portico.approvals.service import Approvals
from portico.auth.model import Principal
from portico.clock import Clock
from portico.protocol.errors import ApprovalNotFound, InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

log = structlog.get_logger()

HISTORY = 50
_NO_GRANTS = "approvals with an end date are not supported; decide without grantExpiresInDays"
Kind = Literal["exec", "plugin", "system-agent"]
Days = Annotated[int, msgspec.Meta(ge=1, le=3650)]


class ApprovalId(Params, frozen=True, kw_only=True):
    """`{id}`."""

    id: NonEmpty


class ChannelReviewer(Params, frozen=True, kw_only=True):
    """Somebody who decided on a channel."""

    channel: NonEmpty
    account_id: NonEmpty
    sender_id: NonEmpty


class ExecApprovalResolve(Params, frozen=True, kw_only=True):
    """`{id, decision}`."""

    id: NonEmpty
    decision: NonEmpty
    reviewer: ChannelReviewer | None = None
    grant_expires_in_days: Days | None = None


class ApprovalResolve(Params, frozen=True, kw_only=True):
    """`{id, kind, decision}`."""

    id: NonEmpty
    kind: Kind
    decision: Decision
    reviewer: ChannelReviewer | None = None
    grant_expires_in_days: Days | None = None


class ApprovalHistory(Params, frozen=True, kw_only=True):
    """`{cursor?, limit?, kind?}`."""

    cursor: Annotated[str, msgspec.Meta(min_length=1, max_length=512)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    kind: Kind | None = None


class ApprovalDecided(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The end of an approval; no decision: it ended without one."""

    id: str
    decision: Decision | None
    created_at_ms: int
    expires_at_ms: int
    terminal_reason: str | None = None


class Ok(Result, frozen=True, kw_only=True):
    """Done."""

    ok: Literal[True]


class ApprovalShown(Result, frozen=True, kw_only=True):
    """An approval of any state."""

    approval: dict[str, Any]


class ApprovalResolved(Result, frozen=True, kw_only=True):
    """What a decision came to: whether it counted, and the approval as it is."""

    applied: bool
    approval: dict[str, Any]


class ApprovalsEnded(Result, frozen=True, kw_only=True, omit_defaults=False):
    """A page of past approvals, the newest first."""

    items: list[dict[str, Any]]
    next_cursor: str | msgspec.UnsetType = msgspec.UNSET


class ApprovalMethods:
    """`exec.approval.*` and `approval.*`."""

    def __init__(self, *, approvals: Approvals, clock: Clock, base_path: str = "") -> None:
        self._approvals = approvals
        self._clock = clock
        self._base_path = base_path

    @method("exec.approval.request", scope=Scope.APPROVALS)
    async def request(self, call: Call, params: ExecApprovalRequest) -> ApprovalDecided:
        """Ask reviewers for a decision, and answer once there is one.

        With `twoPhase`, a first answer says that the approval waits, and for whom. Asking the same
        again under the same id waits for the same approval.
        """
        now, default_ms = self._clock.now_ms(), int(self._approvals.settings.timeout_s * 1000)
        new = new_approval(params, call.principal, now=now, timeout_ms=default_ms)
        approval, route = await self._approvals.request(
            new,
            over=call.connection.conn_id if call.connection else None,
            needs_route=params.require_delivery_route is not False,
        )
        if params.two_phase and approval.is_pending:
            call.accept(
                {
                    "status": "accepted",
                    "id": approval.approval_id,
                    "deliveryRoute": route,
                    "createdAtMs": approval.created_at,
                    "expiresAtMs": approval.expires_at,
                }
            )
        return _decided(await self._approvals.wait(approval.approval_id))

    @method("exec.approval.waitDecision", scope=Scope.APPROVALS)
    async def wait_decision(self, call: Call, params: ApprovalId) -> ApprovalDecided:
        """Wait for the decision on an approval, also over a restart of the gateway."""
        try:
            await self._approvals.find_for(params.id, _reviewer(call.principal))
        except ApprovalNotFound:
            raise ApprovalNotFound("approval expired or not found") from None
        return _decided(await self._approvals.wait(params.id))

    @method("exec.approval.resolve", scope=Scope.APPROVALS, audit="approval.resolved")
    async def resolve(self, call: Call, params: ExecApprovalResolve) -> Ok:
        """Decide an approval. The same decision again is fine, another one is refused."""
        if params.decision not in DECISIONS:
            raise InvalidRequest("invalid decision")
        _, outcome = await self._decide(call, params, params.decision)
        if outcome is Outcome.CONFLICT:
            raise InvalidRequest(
                "approval already resolved", details={"reason": "APPROVAL_ALREADY_RESOLVED"}
            )
        if outcome is Outcome.OVER:
            raise ApprovalNotFound
        return Ok(ok=True)

    @method("exec.approval.list", scope=Scope.APPROVALS)
    async def list(self, call: Call, params: Empty) -> list[dict[str, Any]]:
        """List the approvals that wait, the oldest first."""
        found = await self._approvals.list_pending(_reviewer(call.principal))
        return [shapes.requested_event(approval) for approval in found]

    @method("exec.approval.get", scope=Scope.APPROVALS)
    async def get(self, call: Call, params: ApprovalId) -> dict[str, Any]:
        """Show one approval that waits."""
        approval = await self._approvals.find_for(params.id, _reviewer(call.principal))
        if not approval.is_pending or approval.expires_at <= self._clock.now_ms():
            raise ApprovalNotFound
        return shapes.shown(approval)

    @method("approval.get", scope=Scope.APPROVALS)
    async def get_any(self, call: Call, params: ApprovalId) -> ApprovalShown:
        """Show one approval, waiting or past."""
        try:
            approval = await self._approvals.find_for(params.id, _reviewer(call.principal))
        except ApprovalNotFound:
            raise ApprovalNotFound("approval not found") from None
        return ApprovalShown(approval=self._snapshot(approval))

    @method("approval.resolve", scope=Scope.APPROVALS, audit="approval.resolved")
    async def resolve_any(self, call: Call, params: ApprovalResolve) -> ApprovalResolved:
        """Decide an approval, and say how it ended, whoever ended it."""
        if params.kind != "exec":
            raise ApprovalNotFound("approval not found")
        approval, outcome = await self._decide(call, params, params.decision)
        applied = outcome in {Outcome.APPLIED, Outcome.REPEATED}
        return ApprovalResolved(applied=applied, approval=self._snapshot(approval))

    @method("approval.history", scope=Scope.APPROVALS)
    async def history(self, call: Call, params: ApprovalHistory) -> ApprovalsEnded:
        """List past approvals, the newest first."""
        if params.kind not in {None, "exec"}:
            return ApprovalsEnded(items=[])
        limit = params.limit or HISTORY
        found = await self._approvals.list_ended(
            _reviewer(call.principal), before=_place(params.cursor), count=limit
        )
        ended = ApprovalsEnded(items=[self._snapshot(approval) for approval in found])
        if len(found) < limit:
            return ended
        last = found[-1]
        cursor = f"{last.resolved_at}:{last.approval_id}"
        return msgspec.structs.replace(ended, next_cursor=cursor)

    async def _decide(
        self, call: Call, params: ExecApprovalResolve | ApprovalResolve, decision: Decision
    ) -> tuple[Approval, Outcome]:
        if params.grant_expires_in_days is not None:
            raise InvalidRequest(_NO_GRANTS)
        if params.reviewer is not None:
            log.warning(
                "approval.unproved_reviewer",
                approval_id=params.id,
                channel=params.reviewer.channel,
                subject=call.principal.subject,
            )
            raise ApprovalNotFound
        return await self._approvals.resolve(params.id, decision, _reviewer(call.principal))

    def _snapshot(self, approval: Approval) -> dict[str, Any]:
        return shapes.snapshot(approval, base_path=self._base_path)


def _reviewer(principal: Principal) -> Reviewer:
    name = principal.client_id or principal.subject
    return Reviewer(principal.scopes, principal.device_id, name, principal.subject)


def _decided(approval: Approval) -> ApprovalDecided:
    return ApprovalDecided(
        id=approval.approval_id,
        decision=approval.decision,
        created_at_ms=approval.created_at,
        expires_at_ms=approval.expires_at,
        terminal_reason=approval.reason.value if approval.reason else None,
    )


def _place(cursor: str | None) -> tuple[int, str]:
    if cursor is None:
        return (1 << 62, "")
    at, _, approval_id = cursor.partition(":")
    if not at.isdecimal() or len(at) > 18 or not approval_id:
        raise InvalidRequest("invalid approval.history params: at /cursor: is not one of ours")
    return int(at), approval_id
