"""RPC methods of pairing: who asks to write, and who may.

`channels.pairing.redeem`, `.approved`, `.admit` and `.revoke` are Portico's own additions.

Source: OpenClaw gateway protocol, "channels.pairing.*".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from portico.channels.access.pairing import Notification, Pairings
from portico.channels.access.store import ApprovedRow, RequestRow
from portico.channels.accounts.service import Accounts
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class Which(Params, frozen=True, kw_only=True):
    """`{channel?, accountId?}`."""

    channel: NonEmpty | None = None
    account_id: NonEmpty | None = None


class AccountShown(Result, frozen=True, kw_only=True):
    """One account that people can ask to write to."""

    channel: str
    channel_label: str
    account_id: str
    notify_supported: bool = msgspec.field()
    account_label: str | None = None


class RequestShown(Result, frozen=True, kw_only=True):
    """One person who asks. Times are ISO 8601."""

    request_id: str
    channel: str
    channel_label: str
    account_id: str
    sender_id: str
    sender_label: str
    created_at: str
    last_seen_at: str
    expires_at: str
    notify_supported: bool = msgspec.field()
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    account_label: str | None = None


class Limits(Result, frozen=True, kw_only=True, omit_defaults=False):
    """How many may ask, and for how long."""

    pending_per_account: int
    ttl_ms: int


class Requests(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Who asks."""

    accounts: list[AccountShown]
    requests: list[RequestShown]
    command_owner_configured: bool
    limits: Limits


class Approve(Params, frozen=True, kw_only=True):
    """`{channel, accountId, requestId, notify?, bootstrapCommandOwner?}`."""

    channel: NonEmpty
    account_id: NonEmpty
    request_id: NonEmpty
    notify: bool = False
    bootstrap_command_owner: bool = False


class Redeem(Params, frozen=True, kw_only=True):
    """`{channel, accountId, code, notify?}`."""

    channel: NonEmpty
    account_id: NonEmpty
    code: NonEmpty
    notify: bool = False


class Approved(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Somebody may write now."""

    request_id: str
    sender_id: str
    notification: Notification
    command_owner_bootstrap: Literal["not-requested", "unavailable"]


class Dismiss(Params, frozen=True, kw_only=True):
    """`{channel, accountId, requestId}`."""

    channel: NonEmpty
    account_id: NonEmpty
    request_id: NonEmpty


class Dismissed(Result, frozen=True, kw_only=True):
    """Somebody may not."""

    request_id: str
    sender_id: str


class Person(Params, frozen=True, kw_only=True):
    """`{channel, accountId, senderId}`."""

    channel: NonEmpty
    account_id: NonEmpty
    sender_id: NonEmpty


class ApprovedShown(Result, frozen=True, kw_only=True):
    """One person who may write."""

    channel: str
    account_id: str
    sender_id: str
    approved_by: str
    approved_at: int
    sender_label: str | None = None


class ApprovedList(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Who may write."""

    approved: list[ApprovedShown]


class Changed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Whether something changed."""

    sender_id: str
    changed: bool


class PairingMethods:
    """`channels.pairing.*`."""

    def __init__(self, *, pairings: Pairings, accounts: Accounts) -> None:
        self._pairings = pairings
        self._accounts = accounts

    @method("channels.pairing.list", scope=Scope.PAIRING)
    async def list(self, call: Call, params: Which) -> Requests:
        """List who asks to write, and where one can ask."""
        found = await self._pairings.list_pending(
            channel=params.channel or "", account=params.account_id or ""
        )
        rules = self._pairings.rules
        return Requests(
            accounts=[
                AccountShown(
                    channel=one.channel,
                    channel_label=one.manifest.label,
                    account_id=one.account,
                    account_label=one.entry.config.name,
                    notify_supported=True,
                )
                for one in self._accounts.all()
                if one.entry.config is not None
                and one.entry.config.dm_policy == "pairing"
                and params.channel in {None, one.channel}
                and params.account_id in {None, one.account}
            ],
            requests=[self._shown(one) for one in found],
            command_owner_configured=False,
            limits=Limits(pending_per_account=rules.pending, ttl_ms=rules.ttl_ms),
        )

    @method("channels.pairing.approve", scope=Scope.PAIRING, audit="pairing.approved")
    async def approve(self, call: Call, params: Approve) -> Approved:
        """Let somebody write who asks, by the id of the request."""
        request, notification = await self._pairings.approve(
            params.channel,
            params.account_id,
            params.request_id,
            by=call.principal.subject,
            notify=params.notify,
        )
        wants_owner = params.bootstrap_command_owner
        return _approved(request, notification, wants_owner=wants_owner)

    @method("channels.pairing.redeem", scope=Scope.PAIRING, audit="pairing.approved")
    async def redeem(self, call: Call, params: Redeem) -> Approved:
        """Let somebody write who asks, by the code they show."""
        self._check(params.channel, params.account_id)
        request, notification = await self._pairings.redeem(
            params.channel,
            params.account_id,
            params.code,
            by=call.principal.subject,
            notify=params.notify,
        )
        return _approved(request, notification, wants_owner=False)

    @method("channels.pairing.dismiss", scope=Scope.PAIRING, audit="pairing.rejected")
    async def dismiss(self, call: Call, params: Dismiss) -> Dismissed:
        """Reject somebody who asks; they are not answered for some hours."""
        request = await self._pairings.reject(params.channel, params.account_id, params.request_id)
        return Dismissed(request_id=request.request_id, sender_id=request.sender)

    @method("channels.pairing.approved", scope=Scope.PAIRING)
    async def approved(self, call: Call, params: Which) -> ApprovedList:
        """List who was approved."""
        found = await self._pairings.list_approved(
            channel=params.channel or "", account=params.account_id or ""
        )
        return ApprovedList(approved=[_person(one) for one in found])

    @method("channels.pairing.admit", scope=Scope.PAIRING, audit="pairing.admitted")
    async def admit(self, call: Call, params: Person) -> Changed:
        """Let somebody write who has not asked, by their stable id."""
        self._check(params.channel, params.account_id)
        await self._pairings.admit(
            params.channel, params.account_id, params.sender_id, by=call.principal.subject
        )
        return Changed(sender_id=params.sender_id, changed=True)

    @method("channels.pairing.revoke", scope=Scope.PAIRING, audit="pairing.revoked")
    async def revoke(self, call: Call, params: Person) -> Changed:
        """Let somebody write no longer."""
        changed = await self._pairings.revoke(params.channel, params.account_id, params.sender_id)
        return Changed(sender_id=params.sender_id, changed=changed)

    def _check(self, channel: str, account: str) -> None:
        if self._accounts.find(channel, account) is None:
            raise InvalidRequest(f"unknown account of {channel}: {account}")

    def _shown(self, request: RequestRow) -> RequestShown:
        known = self._accounts.find(request.channel, request.account)
        config = None if known is None else known.entry.config
        return RequestShown(
            request_id=request.request_id,
            channel=request.channel,
            channel_label=request.channel if known is None else known.manifest.label,
            account_id=request.account,
            account_label=None if config is None else config.name,
            sender_id=request.sender,
            sender_label=request.sender_name or request.sender,
            metadata={"messages": str(request.messages)},
            created_at=_iso(request.created_at),
            last_seen_at=_iso(request.seen_at),
            expires_at=_iso(request.expires_at),
            notify_supported=known is not None,
        )


def _approved(request: RequestRow, notification: Notification, *, wants_owner: bool) -> Approved:
    return Approved(
        request_id=request.request_id,
        sender_id=request.sender,
        notification=notification,
        command_owner_bootstrap="unavailable" if wants_owner else "not-requested",
    )


def _person(row: ApprovedRow) -> ApprovedShown:
    return ApprovedShown(
        channel=row.channel,
        account_id=row.account,
        sender_id=row.sender,
        sender_label=row.sender_name,
        approved_by=row.approved_by,
        approved_at=row.approved_at,
    )


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
