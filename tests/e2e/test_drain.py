"""SIGTERM while requests wait: what runs is answered, what waits is kept and told so."""

from __future__ import annotations

import asyncio

import httpx2

from tests.e2e.gateway import GatewayProcess


async def test_requests_that_wait_are_kept_and_told_so(gateway: GatewayProcess) -> None:
    headers = {"Authorization": f"Bearer {gateway.token}"}
    async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, timeout=30) as client:

        def ask(name: str, text: str, how: str = "messages") -> asyncio.Future[httpx2.Response]:
            body = {"from": "ann", "text": text, "request_id": name}
            return asyncio.ensure_future(client.post(f"/v1/gateway/{how}", json=body))

        running = ask("running", "/sim delay_ms=1200 words=3\nx")
        await _until(client, "running", "running")
        waiting = ask("waiting", "second")
        await _until(client, "waiting", "queued")
        streaming = ask("streaming", "third", "messages:stream")
        await _until(client, "streaming", "queued")
        await asyncio.to_thread(gateway.stop)
        assert (await running).json()["reply"] == "word0 word1 word2"
        told = await waiting
        assert told.status_code == 503
        assert told.headers["retry-after"]
        assert "same id" in told.json()["error"]["message"]
        assert "run.queued" in (await streaming).text
    await asyncio.to_thread(gateway.start)
    async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, timeout=30) as client:
        for name, text in (("waiting", "second"), ("streaming", "third")):
            body = {"from": "ann", "text": text, "request_id": name}
            answer = await client.post("/v1/gateway/messages", json=body)
            assert answer.json()["reply"] == f"Echo: {text}"


async def _until(client: httpx2.AsyncClient, request_id: str, state: str) -> None:
    async with asyncio.timeout(30):
        while True:
            found = await client.get("/v1/gateway/status", params={"request_id": request_id})
            if found.json().get("state") == state:
                return
            await asyncio.sleep(0.01)
