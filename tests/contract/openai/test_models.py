"""Models and embeddings, asked by the official SDK."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

from portico.agents.runtime import Embedded, EmbeddingRefused, Usage
from tests.contract.openai.sdk import connected
from tests.fakes.provider import FakeProvider, Raw, Refuse, Reply, Say, Stall, vector_of
from tests.support.http import Scripted

pytestmark = pytest.mark.anyio

TWO = {"list": [{"id": "main", "default": True}, {"id": "ops"}]}


class Embedder(Scripted):
    """Embeds a text as its length."""

    async def embed(
        self, texts: Sequence[str], dimensions: int | None, *, model: str | None = None
    ) -> Embedded:
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


def embedding_with(
    provider: FakeProvider, *, timeout_s: float = 30, **defaults: Any
) -> dict[str, Any]:
    lab = {
        "baseUrl": provider.url,
        "apiKey": "k",
        "timeoutSeconds": timeout_s,
        "models": [{"id": "vectors"}, {"id": "m"}],
    }
    claude = {"api": "anthropic-messages", "baseUrl": provider.url, "apiKey": "k"}
    return {
        "models": {"providers": {"lab": lab, "claude": claude}},
        "agents": {
            "defaults": {"model": "lab/m", "embeddingModel": "lab/vectors", **defaults},
            "list": [
                {"id": "main", "default": True},
                {"id": "wide", "embeddingModel": "lab/wide-vectors"},
            ],
        },
    }


async def test_embeddings_of_a_model_agent(tmp_path: Path) -> None:
    async with (
        FakeProvider() as provider,
        connected(tmp_path, **embedding_with(provider)) as to,
    ):
        create = to.openai.embeddings.create
        made = await create(model="portico", input=["one two", "three"])
        assert [one.embedding for one in made.data] == [vector_of("one two"), vector_of("three")]
        assert (made.model, made.usage.prompt_tokens, made.usage.total_tokens) == ("portico", 3, 3)
        short = await create(model="portico/wide", input="x", dimensions=2, encoding_format="float")
        assert [one.embedding for one in short.data] == [vector_of("x", 2)]
        as_text = await create(model="portico", input="x", encoding_format="base64")
        packed: Any = as_text.data[0].embedding
        assert struct.unpack("<3f", base64.b64decode(packed)) == (*vector_of("x"),)
        wanted = {"x-openclaw-model": "lab/other"}
        await create(model="portico", input="x", extra_headers=wanted)
        asked = [(request["model"], request.get("dimensions")) for request in provider.requests]
        assert asked == [("vectors", None), ("wide-vectors", 2), ("vectors", None), ("other", None)]
        assert {headers[":path"] for headers in provider.headers} == {"/v1/embeddings"}


async def test_embeddings_without_a_model_for_them(tmp_path: Path) -> None:
    async with (
        FakeProvider() as provider,
        connected(tmp_path, **embedding_with(provider, embeddingModel=None)) as to,
    ):
        for wanted in ("", "nowhere/x", "claude/opus"):
            with pytest.raises(openai.BadRequestError) as refused:
                await to.openai.embeddings.create(
                    model="portico", input="x", extra_headers={"x-portico-model": wanted}
                )
            assert refused.value.code == "embeddings_not_available"
        assert not provider.requests


@pytest.mark.parametrize(
    ("reply", "status", "code", "calls"),
    [
        (Refuse(429, retry_after="60"), 429, "rate_limit_exceeded", 1),
        (Refuse(500), 500, "internal_error", 3),
        (Refuse(400), 400, "embeddings_failed", 1),
        (Stall(mute=True), 504, "timeout", 3),
        (Raw((b"{}",), content_type="application/json"), 500, "internal_error", 3),
    ],
)
async def test_embeddings_of_a_provider_in_trouble(
    tmp_path: Path, reply: Reply, status: int, code: str, calls: int
) -> None:
    timeout_s = 0.5 if code == "timeout" else 30
    async with (
        FakeProvider(lambda _: reply) as provider,
        connected(tmp_path, **embedding_with(provider, timeout_s=timeout_s)) as to,
    ):
        with pytest.raises(openai.APIStatusError) as refused:
            await to.openai.embeddings.create(model="portico", input="x")
        assert (refused.value.status_code, refused.value.code) == (status, code)
        assert "planned" not in str(refused.value.body)
        assert len(provider.requests) == calls
        provider.default = lambda _: Say()
        made = await to.openai.embeddings.create(model="portico", input="x")
        assert made.data[0].embedding == vector_of("x")
