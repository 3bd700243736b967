"""Texts as vectors, by the embedding models of providers that speak OpenAI's API.

Guarantees: a call ends within the provider's time, and is repeated while that may help; what a
provider says about a failure is only logged.

Source: OpenAI API reference, "Embeddings".
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import structlog
from pydantic_ai.embeddings import EmbeddingSettings
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.embeddings.result import EmbeddingResult

from portico.agents.model.catalog import Choice
from portico.agents.model.clients import Clients
from portico.agents.model.memory import text_tokens
from portico.agents.model.troubles import Trouble, judge
from portico.agents.runtime import Embedded, EmbeddingRefused, Usage

log = structlog.get_logger()

ATTEMPTS = 3
LONGEST_WAIT_S = 20.0
MAX_LOGGED = 500
_WITHOUT = frozenset({"anthropic-messages", "google-generative-ai"})


class Embedder:
    """Asks embedding models.

    Args:
        first_wait_s: the pause before the first repetition; it doubles.
    """

    def __init__(self, clients: Clients, *, first_wait_s: float) -> None:
        self._clients = clients
        self._first_wait_s = first_wait_s

    async def embed(self, texts: Sequence[str], dimensions: int | None, choice: Choice) -> Embedded:
        """Return the vectors of texts.

        Raises:
            EmbeddingRefused: the model cannot, or could not.
        """
        if choice.provider.api in _WITHOUT:
            raise EmbeddingRefused(f"{choice.name} makes no embeddings", kind="not_available")
        provider = self._clients.openai_provider(choice.provider)
        model = OpenAIEmbeddingModel(choice.model.id, provider=provider)
        settings: EmbeddingSettings = {} if dimensions is None else {"dimensions": dimensions}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with asyncio.timeout(choice.provider.timeout_s):
                    made = await model.embed(texts, input_type="document", settings=settings)
                return _embedded(made, texts, choice)
            except Exception as error:  # noqa: BLE001  # SDKs raise many kinds; each is judged
                trouble = judge(error, choice.name, choice.provider.timeout_s)
                _report(error, choice, attempt)
            wait_s = self._wait_s(trouble, attempt)
            if not trouble.again or attempt == ATTEMPTS or wait_s > LONGEST_WAIT_S:
                raise EmbeddingRefused(trouble.message, kind=trouble.kind)
            await asyncio.sleep(wait_s)
        raise AssertionError("the last attempt raises")

    def _wait_s(self, trouble: Trouble, attempt: int) -> float:
        if trouble.retry_after_s is not None:
            return trouble.retry_after_s
        return math.ldexp(self._first_wait_s, attempt - 1)


def _embedded(made: EmbeddingResult, texts: Sequence[str], choice: Choice) -> Embedded:
    vectors = [[*vector] for vector in made.embeddings]
    if len(vectors) != len(texts):
        raise ValueError(f"{len(vectors)} vectors for {len(texts)} texts")
    tokens = made.usage.input_tokens or sum(map(text_tokens, texts))
    price = choice.model.price
    cost = tokens * price.input / 1e6 if price else 0.0
    return Embedded(vectors, Usage(input=tokens, context=tokens, cost_usd=cost))


def _report(error: Exception, choice: Choice, attempt: int) -> None:
    log.warning(
        "model.embedding_failed",
        model=choice.name,
        attempt=attempt,
        error=type(error).__name__,
        detail=str(error)[:MAX_LOGGED],
    )
