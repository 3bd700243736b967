"""A budget in a real process: reserved, killed in the middle, resumed, settled once, used up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import httpx2

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import GatewayProcess, Operator
from tests.fakes.provider import FakeProvider, Stall

TOKEN = "a-token-of-the-budget-test-0123456789"
LIMIT = {"scope": "agent", "id": "main", "period": "total", "tokens": 60}


def config_of(provider: FakeProvider) -> dict[str, Any]:
    lab = {"baseUrl": provider.url, "apiKey": "sk-lab", "models": [{"id": "m"}]}
    return {
        "gateway": {"auth": {"mode": "token", "token": TOKEN}},
        "agents": {"defaults": {"model": "lab/m"}},
        "models": {"providers": {"lab": lab}},
        "budgets": {"limits": [LIMIT], "estimateTokens": 30},
    }


def usage(gateway: GatewayProcess) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "portico", "usage"],
        env={**gateway._environment(), "PORTICO_STATE_DIR": str(gateway.state_dir)},
        capture_output=True,
        text=True,
        check=True,
        timeout=40,
    )
    return done.stdout


async def standing(gateway: GatewayProcess) -> tuple[int, int, str]:
    """(spent, reserved) tokens, and the state."""

    def call() -> Any:
        with Operator(gateway) as operator:
            return operator.call("budgets.status")

    (spender,) = (await asyncio.to_thread(call))["limits"][0]["spenders"]
    return spender["spent"]["tokens"], spender["reserved"]["tokens"], spender["state"]


async def ask(client: httpx2.AsyncClient, request_id: str) -> httpx2.Response:
    body = {"from": "ann", "text": "hello", "request_id": request_id}
    return await client.post("/v1/gateway/messages", json=body)


async def test_a_budget_through_a_kill(start_gateway: StartGateway) -> None:
    async with FakeProvider() as provider:
        provider.plan(Stall("Good"))
        gateway = await asyncio.to_thread(start_gateway, config_of(provider))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, timeout=40) as client:
            lost = asyncio.ensure_future(ask(client, "r1"))
            async with asyncio.timeout(30):
                while not provider.requests:
                    await asyncio.sleep(0.01)
            assert await standing(gateway) == (0, 30, "ok")
            await asyncio.to_thread(gateway.kill)
            assert isinstance((await asyncio.gather(lost, return_exceptions=True))[0], Exception)
        await asyncio.to_thread(gateway.start)
        async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, timeout=40) as client:
            assert (await ask(client, "r1")).json()["reply"] == "Hello from the model."
            assert await standing(gateway) == (18, 0, "ok")
            assert (await ask(client, "r2")).status_code == 200
            refused = await ask(client, "r3")  # 36 of 60 are spent: no room for 30 more
            assert refused.status_code == 429
            assert refused.json()["error"]["type"] == "budget_exhausted"
            assert (await standing(gateway))[:2] == (36, 0)
        assert len(provider.requests) == 3
        shown = await asyncio.to_thread(usage, gateway)
        assert "36 tokens" in shown
        assert "agent main in all\t############........\t60%" in shown
        assert gateway.log().count('"budget.exhausted"') == 1
