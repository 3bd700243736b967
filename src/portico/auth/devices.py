"""Devices the gateway knows, what each may do, and those that ask to be let in.

Guarantees: a device token is stored as a hash only; a device that proves itself again gets the
same token back, and a new one when the gateway's secret has changed. Every change is one
transaction, decided on what is stored in it: of two who answer the same request, one does. Whoever
listens is told of a change once it is on disk, before the one who made it.

Source: OpenClaw gateway protocol, "Device pairing".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from portico.auth import bootstrap, pending, queries
from portico.auth.bootstrap import Bootstrap, BootstrapRow, Redeemed
from portico.auth.model import Principal
from portico.auth.pending import Asked, PendingLimits, TooManyWait
from portico.auth.queries import Admission, Grant
from portico.auth.records import pending_record
from portico.auth.rows import ApprovedVia, DeviceRow, Known, PairingReason, PairingRow, TokenRow
from portico.auth.tokens import IssuedToken, TokenMaker, hash_token
from portico.clock import Clock
from portico.ids import new_id
from portico.protocol.connect import ConnectParams
from portico.protocol.errors import InvalidRequest, Outcome, Unavailable
from portico.store import Store, Work

SEEN_EVERY_MS = 60_000
FULL_WAIT_MS = 60_000
Publish = Callable[[str, dict[str, Any]], None]
ChangeKind = Literal["approved", "rejected", "removed", "renamed", "rotated", "revoked"]
CheckRequest = Callable[[PairingRow], None]
"""Raises when the caller may not answer a request."""
CheckKnown = Callable[[Known], None]
"""Raises when the caller may not change a device."""


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """What happened to a device.

    Attributes:
        roles: the roles it concerns.
        by: who did it; `None`: the gateway, by its rules.
    """

    kind: ChangeKind
    device_id: str
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    via: ApprovedVia | None = None
    by: Principal | None = None
    request_id: str | None = None
    label: str | None = None


Heard = Callable[[DeviceChange], Awaitable[None]]


class Devices:
    """The device book."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        publish: Publish,
        *,
        secret: str | None,
        limits: PendingLimits | None = None,
        bootstrap: Bootstrap | None = None,
    ) -> None:
        """Open the book.

        Args:
            publish: told of the events `device.pair.*`.
            secret: the gateway's shared secret; without one, tokens last as long as the process.
        """
        self._store = store
        self._clock = clock
        self._publish = publish
        self._limits = limits or PendingLimits()
        self._maker = TokenMaker(secret=secret)
        self._heard: list[Heard] = []
        self.generation = 0  # counts what was taken away: who is being let in is judged again
        self.bootstrap = bootstrap or Bootstrap(store, clock, publish)

    def configure(self, *, secret: str | None) -> None:
        """Use another shared secret from now on."""
        self._maker.configure(secret=secret)

    def limit(self, limits: PendingLimits) -> None:
        """Bound the requests that come from now on otherwise."""
        self._limits = limits

    def listen(self, heard: Heard) -> None:
        """Tell somebody of every change."""
        self._heard.append(heard)

    async def find(self, device_id: str) -> Known | None:
        """Return an approved device, or `None`."""
        return await self._store.read(queries.find_known, device_id)

    async def list_approved(self) -> list[Known]:
        """Return every approved device, the oldest first."""
        return await self._store.read(queries.list_known)

    async def list_pending(self) -> list[PairingRow]:
        """Return the requests that wait for an answer."""
        return await self._store.read(pending.list_requests, self._clock.now_ms())

    async def find_request(self, request_id: str) -> PairingRow | None:
        """Return a request that waits for an answer, or `None`."""
        return await self._store.read(pending.find_request, request_id, self._clock.now_ms())

    def wish(
        self,
        params: ConnectParams,
        public_key: str,
        scopes: tuple[str, ...],
        reason: PairingReason,
        *,
        remote_ip: str | None,
    ) -> PairingRow:
        """Put into words what a device that proved itself asks for."""
        client = params.client
        about = {
            "displayName": client.display_name,
            "platform": client.platform,
            "deviceFamily": client.device_family,
            "clientId": client.id,
            "clientMode": client.mode,
        }
        return self._wish(
            device_id=params.device.id if params.device else "",
            public_key=public_key,
            role=params.role,
            scopes=scopes,
            reason=reason,
            client={name: value for name, value in about.items() if value},
            remote_ip=remote_ip,
        )

    def upgrade(
        self, known: Known, role: str, scopes: tuple[str, ...], *, remote_ip: str | None
    ) -> PairingRow:
        """Put into words that a device asks to be allowed more."""
        device = known.device
        about = {
            "displayName": device.display_name,
            "platform": device.platform,
            "deviceFamily": device.device_family,
            "clientId": device.client_id,
            "clientMode": device.client_mode,
        }
        return self._wish(
            device_id=device.device_id,
            public_key=device.public_key,
            role=role,
            scopes=scopes,
            reason="scope-upgrade",
            client={name: value for name, value in about.items() if value},
            remote_ip=remote_ip,
        )

    def _wish(self, **asked: Any) -> PairingRow:
        now = self._clock.now_ms()
        return PairingRow(
            request_id=new_id("pair"),
            created_at=now,
            expires_at=now + self._limits.ttl_ms,
            **asked,
        )

    async def request(self, wish: PairingRow) -> PairingRow:
        """Remember that a device asks; asking again refreshes its request.

        Raises:
            Unavailable: too many requests wait.
        """
        try:
            asked: Asked = await self._store.write(pending.put_request, wish, limits=self._limits)
        except TooManyWait:
            raise Unavailable(
                "too many devices wait for approval; try again later",
                details={"code": "PAIRING_REQUIRED", "reason": "too-many-requests"},
                retryable=True,
                retry_after_ms=FULL_WAIT_MS,
                outcome=Outcome.NOT_STARTED,
            ) from None
        if asked.superseded is not None:
            self._resolved(asked.superseded, "rejected")
            await self._tell(_answered(asked.superseded, "rejected"))
        if asked.is_new:
            self._publish("device.pair.requested", pending_record(asked.request))
        return asked.request

    async def approve(
        self,
        request_id: str,
        *,
        by: Principal | None = None,
        check: CheckRequest = lambda _request: None,
    ) -> Known:
        """Let in the device that asked.

        Raises:
            InvalidRequest: there is no such request (any more).
            GatewayError: what `check` raises; then nothing has changed.
        """

        def work() -> Work[tuple[PairingRow, Admission] | None]:
            request = yield from pending.take_request(request_id, now)
            if request is None:
                return None
            check(request)
            return request, (yield from self._admission(request, "owner", now))

        now = self._clock.now_ms()
        done = await self._store.write(work)
        if done is None:
            raise InvalidRequest("unknown requestId")
        request, admission = done
        self._resolved(request, "approved")
        await self._tell(replace(_answered(request, "approved"), via="owner", by=by))
        return admission.known

    async def let_in(self, request: PairingRow, *, via: ApprovedVia) -> IssuedToken:
        """Let a device in by a rule; nobody is asked, and nobody needs an answer."""
        now = self._clock.now_ms()

        def work() -> Work[Admission]:
            return (yield from self._admission(request, via, now))

        admission = await self._store.write(work)
        self._changed()
        await self._tell(
            DeviceChange("approved", request.device_id, (request.role,), request.scopes, via)
        )
        return admission.issued[0]

    def _admission(self, request: PairingRow, via: ApprovedVia, now: int) -> Work[Admission]:
        return queries.admit(
            _device_of(request, via, now),
            (Grant(request.role, request.scopes),),
            maker=self._maker,
            now=now,
        )

    async def redeem(self, token: str, request: PairingRow) -> Redeemed | None:
        """Let in a device that came with a setup code's token; `None`: the token does not count."""
        now = self._clock.now_ms()
        redeemed = await self._store.write(
            bootstrap.redeem,
            hash_token(token),
            request.role,
            _device_of(request, "bootstrap", now),
            maker=self._maker,
            now=now,
        )
        if redeemed is not None:
            row: BootstrapRow = redeemed.row
            self._changed()
            await self._tell(
                DeviceChange("approved", request.device_id, row.roles, row.scopes, "bootstrap")
            )
        return redeemed

    async def reject(
        self,
        request_id: str,
        *,
        by: Principal | None = None,
        check: CheckRequest = lambda _request: None,
    ) -> PairingRow:
        """Refuse the device that asked.

        Raises:
            InvalidRequest: there is no such request (any more).
            GatewayError: what `check` raises; then nothing has changed.
        """

        def work() -> Work[PairingRow | None]:
            request = yield from pending.take_request(request_id, now)
            if request is not None:
                check(request)
            return request

        now = self._clock.now_ms()
        request = await self._store.write(work)
        if request is None:
            raise InvalidRequest("unknown requestId")
        self._resolved(request, "rejected")
        await self._tell(replace(_answered(request, "rejected"), by=by))
        return request

    async def remove(
        self,
        device_id: str,
        *,
        by: Principal | None = None,
        check: CheckKnown = lambda _known: None,
    ) -> Known | None:
        """Forget a device and what it asks for; `None` when there is no such device.

        Raises:
            GatewayError: what `check` raises; then nothing has changed.
        """

        def work() -> Work[Known | None]:
            known = yield from queries.lock_known(device_id)
            if known is not None:
                check(known)
                yield from queries.remove(device_id)
            yield from pending.drop_requests_of(device_id)
            yield from bootstrap.drop_used_by(device_id)
            return known

        known = await self._store.write(work)
        if known is not None:
            self.generation += 1
            self._changed()
            roles = tuple(token.role for token in known.tokens)
            await self._tell(DeviceChange("removed", device_id, roles, by=by))
        return known

    async def rename(
        self,
        device_id: str,
        label: str,
        *,
        by: Principal | None = None,
        check: CheckKnown = lambda _known: None,
    ) -> bool:
        """Give a device the name its owner calls it; `False` when there is no such device.

        Raises:
            GatewayError: what `check` raises; then nothing has changed.
        """

        def work() -> Work[Known | None]:
            known = yield from queries.lock_known(device_id)
            if known is not None:
                check(known)
                yield from queries.rename(device_id, label)
            return known

        known = await self._store.write(work)
        if known is not None:
            self._changed()
            await self._tell(DeviceChange("renamed", device_id, known.roles, by=by, label=label))
        return known is not None

    async def rotate(
        self,
        device_id: str,
        role: str,
        scopes: tuple[str, ...] | None = None,
        *,
        by: Principal | None = None,
        check: CheckKnown = lambda _known: None,
    ) -> IssuedToken | None:
        """Replace a device's token; `None` when it does not hold the role.

        Args:
            scopes: what it may do from now on, which `check` has to judge; as before without.

        Raises:
            GatewayError: what `check` raises; then nothing has changed.
        """
        now = self._clock.now_ms()

        def work() -> Work[IssuedToken | None]:
            known = yield from queries.lock_known(device_id)
            held = known.token(role) if known else None
            if known is None or held is None:
                return None
            check(known)
            kept = held.scopes if scopes is None else scopes
            issued, row = self._maker.issue(device_id, role, kept, before=held, now=now)
            yield from queries.put_token(row)
            return issued

        issued = await self._store.write(work)
        if issued is not None:
            self.generation += 1
            self._changed()
            await self._tell(DeviceChange("rotated", device_id, (role,), issued.scopes, by=by))
        return issued

    async def revoke(
        self,
        device_id: str,
        role: str,
        *,
        by: Principal | None = None,
        check: CheckKnown = lambda _known: None,
    ) -> int | None:
        """Take a role from a device and return when; `None` when it does not hold it.

        Raises:
            GatewayError: what `check` raises; then nothing has changed.
        """
        now = self._clock.now_ms()

        def work() -> Work[bool]:
            known = yield from queries.lock_known(device_id)
            if known is None or known.token(role) is None:
                return False
            check(known)
            yield from bootstrap.drop_used_by(device_id)
            return (yield from queries.revoke_token(device_id, role, now))

        if not await self._store.write(work):
            return None
        self.generation += 1
        self._changed()
        await self._tell(DeviceChange("revoked", device_id, (role,), by=by))
        return now

    async def reissue(self, held: TokenRow) -> IssuedToken:
        """Hand a device that proved itself its token again."""
        token = self._maker.again(held)
        if token is None:  # it was made with another secret of the gateway
            token = await self._renew(held)
        return token

    async def _renew(self, held: TokenRow) -> IssuedToken:
        now = self._clock.now_ms()

        def work() -> Work[IssuedToken | None]:
            known = yield from queries.lock_known(held.device_id)
            current = known.token(held.role) if known else None
            if current is None:
                return None
            issued, row = self._maker.issue(
                held.device_id, held.role, current.scopes, before=current, now=now
            )
            yield from queries.put_token(row)
            return issued

        issued = await self._store.write(work)
        if issued is None:  # removed or revoked while it connected
            raise InvalidRequest("device pairing changed; connect again")
        return issued

    async def seen(self, known: Known, role: str) -> None:
        """Note that a device is here, at most once a minute."""
        now = self._clock.now_ms()
        if now - (known.device.last_seen_at or 0) >= SEEN_EVERY_MS:
            await self._store.write(queries.touch, known.device.device_id, role, now)

    async def pin(self, known: Known, platform: str) -> None:
        """Note that a device has a newer version of its system."""
        await self._store.write(queries.pin_platform, known.device.device_id, platform)

    async def forget(self) -> int:
        """Forget the requests nobody answered in time; return how many."""
        return await self._store.write(pending.drop_expired, self._clock.now_ms())

    async def _tell(self, change: DeviceChange) -> None:
        for heard in self._heard:
            await heard(change)

    def _changed(self) -> None:
        self._publish("device.pair.changed", {})

    def _resolved(self, request: PairingRow, decision: Literal["approved", "rejected"]) -> None:
        self._publish(
            "device.pair.resolved",
            {
                "requestId": request.request_id,
                "deviceId": request.device_id,
                "decision": decision,
                "ts": self._clock.now_ms(),
            },
        )


def _answered(request: PairingRow, decision: Literal["approved", "rejected"]) -> DeviceChange:
    return DeviceChange(
        decision,
        request.device_id,
        (request.role,),
        request.scopes,
        request_id=request.request_id,
    )


def _device_of(request: PairingRow, via: ApprovedVia, now: int) -> DeviceRow:
    about = request.client
    return DeviceRow(
        device_id=request.device_id,
        public_key=request.public_key,
        display_name=about.get("displayName"),
        platform=about.get("platform"),
        device_family=about.get("deviceFamily"),
        client_id=about.get("clientId"),
        client_mode=about.get("clientMode"),
        approved_via=via,
        approved_at=now,
        last_seen_at=None if via == "owner" else now,  # by the other rules it is just coming in
        remote_ip=request.remote_ip,
        created_at=now,
    )
