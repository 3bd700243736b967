"""RPC methods about secrets: `secrets.reload`, `secrets.resolve`, `secrets.store.*`.

Source: OpenClaw gateway protocol, "secrets.*".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from portico.audit.service import Audit
from portico.clock import Clock
from portico.config.issues import ConfigError
from portico.config.keypath import KeyPath, format_path, get_at
from portico.config.secret_store import Entry, SecretStore, SecretStoreError
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.settings.service import Settings

T = TypeVar("T")
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Name = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=128,
        pattern=r"^(?:[A-Z][A-Z0-9_]{0,127}|github-setup-[a-f0-9]{32})$",
    ),
]
Host = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]


class StoreSet(Params, frozen=True, kw_only=True):
    """A secret, or a variable, and its value."""

    name: Name
    value: Annotated[str, msgspec.Meta(max_length=65_536)]
    kind: Literal["secret", "env"]
    allowed_hosts: Annotated[list[Host], msgspec.Meta(max_length=128)] | None = None


class StoreDelete(Params, frozen=True, kw_only=True):
    """`{name}`."""

    name: Name


class Overrides(Params, frozen=True, kw_only=True):
    """Accepted; there is nothing here they would change."""

    web_search: NonEmpty | None = None
    web_fetch: NonEmpty | None = None


class Resolve(Params, frozen=True, kw_only=True):
    """Which secrets a command needs: paths of the configuration, `*` for any one name."""

    command_name: NonEmpty
    target_ids: list[NonEmpty]
    allowed_paths: list[NonEmpty] | None = None
    forced_active_paths: list[NonEmpty] | None = None
    optional_active_paths: list[NonEmpty] | None = None
    provider_overrides: Overrides | None = None


class Mutated(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What became of it; `reloaded`: what refers to it runs with it now."""

    ok: bool = True
    reloaded: bool
    warning_count: int


class Reloaded(Result, frozen=True, kw_only=True, omit_defaults=False):
    """How many references cannot be resolved."""

    ok: bool = True
    warning_count: int


class SecretMethods:
    """The methods of secrets."""

    def __init__(
        self, settings: Settings, *, store: SecretStore, audit: Audit, clock: Clock
    ) -> None:
        self._settings = settings
        self._live = settings.live
        self._store = store
        self._audit = audit
        self._clock = clock

    @method("secrets.store.list", scope=Scope.ADMIN)
    async def list_stored(self, call: Call, params: Empty) -> dict[str, Any]:
        """List what is stored, without the values of secrets."""
        found = await _attempt(self._store.entries)
        return {"entries": [_shown(one) for one in found]}

    @method("secrets.store.set", scope=Scope.ADMIN, throttled=True)
    async def set(self, call: Call, params: StoreSet) -> Mutated:
        """Store a secret, encrypted; what refers to it follows."""
        hosts = params.allowed_hosts or []
        if len(set(hosts)) != len(hosts):
            raise InvalidRequest("invalid secrets.store.set params: allowedHosts repeats a host")
        subject = call.principal.subject
        await _attempt(
            lambda: self._store.put(
                params.name,
                params.value,
                kind=params.kind,
                now_ms=self._clock.now_ms(),
                by=subject,
                allowed_hosts=tuple(hosts),
            )
        )
        await self._audit.record(
            "secret.set", actor=subject, target=params.name, details={"kind": params.kind}
        )
        return await self._mutated()

    @method("secrets.store.delete", scope=Scope.ADMIN, throttled=True)
    async def delete(self, call: Call, params: StoreDelete) -> Mutated:
        """Delete a stored secret."""
        if not await _attempt(lambda: self._store.delete(params.name)):
            raise InvalidRequest(f"unknown secret: {params.name}")
        await self._audit.record("secret.deleted", actor=call.principal.subject, target=params.name)
        return await self._mutated()

    @method("secrets.reload", scope=Scope.ADMIN)
    async def reload(self, call: Call, params: Empty) -> Reloaded:
        """Look every secret reference up again; what runs follows."""
        try:
            await self._reload()
        except ConfigError as error:
            raise Unavailable(f"secrets cannot be resolved: {error.issues[0].message}") from None
        await self._audit.record("secrets.reloaded", actor=call.principal.subject)
        return Reloaded(warning_count=len(self._live.loaded.degraded))

    @method("secrets.resolve", scope=Scope.ADMIN)
    async def resolve(self, call: Call, params: Resolve) -> dict[str, Any]:
        """Return the values of secrets a command of this machine needs."""
        loaded = self._live.loaded
        allowed = params.allowed_paths
        found = [
            path
            for path in sorted(loaded.secret_paths, key=format_path)
            if _is_among(path, params.target_ids) and (allowed is None or _is_among(path, allowed))
        ]
        broken = {one.path for one in loaded.degraded}
        await self._audit.record(
            "secrets.resolved",
            actor=call.principal.subject,
            target=params.command_name,
            details={"paths": [format_path(path) for path in found]},
        )
        return {
            "ok": True,
            "assignments": [
                {
                    "path": format_path(path),
                    "pathSegments": [str(step) for step in path],
                    "value": get_at(loaded.resolved, path),
                }
                for path in found
                if format_path(path) not in broken
            ],
            "diagnostics": [f"{one.path}: {one.message}" for one in loaded.degraded],
            "inactiveRefPaths": [],
        }

    async def _mutated(self) -> Mutated:
        try:
            await self._reload()
            is_reloaded = True
        except ConfigError:
            is_reloaded = False
        return Mutated(reloaded=is_reloaded, warning_count=len(self._live.loaded.degraded))

    async def _reload(self) -> None:
        await self._live.adopt()


def _is_among(path: KeyPath, patterns: list[str]) -> bool:
    written = format_path(path)
    return any(
        re.fullmatch(re.escape(one).replace(r"\*", r"[^.\[\]]+"), written) for one in patterns
    )


def _shown(entry: Entry) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": entry.name,
        "scopeKind": "team",
        "scopeId": "",
        "createdAtMs": entry.created_at_ms,
        "updatedAtMs": entry.updated_at_ms,
        "kind": entry.kind,
    }
    if entry.updated_by:
        shown["updatedBy"] = entry.updated_by
    if entry.kind == "env":
        return shown | {"value": entry.value or ""}
    return shown | ({"allowedHosts": list(entry.allowed_hosts)} if entry.allowed_hosts else {})


async def _attempt(work: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(work)
    except SecretStoreError as error:
        raise Unavailable(str(error)) from None
