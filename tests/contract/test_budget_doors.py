"""A budget that is used up, asked through every door of a whole gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

from portico.agents.runtime import Abilities, AgentEvent, Embedded, Final, ModelUsed, Turn, Usage
from portico.config.edit import Change
from tests.contract.openai.sdk import Connected, connected
from tests.fakes.provider import FakeProvider, Say, Stall
from tests.support.http import STREAM, house, settings
from tests.support.waiting import eventually

USED_UP = "The budget for this gateway is used up until "


def budgets(*limits: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"limits": limits, "estimateTokens": 10, "estimateUsd": 0.001, **more}


GATEWAY = budgets({"scope": "gateway", "period": "month", "tokens": 25})


class Costly:
    """Uses 20 tokens for each answer and 15 for each embedding."""

    name = "costly"
    abilities = Abilities(resumable=True)

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield ModelUsed(Usage(input=15, output=5), "lab", "m")
        yield Final("fine")

    async def embed(
        self, texts: Sequence[str], dimensions: int | None, *, model: str | None = None
    ) -> Embedded:
        return Embedded([[1.0] for _ in texts], Usage(input=15))


async def test_the_message_api(tmp_path: Path) -> None:
    config = settings(budgets=GATEWAY)
    async with house(tmp_path, config, runtime=Costly()) as gateway:
        assert (await gateway.say("one")).json()["reply"] == "fine"
        refused = await gateway.say("two", request_id="r2")
        error = refused.json()["error"]
        assert (refused.status_code, error["type"]) == (429, "budget_exhausted")
        assert error["message"].startswith(USED_UP)
        again = await gateway.say("two", request_id="r2")  # final: a repeat is told the same
        assert (again.status_code, again.json()["error"]) == (429, error)
        status = (await gateway.status("r2")).json()
        assert (status["state"], status["error"]) == ("failed", error)
        streamed = await gateway.client.post(STREAM, json={"from": "ann", "text": "three"})
        assert "event: run.error" in streamed.text
        assert "budget_exhausted" in streamed.text
        metrics = (await gateway.client.get("/metrics")).text
        assert 'portico_budget_refusals_total{scope="gateway"} 2.0' in metrics
        assert 'portico_budget_notices_total{kind="exhausted",scope="gateway"} 1.0' in metrics


async def test_the_openai_api(tmp_path: Path) -> None:
    async with connected(tmp_path, runtime=Costly(), budgets=GATEWAY) as to:
        assert await to.ask("one") == "fine"
        with pytest.raises(openai.RateLimitError) as refused:
            await to.ask("two")
        assert refused.value.status_code == 429
        assert (refused.value.type, refused.value.code) == (
            "insufficient_quota",
            "insufficient_quota",
        )
        assert USED_UP in refused.value.message
        headers = refused.value.response.headers
        assert "retry-after" not in headers
        assert headers["x-should-retry"] == "false"
        with pytest.raises(openai.APIError) as broken:
            await _streamed(to)
        assert (broken.value.type, broken.value.code) == (
            "insufficient_quota",
            "insufficient_quota",
        )
        with pytest.raises(openai.RateLimitError) as response:
            await to.openai.responses.create(model="portico", input="four")
        assert response.value.type == "insufficient_quota"


async def _streamed(to: Connected) -> None:
    messages: Any = [{"role": "user", "content": "three"}]
    create = to.openai.chat.completions.create
    async for _ in await create(model="portico", messages=messages, stream=True):
        pass


async def test_embeddings_are_charged_and_refused(tmp_path: Path) -> None:
    async with connected(tmp_path, runtime=Costly(), budgets=GATEWAY) as to:
        for _ in range(2):
            await to.openai.embeddings.create(model="portico", input="x")
        with pytest.raises(openai.RateLimitError) as refused:
            await to.openai.embeddings.create(model="portico", input="x")
        assert refused.value.type == "insufficient_quota"


async def test_a_model_agent_and_money(tmp_path: Path) -> None:
    """Priced by the configuration: 11 tokens in and 7 out are 0.018 dollars."""
    lab = {
        "apiKey": "sk-lab",
        "models": [{"id": "m", "cost": {"input": 1000, "output": 1000}}],
    }
    async with FakeProvider() as provider:
        config = settings(
            agents={"defaults": {"model": "lab/m"}},
            models={"providers": {"lab": {"baseUrl": provider.url, **lab}}},
            budgets=budgets({"scope": "session", "usd": 0.03}, estimateUsd=0.015),
        )
        async with house(tmp_path, config) as gateway:
            assert (await gateway.say("one")).status_code == 200
            refused = await gateway.say("two")  # 0.012 are left, 0.015 are to be reserved
            assert refused.status_code == 429
            assert "this conversation" in refused.json()["error"]["message"]
            assert len(provider.requests) == 1
            other = await gateway.say("three", **{"from": "ben"})
            assert other.status_code == 200  # each conversation for itself


async def test_a_cancelled_answer_of_a_model_is_paid_for(tmp_path: Path) -> None:
    lab = {
        "apiKey": "sk-lab",
        "models": [{"id": "m", "cost": {"input": 1000, "output": 1000}}],
    }
    async with FakeProvider() as provider:
        provider.plan(Stall("word " * 50), Say("ok"))
        config = settings(
            agents={"defaults": {"model": "lab/m"}},
            models={"providers": {"lab": {"baseUrl": provider.url, **lab}}},
            budgets=budgets({"scope": "gateway", "usd": 100}),
        )
        async with house(tmp_path, config) as gateway:
            waiting = asyncio.ensure_future(gateway.say("one", request_id="r1"))
            await eventually(lambda: len(provider.requests))
            await gateway.until("r1", "running")
            feed = await eventually(lambda: gateway.gateway.path.turns.feed("r1"))
            await eventually(lambda: len(feed) > 40)
            await gateway.cancel(request_id="r1")
            assert (await waiting).status_code == 409
            (balances,) = await gateway.gateway.path.budgets.balances(most=1)
            (standing,) = balances.standings
            assert standing.spent.tokens > 40
            assert standing.spent.nano_usd == standing.spent.tokens * 10**6
            assert standing.held.tokens == 0


async def test_limits_can_be_raised_while_it_runs(tmp_path: Path) -> None:
    (tmp_path / "portico.json").write_text(json.dumps(settings(budgets=GATEWAY)))
    async with house(tmp_path, settings(budgets=GATEWAY), runtime=Costly()) as gateway:
        assert (await gateway.say("one")).status_code == 200
        assert (await gateway.say("two")).status_code == 429

        wider = [{"scope": "gateway", "period": "month", "tokens": 100}]
        await gateway.gateway.ground.live.edit(
            lambda _loaded: [Change(("budgets", "limits"), wider)]
        )
        assert (await gateway.say("three")).status_code == 200
