"""Which models there are, and what a name means: `provider/model`, an alias, or a bare model id.

Guarantees: pure data and look-ups; nothing here talks to a provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Api = Literal[
    "openai-completions",
    "openai-responses",
    "anthropic-messages",
    "google-generative-ai",
    "ollama",
]

# Where the known providers are. Each of them but Anthropic speaks OpenAI's chat completions.
BUILT_IN: Mapping[str, tuple[str, Api, str]] = {
    "openai": ("https://api.openai.com/v1", "openai-responses", "OPENAI_API_KEY"),
    "anthropic": ("https://api.anthropic.com", "anthropic-messages", "ANTHROPIC_API_KEY"),
    "google": (
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "openai-completions",
        "GEMINI_API_KEY",
    ),
    "mistral": ("https://api.mistral.ai/v1", "openai-completions", "MISTRAL_API_KEY"),
    "openrouter": ("https://openrouter.ai/api/v1", "openai-completions", "OPENROUTER_API_KEY"),
    "groq": ("https://api.groq.com/openai/v1", "openai-completions", "GROQ_API_KEY"),
    "deepseek": ("https://api.deepseek.com/v1", "openai-completions", "DEEPSEEK_API_KEY"),
    "xai": ("https://api.x.ai/v1", "openai-completions", "XAI_API_KEY"),
    "ollama": ("http://127.0.0.1:11434/v1", "openai-completions", "OLLAMA_API_KEY"),
}
NEEDS_NO_KEY = frozenset({"ollama"})


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input: float = 0.0
    output: float = 0.0
    cache_read: float = 0.0
    cache_write: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model of a provider.

    Attributes:
        inputs: kinds it takes (text, image, pdf, audio); `None`: not said.
        params: settings of its calls, such as `temperature`.
    """

    id: str
    name: str | None = None
    context_window: int | None = None
    max_tokens: int | None = None
    reasoning: bool | None = None
    inputs: frozenset[str] | None = None
    price: Price | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """Where models are, and how to talk to them.

    Attributes:
        timeout_s: the longest silence while an answer is awaited or streamed.
        is_configured: whether the file names it (else it is one everybody knows).
        key_variable: the variable the key was found in; `None`: the file has it.
    """

    name: str
    base_url: str
    api: Api
    api_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 120.0
    models: tuple[ModelSpec, ...] = ()
    is_configured: bool = True
    key_variable: str | None = None

    @property
    def usable(self) -> bool:
        """Whether it can be asked: it has a key, or is one that may do without."""
        return self.api_key is not None or self.is_configured or self.name in NEEDS_NO_KEY

    def model(self, model_id: str) -> ModelSpec | None:
        """Return a listed model."""
        return next((model for model in self.models if model.id == model_id), None)


@dataclass(frozen=True, slots=True)
class Choice:
    """A model of a provider."""

    provider: ProviderSpec
    model: ModelSpec

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider.name}/{self.model.id}"


class UnknownModel(LookupError):
    """No provider has such a model; the text is for the operator."""


class Catalog:
    """Finds models by name.

    Args:
        aliases: other names of models, by any case.
        params: settings of calls by `provider/model`.

    Attributes:
        used: the names that are given settings or an alias.
    """

    def __init__(
        self,
        providers: Sequence[ProviderSpec],
        *,
        aliases: Mapping[str, str] | None = None,
        params: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._providers = {provider.name.lower(): provider for provider in providers}
        self._aliases = {alias.lower(): name for alias, name in (aliases or {}).items()}
        self._params = {name.lower(): dict(given) for name, given in (params or {}).items()}
        self.used = tuple(params or ())

    def says_the_same_as(self, other: Catalog) -> bool:
        """Whether every name means the same there."""
        mine = (self._providers, self._aliases, self._params)
        return mine == (other._providers, other._aliases, other._params)

    def providers(self) -> list[ProviderSpec]:
        """Every provider the file names, and those everybody knows that there is a key for."""
        return [
            one for one in self._providers.values() if one.is_configured or one.api_key is not None
        ]

    def known(self) -> list[ProviderSpec]:
        """Every provider a name can begin with, also those that cannot be asked."""
        return [*self._providers.values()]

    def listed(self) -> list[Choice]:
        """Every model the configuration lists, in its order."""
        return [Choice(one, model) for one in self._providers.values() for model in one.models]

    def aliases_of(self, name: str) -> list[str]:
        """Return the aliases of `provider/model`."""
        return [alias for alias, target in self._aliases.items() if target.lower() == name.lower()]

    def resolve(self, name: str) -> Choice:
        """Return what a name means.

        Raises:
            UnknownModel: nothing we know of.
        """
        wanted = self._aliases.get(name.strip().lower(), name.strip())
        provider_name, slash, model_id = wanted.partition("/")
        provider = self._providers.get(provider_name.lower()) if slash else None
        if provider is not None and model_id:
            return self._choice(provider, model_id)
        for choice in self.listed():  # ids of models may hold slashes themselves
            if choice.model.id == wanted:
                return self._choice(choice.provider, wanted)
        if slash:
            raise UnknownModel(f'no provider "{provider_name}" is configured (model "{name}")')
        raise UnknownModel(f'"{name}" is no alias and no configured model; write provider/model')

    def _choice(self, provider: ProviderSpec, model_id: str) -> Choice:
        model = provider.model(model_id) or ModelSpec(model_id)
        params = self._params.get(f"{provider.name}/{model_id}".lower())
        if params:
            model = replace(model, params={**model.params, **params})
        return Choice(provider, model)
