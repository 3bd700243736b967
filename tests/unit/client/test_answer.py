from __future__ import annotations

from typing import Any

import pytest

from portico.client import ClientSettings, Credentials, GatewayClient, RunFailed
from tests.fakes.gateway import TOKEN, FakeGateway, Peer, chat_text, echo_chat, running_gateway


def settings(gateway: FakeGateway, *, reconnect: bool = False) -> ClientSettings:
    return ClientSettings(
        url=gateway.url,
        credentials=Credentials(token=TOKEN),
        reconnect=reconnect,
        backoff_first_s=0.01,
        backoff_most_s=0.05,
    )


async def test_answer_comes_piece_by_piece() -> None:
    async with (
        running_gateway(methods={"chat.send": echo_chat}) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        answer = client.chat("hello", session="agent:main:main")
        pieces = [piece.text async for piece in answer]
        assert pieces == ["You said:", " hello"]
        assert (answer.text, answer.state) == ("You said: hello", "final")
        assert gateway.called("chat.send")[0]["idempotencyKey"] == answer.run_id


async def test_replaced_text_replaces() -> None:
    async def send(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        run_id = request["params"]["idempotencyKey"]
        await peer.answer(request, {"runId": run_id, "status": "started"})
        for more in ({"deltaText": "first"}, {"deltaText": "second", "replace": True}):
            await peer.event("chat", {"runId": run_id, "state": "delta", **more})
        final = {"runId": run_id, "state": "final", "message": chat_text("second thought")}
        await peer.event("chat", final)

    async with (
        running_gateway(methods={"chat.send": send}) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        answer = client.chat("hello")
        pieces = [(piece.text, piece.replaces) async for piece in answer]
        assert pieces == [("first", False), ("second", True), (" thought", False)]
        assert answer.text == "second thought"


@pytest.mark.parametrize(("state", "said"), [("aborted", "was aborted"), ("error", "too hot")])
async def test_run_that_fails_is_raised(state: str, said: str) -> None:
    async def send(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        run_id = request["params"]["idempotencyKey"]
        await peer.answer(request, {"runId": run_id, "status": "started"})
        await peer.event("chat", {"runId": run_id, "state": "delta", "deltaText": "so"})
        await peer.event("chat", {"runId": run_id, "state": state, "errorMessage": "too hot"})

    async with (
        running_gateway(methods={"chat.send": send}) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        with pytest.raises(RunFailed, match=said) as caught:
            await client.chat("hello").whole()
        assert (caught.value.state, caught.value.text) == (state, "so")


async def test_answer_is_whole_after_a_lost_connection() -> None:
    async def send(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        run_id = request["params"]["idempotencyKey"]
        await peer.answer(request, {"runId": run_id, "status": "started"})
        await peer.event("chat", {"runId": run_id, "state": "delta", "deltaText": "one "})
        theirs = {**chat_text("else"), "__openclaw": {"runId": "another"}}
        ours = {**chat_text("one two"), "__openclaw": {"runId": run_id}}
        gateway.answers["chat.history"] = {"messages": [ours, theirs]}
        await peer.socket.close(1012, "service restart")

    waited = {"agent.wait": {"runId": "r", "status": "ok", "endedAt": 1}}
    async with (
        running_gateway(methods={"chat.send": send}, answers=waited) as gateway,
        GatewayClient(settings(gateway, reconnect=True)) as client,
    ):
        answer = client.chat("hello")
        assert [piece.text async for piece in answer] == ["one ", "two"]
        assert len(gateway.called("chat.send")) == 1


async def test_command_has_no_text_and_ends() -> None:
    stopped = {"chat.send": {"ok": True, "aborted": True, "runIds": []}}
    async with (
        running_gateway(answers=stopped) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        assert await client.chat("/stop").whole() == ""


async def test_abort_names_the_run() -> None:
    async with (
        running_gateway(answers={"chat.abort": {"ok": True}}) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        answer = client.chat("hello", session="agent:main:x", idempotency_key="run-7")
        await answer.abort()
        asked = {"sessionKey": "agent:main:x", "runId": "run-7"}
        assert gateway.called("chat.abort") == [asked]
