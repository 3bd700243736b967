"""Models and embeddings, asked by the official SDK."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import openai
import pytest

from portico.agents.runtime import Embedded, EmbeddingRefused, Usage
from tests.contract.openai.sdk import connected
from tests.support.http import Scripted

pytestmark = pytest.mark.anyio

TWO = {"list": [{"id": "main", "default": True}, {"id": "ops"}]}


class Embedder(Scripted):
    """Embeds a text as its length."""

    async def embed(self, texts: Sequence[str], dimensions: int | None) -> Embedded:
        if "secret" in texts:
            raise EmbeddingRefused("not this")
        return Embedded([[float(len(text)), 0.5][:dimensions] for text in texts], Usage(input=7))


async def test_models_are_agents(tmp_path: Path) -> None:
    async with connected(tmp_path, agents=TWO) as to:
        listed = await to.openai.models.list()
        names = [model.id for model in listed.data]
        assert names == ["portico", "portico/default", "portico/main", "portico/ops"]
        for name in (*names, "openclaw", "openclaw/ops", "agent:ops", "portico:ops"):
            model = await to.openai.models.retrieve(name)
            assert (model.id, model.object) == (name, "model")
        with pytest.raises(openai.NotFoundError) as refused:
            await to.openai.models.retrieve("gpt-4")
        assert refused.value.code == "model_not_found"


async def test_a_model_is_what_was_recorded(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        answer = await to.house.client.get("/v1/models/openclaw")
    assert answer.json() == {
        "id": "openclaw",
        "object": "model",
        "created": 0,
        "owned_by": "openclaw",
        "permission": [],
    }


async def test_embeddings(tmp_path: Path) -> None:
    async with connected(tmp_path, runtime=Embedder()) as to:
        made = await to.openai.embeddings.create(model="portico", input=["ab", "c"])
        assert [one.embedding for one in made.data] == [[2.0, 0.5], [1.0, 0.5]]
        assert made.usage.prompt_tokens == 7
        plain = await to.openai.embeddings.create(
            model="portico/main", input="abc", dimensions=1, encoding_format="float"
        )
        assert [one.embedding for one in plain.data] == [[3.0]]
        for wrong in ("secret", "", [], [[1, 2]]):
            with pytest.raises(openai.BadRequestError):
                await to.openai.embeddings.create(model="portico", input=wrong)
        with pytest.raises(openai.NotFoundError):
            await to.openai.embeddings.create(model="text-embedding-3-small", input="x")


async def test_embeddings_of_an_agent_that_cannot(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        with pytest.raises(openai.BadRequestError, match="not available for this agent") as refused:
            await to.openai.embeddings.create(model="portico", input="x")
        assert refused.value.code == "embeddings_not_available"
