"""Embeddings: texts as vectors, for agents whose runtime can make them.

Source: OpenAI API reference, "Embeddings".
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Protocol

from portico.agents.runtime import EmbeddingRefused, EmbeddingRuntime, Usage
from portico.agents.service import Agents
from portico.budgets.model import Spender
from portico.ids import new_id
from portico.protocol.errors import GatewayError
from portico.web.openai.model import (
    Embedding,
    EmbeddingList,
    EmbeddingRequest,
    EmbeddingUsage,
)
from portico.web.openai.problem import AnswerFailed, Refused

MAX_TEXTS = 2_048
CHANNEL = "openai"


class Payer(Protocol):
    """The budgets, as far as embeddings need them."""

    async def admit(self, spender: Spender) -> str | None:
        """Return, for the person, why nothing may be spent."""
        ...

    async def pay(self, spender: Spender, usage: Usage) -> None:
        """Charge what was used."""
        ...


async def embed(
    agents: Agents,
    agent_id: str,
    *,
    model: str,
    asked: EmbeddingRequest,
    budgets: Payer,
    agent_model: str | None = None,
) -> EmbeddingList:
    """Answer a request for embeddings.

    Args:
        budgets: asked before and charged after; nothing is reserved, a call uses little.
        agent_model: the embedding model the caller wants in place of the agent's.

    Raises:
        InvalidRequest: the request cannot be understood, or the agent cannot embed.
        AnswerFailed: its model could not, or a budget is used up.
    """
    spender = Spender(
        run_id=new_id("emb"),
        agent_id=agent_id,
        session_key=f"agent:{agent_id}:embeddings",
        channel=CHANNEL,
        is_metered=False,
    )
    texts = _texts(asked.input)
    runtime = agents.runtime_for(agent_id)
    if not isinstance(runtime, EmbeddingRuntime):
        raise _unavailable("embeddings are not available for this agent")
    if (refusal := await budgets.admit(spender)) is not None:
        raise AnswerFailed(refusal, kind="budget")
    try:
        made = await runtime.embed(texts, asked.dimensions, model=agent_model)
    except EmbeddingRefused as error:
        raise _refusal(error) from None
    await budgets.pay(spender, made.usage)
    packed = asked.encoding_format == "base64"
    tokens = made.usage.input
    return EmbeddingList(
        data=tuple(
            Embedding(index=index, embedding=_packed(vector) if packed else vector)
            for index, vector in enumerate(made.vectors)
        ),
        model=model,
        usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
    )


def _unavailable(message: str) -> Refused:
    return Refused(message, param="model", code="embeddings_not_available")


def _refusal(error: EmbeddingRefused) -> GatewayError:
    match error.kind:
        case "not_available":
            return _unavailable(str(error))
        case "refusal":
            return Refused(str(error), code="embeddings_failed")
        case kind:
            return AnswerFailed(str(error), kind=kind)


def _texts(given: str | Sequence[object] | None) -> list[str]:
    texts = [given] if isinstance(given, str) else [*(given or ())]
    found = [text for text in texts if isinstance(text, str) and text]
    if not found or len(found) != len(texts):
        raise Refused("`input` must be a text or texts that are not empty", param="input")
    if len(found) > MAX_TEXTS:
        raise Refused(f"`input` has more than {MAX_TEXTS} texts", param="input")
    return found


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
