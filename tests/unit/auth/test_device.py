from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization

from portico.auth.device import MAX_SKEW_MS, decode_base64, normalize, verify_device
from portico.protocol.connect import ConnectParams
from portico.protocol.errors import InvalidRequest
from tests.fakes.control_plane import Device

NOW = 1_795_209_773_865

RECORDED = {
    "minProtocol": 4,
    "maxProtocol": 4,
    "client": {
        "id": "cli",
        "version": "2026.9.6",
        "platform": "linux",
        "deviceFamily": "Linux",
        "mode": "cli",
    },
    "role": "operator",
    "scopes": [
        "operator.admin",
        "operator.read",
        "operator.write",
        "operator.approvals",
        "operator.questions",
        "operator.pairing",
        "operator.talk.secrets",
    ],
    "caps": [],
    "auth": {"token": "testtoken"},
    "device": {
        "id": "b1f4bbf8ca4f229d7ae74f9247e0f92690a9a2f1cf41ee7ac7265712145e7042",
        "publicKey": "r5vcHDFuuUL2LMwCvFCD0W4Yur476oq-xtt_LjX-QtI",
        "signature": "6pwHRdhW5WlPeqI2nqZwmoS-0P1DV__fCAlSmi18o2L3BdGANt6Sft-IZY3U6Gnn3Sm6jpsSi"
        "OM-0_rS6smFDg",
        "signedAt": NOW,
        "nonce": "acd4e48b-490d-4dd4-967d-baea598a1f9a",
    },
}


def _verify(params: dict[str, object], nonce: str, now_ms: int = NOW) -> bytes:
    decoded = msgspec.convert(params, ConnectParams)
    assert decoded.device is not None
    return verify_device(decoded, decoded.device, nonce=nonce, now_ms=now_ms)


def test_proof_of_a_stock_client_is_good():
    nonce = "acd4e48b-490d-4dd4-967d-baea598a1f9a"
    assert len(_verify(RECORDED, nonce)) == 32
    with pytest.raises(InvalidRequest, match="device signature invalid"):
        _verify({**RECORDED, "scopes": ["operator.admin"]}, nonce)


def test_clock_may_differ_by_two_minutes():
    device = Device()
    params = device.params("n")
    params["device"] = device.proof(params, "n", signed_at=NOW)
    for skew in (MAX_SKEW_MS, -MAX_SKEW_MS):
        assert _verify(params, "n", NOW + skew)
    with pytest.raises(InvalidRequest, match="device signature expired"):
        _verify(params, "n", NOW + MAX_SKEW_MS + 1)


def test_key_may_be_pem():
    device = Device()
    params = device.params("n")
    params["device"] = device.proof(params, "n", signed_at=NOW) | {
        "publicKey": device.key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    }
    assert _verify(params, "n")
    params["device"]["publicKey"] = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"
    with pytest.raises(InvalidRequest, match="device public key invalid"):
        _verify(params, "n")


def test_base64_of_both_kinds():
    assert decode_base64("-_8") == decode_base64("+/8=") == b"\xfb\xff"
    assert decode_base64("?") is None
    assert decode_base64("é") is None


def test_platform_is_folded_as_it_is_signed():
    assert normalize("  LinuX É ") == "linux É"
    assert normalize(None) == ""
