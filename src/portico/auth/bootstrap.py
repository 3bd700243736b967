"""Bootstrap tokens: what a setup code carries, and how a device comes in with one.

Theory of operation: using a token and letting its device in is one transaction, so of two devices
that come with the same token one gets in. Until its tokens were handed over, the device that used
it (and no other) may come again: the gateway may have died before it could answer.

Guarantees: a token is stored as a hash only, works for one device, for ten minutes; a device gets
what the token was made for, and nothing it asks for beyond.

Source: OpenClaw gateway protocol, "Device pairing" (bootstrap profiles, setup codes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import bindparam, delete, func, or_, select, update

from portico.auth.pending import drop_requests_of
from portico.auth.queries import Admission, Grant, admit, values_of
from portico.auth.rows import DeviceRow
from portico.auth.tables import bootstrap_tokens as tokens
from portico.auth.tokens import TokenMaker, hash_token
from portico.clock import Clock
from portico.ids import new_secret, new_uuid
from portico.protocol.errors import Unavailable
from portico.protocol.scopes import Role, Scope
from portico.store import Row, Store, Work, one, statement

_p = bindparam
Publish = Callable[[str, dict[str, Any]], None]
Access = Literal["full", "limited", "node"]
KEPT_MS = 86_400_000  # how long the outcome of a setup can be asked for
SETTLING_MS = 10_000  # a device that used its token so long ago should have had its answer

_HANDOFF = (Scope.APPROVALS, Scope.QUESTIONS, Scope.READ, Scope.TALK_SECRETS, Scope.WRITE)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a device becomes that comes with a token."""

    access: Access
    roles: tuple[str, ...]
    scopes: tuple[str, ...]


PROFILES: dict[str, Profile] = {
    "full": Profile("full", (Role.NODE, Role.OPERATOR), (Scope.ADMIN, *_HANDOFF)),
    "limited": Profile("limited", (Role.NODE, Role.OPERATOR), _HANDOFF),
    "node": Profile("node", (Role.NODE,), ()),
    "voice-node": Profile("limited", (Role.NODE, Role.OPERATOR), (Scope.READ, Scope.TALK)),
}


@dataclass(frozen=True, slots=True)
class BootstrapRow:
    """A token, by its hash, and who used it."""

    token_hash: str
    setup_id: str
    access: Access
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int
    device_id: str | None = None
    device_name: str | None = None
    used_at: int | None = None
    confirmed_at: int | None = None

    def scopes_of(self, role: str) -> tuple[str, ...]:
        """What its device may do in a role."""
        return self.scopes if role == Role.OPERATOR else ()

    @property
    def outcome(self) -> dict[str, Any]:
        """How the setup ended, as events and `device.pair.setupStatus` say it."""
        shown = {
            "setupId": self.setup_id,
            "deviceId": self.device_id,
            "deviceName": self.device_name,
            "access": self.access,
            "ts": self.confirmed_at or self.used_at,
        }
        return {name: value for name, value in shown.items() if value}


@dataclass(frozen=True, slots=True)
class IssuedBootstrap:
    """A token as the setup code carries it."""

    setup_id: str
    token: str
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A device that came in with a token."""

    row: BootstrapRow
    admission: Admission


_put = statement(lambda insert: insert(tokens))
_find = statement(select(tokens).where(tokens.c.token_hash == _p("token_hash")))
_find_setup = statement(select(tokens).where(tokens.c.setup_id == _p("setup_id")))
_count_open = statement(
    select(func.count().label("open")).where(
        tokens.c.expires_at > _p("now"), tokens.c.device_id.is_(None)
    )
)
_use = statement(
    update(tokens)
    .where(
        tokens.c.token_hash == _p("p_hash"),
        tokens.c.expires_at > _p("p_now"),
        tokens.c.confirmed_at.is_(None),
        or_(tokens.c.device_id.is_(None), tokens.c.device_id == _p("p_device_id")),
    )
    .values(device_id=_p("p_device_id"), device_name=_p("p_name"), used_at=_p("p_now"))
    .returning(*tokens.c)
)
_confirm = statement(
    update(tokens)
    .where(
        tokens.c.setup_id == _p("p_setup_id"),
        tokens.c.device_id.is_not(None),
        tokens.c.confirmed_at.is_(None),
    )
    .values(confirmed_at=_p("p_now"))
    .returning(*tokens.c)
)
_drop_old = statement(delete(tokens).where(tokens.c.expires_at <= _p("before")))
_drop_of = statement(delete(tokens).where(tokens.c.device_id == _p("device_id")))


def _row(row: Row) -> BootstrapRow:
    values = {name: row[name] for name in BootstrapRow.__dataclass_fields__}
    for name in ("roles", "scopes"):
        values[name] = tuple(msgspec.json.decode(row[name]))
    return BootstrapRow(**values)


def issue(row: BootstrapRow, *, most: int) -> Work[bool]:
    """Store a token; `False` when as many wait for a device as may."""
    yield _drop_old(before=row.created_at - KEPT_MS)
    counted = one((yield _count_open(now=row.created_at)))
    if counted is not None and counted["open"] >= most:
        return False
    yield _put(**values_of(row))
    return True


def redeem(
    token_hash: str, role: str, device: DeviceRow, *, maker: TokenMaker, now: int
) -> Work[Redeemed | None]:
    """Use a token and let its device in; `None`: it is none, or not for this device or role."""
    found = one((yield _find(token_hash=token_hash)))
    if found is None or role not in _row(found).roles:
        return None
    name = device.display_name
    used = one(
        (yield _use(p_hash=token_hash, p_device_id=device.device_id, p_name=name, p_now=now))
    )
    if used is None:
        return None
    row = _row(used)
    grants = tuple(Grant(each, row.scopes_of(each)) for each in row.roles)
    admission = yield from admit(device, grants, maker=maker, now=now)
    yield from drop_requests_of(device.device_id)
    return Redeemed(row, admission)


def find_setup(setup_id: str) -> Work[BootstrapRow | None]:
    """Return the token of a setup code."""
    row = one((yield _find_setup(setup_id=setup_id)))
    return None if row is None else _row(row)


def confirm(setup_id: str, now: int) -> Work[BootstrapRow | None]:
    """Note that the device was handed its tokens; `None`: that was known, or nobody came."""
    row = one((yield _confirm(p_setup_id=setup_id, p_now=now)))
    return None if row is None else _row(row)


def drop_used_by(device_id: str) -> Work[None]:
    """Forget the tokens of a device that is forgotten, so that it cannot come again with one."""
    yield _drop_of(device_id=device_id)


class Bootstrap:
    """Issues tokens, and follows what becomes of them."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        publish: Publish,
        *,
        ttl_ms: int = 600_000,
        most: int = 50,
    ) -> None:
        """Begin.

        Args:
            publish: told of `device.pair.setup.completed` and `….deliveryUncertain`.
            most: how many tokens may wait for a device at once.
        """
        self._store = store
        self._clock = clock
        self._publish = publish
        self._ttl_ms = ttl_ms
        self._most = most

    def limit(self, *, ttl_ms: int, most: int) -> None:
        """Issue tokens with another life, and another number of them, from now on."""
        self._ttl_ms, self._most = ttl_ms, most

    async def issue(self, profile: Profile) -> IssuedBootstrap:
        """Make a token.

        Raises:
            Unavailable: too many wait for a device.
        """
        token, now = new_secret(), self._clock.now_ms()
        row = BootstrapRow(
            token_hash=hash_token(token),
            setup_id=new_uuid(),
            access=profile.access,
            roles=profile.roles,
            scopes=profile.scopes,
            created_at=now,
            expires_at=now + self._ttl_ms,
        )
        if not await self._store.write(issue, row, most=self._most):
            raise Unavailable(
                f"{self._most} setup codes wait for a device; use one of them, or try later",
                details={"code": "TOO_MANY_SETUP_CODES"},
                retryable=True,
                retry_after_ms=self._ttl_ms,
            )
        return IssuedBootstrap(row.setup_id, token, row.expires_at)

    async def settle(self, setup_id: str, *, delivered: bool) -> None:
        """Note whether the device that used a token was handed its own."""
        if delivered:
            row = await self._store.write(confirm, setup_id, self._clock.now_ms())
            event = "device.pair.setup.completed"
        else:
            row = await self._store.read(find_setup, setup_id)
            event = "device.pair.setup.deliveryUncertain"
        if row is not None:
            self._publish(event, row.outcome)

    async def status(self, setup_id: str) -> dict[str, Any]:
        """Return how a setup ended: `{}`, `{completion}` or `{deliveryUncertain}`."""
        row = await self._store.read(find_setup, setup_id)
        if row is None or row.used_at is None:
            return {}
        if row.confirmed_at is not None:
            return {"completion": row.outcome}
        if self._clock.now_ms() - row.used_at < SETTLING_MS:
            return {}
        return {"deliveryUncertain": row.outcome}
