"""The settings of an account, as people and OpenClaw write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from portico.channels.matrix.config import MatrixAccount

SERVER = {"homeserver": "https://x.org"}


def account(**written: Any) -> MatrixAccount:
    return MatrixAccount.model_validate({**SERVER, **written})


@pytest.mark.parametrize(
    ("written", "is_missing"),
    [
        ({"accessToken": "t"}, False),
        ({"userId": "@a:x.org", "password": "p"}, False),
        ({"userId": "@a:x.org"}, True),
        ({"password": "p"}, True),
        ({}, True),
    ],
)
def test_one_way_to_log_in_is_needed(written: dict[str, Any], is_missing: bool) -> None:
    assert (account(**written).missing is not None) is is_missing


@pytest.mark.parametrize(
    "written",
    [
        {"homeserver": "x.org"},
        {"homeserver": "https://u:p@x.org"},
        {"homeserver": "https://x.org?access_token=t"},
        {"userId": "ann"},
        {"autoJoin": "sometimes"},
    ],
)
def test_what_cannot_be_is_refused(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        account(**written)


def test_what_openclaw_writes_is_understood() -> None:
    found = account(
        dm={"policy": "allowlist", "allowFrom": ["@ann:x.org"]},
        rooms={"!old:x.org": {"allow": False, "users": ["@bob:x.org"], "autoReply": True}},
        groups={"!new:x.org": {"requireMention": False}},
        replyToMode="first",
    )
    assert (found.dm_policy, found.allow_from) == ("allowlist", ("@ann:x.org",))
    assert found.groups["!old:x.org"].enabled is False
    assert found.groups["!old:x.org"].allow_from == ("@bob:x.org",)
    assert found.groups["!new:x.org"].require_mention is False
    assert found.quotes
    assert account(dm={"enabled": False}, dmPolicy="open").dm_policy == "disabled"
    assert account(dm={"policy": "open"}, dmPolicy="pairing").dm_policy == "pairing"
