"""`portico.client` against a real gateway: restarts, kill -9, and a network that is cut."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from portico.client import ConnectionLost, Event, EventStream, Gap, GatewayClient, Outcome, connect
from tests.e2e.gateway import GatewayProcess
from tests.support.cable import Cable

SESSION = "agent:main:client"
QUICK = {"backoff_first_s": 0.05, "backoff_most_s": 0.5}


def client_of(gateway: GatewayProcess, url: str | None = None, **more: Any) -> GatewayClient:
    options = {**QUICK, **more}
    return connect(url or gateway.ws_url, token=gateway.token, **options)


async def test_chat_streams_an_answer(gateway: GatewayProcess) -> None:
    async with client_of(gateway) as client:
        assert (await client.call("health"))["ok"]
        pieces = [one.text async for one in client.chat("/sim words=4 delay_ms=20\nx")]
        assert len(pieces) > 1
        assert "".join(pieces) == "word0 word1 word2 word3"


async def test_answer_is_whole_though_the_network_is_cut(gateway: GatewayProcess) -> None:
    async with (
        Cable(gateway.port) as cable,
        client_of(gateway, f"ws://127.0.0.1:{cable.port}") as client,
    ):
        answer = client.chat("/sim words=20 delay_ms=50\nx", session=SESSION)
        pieces = [(await anext(answer)).text]
        await cable.cut()
        pieces += [piece.text async for piece in answer]
        assert "".join(pieces) == answer.text == " ".join(f"word{n}" for n in range(20))


async def test_events_go_on_where_they_stopped_after_a_cut(gateway: GatewayProcess) -> None:
    async with (
        Cable(gateway.port) as cable,
        client_of(gateway) as near,
        client_of(gateway, f"ws://127.0.0.1:{cable.port}") as far,
    ):
        await far.call("sessions.subscribe", {})
        stream = far.events("chat")
        await near.chat("before", session=SESSION).whole()
        assert await _final(stream) == "Echo: before"
        await cable.pull()
        await near.chat("meanwhile", session=SESSION).whole()
        await cable.plug()
        assert await _final(stream) == "Echo: meanwhile"  # and no Gap before it


async def test_run_survives_a_killed_gateway(gateway: GatewayProcess) -> None:
    async with client_of(gateway) as client:
        stream = client.events("chat")
        asked = {"sessionKey": SESSION, "message": "/sim words=3 delay_ms=700\nx"}
        call = asyncio.ensure_future(
            client.call("agent", asked, idempotency_key="k-9", timeout_s=60, wants_final=True)
        )
        await _seen(stream)
        await asyncio.to_thread(gateway.kill)
        await asyncio.to_thread(gateway.start)
        final = await call
        assert (final["runId"], final["status"]) == ("k-9", "ok")
        assert final["result"]["payloads"][0]["text"] == "word0 word1 word2"
        history = await client.call("chat.history", {"sessionKey": SESSION})
        said = [one for one in history["messages"] if one["role"] == "user"]
        assert len(said) == 1


async def test_call_without_a_key_fails_and_says_what_is_known(gateway: GatewayProcess) -> None:
    async with client_of(gateway) as client:
        waiting = asyncio.ensure_future(client.call("agent.wait", {"runId": "x"}, timeout_s=20))
        await client.call("health")  # what was sent before it has arrived
        await asyncio.to_thread(gateway.kill)
        with pytest.raises(ConnectionLost, match=r"agent\.wait is uncertain") as lost:
            await waiting
        assert lost.value.outcome is Outcome.UNCERTAIN
        await asyncio.to_thread(gateway.start)
        assert (await client.call("health"))["ok"]


async def test_restart_is_told_as_a_gap(gateway: GatewayProcess) -> None:
    async with client_of(gateway) as client:
        stream = client.events("presence")
        await asyncio.to_thread(gateway.restart)
        async with asyncio.timeout(30):
            while not isinstance(await anext(stream), Gap):
                pass
        assert (await client.call("health"))["ok"]


async def test_device_keeps_its_token_over_runs(gateway: GatewayProcess, tmp_path: Path) -> None:
    home = tmp_path / "device"
    async with client_of(gateway, state_dir=home) as client:
        assert client.hello.auth.method == "token"
    assert (home / "identity" / "device-tokens.json").stat().st_mode & 0o777 == 0o600
    async with connect(gateway.ws_url, state_dir=home, reconnect=False) as again:
        assert again.hello.auth.method == "device-token"


async def _final(stream: EventStream) -> str:
    async with asyncio.timeout(30):
        async for event in stream:
            assert isinstance(event, Event), event
            if event.payload["state"] == "final":
                return str(event.payload["message"]["content"][0]["text"])
    raise AssertionError


async def _seen(stream: EventStream) -> None:
    async with asyncio.timeout(30):
        await anext(stream)
