"""The door: from what a client says in `connect` (or an HTTP header) to a `Principal`.

Theory of operation: the Origin of pages is checked first, then the shared secret, then whether the
client may come without a device, then the device's proof, then (when there was no valid secret) its
device token or the bootstrap token of a setup code, and at last what the device is approved for. A
local device that proved the secret is approved silently, a new node of a trusted network too; every
other one waits for its owner.

Guarantees: every refusal is a `GatewayError` with the protocol's text and details; secrets are
compared in constant time and never logged; failures are limited per address (`rate_limit`).

Source: OpenClaw gateway protocol, "Connect failures", "Locality and device-less clients",
"Device pairing".
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from portico.auth import refusals
from portico.auth.device import encode_key, normalize, verify_device
from portico.auth.devices import Devices
from portico.auth.model import AuthMethod, Principal
from portico.auth.peer import Peer, is_within, origin_problem
from portico.auth.rate_limit import AuthScope, FailureLimiter, RateLimitSettings
from portico.auth.rows import ApprovedVia, Known, PairingReason, PairingRow, TokenRow
from portico.auth.tokens import IssuedToken, hash_token
from portico.clock import Clock
from portico.protocol.connect import CONTROL_UI, ConnectParams, DeviceProof
from portico.protocol.scopes import ALL_SCOPES, Role, expand

Sleep = Callable[[float], Awaitable[object]]
Mode = Literal["none", "token", "password"]
_LOCAL_WITHOUT_DEVICE = frozenset({("gateway-client", "backend"), ("cli", "cli")})


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Who may come in, from the configuration."""

    mode: Mode = "token"
    token: str | None = None
    password: str | None = None
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    auto_approve_local: bool = True
    auto_approve_cidrs: tuple[str, ...] = ()
    rate_limit: RateLimitSettings = field(default_factory=RateLimitSettings)

    @property
    def secret(self) -> str | None:
        """The shared secret of the mode."""
        return {"token": self.token, "password": self.password, "none": None}[self.mode]

    @property
    def secret_kind(self) -> Literal["token", "password"] | None:
        """What a client without a device of its own has to know; `None`: nothing."""
        if self.mode == "password":
            return "password" if self.password else None
        return "token" if self.mode != "none" and self.token else None


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody who was let in over the WebSocket, and the token its device is handed.

    Attributes:
        more_tokens: of the other roles that came with a setup code.
        setup_id: the setup code it came with; say with `settle` whether hello was sent.
    """

    principal: Principal
    device_token: IssuedToken | None = None
    more_tokens: tuple[IssuedToken, ...] = ()
    setup_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Proof:
    """What the client has proved so far; `failure` is why it proved nothing."""

    method: AuthMethod | None
    failure: refusals.Failure | None = None
    shared: bool = False


class Authenticator:
    """Decides who comes in."""

    def __init__(
        self,
        settings: AuthSettings,
        devices: Devices,
        clock: Clock,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._devices = devices
        self._clock = clock
        self._sleep = sleep
        self._limiter = FailureLimiter(clock, settings.rate_limit)

    @property
    def settings(self) -> AuthSettings:
        """The rules in force."""
        return self._settings

    def configure(self, settings: AuthSettings) -> None:
        """Use other rules for those who come from now on."""
        self._settings = settings
        self._limiter.configure(settings.rate_limit)
        self._devices.configure(secret=settings.secret)

    async def authenticate(self, params: ConnectParams, peer: Peer, nonce: str) -> Admitted:
        """Let a WebSocket client in.

        Args:
            nonce: what the connection was challenged with.

        Raises:
            GatewayError: the client is refused; the connection closes with the message.
        """
        self._check_origin(params, peer)
        proof = self._check_shared_secret(params, peer)
        if params.device is None:
            return await self._without_device(params, peer, proof)
        raw_key = verify_device(params, params.device, nonce=nonce, now_ms=self._clock.now_ms())
        while True:
            generation = self._devices.generation
            admitted = await self._with_device(params, params.device, peer, proof, raw_key)
            if generation == self._devices.generation:
                return admitted
            # What a device may do was taken away meanwhile: it may have been this one.

    async def _with_device(
        self,
        params: ConnectParams,
        device: DeviceProof,
        peer: Peer,
        proof: _Proof,
        raw_key: bytes,
    ) -> Admitted:
        known = await self._devices.find(device.id)
        by_setup_code = params.auth.bootstrap_token and not _holds_token(known, params)
        if proof.method is None and by_setup_code:
            return await self._by_setup_code(params, peer, encode_key(raw_key))
        if proof.method is None:
            proof = await self._check_device_token(params, peer, known, proof)
        issued = await self._check_approval(params, peer, known, proof, encode_key(raw_key))
        return Admitted(self._principal(params, peer, proof, _requested(params, peer)), issued)

    async def settle(self, admitted: Admitted, *, delivered: bool) -> None:
        """Note whether a device that came with a setup code was sent its tokens."""
        if admitted.setup_id is not None:
            await self._devices.bootstrap.settle(admitted.setup_id, delivered=delivered)

    async def http(self, authorization: str | None, peer: Peer) -> Principal:
        """Let an HTTP caller in.

        Args:
            authorization: the value of the Authorization header.

        Raises:
            Unauthorized: no or a wrong bearer secret (401).
            TooManyAttempts: the address is locked out (429, with `retry_after_ms`).
        """
        settings = self._settings
        if settings.mode == "none":
            principal = Principal.http_operator("none", ip=peer.ip, local=peer.direct_local)
            return principal if peer.scope_cap is None else principal.capped(peer.scope_cap)
        self._check_lockout("shared-secret", peer)
        scheme, _, given = (authorization or "").partition(" ")
        given = given.strip() if scheme.lower() == "bearer" else ""
        if not given:
            raise refusals.http_unauthorized()
        if not _equal(given, settings.secret):
            await self._failed("shared-secret", peer)
            raise refusals.http_unauthorized()
        self._limiter.succeeded("shared-secret", peer.address)
        return Principal.http_operator(settings.mode, ip=peer.ip, local=peer.direct_local)

    def _check_origin(self, params: ConnectParams, peer: Peer) -> None:
        if not params.client.is_browser and peer.origin is None:
            return
        problem = origin_problem(
            peer,
            allowed=self._settings.allowed_origins,
            by_host_name=self._settings.mode != "none",
        )
        if problem:
            raise refusals.origin(problem)

    def _check_shared_secret(self, params: ConnectParams, peer: Peer) -> _Proof:
        settings, auth = self._settings, params.auth
        if settings.mode == "none":
            return _Proof("none", shared=True)
        if settings.secret is None:
            return _Proof(None, refusals.not_configured(settings.mode))
        given = [secret for secret in (auth.token, auth.password, peer.query_token) if secret]
        if not given:
            return _Proof(None, refusals.missing(settings.mode))
        self._check_lockout("shared-secret", peer)
        if any([_equal(secret, settings.secret) for secret in given]):  # noqa: C419 - all compared
            self._limiter.succeeded("shared-secret", peer.address)
            return _Proof(settings.mode, shared=True)
        return _Proof(None, refusals.mismatch(settings.mode))

    async def _without_device(self, params: ConnectParams, peer: Peer, proof: _Proof) -> Admitted:
        client = params.client
        if proof.failure is not None and proof.failure.given:
            raise await self._unauthorized(params, peer, proof.failure)
        if client.id == CONTROL_UI and self._settings.mode != "none":
            raise refusals.control_ui_needs_device()
        if proof.method is None or params.role != Role.OPERATOR:
            raise refusals.device_required()
        trusted = peer.direct_local and (client.id, client.mode) in _LOCAL_WITHOUT_DEVICE
        if client.id == "gateway-client" and peer.origin:
            trusted = False
        keeps = trusted or client.id == CONTROL_UI
        scopes = _requested(params, peer) if keeps else ()
        return Admitted(self._principal(params, peer, proof, scopes))

    async def _check_device_token(
        self, params: ConnectParams, peer: Peer, known: Known | None, proof: _Proof
    ) -> _Proof:
        auth = params.auth
        given = auth.device_token or auth.token
        failure = proof.failure or refusals.missing("token")
        if not given:
            raise await self._unauthorized(params, peer, failure)
        self._check_lockout("device-token", peer)
        held = known.token(params.role) if known else None
        if held is not None and hmac.compare_digest(hash_token(given), held.token_hash):
            self._limiter.succeeded("device-token", peer.address)
            return _Proof("device-token")
        if auth.device_token:
            if not failure.given:
                failure = refusals.DEVICE_TOKEN_MISMATCH
            await self._failed("device-token", peer)
            raise refusals.unauthorized(failure, params)
        raise await self._unauthorized(params, peer, failure)

    async def _by_setup_code(self, params: ConnectParams, peer: Peer, public_key: str) -> Admitted:
        self._check_lockout("bootstrap-token", peer)
        wanted = _requested(params, peer)
        wish = self._devices.wish(params, public_key, wanted, "not-paired", remote_ip=peer.ip)
        redeemed = await self._devices.redeem(params.auth.bootstrap_token or "", wish)
        if redeemed is None:
            await self._failed("bootstrap-token", peer)
            raise refusals.unauthorized(refusals.SETUP_CODE_REFUSED, params)
        self._limiter.succeeded("bootstrap-token", peer.address)
        may = expand(list(redeemed.row.scopes_of(params.role)))
        scopes = tuple(scope for scope in wanted if scope in may)
        issued = {token.role: token for token in redeemed.admission.issued}
        return Admitted(
            self._principal(params, peer, _Proof("bootstrap-token"), scopes),
            issued.pop(params.role),
            more_tokens=tuple(issued.values()),
            setup_id=redeemed.row.setup_id,
        )

    async def _check_approval(
        self,
        params: ConnectParams,
        peer: Peer,
        known: Known | None,
        proof: _Proof,
        public_key: str,
    ) -> IssuedToken | None:
        held = known.token(params.role) if known else None
        wanted = _requested(params, peer)
        reason = _lacks(params, known, held, wanted)
        if known is not None and held is not None and reason is None:
            await self._devices.seen(known, params.role)
            return await self._issued(params, held, proof)
        reason = reason or "not-paired"
        wish = self._devices.wish(params, public_key, wanted, reason, remote_ip=peer.ip)
        via = self._approves_itself(params, peer, proof, wish, known)
        if via is not None:
            return await self._devices.let_in(wish, via=via)
        raise refusals.pairing(await self._devices.request(wish), reason, held)

    async def _issued(self, params: ConnectParams, held: TokenRow, proof: _Proof) -> IssuedToken:
        if proof.method == "device-token":
            token = params.auth.device_token or params.auth.token or ""
            return IssuedToken(token, held.role, held.scopes, held.issued_at)
        return await self._devices.reissue(held)

    def _approves_itself(
        self,
        params: ConnectParams,
        peer: Peer,
        proof: _Proof,
        wish: PairingRow,
        known: Known | None,
    ) -> ApprovedVia | None:
        """Return the rule by which nobody has to be asked, or `None`."""
        settings = self._settings
        if peer.direct_local and proof.shared and settings.auto_approve_local:
            return "silent"
        is_fresh_node = known is None and params.role == Role.NODE and not wish.scopes
        is_page = params.client.is_browser or peer.origin is not None
        is_near = peer.is_attributed and is_within(peer.ip, settings.auto_approve_cidrs)
        return "trusted-cidr" if is_fresh_node and is_near and not is_page else None

    def _check_lockout(self, scope: AuthScope, peer: Peer) -> None:
        wait_ms = self._limiter.locked_for_ms(scope, peer.address, exempt=peer.exempt)
        if wait_ms:
            raise refusals.locked_out(wait_ms)

    async def _unauthorized(
        self, params: ConnectParams, peer: Peer, failure: refusals.Failure
    ) -> Exception:
        if failure.given:
            await self._failed("shared-secret", peer)
        return refusals.unauthorized(failure, params)

    async def _failed(self, scope: AuthScope, peer: Peer) -> None:
        delay_ms = self._limiter.failed(scope, peer.address, exempt=peer.exempt)
        if delay_ms:
            await self._sleep(delay_ms / 1000)

    def _principal(
        self, params: ConnectParams, peer: Peer, proof: _Proof, scopes: tuple[str, ...]
    ) -> Principal:
        client, device = params.client, params.device
        return Principal(
            role=Role(params.role),
            granted=scopes,
            scopes=expand(frozenset(scopes)),
            method=proof.method or "none",
            subject=device.id if device else client.id,
            client_id=client.id,
            client_mode=client.mode,
            caps=frozenset(params.caps),
            device_id=device.id if device else None,
            ip=peer.ip,
            local=peer.direct_local,
        )


def _equal(given: str, secret: str | None) -> bool:
    return secret is not None and hmac.compare_digest(given.encode(), secret.encode())


def _holds_token(known: Known | None, params: ConnectParams) -> bool:
    """Whether the device offers the token it holds, so that its setup code is not needed."""
    held = known.token(params.role) if known else None
    given = params.auth.device_token
    return bool(held and given and hmac.compare_digest(hash_token(given), held.token_hash))


def _requested(params: ConnectParams, peer: Peer) -> tuple[str, ...]:
    """The scopes asked for that exist and lie under the connection's own cap."""
    if params.role != Role.OPERATOR:
        return ()
    scopes = tuple(dict.fromkeys(name for name in params.scopes if name in ALL_SCOPES))
    if peer.scope_cap is None:
        return scopes
    cap = expand(peer.scope_cap)
    return tuple(name for name in scopes if name in cap)


def _lacks(
    params: ConnectParams, known: Known | None, held: TokenRow | None, wanted: tuple[str, ...]
) -> PairingReason | None:
    if known is None:
        return "not-paired"
    if held is None:
        return "role-upgrade"
    if not set(wanted) <= expand(list(held.scopes)):
        return "scope-upgrade"
    client, device = params.client, known.device
    pinned = (normalize(device.platform), normalize(device.device_family))
    given = (normalize(client.platform), normalize(client.device_family))
    changed = any(old and old != new for old, new in zip(pinned, given, strict=True))
    return "metadata-upgrade" if changed else None
