from __future__ import annotations

import json

import msgspec
import pytest

from portico.protocol.errors import Forbidden, InvalidRequest
from portico.protocol.frames import (
    EncodedEvent,
    InvalidFrame,
    NotJson,
    decode_request,
    encode_failure,
    encode_result,
)


def test_params_stay_raw():
    frame = decode_request('{"type":"req","id":"1","method":"m","params":{"a": 1 }}')
    assert isinstance(frame.params, msgspec.Raw)
    assert bytes(frame.params) == b'{"a": 1 }'


def test_dialect_is_the_first_words():
    assert decode_request('{"type":"req","id":"1","method":"m"}').dialect == "current"
    assert decode_request('{"type":"request","id":"1","method":"m"}').dialect == "legacy"


@pytest.mark.parametrize("text", ["", "x", "{", '{"type":"res"', '{"a":1} x', "\x00"])
def test_what_is_not_json(text):
    with pytest.raises(NotJson):
        decode_request(text)


@pytest.mark.parametrize(
    ("text", "request_id"),
    [
        ("[" * 100_000, "invalid"),
        ('{"type":"req", "id": "a1","method":"m","params":' + "[" * 100_000, "a1"),
        (b'{"type":"req","method":"m","params":' + b"[" * 100_000 + b',"id":"late"', "invalid"),
    ],
)
def test_what_is_nested_too_deeply(text, request_id):
    with pytest.raises(InvalidFrame) as caught:
        decode_request(text)
    assert caught.value.request_id == request_id
    assert caught.value.message.endswith("nested too deeply")


@pytest.mark.parametrize(
    ("text", "id_", "message"),
    [
        ("3", "invalid", "must be object"),
        ('{"id":7}', "invalid", "must have required property 'type'; at /id: must be string"),
        (
            '{"type":"req","id":"i","method":"m","traceparent":"%s"}' % ("x" * 129),
            "i",
            "at /traceparent: must not have more than 128 characters",
        ),
        (
            '{"type":"req","id":"i","method":"m","expectedProfileId":""}',
            "i",
            "at /expectedProfileId: must not have fewer than 1 characters",
        ),
    ],
)
def test_json_that_is_no_request(text, id_, message):
    with pytest.raises(InvalidFrame) as caught:
        decode_request(text)
    assert caught.value.request_id == id_
    assert caught.value.message == f"invalid request frame: {message}"


def test_answers():
    assert json.loads(encode_result("1", {"a": None})) == {
        "type": "res",
        "id": "1",
        "ok": True,
        "payload": {"a": None},
    }
    error = Forbidden.missing_scope("operator.read").shape()
    assert json.loads(encode_failure("1", error, "legacy")) == {
        "type": "response",
        "id": "1",
        "ok": False,
        "error": {
            "code": "FORBIDDEN",
            "message": "missing scope: operator.read",
            "details": {
                "code": "MISSING_SCOPE",
                "missingScope": "operator.read",
                "requiredScopes": ["operator.read"],
            },
        },
    }
    plain = InvalidRequest("no").shape()
    assert json.loads(encode_failure("1", plain, payload={"x": 1}))["payload"] == {"x": 1}


def test_event_is_encoded_once_and_framed_per_connection():
    event = EncodedEvent("presence", {"p": []}, (3, 4))
    assert json.loads(event.frame(7, cursor="e:1")) == {
        "type": "event",
        "event": "presence",
        "payload": {"p": []},
        "seq": 7,
        "cursor": "e:1",
        "stateVersion": {"presence": 3, "health": 4},
    }
    assert "seq" not in json.loads(event.frame(None))
    assert json.loads(event.legacy_frame()) == {
        "type": "broadcast",
        "event": "presence",
        "data": {"p": []},
    }
