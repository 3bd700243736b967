from __future__ import annotations

import json

import pytest

from portico.protocol.errors import InvalidRequest
from portico.rpc.connection import (
    Close,
    Connection,
    ConnectionLimits,
    Phase,
    Send,
    gateway_starting,
    gateway_stopping,
    shorten,
)


def _connection(**limits: int) -> Connection:
    return Connection("nonce", lambda: None, ConnectionLimits(**limits))


def _open(**limits: int) -> Connection:
    connection = _connection(**limits)
    connection.phase = Phase.AUTHENTICATING
    connection.admitted({})
    return connection


def test_challenge():
    frame = json.loads(_connection().challenge(5).data)
    assert frame == {
        "type": "event",
        "event": "connect.challenge",
        "payload": {"nonce": "nonce", "ts": 5},
    }


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (gateway_starting, "gateway starting"),
        (gateway_stopping, "gateway restart in progress"),
    ],
)
def test_closed_gate(gate, reason):
    connection = Connection("n", gate, ConnectionLimits())
    send, close = connection.receive('{"type":"req","id":"1","method":"connect"}')
    assert isinstance(send, Send)
    assert json.loads(send.data)["error"]["retryable"] is True
    assert close == Close(1013, reason)


def test_pairing_refusal_names_the_request_when_it_closes():
    connection = _connection()
    error = InvalidRequest("pairing required: x", details={"requestId": "pair_1"})
    _, close = connection.refused(error)
    assert close == Close(1008, "pairing required: x (requestId: pair_1)")


def test_long_reason_is_cut_between_characters():
    assert shorten("x" * 120) == "x" * 120
    assert shorten("é" * 61) == "é" * 60
    assert shorten("x" + "é" * 60) == "x" + "é" * 59
    assert len(shorten("\ud800" * 200).encode()) <= 120


def test_unauthorized_calls_count_only_in_a_row():
    connection = _open()
    error = InvalidRequest("unauthorized role: node")
    for _ in range(10):
        assert len(connection.failed("x", error)) == 1
    connection.succeeded("x", {})
    for _ in range(10):
        assert len(connection.failed("x", error)) == 1
    _, close = connection.failed("x", error)
    assert close == Close(1008, "repeated unauthorized calls")


def test_calls_in_flight_are_bounded():
    connection = _open(max_in_flight=2)
    for request_id in ("a", "b"):
        connection.begin(request_id)
    (send,) = connection.receive('{"type":"req","id":"c","method":"m"}')
    assert isinstance(send, Send)
    assert json.loads(send.data)["error"]["message"] == (
        "The server is busy. Please try again in a moment."
    )
    connection.succeeded("a", {})
    (frame,) = connection.receive('{"type":"req","id":"c","method":"m"}')
    assert not isinstance(frame, Send)


def test_first_answer_only_while_in_flight():
    connection = _open()
    assert connection.accepted("a", {}) == ()
    connection.begin("a")
    assert len(connection.accepted("a", {})) == 1
    connection.succeeded("a", {})
    assert connection.accepted("a", {}) == ()
