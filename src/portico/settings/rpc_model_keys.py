"""`models.authSetApiKey`, `models.authLogout`: the keys of model providers, from a client.

A key goes into the secret store, encrypted; the configuration only refers to it. It is the whole
gateway's: every agent asks the provider with it.

Not here: signing in to providers with an account (OAuth); which providers have a key
(`models.authStatus`).

Source: OpenClaw gateway protocol, "models.auth*".
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from portico.agents.editing import edit, one_line
from portico.agents.model.catalog import ProviderSpec
from portico.agents.service import Agents
from portico.audit.service import Audit
from portico.clock import Clock
from portico.config.edit import Change
from portico.config.keypath import KeyPath, get_at
from portico.config.live import LiveConfig
from portico.config.secret_store import SecretStore, SecretStoreError
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

T = TypeVar("T")
NonBlank = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"\S")]
MAX_KEY_CHARS = 16_384


class KeySet(Params, frozen=True, kw_only=True):
    """`{provider, apiKey, agentId?}`; the key is every agent's, whichever is named."""

    provider: NonBlank
    api_key: Annotated[str, msgspec.Meta(min_length=1, pattern=r"\S")]
    agent_id: str | None = None


class KeyGone(Params, frozen=True, kw_only=True):
    """`{provider, profileIds?, credentialType?, agentId?}`."""

    provider: NonBlank
    profile_ids: Annotated[list[NonBlank], msgspec.Meta(min_length=1)] | None = None
    credential_type: Literal["api_key"] | None = None
    agent_id: str | None = None


class KeyKept(Result, frozen=True, kw_only=True):
    """Whose key was stored, and what clients may call it."""

    provider: str
    profile_id: str


class KeyRemoved(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What was removed: nothing, when there was no key."""

    provider: str
    removed_profiles: list[str]


class ModelKeyMethods:
    """The methods of providers' keys."""

    def __init__(
        self, live: LiveConfig, *, agents: Agents, store: SecretStore, audit: Audit, clock: Clock
    ) -> None:
        self._live = live
        self._agents = agents
        self._store = store
        self._audit = audit
        self._clock = clock

    @method("models.authSetApiKey", scope=Scope.ADMIN, throttled=True)
    async def set_key(self, call: Call, params: KeySet) -> KeyKept:
        """Store a provider's key, encrypted, and have every agent use it."""
        provider = self._provider(params.provider)
        key = one_line(params.api_key, "apiKey", MAX_KEY_CHARS)
        path = _path(provider.name)
        known = _stored_name(self._written(path))
        name = known or _name_for(provider.name)
        subject = call.principal.subject
        await _attempt(
            lambda: self._store.put(
                name, key, kind="secret", now_ms=self._clock.now_ms(), by=subject
            )
        )
        if known is None:
            await self._refer(path, name)
        else:
            await self._live.adopt()
        await self._audit.record("model.key_set", actor=subject, target=provider.name)
        return KeyKept(provider=provider.name, profile_id=_profile(provider.name))

    @method("models.authLogout", scope=Scope.ADMIN, throttled=True)
    async def remove_key(self, call: Call, params: KeyGone) -> KeyRemoved:
        """Forget a provider's key."""
        provider = self._provider(params.provider)
        if params.profile_ids not in (None, [_profile(provider.name)]):
            raise InvalidRequest(f"unknown profile of {provider.name}")
        path = _path(provider.name)
        current = self._written(path)
        if current is None:
            if provider.api_key is not None:
                raise InvalidRequest(
                    f"the key of {provider.name} is in the gateway's environment, in "
                    f"{provider.key_variable}: remove it there"
                )
            return KeyRemoved(provider=provider.name, removed_profiles=[])
        await edit(self._live, lambda _now: [Change.removal(*path)])
        if (name := _stored_name(current)) and not _refers(self._live.loaded.source, name):
            await _attempt(lambda: self._store.delete(name))
        subject = call.principal.subject
        await self._audit.record("model.key_removed", actor=subject, target=provider.name)
        return KeyRemoved(provider=provider.name, removed_profiles=[_profile(provider.name)])

    def _provider(self, named: str) -> ProviderSpec:
        wanted = named.strip().lower()
        for one in self._agents.catalog.known():
            if one.name.lower() == wanted:
                return one
        raise InvalidRequest(f"unknown provider: {named}")

    def _written(self, path: KeyPath) -> Any:
        try:
            return get_at(self._live.loaded.source, path)
        except KeyError:
            return None

    async def _refer(self, path: KeyPath, name: str) -> None:
        try:
            reference = {"source": "store", "id": name}
            await edit(self._live, lambda _now: [Change(path, reference)])
        except BaseException:
            if not _refers(self._live.loaded.source, name):
                with contextlib.suppress(SecretStoreError):
                    await asyncio.to_thread(self._store.delete, name)
            raise


def _path(provider: str) -> KeyPath:
    return ("models", "providers", provider, "apiKey")


def _profile(provider: str) -> str:
    return f"{provider}:api-key"


def _name_for(provider: str) -> str:
    """Return what the secret of a provider's key is called."""
    return f"MODELS_{re.sub(r'[^A-Z0-9]+', '_', provider.upper())}_API_KEY"[:128]


def _stored_name(value: Any) -> str | None:
    if isinstance(value, dict) and value.get("source") == "store":
        return str(value["id"])
    return None


def _refers(tree: Any, name: str) -> bool:
    """Whether anything in a configuration refers to a stored secret."""
    if _stored_name(tree) == name:
        return True
    if isinstance(tree, dict):
        return any(_refers(one, name) for one in tree.values())
    return isinstance(tree, list) and any(_refers(one, name) for one in tree)


async def _attempt(work: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(work)
    except SecretStoreError as error:
        raise Unavailable(str(error)) from None
