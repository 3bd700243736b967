"""pydantic-ai models for the catalogue's choices, and the HTTP clients under them.

Guarantees: one client per provider, made when it is first asked and closed with the gateway; the
SDKs never retry by themselves (asking.py does, where it can be seen); no key is taken from the
environment here, and none meant for one provider is sent to another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from portico.agents.importing import import_off_loop
from portico.agents.model.catalog import Choice, ProviderSpec
from portico.agents.model.openai_client import QuickOpenAI

if TYPE_CHECKING:
    from portico.agents.model.google import GoogleClient

NO_KEY = "not-needed"  # the SDKs insist on one
# A stream without a finish reason was cut off: it must not pass for an answer.
_STRICT = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
_COMPATIBLE = OpenAIModelProfile(
    openai_chat_supports_max_completion_tokens=False,  # `max_tokens` is what all of them know
    supports_json_schema_output=True,  # whoever does not know the format ignores it
    supports_json_object_output=True,
    json_schema_transformer=None,  # schemas go out as they came: not all keep to OpenAI's subset
)


class Clients:
    """The models of one gateway, with their connections."""

    def __init__(self) -> None:
        self._clients: dict[str, AsyncOpenAI | AsyncAnthropic | GoogleClient] = {}
        self._models: dict[str, Model[Any]] = {}
        self._google_client: type[GoogleClient] | None = None  # its library is imported when needed

    async def prepare(self, choice: Choice) -> None:
        """Import what a choice's provider needs, off the event loop.

        Raises:
            ImportError: it is not installed.
        """
        if choice.provider.api == "google-generative-ai" and self._google_client is None:
            module: Any = await import_off_loop("portico.agents.model.google")
            self._google_client = module.GoogleClient

    def model(self, choice: Choice) -> Model[Any]:
        """Return the model of a choice that was prepared."""
        made = self._models.get(choice.name)
        if made is None:
            made = self._models[choice.name] = self._make(choice)
        return made

    def openai_provider(self, spec: ProviderSpec) -> Provider[AsyncOpenAI]:
        """Return how to reach a provider that speaks OpenAI's API."""
        client = self._openai(spec)
        if "api.openai.com" in spec.base_url:
            return OpenAIProvider(openai_client=client)
        return OpenAICompatibleProvider(spec.name, openai_client=client, profile=_COMPATIBLE)

    async def close(self) -> None:
        """Close every connection."""
        clients, self._clients, self._models = self._clients, {}, {}
        for client in clients.values():
            await client.close()

    def _make(self, choice: Choice) -> Model[Any]:
        spec = choice.provider
        if spec.api == "anthropic-messages":
            return AnthropicModel(
                choice.model.id, provider=AnthropicProvider(anthropic_client=self._anthropic(spec))
            )
        if spec.api == "google-generative-ai":
            return self._google(spec).model(choice.model.id)
        provider = self.openai_provider(spec)
        if spec.api == "openai-responses":
            return OpenAIResponsesModel(choice.model.id, provider=provider)
        return OpenAIChatModel(choice.model.id, provider=provider, profile=_STRICT)

    def _openai(self, spec: ProviderSpec) -> AsyncOpenAI:
        client = self._clients.get(spec.name)
        if not isinstance(client, AsyncOpenAI):
            client = self._clients[spec.name] = QuickOpenAI(
                base_url=spec.base_url,
                api_key=spec.api_key or NO_KEY,
                default_headers=dict(spec.headers),
                max_retries=0,
                timeout=spec.timeout_s,
            )
        return client

    def _anthropic(self, spec: ProviderSpec) -> AsyncAnthropic:
        client = self._clients.get(spec.name)
        if not isinstance(client, AsyncAnthropic):
            client = self._clients[spec.name] = AsyncAnthropic(
                base_url=spec.base_url,
                api_key=spec.api_key or NO_KEY,
                default_headers=dict(spec.headers),
                max_retries=0,
                timeout=spec.timeout_s,
            )
        return client

    def _google(self, spec: ProviderSpec) -> GoogleClient:
        if self._google_client is None:
            raise RuntimeError("it was not prepared")
        client = self._clients.get(spec.name)
        if not isinstance(client, self._google_client):
            client = self._clients[spec.name] = self._google_client(spec, spec.api_key or NO_KEY)
        return client
