"""`models`: the providers of language models, and what their models can do.

Source: OpenClaw configuration reference, section `models`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from portico.config.sections.base import Section, setting


class ModelCost(Section):
    """US dollars per million tokens."""

    input: float = setting(0.0, "Of the prompt.", reload="hot", ge=0)
    output: float = setting(0.0, "Of the answer.", reload="hot", ge=0)
    cache_read: float = setting(0.0, "Of prompt read from a cache.", reload="hot", ge=0)
    cache_write: float = setting(0.0, "Of prompt written to a cache.", reload="hot", ge=0)


class ModelEntry(Section):
    """One model of a provider."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        api baseUrl compat headers contextTokens thinkingLevelMap mediaInput agentRuntime metadata
        """.split()
    )

    id: str = setting(..., "Its name at the provider.", reload="hot", min_length=1)
    name: str | None = setting(None, "Its name in lists.", reload="hot")
    reasoning: bool | None = setting(None, "Whether it thinks before it answers.", reload="hot")
    input: tuple[str, ...] | None = setting(
        None, "What it takes: text, image, pdf, audio. Unset: images are tried.", reload="hot"
    )
    cost: ModelCost | None = setting(
        None, "Prices; unset: the published ones, where they are known.", reload="hot"
    )
    context_window: int | None = setting(
        None,
        "Tokens it can read at once; unset: 128000 are taken for granted.",
        reload="hot",
        ge=512,
    )
    max_tokens: int | None = setting(None, "Longest answer in tokens.", reload="hot", ge=1)
    params: dict[str, Any] = setting(
        doc="Settings of every call, such as temperature.", reload="hot", default_factory=dict
    )


class ModelProvider(Section):
    """Where models are."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        auth authHeader contextWindow contextTokens maxTokens injectNumCtxForOpenAICompat params
        agentRuntime localService region request
        """.split()
    )

    base_url: str | None = setting(
        None,
        "Address of its API; known for openai, anthropic, google, mistral, openrouter, groq, "
        "deepseek, xai and ollama.",
        reload="hot",
    )
    api_key: str | None = setting(None, "Its key.", reload="hot", secret=True)
    api: str | None = setting(
        None,
        "The API it speaks: openai-completions, openai-responses, anthropic-messages, "
        "google-generative-ai or ollama. Unset: the known one, else openai-completions.",
        reload="hot",
    )
    headers: dict[str, str] = setting(
        doc="Headers of every request.", reload="hot", default_factory=dict
    )
    timeout_seconds: float = setting(
        120.0, "Longest silence while an answer is awaited.", reload="hot", gt=0
    )
    models: tuple[ModelEntry, ...] = setting(
        (), "Its models; others of it can be named all the same.", reload="hot"
    )


class Models(Section):
    """The providers."""

    not_used: ClassVar[frozenset[str]] = frozenset({"mode", "pricing", "bedrockDiscovery"})

    providers: dict[str, ModelProvider] = setting(
        doc="The providers by name; model names begin with it, as in name/model.",
        reload="hot",
        default_factory=dict,
    )
