"""Calls, events and misbehaviour on a connection that is open."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from portico.web.control_plane import SocketLimits
from portico.web.ws import GatewaySocket
from tests.fakes.control_plane import Client, Plane, connect_params, running_plane

pytestmark = pytest.mark.anyio


async def test_request_is_answered(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        answer = await client.request("test.echo", {"text": "é👋"}, id_="9:x")
        assert answer == {"type": "res", "id": "9:x", "ok": True, "payload": {"text": "é👋"}}


async def test_params_may_be_left_out(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        assert (await client.request("test.echo"))["payload"] == {"text": ""}


async def test_request_in_a_binary_frame(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        await client.send(json.dumps({"type": "req", "id": "b", "method": "test.echo"}).encode())
        assert (await client.receive())["id"] == "b"


async def test_request_in_fragments(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        text = json.dumps({"type": "req", "id": "f", "method": "test.echo"})
        await client.socket.send([text[:10], text[10:20], text[20:]])
        assert (await client.receive())["id"] == "f"


async def test_what_is_nested_too_deeply_is_refused_wherever_that_is_noticed(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        for depth in (*range(900, 1000), 100_000):
            nested = "[" * depth + "]" * depth
            call = '{"type":"req","id":"%d","method":"test.echo","params":{"%s":%s}}'
            for name in ("text", "other"):
                await client.send(call % (depth, name, nested))
                answer = await client.receive()
                assert answer["id"] == str(depth)
                assert answer["error"]["code"] == "INVALID_REQUEST"
        assert (await client.request("test.echo", {"text": "x"}))["ok"]


@pytest.mark.parametrize(
    ("frame", "id_", "message"),
    [
        (
            {"type": "event", "event": "x", "payload": {}},
            "invalid",
            (
                "must have required property 'id'; at root: unexpected property 'event';"
                " at /type: must be equal to constant"
            ),
        ),
        (
            {"a": 1},
            "invalid",
            "must have required property 'type'; at root: unexpected property 'a'",
        ),
        ({"type": "req", "id": "x"}, "x", "must have required property 'method'"),
        ({"type": "req", "method": "health"}, "invalid", "must have required property 'id'"),
        (
            {"type": "req", "id": "", "method": "health"},
            "invalid",
            "at /id: must not have fewer than 1 characters",
        ),
        (None, "invalid", "must be object"),
        ([], "invalid", "must be object"),
    ],
)
async def test_json_that_is_no_request(tmp_path: Path, frame, id_, message):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        await client.send(json.dumps(frame))
        assert await client.receive() == {
            "type": "res",
            "id": id_,
            "ok": False,
            "error": {
                "code": "INVALID_REQUEST",
                "message": f"invalid request frame: {message}",
            },
        }
        assert (await client.request("test.echo"))["ok"]


async def test_what_is_not_json_is_ignored(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        await client.send("garbage")
        await client.send('{"type":"req","id":"a","method":"test.echo"} trailing')
        assert (await client.request("test.echo", id_="r2"))["id"] == "r2"


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        (
            "connect",
            {},
            {
                "code": "INVALID_REQUEST",
                "message": "connect is only valid as the first request",
            },
        ),
        (
            "no.such.method",
            {},
            {"code": "INVALID_REQUEST", "message": "unknown method: no.such.method"},
        ),
        (
            "test.echo",
            {"text": 1, "x": 2},
            {
                "code": "INVALID_REQUEST",
                "message": "invalid test.echo params: at root: unexpected property 'x';"
                " at /text: must be string",
            },
        ),
        (
            "test.refuse",
            {},
            {"code": "INVALID_REQUEST", "message": "no", "details": {"code": "NO"}},
        ),
        (
            "test.break",
            {},
            {
                "code": "UNAVAILABLE",
                "message": "test.break failed; see the gateway log",
                "details": {"code": "INTERNAL_ERROR", "outcome": "uncertain"},
            },
        ),
        (
            "test.unencodable",
            {},
            {
                "code": "UNAVAILABLE",
                "message": "test.unencodable failed; see the gateway log",
                "details": {"code": "INTERNAL_ERROR", "outcome": "done"},
            },
        ),
    ],
)
async def test_refused_request(tmp_path: Path, method, params, error):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        answer = await client.request(method, params, id_="r2")
        assert answer == {"type": "res", "id": "r2", "ok": False, "error": error}


@pytest.mark.parametrize("method", ["test.admin", "no.such.method"])
async def test_missing_scope_is_said_before_the_method_is_looked_up(tmp_path: Path, method):
    async with (
        running_plane(tmp_path) as plane,
        plane.client(scopes=["operator.write"]) as client,
    ):
        assert (await client.request(method, {}))["error"] == {
            "code": "FORBIDDEN",
            "message": "missing scope: operator.admin",
            "details": {
                "code": "MISSING_SCOPE",
                "missingScope": "operator.admin",
                "requiredScopes": ["operator.admin"],
            },
        }
        assert (await client.request("test.echo"))["ok"]  # write includes read


async def test_second_request_with_an_id_in_flight_is_refused(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        await client.send({"type": "req", "id": "x", "method": "test.later"})
        answer = await client.request("test.echo", id_="x")
        assert answer["error"]["message"] == "duplicate request id"
        plane.methods.release.set()
        answer = await client.receive()
        assert (answer["id"], answer["ok"]) == ("x", True)
        assert (await client.request("test.echo", id_="x"))["ok"]


async def test_requests_are_not_held_up_by_a_slow_one(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        await client.send({"type": "req", "id": "slow", "method": "test.later"})
        assert (await client.request("test.echo", id_="fast"))["id"] == "fast"
        plane.methods.release.set()
        assert (await client.receive())["id"] == "slow"


async def test_two_answers_on_one_id(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        first = await client.request("test.twice", id_="a")
        assert first["payload"] == {"status": "accepted"}
        plane.methods.release.set()
        assert (await client.receive())["payload"] == {"status": "ok"}


async def test_same_idempotency_key_runs_once(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        key = {"idempotencyKey": "k"}
        for _ in range(3):
            assert (await client.request("test.once", key))["payload"] == {"runs": 1}
        answer = await client.request("test.once", {**key, "text": "other"})
        assert answer["error"]["details"]["code"] == "IDEMPOTENCY_MISMATCH"


async def test_trace_context_becomes_the_trace_id(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        trace = "0af7651916cd43dd8448eb211c80319c"
        answer = await client.request(
            "test.trace",
            {},
            traceparent=f"00-{trace}-b7ad6b7169203331-01",
            expectedProfileId="me",
        )
        assert answer["payload"] == {"traceId": trace}


async def test_node_calling_operator_methods_again_and_again_is_closed(tmp_path: Path):
    from tests.fakes.control_plane import Device

    async with running_plane(tmp_path) as plane, plane.socket() as client:
        node = {"id": "node-host", "version": "1", "platform": "linux", "mode": "node"}
        params = Device().params(client.nonce, client=node, role="node", scopes=[])
        assert (await client.request("connect", params))["ok"]
        for number in range(11):
            answer = await client.request("test.echo", id_=str(number))
            assert answer["error"]["message"] == "unauthorized role: node"
        assert await client.closed() == (1008, "repeated unauthorized calls")


async def test_older_vocabulary_for_the_life_of_the_connection(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        await client.send(
            {"type": "request", "id": "1", "method": "connect", "params": connect_params()}
        )
        assert (await client.receive())["type"] == "response"
        await client.send({"type": "request", "id": "2", "method": "test.echo", "params": {}})
        assert await client.receive() == {
            "type": "response",
            "id": "2",
            "ok": True,
            "payload": {"text": ""},
        }
        await client.send({"type": "request", "id": "3", "method": "nope", "params": {}})
        assert (await client.receive())["error"]["code"] == "INVALID_REQUEST"
        plane.hub.publish("agent", {"runId": "r"})
        assert await client.receive() == {
            "type": "broadcast",
            "event": "agent",
            "data": {"runId": "r"},
        }


# --- events ------------------------------------------------------------------------------------


async def test_events_are_counted_per_connection(tmp_path: Path):
    async with (
        running_plane(tmp_path) as plane,
        plane.client() as first,
        plane.client(scopes=[]) as second,
    ):
        plane.hub.publish("agent", {"n": 1})
        plane.hub.publish("tick", {"ts": 1})
        assert [(await first.receive())["seq"] for _ in range(2)] == [1, 2]
        tick = await second.receive()
        assert (tick["event"], tick["seq"]) == ("tick", 1)
        assert "cursor" not in tick


async def test_tick_comes_by_itself(tmp_path: Path):
    limits = SocketLimits(tick_interval_ms=20)
    async with running_plane(tmp_path, limits=limits) as plane, plane.client() as client:
        tick = await client.event("tick")
        assert isinstance(tick["payload"]["ts"], int)


async def test_presence_is_announced_with_its_version(tmp_path: Path):
    ui = {"id": "openclaw-tui", "version": "1", "platform": "linux", "mode": "ui"}
    async with running_plane(tmp_path) as plane, plane.client() as watcher:
        async with plane.client(client=ui):
            event = await watcher.event("presence")
            entries = event["payload"]["presence"]
            assert [entry["mode"] for entry in entries] == ["gateway", "ui"]
            assert event["stateVersion"]["presence"] == plane.version.presence
        event = await watcher.event("presence")
        assert event["payload"]["presence"][1]["reason"] == "disconnect"


async def test_client_that_comes_back_gets_what_it_missed(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        caps = ["event-replay"]
        async with plane.client(caps=caps) as client:
            assert client.hello["resume"] == {"cursor": "boot:0", "status": "fresh", "missed": 0}
            plane.hub.publish("agent", {"n": 1})
            cursor = (await client.receive())["cursor"]
        plane.hub.publish("agent", {"n": 2})
        plane.hub.publish("session.message", {"n": 3}, session_key="agent:main:main")
        resume = {"cursor": cursor, "sessions": ["agent:main:main"]}
        async with plane.client(caps=caps, resume=resume) as client:
            expected = {"cursor": "boot:3", "status": "resumed", "missed": 2}
            assert client.hello["resume"] == expected
            missed = [await client.receive() for _ in range(2)]
            assert [(e["seq"], e["payload"]["n"]) for e in missed] == [(1, 2), (2, 3)]
            assert [e["cursor"] for e in missed] == ["boot:2", "boot:3"]
            plane.hub.publish("agent", {"n": 4})
            assert (await client.receive())["seq"] == 3


async def test_client_that_was_away_too_long_is_told(tmp_path: Path):
    async with running_plane(tmp_path, replay_events=2) as plane:
        for n in range(5):
            plane.hub.publish("agent", {"n": n})
        resume = {"cursor": "boot:1"}
        async with plane.client(caps=["event-replay"], resume=resume) as client:
            assert client.hello["resume"] == {"cursor": "boot:5", "status": "gap", "missed": 0}
        resume = {"cursor": "other:4"}
        async with plane.client(caps=["event-replay"], resume=resume) as client:
            assert client.hello["resume"]["status"] == "gap"


async def test_following_a_session(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        plane.hub.publish("session.message", {"n": 1}, session_key="agent:main:a")
        await client.request("test.follow", {"key": "agent:main:a"})
        plane.hub.publish("session.message", {"n": 2}, session_key="agent:main:a")
        assert (await client.receive())["payload"] == {"n": 2}


def _socket(plane: Plane) -> GatewaySocket:
    (socket,) = plane.plane._sockets
    assert isinstance(socket, GatewaySocket)
    return socket


async def _stop_reading(plane: Plane, client: Client) -> None:
    """Fill every buffer between gateway and client."""
    client.socket.transport.pause_reading()
    payload = {"text": "x" * 100_000}
    while not _socket(plane)._is_full:
        plane.hub.publish("agent", payload)
        await asyncio.sleep(0)


async def test_slow_client_loses_droppable_events_and_sees_the_gap(tmp_path: Path):
    limits = SocketLimits(max_buffered_bytes=300_000)
    async with running_plane(tmp_path, limits=limits) as plane, plane.client() as client:
        await _stop_reading(plane, client)
        subscription = plane.hub.find(_socket(plane).conn_id)
        assert subscription is not None
        for _ in range(10):
            plane.hub.publish("agent", {"text": "x" * 100_000})
            await asyncio.sleep(0)
        sent = subscription.seq
        client.socket.transport.resume_reading()
        async with asyncio.timeout(30):
            while _socket(plane)._is_full:
                await asyncio.sleep(0.001)
        plane.hub.publish("agent", {"last": True})
        seen: list[dict[str, Any]] = []
        while not (seen and seen[-1]["payload"].get("last")):
            seen.append(await client.event("agent"))
        numbers = [event["seq"] for event in seen]
        assert numbers[-1] == sent + 1
        assert len(numbers) < sent  # some were dropped, and left a gap


async def test_slow_client_is_closed_when_it_would_miss_what_must_not_be_missed(tmp_path: Path):
    limits = SocketLimits(max_buffered_bytes=300_000, close_grace_ms=100)
    async with running_plane(tmp_path, limits=limits) as plane, plane.client() as client:
        await _stop_reading(plane, client)
        with capture_logs() as logs:
            for _ in range(10):
                plane.hub.publish("tick", {"text": "x" * 100_000})
                await asyncio.sleep(0)
            async with asyncio.timeout(30):
                while len(plane.plane):
                    await asyncio.sleep(0.001)
        assert [entry["event"] for entry in logs].count("ws.slow_consumer") == 1
        client.socket.transport.abort()


# --- the wire ----------------------------------------------------------------------------------


async def test_invalid_utf8_costs_one_log_line(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        with capture_logs() as logs:
            client.socket.protocol.send_text(b"\xff\xfe{}")
            client.socket.transport.write(b"".join(client.socket.protocol.data_to_send()))
            assert (await client.closed())[0] == 1007
        bad = [entry for entry in logs if entry["log_level"] != "debug"]
        assert [entry["event"] for entry in bad] == ["ws.bad_utf8"]
        assert "exc_info" not in bad[0]


async def test_fragments_may_not_add_up_to_more_than_the_limit(tmp_path: Path):
    limits = SocketLimits(max_payload_bytes=1000)
    async with running_plane(tmp_path, limits=limits) as plane, plane.client() as client:
        with suppress(ConnectionClosed):  # the close may arrive while it still sends
            await client.socket.send(["x" * 100] * 50)
        assert (await client.closed())[0] == 1009


async def test_accident_in_the_shell_closes_one_connection_only(tmp_path: Path, monkeypatch):
    async with (
        running_plane(tmp_path) as plane,
        plane.client() as client,
        plane.client() as other,
    ):

        def fail(*_: object) -> None:
            raise RuntimeError("accident")

        with capture_logs() as logs, monkeypatch.context() as patch:
            patch.setattr(plane.plane.dispatcher, "prepare", fail)
            await client.send({"type": "req", "id": "x", "method": "test.echo"})
            assert await client.closed() == (1011, "gateway message handler unavailable")
        assert "ws.failed" in [entry["event"] for entry in logs]
        assert (await other.request("test.echo"))["ok"]


async def test_protocol_error_closes_with_1002(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        frame = Frame(Opcode.TEXT, b"{}", rsv1=True)
        frame.check = lambda: None  # type: ignore[method-assign]
        client.socket.transport.write(frame.serialize(mask=True))
        assert (await client.closed())[0] == 1002


async def test_no_compression_is_negotiated(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        assert client.socket.protocol.extensions == []


async def test_client_that_does_not_answer_pings_is_cut(tmp_path: Path):
    limits = SocketLimits(ping_interval_ms=20, pong_timeout_ms=1_000)
    async with running_plane(tmp_path, limits=limits) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        async with asyncio.timeout(30):
            received = await reader.read()
        assert b"\x89\x00" in received  # a ping
        writer.close()
        async with plane.client() as client:  # one that answers stays
            await asyncio.sleep(1.3)  # longer than it would without its answers
            assert (await client.request("test.echo"))["ok"]


async def test_client_that_vanishes_is_forgotten(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        async with plane.client() as client:
            await client.send({"type": "req", "id": "x", "method": "test.later"})
            assert (await client.request("test.echo", id_="y"))["ok"]
            client.socket.transport.abort()
            async with asyncio.timeout(30):
                while len(plane.plane) or len(plane.hub):
                    await asyncio.sleep(0.001)
        plane.methods.release.set()


async def test_half_a_frame_and_then_silence_is_no_crash(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        with sockets.create_connection(("127.0.0.1", plane.port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n")
        with sockets.create_connection(("127.0.0.1", plane.port)) as raw:
            raw.sendall(
                b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
            raw.settimeout(30)
            assert b" 400 " in await asyncio.to_thread(raw.recv, 1000)
        async with plane.client() as client:
            assert client.hello


async def test_closing_the_connections_of_a_device(tmp_path: Path):
    from tests.fakes.control_plane import Device

    async with running_plane(tmp_path) as plane, plane.socket() as client:
        device = Device()
        assert (await client.request("connect", device.params(client.nonce)))["ok"]
        assert plane.plane.is_connected(device.id)
        closed = plane.plane.close_where(
            lambda principal: principal.device_id == device.id,
            code=4001,
            reason="client invalidated: device removed",
        )
        assert closed == 1
        assert await client.closed() == (4001, "client invalidated: device removed")
