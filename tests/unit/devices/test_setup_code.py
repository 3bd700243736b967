"""Setup codes, and which addresses may stand in one."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.devices.setup_code import (
    PREFIX,
    BadSetupCode,
    SetupCode,
    decode,
    is_confidential,
    is_private_enough,
    websocket_url,
)


def encoded(**members: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()


def test_a_code_is_read_back() -> None:
    code = SetupCode("wss://x.example", "tok", 2_000, "ab" * 32, ("wss://x.example", "wss://y"))
    assert decode(code.encode(), now_ms=1_000) == code
    assert decode(f"  {PREFIX.upper()}{code.encode()}\n", now_ms=1_000) == code
    with pytest.raises(BadSetupCode, match="expired"):
        decode(code.encode(), now_ms=2_000)


def test_it_says_what_clients_read() -> None:
    raw = base64.urlsafe_b64decode(SetupCode("ws://192.168.1.5:1", "tok", 5).encode() + "==")
    assert json.loads(raw) == {
        "url": "ws://192.168.1.5:1",
        "bootstrapToken": "tok",
        "expiresAtMs": 5,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "§",
        "bm9wZQ",
        encoded(url="ws://x"),
        encoded(url="ws://x", bootstrapToken=""),
        encoded(url="ws://a:b@x", bootstrapToken="t"),
        encoded(url="https://x", bootstrapToken="t"),
        encoded(url="ws://x", bootstrapToken="t", tlsFingerprint="AB"),
        encoded(url="ws://x", bootstrapToken="t", expiresAtMs="soon"),
    ],
)
def test_what_is_no_code(text: str) -> None:
    with pytest.raises(BadSetupCode):
        decode(text, now_ms=0)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: base64.b64encode(b).decode()))
def test_any_text_is_a_code_or_refused(text: str) -> None:
    try:
        assert decode(text, now_ms=0).bootstrap_token
    except BadSetupCode:
        return


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://gw.example/", "wss://gw.example"),
        ("http://gw.example:8080/base", "ws://gw.example:8080/base"),
        ("gw.example:18789", "ws://gw.example:18789"),
        ("WSS://GW.example", "wss://gw.example"),
        ("ws://[fe80::1]:18789", "ws://[fe80::1]:18789"),
        ("ftp://gw.example", None),
        ("ws://user@gw.example", None),
        ("ws://gw.example:99999", None),
        ("ws://a b", None),
        ("", None),
    ],
)
def test_addresses(text: str, url: str | None) -> None:
    assert websocket_url(text) == url


@pytest.mark.parametrize(
    ("url", "private", "confidential"),
    [
        ("wss://anything.example", True, True),
        ("ws://127.0.0.1:1", True, True),
        ("ws://localhost", True, True),
        ("ws://[::1]:1", True, True),
        ("ws://192.168.1.5", True, False),
        ("ws://10.0.2.2", True, False),
        ("ws://169.254.1.1", True, False),
        ("ws://[fd00::1]", True, False),
        ("ws://kitchen.local.", True, False),
        ("ws://100.64.1.2", False, False),
        ("ws://8.8.8.8", False, False),
        ("ws://gw.example", False, False),
    ],
)
def test_who_could_read_along(url: str, private: bool, confidential: bool) -> None:
    assert is_private_enough(url) is private
    assert is_confidential(url) is confidential
