from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from portico.client import (
    ClientSettings,
    ConnectionLost,
    ConnectRefused,
    Credentials,
    Event,
    EventStream,
    Gap,
    GatewayClient,
    Offer,
    Outcome,
    Refused,
    TimedOut,
    Unreachable,
    connect,
    load_or_create_identity,
)
from portico.client.identity import _decode
from portico.protocol.errors import ErrorShape
from tests.fakes.gateway import TOKEN, FakeGateway, Peer, echo_agent, running_gateway


def settings(gateway: FakeGateway, **options: Any) -> ClientSettings:
    options.setdefault("credentials", Credentials(token=TOKEN))
    quick = {"backoff_first_s": 0.01, "backoff_most_s": 0.05, "connect_timeout_s": 5.0}
    return ClientSettings(url=gateway.url, **{**quick, **options})


async def next_event(stream: EventStream) -> Event | Gap:
    async with asyncio.timeout(30):
        return await anext(stream)


async def test_request_returns_the_result() -> None:
    async with (
        running_gateway(answers={"health": {"ok": True}}) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        assert await client.request("health", {}) == {"ok": True}
        assert client.hello.server.version == "9.9.9"
        assert gateway.connects[0].device is None
        assert "operator.admin" in gateway.connects[0].scopes


async def test_refusal_is_raised_with_code_and_details() -> None:
    async with running_gateway() as gateway, GatewayClient(settings(gateway)) as client:
        with pytest.raises(Refused, match="unknown method: nope") as caught:
            await client.request("nope")
        assert caught.value.code == "INVALID_REQUEST"


async def test_wrong_token_is_refused_as_auth() -> None:
    async with running_gateway() as gateway:
        client = GatewayClient(settings(gateway, credentials=Credentials(token="wrong")))
        with pytest.raises(ConnectRefused) as caught:
            await client.connect()
        assert caught.value.is_auth
        assert caught.value.is_final
        assert not caught.value.lacks_credentials
        await client.close()


async def test_nothing_there_is_unreachable(unused_port: int) -> None:
    client = GatewayClient(ClientSettings(url=f"ws://127.0.0.1:{unused_port}"))
    with pytest.raises(Unreachable, match="connection refused"):
        await client.connect()
    await client.close()


async def test_server_that_is_no_gateway_is_unreachable() -> None:
    async def say_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(say_hello, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = GatewayClient(ClientSettings(url=f"ws://127.0.0.1:{port}"))
    with pytest.raises(Unreachable):
        await client.connect()
    await client.close()
    server.close()
    await server.wait_closed()


async def test_final_answer_is_the_second_one() -> None:
    async with (
        running_gateway(methods={"agent": echo_agent}) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        accepted: list[Any] = []
        params = {"message": "hi", "idempotencyKey": "k", "sessionKey": "main"}
        final = await client.call("agent", params, wants_final=True, on_accepted=accepted.append)
        assert final["status"] == "ok"
        assert accepted[0]["status"] == "accepted"


async def test_timeout_is_told() -> None:
    async def never(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        return

    async with (
        running_gateway(methods={"slow": never}) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        with pytest.raises(TimedOut):
            await client.request("slow", timeout_s=0.05)


async def test_gap_in_seq_is_reported_before_the_event() -> None:
    async def skip(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        await peer.event("tick", {"n": 1})
        peer.seq += 2
        await peer.event("tick", {"n": 2})
        await peer.answer(request, {})

    async with (
        running_gateway(methods={"skip": skip}) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        stream = client.events()
        await client.request("skip")
        first, gap, second = [await next_event(stream) for _ in range(3)]
        assert isinstance(first, Event)
        assert isinstance(gap, Gap)
        assert "2 events" in gap.reason
        assert isinstance(second, Event)
        assert second.payload == {"n": 2}


async def test_slow_consumer_is_told_by_a_gap() -> None:
    async def flood(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        for n in range(20):
            await peer.event("tick", {"n": n})
        await peer.answer(request, {})

    async with (
        running_gateway(methods={"flood": flood}) as gateway,
        GatewayClient(settings(gateway, event_limit=4)) as client,
    ):
        stream = client.events()
        await client.request("flood")
        events = [await next_event(stream) for _ in range(4)]
        assert isinstance(events[0], Gap)
        assert [e.payload["n"] for e in events if isinstance(e, Event)] == [17, 18, 19]


async def test_lost_connection_fails_the_request_and_ends_the_events() -> None:
    async def hang_up(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        await peer.socket.close(1012, "service restart")

    async with (
        running_gateway(methods={"bye": hang_up}) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        stream = client.events()
        with pytest.raises(ConnectionLost, match="service restart"):
            await client.request("bye")
        with pytest.raises(ConnectionLost):
            await next_event(stream)


@pytest.mark.parametrize(("status", "expects_gap"), [("resumed", False), ("gap", True)])
async def test_client_comes_back_with_its_cursor(status: str, expects_gap: bool) -> None:
    async def hang_up(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        await peer.event("tick", {}, cursor="e:7")
        await peer.socket.close(1012, "service restart")

    async with (
        running_gateway(
            methods={"bye": hang_up},
            answers={
                "health": {"ok": True},
                "sessions.messages.subscribe": {"subscribed": True, "key": "main"},
            },
            resume_status=status,
        ) as gateway,
        GatewayClient(settings(gateway, reconnect=True)) as client,
    ):
        stream = client.events()
        await client.request("sessions.messages.subscribe", {"key": "main"})
        with pytest.raises(ConnectionLost):
            await client.request("bye")
        assert await client.request("health") == {"ok": True}
        resume = gateway.connects[1].resume
        assert resume is not None
        assert (resume.cursor, resume.sessions) == ("e:7", ("main",))
        assert isinstance(await next_event(stream), Event)
        gateway.methods["tock"] = tock
        await client.request("tock")
        following = await next_event(stream)
        assert isinstance(following, Gap) == expects_gap


async def tock(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
    await peer.event("tick", {"after": True})
    await peer.answer(request, {})


async def test_old_gateway_is_never_sent_a_resume() -> None:
    async def hang_up(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        await peer.socket.close(1012, "service restart")

    async with (
        running_gateway(methods={"bye": hang_up}, answers={"health": {"ok": True}}) as gateway,
        GatewayClient(settings(gateway, reconnect=True)) as client,
    ):
        stream = client.events()
        with pytest.raises(ConnectionLost):
            await client.request("bye")
        await client.request("health")
        assert gateway.connects[1].resume is None
        assert isinstance(await next_event(stream), Gap)


async def test_reconnecting_stops_when_the_gateway_says_no() -> None:
    async def lock_out(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        gateway.token = "another"
        await peer.socket.close(4001, "gateway auth changed")

    async with (
        running_gateway(methods={"bye": lock_out}) as gateway,
        GatewayClient(settings(gateway, reconnect=True)) as client,
    ):
        stream = client.events()
        with pytest.raises(ConnectionLost):
            await client.request("bye")
        with pytest.raises(ConnectRefused):
            await next_event(stream)


async def test_silent_gateway_is_left_after_two_ticks() -> None:
    async with (
        running_gateway(tick_interval_ms=40) as gateway,
        GatewayClient(settings(gateway)) as client,
    ):
        stream = client.events()
        with pytest.raises(ConnectionLost, match="tick timeout"):
            await next_event(stream)


async def test_device_signs_the_challenge(tmp_path: Any) -> None:
    identity = load_or_create_identity(tmp_path / "identity" / "device.json")
    async with (
        running_gateway() as gateway,
        GatewayClient(settings(gateway, device=identity)),
    ):
        pass
    connect = gateway.connects[0]
    proof = connect.device
    assert proof is not None
    assert proof.id == identity.device_id
    signed = "|".join(
        (
            "v3",
            proof.id,
            connect.client.id,
            connect.client.mode,
            connect.role,
            ",".join(connect.scopes),
            str(proof.signed_at),
            TOKEN,
            "n-1",
            connect.client.platform,
            "",
        )
    )
    key = Ed25519PublicKey.from_public_bytes(_decode(proof.public_key))
    key.verify(_decode(proof.signature), signed.encode())


def test_device_key_is_private_and_kept(tmp_path: Any) -> None:
    path = tmp_path / "identity" / "device.json"
    first = load_or_create_identity(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_identity(path) == first
    path.write_text("{}")
    with pytest.raises(ValueError, match="not a device key"):
        load_or_create_identity(path)


async def test_call_with_a_key_is_asked_again_and_has_one_answer() -> None:
    async def hang_up_once(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        if len(gateway.called("send")) == 1:
            await peer.socket.close(1012, "service restart")
        else:
            await peer.answer(request, {"sent": 1})

    async with (
        running_gateway(methods={"send": hang_up_once}) as gateway,
        GatewayClient(settings(gateway, reconnect=True)) as client,
    ):
        assert await client.call("send", {"to": "ann"}, idempotency_key="k-1") == {"sent": 1}
        assert gateway.called("send") == [{"to": "ann", "idempotencyKey": "k-1"}] * 2


async def test_call_without_a_key_is_sent_once_and_called_uncertain() -> None:
    async def hang_up(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        await peer.socket.close(1012, "service restart")

    async with (
        running_gateway(methods={"send": hang_up}) as gateway,
        GatewayClient(settings(gateway, reconnect=True)) as client,
    ):
        with pytest.raises(ConnectionLost, match="send is uncertain") as caught:
            await client.call("send", {"to": "ann"})
        assert caught.value.outcome is Outcome.UNCERTAIN
        assert len(gateway.called("send")) == 1


async def test_call_that_never_left_is_not_started() -> None:
    async with (
        running_gateway(answers={"health": {}}) as gateway,
        GatewayClient(settings(gateway, reconnect=True)) as client,
    ):
        await gateway.stop()
        await until(lambda: not client.is_connected)
        with pytest.raises(TimedOut, match="was not started") as caught:
            await client.call("health", timeout_s=0.05)
        assert caught.value.outcome is Outcome.NOT_STARTED


async def test_gateway_that_stops_is_asked_again_when_it_is_back() -> None:
    async def stopping(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        if len(gateway.called("health")) > 1:
            await peer.answer(request, {"ok": True})
            return
        details = {"reason": "gateway-restarting", "outcome": "not_started"}
        error = {"code": "UNAVAILABLE", "message": "restarting", "details": details}
        await peer.refuse(request, {**error, "retryable": True, "retryAfterMs": 10})

    async with (
        running_gateway(methods={"health": stopping}) as gateway,
        GatewayClient(settings(gateway, reconnect=True)) as client,
    ):
        assert await client.call("health") == {"ok": True}


async def test_giving_up_ends_what_waits() -> None:
    async with running_gateway() as gateway:
        options = {"reconnect": True, "gives_up_after_s": 0.05}
        async with GatewayClient(settings(gateway, **options)) as client:
            stream = client.events()
            await gateway.stop()
            with pytest.raises(Unreachable):
                await next_event(stream)
            with pytest.raises(Unreachable):
                await client.call("health")


@pytest.mark.parametrize(
    ("details", "is_final"),
    [
        ({"code": "AUTH_TOKEN_MISSING"}, True),
        ({"code": "AUTH_TOKEN_MISMATCH"}, True),
        ({"code": "AUTH_PASSWORD_MISMATCH"}, True),
        ({"code": "AUTH_BOOTSTRAP_TOKEN_INVALID"}, True),
        ({"code": "DEVICE_IDENTITY_REQUIRED"}, True),
        ({"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED"}, True),
        ({"code": "PROTOCOL_MISMATCH"}, True),
        ({"code": "CLIENT_VERSION_MISMATCH"}, True),
        ({"code": "PAIRING_REQUIRED"}, True),
        ({"code": "PAIRING_REQUIRED", "pauseReconnect": False}, False),
        ({"code": "PAIRING_REQUIRED", "recommendedNextStep": "wait_then_retry"}, False),
        ({"code": "AUTH_RATE_LIMITED"}, False),
    ],
)
def test_codes_that_end_the_trying(details: dict[str, Any], is_final: bool) -> None:
    error = ErrorShape(code="INVALID_REQUEST", message="no", details=details)
    assert ConnectRefused(error, method="connect").is_final is is_final


def test_unavailable_is_never_final() -> None:
    error = ErrorShape(code="UNAVAILABLE", message="gateway starting", retry_after_ms=500)
    refused = ConnectRefused(error, method="connect")
    assert not refused.is_final
    assert refused.retry_after_s == 0.5


async def test_streams_do_not_share_events_and_end_with_the_client() -> None:
    async with running_gateway(methods={"tock": tock}) as gateway:
        async with GatewayClient(settings(gateway)) as client:
            ticks, others = client.events("tick"), client.events("chat")
            await client.call("tock")
            event = await next_event(ticks)
            assert isinstance(event, Event)
            assert event.name == "tick"
        assert [event async for event in others] == []


async def test_node_offers_what_it_can_do_and_no_client_capabilities(tmp_path: Any) -> None:
    offer = Offer(caps=("system",), commands=("system.run",), path_env="/usr/bin")
    async with (
        running_gateway() as gateway,
        connect(gateway.url, token=TOKEN, role="node", offer=offer, state_dir=tmp_path),
    ):
        pass
    sent = gateway.connects[0]
    assert (sent.role, sent.scopes, sent.caps) == ("node", (), ("system",))
    assert (sent.commands, sent.path_env) == (("system.run",), "/usr/bin")
    assert (sent.client.id, sent.client.mode) == ("node-host", "node")


def test_node_without_a_home_is_refused() -> None:
    with pytest.raises(ValueError, match="state_dir"):
        connect("ws://127.0.0.1:1", role="node")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)
