from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portico.client import (
    ClientSettings,
    ConnectRefused,
    Credentials,
    DeviceTokens,
    Hello,
    load_or_create_identity,
)
from portico.client.keyring import KeyRing
from portico.client.model import Granted, IssuedToken
from portico.client.tokens import StoredToken
from portico.protocol.errors import ErrorShape

URL = "wss://gateway.example:8443/base"


def ring(home: Path, **secret: str) -> tuple[KeyRing, DeviceTokens]:
    tokens = DeviceTokens(home / "identity" / "device-tokens.json")
    settings = ClientSettings(
        url=URL,
        credentials=Credentials(**secret),
        role="node",
        device=load_or_create_identity(home / "identity" / "device.json"),
        tokens=tokens,
    )
    return KeyRing(settings), tokens


def refusal(code: str, **details: Any) -> ConnectRefused:
    shape = ErrorShape("INVALID_REQUEST", "unauthorized", details={"code": code, **details})
    return ConnectRefused(shape, method="connect")


def test_issued_token_is_kept_and_used_in_place_of_a_setup_code(tmp_path: Path) -> None:
    keys, tokens = ring(tmp_path, bootstrap_token="once")
    assert keys.choose() == Credentials(bootstrap_token="once")
    other = IssuedToken("op-token", "operator", ["operator.read"])
    granted = Granted(role="node", device_token="node-token", device_tokens=[other])
    keys.accepted(Hello(protocol=4, auth=granted))
    assert keys.choose() == Credentials(device_token="node-token")
    found = tokens.find(URL, "operator")
    assert found is not None
    assert (found.token, found.scopes) == ("op-token", ("operator.read",))


def test_given_secret_comes_first_and_the_token_when_the_gateway_offers(tmp_path: Path) -> None:
    keys, tokens = ring(tmp_path, token="secret")
    tokens.keep(URL, "node", StoredToken("mine"))
    assert keys.choose() == Credentials(token="secret")
    assert not keys.refused(refusal("AUTH_TOKEN_MISMATCH"))
    assert keys.choose() == Credentials(token="secret")
    assert keys.refused(refusal("AUTH_TOKEN_MISMATCH", canRetryWithDeviceToken=True))
    assert keys.choose() == Credentials(device_token="mine")


def test_token_the_gateway_forgot_is_forgotten(tmp_path: Path) -> None:
    keys, tokens = ring(tmp_path, bootstrap_token="again")
    tokens.keep(URL, "node", StoredToken("stale"))
    assert keys.choose() == Credentials(device_token="stale")
    assert keys.refused(refusal("AUTH_DEVICE_TOKEN_MISMATCH"))
    assert keys.choose() == Credentials(bootstrap_token="again")
    assert tokens.find(URL, "node") is None


def test_any_other_refusal_keeps_the_token(tmp_path: Path) -> None:
    keys, tokens = ring(tmp_path)
    tokens.keep(URL, "node", StoredToken("mine"))
    keys.choose()
    assert not keys.refused(refusal("PAIRING_REQUIRED"))
    assert tokens.find(URL, "node") is not None


@pytest.mark.parametrize("other", ["wss://other.example:8443/base", "ws://gateway.example:8443"])
def test_token_goes_to_no_other_gateway(tmp_path: Path, other: str) -> None:
    tokens = DeviceTokens(tmp_path / "device-tokens.json")
    tokens.keep(URL, "node", StoredToken("mine"))
    assert tokens.find(other, "node") is None
    assert tokens.find("wss://GATEWAY.example:8443/base/", "node") == StoredToken("mine")


def test_file_of_tokens_is_private_and_replaced_whole(tmp_path: Path) -> None:
    tokens = DeviceTokens(tmp_path / "identity" / "device-tokens.json")
    tokens.keep(URL, "node", StoredToken("one"))
    tokens.keep(URL, "node", StoredToken("two"))
    assert tokens.path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tokens.path.parent.iterdir()] == ["device-tokens.json"]
    tokens.path.write_text("{broken")
    assert tokens.find(URL, "node") is None
    tokens.keep(URL, "node", StoredToken("three"))
    assert tokens.find(URL, "node") == StoredToken("three")
