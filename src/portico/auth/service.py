"""The door: from what a client says in `connect` (or an HTTP header) to a `Principal`.

Theory of operation: the Origin of pages is checked first, then the shared secret, then whether the
client may come without a device, then the device's proof, then (when there was no valid secret) its
device token or the bootstrap token of a setup code, and at last what the device is approved for. A
local device that proved the secret is approved silently, a new node of a trusted network too; every
other one waits for its owner.

In mode `trusted-proxy` the proxy's word stands for the shared secret, and so does Tailscale's for
those who come through Tailscale Serve. There and in mode `device` the secret of this machine's own
commands is a file only its owner can read, and good for nobody else.

Guarantees: every refusal is a `GatewayError` with the protocol's text and details; secrets are
compared in constant time and never logged; failures are limited per address (`rate_limit`).

Source: OpenClaw gateway protocol, "Connect failures", "Locality and device-less clients",
"Device pairing".
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from portico.auth import pinning, refusals, tailscale
from portico.auth.device import encode_key, verify_device
from portico.auth.devices import Devices
from portico.auth.model import AuthMethod, Principal
from portico.auth.peer import Peer, PeerRules, is_foreign_host, is_within, origin_problem
from portico.auth.rate_limit import AuthScope, FailureLimiter, RateLimitSettings
from portico.auth.rows import ApprovedVia, Known, PairingReason, PairingRow, TokenRow
from portico.auth.scoping import is_user_interface, requested, vouched_for, with_identity
from portico.auth.tailscale import TailscaleRefused, Whois
from portico.auth.tokens import IssuedToken, hash_token
from portico.auth.trusted_proxy import OwnAddresses, ProxyRefused, TrustedProxyRules, user_of
from portico.clock import Clock
from portico.net.interfaces import is_tailnet_address, own_addresses
from portico.protocol.connect import CONTROL_UI, ConnectParams, DeviceProof
from portico.protocol.errors import GatewayError, InvalidRequest
from portico.protocol.scopes import Role, expand

Sleep = Callable[[float], Awaitable[object]]
Mode = Literal["none", "token", "password", "trusted-proxy", "device"]
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
    auto_approve_tailnet: bool = False
    auto_approve_cidrs: tuple[str, ...] = ()
    rate_limit: RateLimitSettings = field(default_factory=RateLimitSettings)
    proxy: TrustedProxyRules = field(default_factory=TrustedProxyRules)
    allow_real_ip: bool = False
    allow_tailscale: bool = False
    identity_scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    local_secret: str | None = field(default=None, repr=False)

    @property
    def secret(self) -> str | None:
        """The shared secret of the mode."""
        return {"token": self.token, "password": self.password}.get(self.mode)

    @property
    def has_secret(self) -> bool:
        """Whether a secret is what lets people in, and not an identity."""
        return self.mode in {"token", "password"}

    @property
    def secret_kind(self) -> Literal["token", "password"] | None:
        """What a client without a device of its own has to know; `None`: nothing."""
        if self.local_secret:
            return "token"
        if self.mode == "password":
            return "password" if self.password else None
        return "token" if self.mode != "none" and self.token else None


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody who was let in over the WebSocket, and the token its device is handed.

    Attributes:
        more_tokens: of the other roles that came with a setup code.
        setup_id: the setup code it came with; say with `settle` whether hello was sent.
        generation: of the device book, when this was decided; `None`: it has no device.
    """

    principal: Principal
    device_token: IssuedToken | None = None
    more_tokens: tuple[IssuedToken, ...] = ()
    setup_id: str | None = None
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class _Proof:
    """What the client has proved so far; `failure` is why it proved nothing.

    Attributes:
        identity: who it is, as somebody vouches who knows.
    """

    method: AuthMethod | None
    failure: refusals.Failure | None = None
    shared: bool = False
    identity: str | None = None


class Authenticator:
    """Decides who comes in."""

    def __init__(
        self,
        settings: AuthSettings,
        devices: Devices,
        clock: Clock,
        *,
        sleep: Sleep = asyncio.sleep,
        whois: Whois | None = None,
        own_addresses: OwnAddresses = own_addresses,
    ) -> None:
        """Guard the door.

        Args:
            whois: says who of the tailnet somebody is; `None`: nobody is asked.
            own_addresses: this machine's.
        """
        self._whois = whois
        self._own_addresses = own_addresses
        self.tailscale_port = 0
        self._settings = settings
        self._devices = devices
        self._clock = clock
        self._sleep = sleep
        self._limiter = FailureLimiter(clock, settings.rate_limit)

    @property
    def settings(self) -> AuthSettings:
        """The rules in force."""
        return self._settings

    @property
    def peer_rules(self) -> PeerRules:
        """Whose word about where somebody comes from counts."""
        settings = self._settings
        headers = settings.proxy.headers if settings.mode == "trusted-proxy" else frozenset()
        if settings.allow_tailscale and self.tailscale_port:
            headers |= tailscale.HEADERS
        return PeerRules(
            settings.trusted_proxies, settings.allow_real_ip, headers, self.tailscale_port
        )

    def check_peer(self, peer: Peer) -> None:
        """Refuse somebody because of where it comes from, or how it calls us.

        Raises:
            Forbidden: a proxy nobody knows is between, or a name that is not ours was used.
        """
        if peer.has_unknown_proxy:
            raise refusals.unknown_proxy()
        if is_foreign_host(peer, allowed=self._settings.allowed_origins):
            raise refusals.foreign_host()

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
        proof = await self._check_identity(params, peer, self._check_shared_secret(params, peer))
        device = params.device
        if device is None:
            judged = self._without_device(params, peer, proof)
        else:
            raw_key = verify_device(params, device, nonce=nonce, now_ms=self._clock.now_ms())
            judged = self._with_known_device(params, device, peer, proof, raw_key)
        try:
            admitted = await judged
        except GatewayError:
            if proof.failure is not None and proof.failure.given:
                # A wrong secret is a guess, whatever else came with it and was refused first.
                await self._failed("shared-secret", peer)
            raise
        if proof.shared:
            self._limiter.succeeded("shared-secret", peer.address)
        return admitted

    def check_still_good(self, admitted: Admitted) -> None:
        """Check that nothing was taken from any device since somebody was let in.

        Raises:
            InvalidRequest: something was, perhaps from this one; it may try again.
        """
        if admitted.generation not in {None, self._devices.generation}:
            raise InvalidRequest("device pairing changed; connect again")

    async def _with_known_device(
        self,
        params: ConnectParams,
        device: DeviceProof,
        peer: Peer,
        proof: _Proof,
        raw_key: bytes,
    ) -> Admitted:
        while True:
            generation = self._devices.generation
            admitted = await self._with_device(params, device, peer, proof, raw_key)
            if generation == self._devices.generation:
                return replace(admitted, generation=generation)
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
        if proof.method is None and not self._may_ask(params, known, proof):
            proof = await self._check_device_token(params, peer, known, proof)
        wanted = self._wanted(params, peer, proof, known)
        wish = self._devices.wish(
            params, encode_key(raw_key), wanted, "not-paired", remote_ip=peer.ip
        )
        issued = await self._check_approval(params, peer, known, proof, wish)
        scopes = self._with_identity(params, peer, proof, wanted)
        return Admitted(self._principal(params, peer, proof, scopes), issued)

    def _may_ask(self, params: ConnectParams, known: Known | None, proof: _Proof) -> bool:
        """Whether a device that has proved nothing else may ask its owner: there is no secret."""
        if self._settings.mode != "device" or (proof.failure is not None and proof.failure.given):
            return False
        auth = params.auth
        is_new = known is None or known.token(params.role) is None
        return is_new and not (auth.device_token or auth.token)

    def _wanted(
        self, params: ConnectParams, peer: Peer, proof: _Proof, known: Known | None
    ) -> tuple[str, ...]:
        """The scopes a device is to be approved for."""
        most = self._settings.proxy.device_scopes
        if proof.method != "trusted-proxy" or most is None or not is_user_interface(params):
            return requested(params, peer)
        held = known.token(params.role) if known else None
        return vouched_for(params, peer, most=most, held=held)

    def _with_identity(
        self, params: ConnectParams, peer: Peer, proof: _Proof, scopes: tuple[str, ...]
    ) -> tuple[str, ...]:
        identity = proof.identity if params.role == Role.OPERATOR else None
        return with_identity(scopes, identity, self._settings.identity_scopes, peer)

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
        scheme, _, given = (authorization or "").partition(" ")
        given = given.strip() if scheme.lower() == "bearer" else ""
        if settings.mode == "trusted-proxy" and not self._is_own_command(peer):
            return self._http_by_proxy(peer)
        self._check_lockout("shared-secret", peer)
        if not given:
            raise refusals.http_unauthorized()
        if not self._knows_secret((given,), peer):
            await self._failed("shared-secret", peer)
            raise refusals.http_unauthorized()
        self._limiter.succeeded("shared-secret", peer.address)
        method: AuthMethod = "password" if settings.mode == "password" else "token"
        return Principal.http_operator(method, ip=peer.ip, local=peer.direct_local)

    def _http_by_proxy(self, peer: Peer) -> Principal:
        proof = self._by_proxy(peer)
        if proof.identity is None:
            raise refusals.http_unauthorized()
        principal = Principal.http_operator(
            "trusted-proxy", ip=peer.ip, local=False, identity=proof.identity
        )
        return principal if peer.scope_cap is None else principal.capped(peer.scope_cap)

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
        given = [secret for secret in (auth.token, auth.password, peer.query_token) if secret]
        match settings.mode:
            case "none":
                return _Proof("none", shared=True)
            case "token" | "password" as mode:
                if settings.secret is None:
                    return _Proof(None, refusals.not_configured(mode))
                if not given:
                    return _Proof(None, refusals.missing(mode))
                self._check_lockout("shared-secret", peer)
                if self._knows_secret(given, peer):
                    return _Proof(mode, shared=True)
                return _Proof(None, refusals.mismatch(mode))
            case "trusted-proxy" | "device":
                return self._check_own_secret(params, peer, given)

    def _check_own_secret(self, params: ConnectParams, peer: Peer, given: Sequence[str]) -> _Proof:
        """Look for the secret of this machine's commands, where there is none for others."""
        if self._settings.mode == "trusted-proxy" and not self._is_own_command(peer):
            return self._by_proxy(peer)
        if not given or not self._is_own_command(peer):
            return _Proof(None, refusals.NO_DEVICE_TOKEN)
        self._check_lockout("shared-secret", peer)
        if self._knows_secret(given, peer):
            return _Proof("token", shared=True)
        if params.device is not None:  # it may be the device's own
            return _Proof(None, refusals.NO_DEVICE_TOKEN)
        return _Proof(None, refusals.LOCAL_SECRET_MISMATCH)

    def _knows_secret(self, given: Sequence[str], peer: Peer) -> bool:
        settings = self._settings
        if settings.has_secret:
            secrets = [settings.secret]
        else:
            secrets = [settings.local_secret, settings.password] * self._is_own_command(peer)
        return any([_equal(one, secret) for one in given for secret in secrets])  # noqa: C419 - all compared

    def _is_own_command(self, peer: Peer) -> bool:
        """Whether a program of this machine may be at the other end, and no page."""
        return peer.direct_local and peer.origin is None

    def _by_proxy(self, peer: Peer) -> _Proof:
        try:
            user = user_of(self._settings.proxy, peer, self._own_addresses)
        except ProxyRefused as refused:
            return _Proof(None, refusals.by_proxy(refused.reason))
        return _Proof("trusted-proxy", identity=user)

    async def _check_identity(self, params: ConnectParams, peer: Peer, proof: _Proof) -> _Proof:
        """Let Tailscale vouch for an operator who has shown nothing else."""
        settings = self._settings
        is_sought = proof.method is None and not (proof.failure and proof.failure.given)
        if not (is_sought and settings.allow_tailscale and peer.via_tailscale and self._whois):
            return proof
        if params.role != Role.OPERATOR or params.auth.device_token or params.auth.bootstrap_token:
            return proof
        try:
            login = await self._whois.login_of(peer)
        except TailscaleRefused as refused:
            return _Proof(None, refusals.by_tailscale(refused.reason))
        return _Proof("tailscale", identity=login)

    async def _without_device(self, params: ConnectParams, peer: Peer, proof: _Proof) -> Admitted:
        client = params.client
        if proof.failure is not None and proof.failure.given:
            raise refusals.unauthorized(proof.failure, params)
        by_proxy = proof.method == "trusted-proxy"
        if client.id == CONTROL_UI and self._settings.mode != "none" and not by_proxy:
            raise refusals.control_ui_needs_device()
        if by_proxy and client.id != CONTROL_UI:
            raise refusals.device_required()
        if proof.method is None and proof.failure is not None and not self._settings.has_secret:
            raise refusals.unauthorized(proof.failure, params)
        if proof.method is None or params.role != Role.OPERATOR:
            raise refusals.device_required()
        trusted = peer.direct_local and (client.id, client.mode) in _LOCAL_WITHOUT_DEVICE
        if client.id == "gateway-client" and peer.origin:
            trusted = False
        keeps = trusted or (client.id == CONTROL_UI and not by_proxy)
        scopes = requested(params, peer) if keeps else ()
        scopes = self._with_identity(params, peer, proof, scopes)
        return Admitted(self._principal(params, peer, proof, scopes))

    async def _check_device_token(
        self, params: ConnectParams, peer: Peer, known: Known | None, proof: _Proof
    ) -> _Proof:
        auth = params.auth
        given = auth.device_token or auth.token
        failure = proof.failure or refusals.missing("token")
        if not given:
            raise refusals.unauthorized(failure, params)
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
        raise refusals.unauthorized(failure, params)

    async def _by_setup_code(self, params: ConnectParams, peer: Peer, public_key: str) -> Admitted:
        self._check_lockout("bootstrap-token", peer)
        wanted = requested(params, peer)
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
        wish: PairingRow,
    ) -> IssuedToken | None:
        held = known.token(params.role) if known else None
        reason = _lacks(params, known, held, wish.scopes)
        if known is not None and held is not None and reason is None:
            await self._devices.seen(known, params.role)
            if pinning.compare(known.device, params.client) == "newer":
                await self._devices.pin(known, params.client.platform)
            return await self._issued(params, held, proof)
        reason = reason or "not-paired"
        wish = replace(wish, reason=reason)
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
        if proof.shared and settings.auto_approve_local and self._is_here(peer):
            return "silent"
        if proof.method == "trusted-proxy" and self._vouches_for_device(params, wish, known):
            return "trusted-proxy"
        is_fresh_node = known is None and params.role == Role.NODE and not wish.scopes
        is_page = params.client.is_browser or peer.origin is not None
        is_near = peer.is_attributed and is_within(peer.ip, settings.auto_approve_cidrs)
        return "trusted-cidr" if is_fresh_node and is_near and not is_page else None

    def _is_here(self, peer: Peer) -> bool:
        """Whether a device is on this machine: by loopback, or by our own Tailscale address."""
        if peer.direct_local:
            return True
        is_sought = self._settings.auto_approve_tailnet and peer.origin is None
        if not is_sought or peer.has_proxy or peer.ip is None or not peer.is_attributed:
            return False
        return is_tailnet_address(peer.ip) and peer.ip in self._own_addresses()

    def _vouches_for_device(
        self, params: ConnectParams, wish: PairingRow, known: Known | None
    ) -> bool:
        """Whether the proxy's word is enough for a new device, or for more scopes of one."""
        may = self._settings.proxy.device_scopes
        reason = _lacks(params, known, known.token(params.role) if known else None, wish.scopes)
        is_more = reason in {"not-paired", "scope-upgrade"}
        return may is not None and is_more and is_user_interface(params)

    def _check_lockout(self, scope: AuthScope, peer: Peer) -> None:
        wait_ms = self._limiter.locked_for_ms(scope, peer.address, exempt=peer.exempt)
        if wait_ms:
            raise refusals.locked_out(wait_ms)

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
            identity=proof.identity,
        )


def _equal(given: str, secret: str | None) -> bool:
    return secret is not None and hmac.compare_digest(given.encode(), secret.encode())


def _holds_token(known: Known | None, params: ConnectParams) -> bool:
    """Whether the device offers the token it holds, so that its setup code is not needed."""
    held = known.token(params.role) if known else None
    given = params.auth.device_token
    return bool(held and given and hmac.compare_digest(hash_token(given), held.token_hash))


def _lacks(
    params: ConnectParams, known: Known | None, held: TokenRow | None, wanted: tuple[str, ...]
) -> PairingReason | None:
    if known is None:
        return "not-paired"
    if held is None:
        return "role-upgrade"
    if not set(wanted) <= expand(list(held.scopes)):
        return "scope-upgrade"
    changed = pinning.compare(known.device, params.client) == "changed"
    return "metadata-upgrade" if changed else None
