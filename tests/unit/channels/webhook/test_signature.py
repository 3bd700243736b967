"""Signing and proving, held against an independent implementation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.channels.webhook.signature import Unproven, prove, sign, signing_key
from tests.fakes.webhook_partner import SECRET, signed

NOW = 1_800_000_000
BODY = b'{"text": "hi"}'


def proven(headers: dict[str, str], body: bytes = BODY, *, secret: str = SECRET) -> str:
    return prove(secret, headers, body, now_s=NOW, tolerance_s=300)


@pytest.mark.parametrize("secret", [SECRET, "any text of sixteen characters or more"])
def test_both_sides_agree(secret: str) -> None:
    ours = sign(secret, event_id="e1", timestamp_s=NOW, body=BODY)
    assert ours == signed("e1", BODY, secret=secret, at=NOW)
    assert proven(ours, secret=secret) == "e1"


def test_the_example_of_the_specification_holds() -> None:
    # Source: Standard Webhooks, the reference libraries' test vector.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    made = sign(secret, event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp_s=1614265330, body=body)
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_one_of_several_signatures_is_enough() -> None:
    headers = signed("e1", BODY, at=NOW)
    other = signed("e1", BODY, secret="an older secret of ours", at=NOW)["webhook-signature"]
    headers["webhook-signature"] = f"v1a,xyz {other} {headers['webhook-signature']}"
    assert proven(headers) == "e1"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"webhook-id": ""}, "webhook-id is missing"),
        ({"webhook-id": "x" * 300}, "webhook-id is missing or too long"),
        ({"webhook-id": "e2"}, "does not fit"),
        ({"webhook-timestamp": "soon"}, "not a number"),
        ({"webhook-timestamp": "١٢٣"}, "not a number"),
        ({"webhook-timestamp": str(NOW + 1)}, "does not fit"),
        ({"webhook-timestamp": str(NOW - 301)}, "too far from the present"),
        ({"webhook-timestamp": str(NOW + 301)}, "too far from the present"),
        ({"webhook-signature": ""}, "does not fit"),
        ({"webhook-signature": "v2,abc"}, "does not fit"),
        ({"webhook-signature": "ünicode,ü"}, "does not fit"),
    ],
)
def test_what_does_not_prove_it(change: dict[str, str], why: str) -> None:
    with pytest.raises(Unproven, match=why):
        proven({**signed("e1", BODY, at=NOW), **change})


def test_another_body_or_secret_does_not_fit() -> None:
    with pytest.raises(Unproven):
        proven(signed("e1", BODY, at=NOW), b"{}")
    with pytest.raises(Unproven):
        proven(signed("e1", BODY, at=NOW), secret="another secret of ours")


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=60), max_size=6), st.binary())
def test_nothing_a_stranger_sends_proves_or_breaks_anything(headers, body) -> None:
    with pytest.raises(Unproven):
        proven(headers, body)


def test_a_broken_secret_is_no_key() -> None:
    assert signing_key("whsec_not base64!") == b""
