"""RPC methods of setup codes: `device.pair.setupCode`, `device.pair.setupStatus`.

Source: OpenClaw gateway protocol, "Devices and approvals".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.audit.service import Audit
from portico.auth.bootstrap import Bootstrap
from portico.devices.setup import SecretKind, SetupDesk
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]


class SetupCodeWish(Params, frozen=True, kw_only=True):
    """`{publicUrl?, preferRemoteUrl?, includeQr?, bootstrapProfile?, joinUrl?}`.

    Without profile: full; with a join link: node.
    """

    public_url: NonEmpty | None = None
    prefer_remote_url: bool = False
    include_qr: bool = True
    bootstrap_profile: Literal["limited", "node", "voice-node"] | None = None
    join_url: Literal[True] | None = None


class SetupId(Params, frozen=True):
    """`{setupId}`."""

    setup_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class SetupCodeMade(Result, frozen=True, kw_only=True):
    """A setup code; whoever shows it first is let in."""

    setup_id: str
    expires_at_ms: int
    setup_code: str
    gateway_url: str
    auth: SecretKind
    url_source: str
    gateway_urls: tuple[str, ...] | None = None
    access: str
    join_url: str | None = None
    qr_data_url: str | None = None
    access_downgraded: bool | None = None


class SetupMethods:
    """`device.pair.setup*`."""

    def __init__(self, *, desk: SetupDesk, bootstrap: Bootstrap, audit: Audit) -> None:
        self._desk = desk
        self._audit = audit
        self._bootstrap = bootstrap

    @method("device.pair.setupCode", scope=Scope.ADMIN)
    async def setup_code(self, call: Call, params: SetupCodeWish) -> SetupCodeMade:
        """Make a setup code, with which one device is let in without being asked.

        It works once, for ten minutes. Without a profile its device becomes a node and an
        administrator, or something less where the address is not encrypted. With `joinUrl` there
        is also a link that gives the code to the first who opens it.
        """
        if params.join_url and params.bootstrap_profile not in {None, "node"}:
            raise InvalidRequest("Join URLs require bootstrapProfile=node.")
        kind = self._desk.secret_kind
        made = await self._desk.make(
            params.bootstrap_profile or ("node" if params.join_url else "full"),
            public_url=params.public_url,
            prefer_remote=params.prefer_remote_url,
            with_qr=params.include_qr,
            with_link=bool(params.join_url),
        )
        await self._audit.record(
            "device.setup_code_made",
            actor=call.principal.subject,
            target=made.setup_id,
            details={"access": made.access, "url": made.code.url},
        )
        return SetupCodeMade(
            setup_id=made.setup_id,
            expires_at_ms=made.code.expires_at_ms or 0,
            setup_code=made.code.encode(),
            gateway_url=made.code.url,
            gateway_urls=made.code.urls,
            auth=kind,
            url_source=made.source,
            access=made.access,
            join_url=made.join_url,
            qr_data_url=made.qr_data_url,
            access_downgraded=made.is_downgraded or None,
        )

    @method("device.pair.setupStatus", scope=Scope.ADMIN)
    async def setup_status(self, call: Call, params: SetupId) -> dict[str, Any]:
        """Say whether a device has come with a setup code: `{}` as long as none has."""
        return await self._bootstrap.status(params.setup_id)
