"""Whatever comes over a real socket: an answer or a close, no traceback, no hang, and life goes on.

`PORTICO_FUZZ_EXAMPLES=5000 pytest tests/property/test_frame_fuzz.py` looks longer.
"""

from __future__ import annotations

import base64
import json
import os
import socket as sockets
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from portico.protocol.errors import ErrorCode
from tests.e2e.gateway import GatewayProcess, connect_params

EXAMPLES = int(os.environ.get("PORTICO_FUZZ_EXAMPLES", "60"))
WAIT_S = 30.0
LIMITS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
pytestmark = pytest.mark.timeout(0 if EXAMPLES > 1000 else 300)

KEYS = st.sampled_from(
    [
        *("sessionKey", "key", "keys", "message", "idempotencyKey", "runId", "agentId", "limit"),
        *("cursor", "text", "attachments", "timeoutMs", "label", "model", "to", "channel", "probe"),
        *("deliver", "thinking", "queueMode", "search", "offset", "maxChars", "sessionId"),
    ]
)
PLAUSIBLE = st.sampled_from(
    [
        *("main", "agent:main:fuzz", "agent:main:main", "agent::x", "global", "unknown", "webchat"),
        *("", " ", "\x00", "a:b:c:d", "agent:main:" + "x" * 600, "../../etc/passwd", "' OR 1=1 --"),
        *("%s", "𝔘\u200b\u202e", "/sim words=3", "/stop", "2026-01-01", "data:;base64,AAAA"),
    ]
)
NUMBERS = st.sampled_from([0, -1, 1, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, 1e308])
SCALARS = (
    st.none() | st.booleans() | NUMBERS | PLAUSIBLE | st.text(max_size=20) | st.integers(-5, 500)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=6), inner, max_size=6)
    ),
    max_leaves=12,
)
PARAMS = st.dictionaries(KEYS, SCALARS | JSON, max_size=7) | JSON
IDS = st.sampled_from(["1", "2", "", "x" * 300, "\u0000"]) | st.text(max_size=8)
# What is wrong before it is even JSON.
RAW = (
    st.text(max_size=60)
    | st.integers(1, 60_000).map(lambda depth: "[" * depth)
    | st.integers(1, 60_000).map(lambda depth: '{"a":' * depth)
    | st.integers(1, 20_000).map(lambda depth: "[" * depth + "]" * depth)
    | st.integers(1, 5_000).map(lambda digits: '{"type":"req","id":"n","x":' + "9" * digits + "}")
    | st.sampled_from(['{"type":"req","id":"\\ud800","method":"health"}', "\ufeff{}", "NaN", "{"])
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path_factory.mktemp("fuzz") / "state").start()
    yield running
    assert running.tracebacks() == []
    assert running.stop() == 0


@pytest.fixture(scope="module")
def methods(gateway: GatewayProcess) -> list[str]:
    with open_socket(gateway) as socket:
        answers = greet(socket, gateway)
        return [*answers["payload"]["features"]["methods"], "connect", "no.such.method", ""]


def open_socket(gateway: GatewayProcess) -> ClientConnection:
    return connect(gateway.ws_url, max_size=None, open_timeout=WAIT_S, close_timeout=2)


def greet(socket: ClientConnection, gateway: GatewayProcess) -> dict[str, Any]:
    socket.send(request("hello", "connect", connect_params(gateway.token)))
    return answer_to(socket, "hello")


def request(id_: Any, method: Any, params: Any) -> str:
    return json.dumps({"type": "req", "id": id_, "method": method, "params": params})


def answer_to(socket: ClientConnection, id_: str) -> dict[str, Any]:
    """Read until the answer to one request; everything that comes must be well-formed."""
    return collect(socket, {id_})[id_]


def collect(socket: ClientConnection, wanted: set[str]) -> dict[str, dict[str, Any]]:
    answers: dict[str, dict[str, Any]] = {}
    while not wanted <= answers.keys():
        frame = json.loads(socket.recv(timeout=WAIT_S))
        assert frame["type"] in {"event", "res"}
        if frame["type"] == "res":
            check_answer(frame)
            answers[frame["id"]] = frame
    return answers


def check_answer(frame: dict[str, Any]) -> None:
    assert isinstance(frame["id"], str)
    if frame["ok"]:
        assert "error" not in frame
        return
    error = frame["error"]
    assert error["code"] in {code.value for code in ErrorCode}
    assert isinstance(error["message"], str)
    assert (error.get("details") or {}).get("code") != "INTERNAL_ERROR", error


def still_answers(socket: ClientConnection) -> bool:
    socket.send(request("the-last-one", "health", {}))
    return bool(answer_to(socket, "the-last-one")["ok"])


@given(data=st.data())
@LIMITS
def test_every_request_is_answered(
    gateway: GatewayProcess, methods: list[str], data: st.DataObject
) -> None:
    calls = data.draw(st.lists(st.tuples(st.sampled_from(methods), PARAMS), max_size=8))
    with open_socket(gateway) as socket:
        greet(socket, gateway)
        wanted = set()
        for number, (method, params) in enumerate(calls):
            if method == "agent.wait" and isinstance(params, dict):
                params["timeoutMs"] = 1
            socket.send(request(f"call-{number}", method, params))
            wanted.add(f"call-{number}")
        collect(socket, wanted)
        assert still_answers(socket)


@given(
    frames=st.lists(
        RAW
        | JSON.map(json.dumps)
        | st.builds(
            lambda type_, id_, method, params, more: json.dumps(
                {"type": type_, "id": id_, "method": method, "params": params, **more}
            ),
            st.sampled_from(["req", "request", "res", "event", "", None, 1]),
            IDS | JSON,
            st.sampled_from(["health", "chat.send", "sessions.list"]) | JSON,
            PARAMS,
            st.dictionaries(st.sampled_from(["traceparent", "x", "seq"]), JSON, max_size=2),
        ),
        max_size=10,
    )
)
@LIMITS
def test_no_frame_costs_the_connection_its_life(gateway: GatewayProcess, frames: list[str]) -> None:
    with open_socket(gateway) as socket:
        greet(socket, gateway)
        for frame in frames:
            socket.send(frame.encode("utf-8", "replace") if "\ud800" in frame else frame)
        assert still_answers(socket)


@given(frames=st.lists(RAW | JSON.map(json.dumps), min_size=1, max_size=4), token=PLAUSIBLE)
@LIMITS
def test_strangers_are_heard_briefly(
    gateway: GatewayProcess, frames: list[str], token: str
) -> None:
    with open_socket(gateway) as socket, suppress(ConnectionClosed):
        for frame in frames:
            socket.send(frame)
        socket.send(request("in", "connect", connect_params(token)))
        answer_to(socket, "in")
    with open_socket(gateway) as socket:
        assert greet(socket, gateway)["ok"]


def random_connect(draw: Callable[[Any], Any], token: str) -> Any:
    params: dict[str, Any] = connect_params(token)
    fields = st.sampled_from([*params, "device", "resume", "locale", "permissions", "nodeName"])
    for field in draw(st.lists(fields, max_size=3)):
        params[field] = draw(JSON)
    return params


@given(data=st.data())
@LIMITS
def test_any_connect_is_answered(gateway: GatewayProcess, data: st.DataObject) -> None:
    with open_socket(gateway) as socket:
        socket.send(request("hello", "connect", random_connect(data.draw, gateway.token)))
        try:
            answer = answer_to(socket, "hello")
        except ConnectionClosed:
            assert socket.close_code in {1002, 1008}
        else:
            assert answer["ok"] or answer["error"]["message"]


@given(chunks=st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5))
@LIMITS
def test_any_bytes_after_the_upgrade(gateway: GatewayProcess, chunks: list[bytes]) -> None:
    key = base64.b64encode(bytes(16)).decode()
    head = (
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with sockets.create_connection(("127.0.0.1", gateway.port), timeout=WAIT_S) as raw:
        raw.sendall(head.encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 101 ")
        with suppress(OSError):  # it may hang up at any moment
            for chunk in chunks:
                raw.sendall(chunk)
            raw.shutdown(sockets.SHUT_WR)
            while raw.recv(4096):
                pass
    with open_socket(gateway) as socket:
        assert greet(socket, gateway)["ok"]
