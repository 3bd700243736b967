"""RPC methods about the language models: which there are, and whether each can be asked now.

Source: OpenClaw gateway protocol, "models.list" and "models.authStatus".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from portico.agents.model.catalog import (
    NEEDS_NO_KEY,
    Catalog,
    Choice,
    ProviderSpec,
    UnknownModel,
)
from portico.agents.service import Agent, Agents
from portico.clock import Clock
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
View = Literal["default", "configured", "provider-config", "all"]
OWN = "portico"
"""The provider of what stands for a model where an agent has none: its runtime."""
_THINKING = ("off", "minimal", "low", "medium", "high", "xhigh")
_SHOWN_INPUTS = {"text": "text", "image": "image", "audio": "audio", "pdf": "document"}


class ModelsList(Params, frozen=True, kw_only=True):
    """Filters of the model list."""

    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None
    auth_profile_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    provider: NonEmpty | None = None
    include_details: bool | None = None
    include_provider_capabilities: bool | None = None
    include_default_models: bool | None = None
    prepared_only: bool | None = None
    refresh: bool | None = None
    view: View = "default"


class Thinking(Result, frozen=True, omit_defaults=False):
    """One way to think."""

    id: str
    label: str


class ModelSummary(Result, frozen=True, kw_only=True):
    """One model an agent can be asked to use.

    Attributes:
        unavailable_until: when its rest ends, in milliseconds.
    """

    id: str
    name: str
    provider: str
    available: bool = msgspec.field()
    unavailable_reason: Literal["missing-auth", "cooldown"] | None = None
    unavailable_until: int | None = None
    tags: tuple[str, ...] = ()
    alias: str | None = None
    context_window: int | None = None
    reasoning: bool | None = None
    input: tuple[str, ...] | None = None
    thinking_levels: tuple[Thinking, ...] | None = None
    thinking_default: str | None = None
    api_key_supported: bool | None = None
    local: bool | None = None


class ModelsListed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The models."""

    models: tuple[ModelSummary, ...]


class AuthStatusAsked(Params, frozen=True, kw_only=True):
    """Whose providers; `refresh` has nothing to do here, where nothing is remembered."""

    refresh: bool | None = None
    agent_id: str | None = None


class KeySource(Result, frozen=True):
    """Where a key is; never the key."""

    source: Literal["config", "env"]
    env_var: str | None = None


class ProviderAuth(Result, frozen=True, kw_only=True, omit_defaults=False):
    """How the gateway stands with a provider.

    Attributes:
        status: `static`: it has a key; `missing`: it needs one, and an agent is to ask it.
        profiles: accounts one logs in to; there are none here.
    """

    provider: str
    auth_provider: str
    display_name: str
    status: Literal["static", "missing"]
    profiles: tuple[()] = ()
    api_key: KeySource | msgspec.UnsetType = msgspec.UNSET


class ProviderCapability(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Whether clients may set a provider's key by `models.authSetApiKey`."""

    provider: str
    api_key_supported: bool
    quick_api_key_setup: bool


class AuthStatus(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Every provider that has a key or needs one, and all whose keys can be set."""

    ts: int
    providers: tuple[ProviderAuth, ...]
    provider_capabilities: tuple[ProviderCapability, ...]


class ModelMethods:
    """What clients may know of the language models."""

    def __init__(self, *, agents: Agents, clock: Clock, main_key: str = "main") -> None:
        self._agents = agents
        self._clock = clock
        self._main_key = main_key

    @method("models.list", scope=Scope.READ)
    def models(self, call: Call, params: ModelsList) -> ModelsListed:
        """List language models: those that can be asked, or all that are named anywhere."""
        if params.prepared_only and params.refresh:
            raise InvalidRequest("invalid models.list params: preparedOnly excludes refresh")
        if params.session_key and params.auth_profile_id:
            raise InvalidRequest("invalid models.list params: sessionKey excludes authProfileId")
        agent = self._agents.meant(params.agent_id, params.session_key, main_key=self._main_key)
        found = models_of(
            self._agents, agent, view=params.view, details=bool(params.include_details)
        )
        wanted = (params.provider or "").lower()
        return ModelsListed(
            models=tuple(one for one in found if wanted in {"", one.provider.lower()})
        )

    @method("models.authStatus", scope=Scope.READ)
    def auth_status(self, call: Call, params: AuthStatusAsked) -> AuthStatus:
        """Tell which providers have a key, and which lack one that an agent needs."""
        if params.agent_id:
            self._agents.meant(params.agent_id, None, main_key=self._main_key)
        catalog = self._agents.catalog
        wanted = {name.lower() for name, _ in _used(self._agents, catalog)}
        found = [
            _auth(one)
            for one in catalog.known()
            if one.api_key is not None or (not one.usable and one.name.lower() in wanted)
        ]
        able = [
            ProviderCapability(
                provider=one.name,
                api_key_supported=one.name not in NEEDS_NO_KEY,
                quick_api_key_setup=one.name not in NEEDS_NO_KEY,
            )
            for one in catalog.known()
        ]
        return AuthStatus(
            ts=self._clock.now_ms(), providers=tuple(found), provider_capabilities=tuple(able)
        )


def models_of(
    agents: Agents, chosen: Agent, *, view: View = "default", details: bool = False
) -> tuple[ModelSummary, ...]:
    """Return models once each; the chosen agent's own is the first, and marked as default.

    Args:
        view: `default`: what can be asked now or rests, and what agents use; `configured`: what
            agents use and what has an alias or settings; `provider-config`: what the providers of
            the configuration list; `all`: whatever is named anywhere.
        details: with what is known of the provider.
    """
    catalog = agents.catalog
    default = model_of(chosen, catalog)
    listed = [(choice.provider.name, choice.model.id) for choice in catalog.listed()]
    used = {*_used(agents, catalog)}
    shown = {
        "provider-config": {*listed},
        "configured": used,
    }.get(view, {*listed, *used})
    rest = sorted(shown - {default})
    found = [_summary(*name, agents, details) for name in rest]
    if view == "default":
        found = [
            one for one in found if one.unavailable_reason != "missing-auth" or _name(one) in used
        ]
    if view == "provider-config" and default not in shown:
        return tuple(found)
    own = msgspec.structs.replace(_summary(*default, agents, details), tags=("default",))
    return (own, *found)


def _auth(provider: ProviderSpec) -> ProviderAuth:
    name, variable = provider.name, provider.key_variable
    api_key: KeySource | msgspec.UnsetType = msgspec.UNSET
    if provider.api_key is not None:
        api_key = KeySource("config") if variable is None else KeySource("env", variable)
    return ProviderAuth(
        provider=name,
        auth_provider=name,
        display_name=name,
        status="missing" if provider.api_key is None else "static",
        api_key=api_key,
    )


def _name(model: ModelSummary) -> tuple[str, str]:
    return model.provider, model.id


def _used(agents: Agents, catalog: Catalog) -> Iterable[tuple[str, str]]:
    for agent in agents.list():
        yield model_of(agent, catalog)
        yield from (_resolved(name, catalog) for name in agent.fallbacks)
    yield from (_resolved(name, catalog) for name in catalog.used)


def model_of(agent: Agent, catalog: Catalog) -> tuple[str, str]:
    """Return the provider and the id of an agent's model."""
    return (OWN, agent.runtime.name) if agent.model is None else _resolved(agent.model, catalog)


def _resolved(name: str, catalog: Catalog) -> tuple[str, str]:
    try:
        choice = catalog.resolve(name)
    except UnknownModel:
        provider, slash, model = name.partition("/")
        return (provider, model) if slash else (OWN, name)
    return choice.provider.name, choice.model.id


def thinking_levels(agent: Agent, catalog: Catalog) -> tuple[str, ...]:
    """Return how long an agent can be told to think."""
    if agent.model is None or agent.runtime.name != "model":
        return _THINKING[:1]
    try:
        reasons = catalog.resolve(agent.model).model.reasoning
    except UnknownModel:
        return _THINKING[:1]
    return _THINKING[:1] if reasons is False else _THINKING


def _summary(provider: str, model_id: str, agents: Agents, details: bool) -> ModelSummary:  # noqa: FBT001
    try:
        choice = agents.catalog.resolve(f"{provider}/{model_id}")
    except UnknownModel:
        is_own = provider == OWN
        return ModelSummary(id=model_id, name=model_id, provider=provider, available=is_own)
    model, levels = choice.model, _THINKING[:1] if choice.model.reasoning is False else _THINKING
    rests_until = _rest(choice, agents)
    return ModelSummary(
        id=model_id,
        name=model.name or model_id,
        provider=provider,
        available=choice.provider.usable and rests_until is None,
        unavailable_reason=_reason(choice, rests_until),
        unavailable_until=rests_until,
        alias=next(iter(agents.catalog.aliases_of(choice.name)), None),
        context_window=model.context_window,
        reasoning=model.reasoning,
        input=_inputs(choice),
        thinking_levels=tuple(Thinking(level, level) for level in levels),
        thinking_default="off",
        **(_details(choice) if details else {}),
    )


def _rest(choice: Choice, agents: Agents) -> int | None:
    models = agents.roster.models
    return None if models is None else models.cooldowns.until_ms(choice)


def _reason(choice: Choice, rests_until: int | None) -> Literal["missing-auth", "cooldown"] | None:
    if not choice.provider.usable:
        return "missing-auth"
    return None if rests_until is None else "cooldown"


def _inputs(choice: Choice) -> tuple[str, ...] | None:
    given = choice.model.inputs
    if given is None:
        return None
    return tuple(sorted({_SHOWN_INPUTS[one] for one in given if one in _SHOWN_INPUTS}))


def _details(choice: Choice) -> dict[str, Any]:
    return {
        "api_key_supported": choice.provider.name.lower() not in NEEDS_NO_KEY,
        "local": _is_local(choice.provider.base_url),
    }


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
