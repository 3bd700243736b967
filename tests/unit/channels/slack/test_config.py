"""The settings of a Slack app, with OpenClaw's names."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from portico.channels.slack.config import SlackAccount


def test_each_mode_says_which_secret_it_misses() -> None:
    socket = SlackAccount.model_validate({"botToken": "xoxb-1"})
    assert "appToken" in (socket.missing or "")
    assert socket.exclusive
    http = SlackAccount.model_validate({"botToken": "xoxb-1", "mode": "http"})
    assert "signingSecret" in (http.missing or "")
    assert not http.exclusive
    whole = {"botToken": "xoxb-1", "appToken": "xapp-1", "signingSecret": "0123456789"}
    assert SlackAccount.model_validate(whole).missing is None
    assert SlackAccount.model_validate({**whole, "mode": "http"}).missing is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"botToken": "123"},
        {"botToken": "xoxb-1", "appToken": "xoxb-1"},
        {"botToken": "xoxb-1", "mode": "rtm"},
        {"botToken": "xoxb-1", "channels": {"C1": 3}},
    ],
)
def test_wrong_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        SlackAccount.model_validate(wrong)


def test_openclaws_channels_are_groups() -> None:
    found = SlackAccount.model_validate(
        {
            "botToken": "xoxb-1",
            "channels": {
                "C1": {"allow": False},
                "C2": {"users": ["U1"], "requireMention": False},
                "C3": {"requireMention": False},
            },
            "groups": {"C3": {"requireMention": True}},
        }
    )
    assert not found.groups["C1"].enabled
    assert found.groups["C2"].allow_from == ("U1",)
    assert found.groups["C3"].require_mention is True


@pytest.mark.parametrize(
    ("dm", "policy", "allowed"),
    [
        ({"policy": "allowlist", "allowFrom": [7]}, "allowlist", ("7",)),
        ({"enabled": False, "policy": "open"}, "disabled", ()),
        ({}, "pairing", ()),
    ],
)
def test_openclaws_place_for_direct_messages(dm: dict, policy: str, allowed: tuple) -> None:
    found = SlackAccount.model_validate({"botToken": "xoxb-1", "dm": dm})
    assert (found.dm_policy, found.allow_from) == (policy, allowed)


def test_threads_by_kind_of_conversation() -> None:
    found = SlackAccount.model_validate(
        {"botToken": "xoxb-1", "replyToMode": "all", "replyToModeByChatType": {"direct": "off"}}
    )
    assert found.replies_in_thread("channel")
    assert not found.replies_in_thread("direct")
    assert not SlackAccount.model_validate({"botToken": "xoxb-1"}).replies_in_thread("channel")
