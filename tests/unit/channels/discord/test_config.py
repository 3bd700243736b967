from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from portico.channels.access.policy import AccessPolicy, NoPairing
from portico.channels.admission import Verdict
from portico.channels.discord.config import DiscordAccount
from portico.channels.model import InboundMessage, Peer

TOKEN = "OTAw.Xabc.secret"


def account(**written: Any) -> DiscordAccount:
    return DiscordAccount.model_validate({"token": TOKEN, **written})


def verdict(config: DiscordAccount, channel: str, **more: Any) -> Verdict:
    message = InboundMessage(
        channel="discord",
        account="default",
        event_key="m",
        peer=Peer("channel", channel),
        text="hi",
        **{"sender": "1", "guild_id": "100", "mentioned": True, **more},
    )
    work = AccessPolicy(config, NoPairing()).judge(message, searchable="hi", now=0)
    try:
        next(work)
    except StopIteration as done:
        found: Verdict = done.value.verdict
        return found
    raise AssertionError("the rules of groups need no database")


def test_the_older_place_counts_where_the_newer_is_not_written() -> None:
    old = account(dm={"policy": "allowlist", "allowFrom": [5]})
    assert (old.dm_policy, old.allow_from) == ("allowlist", ("5",))
    both = account(dm={"policy": "open", "allowFrom": ["5"]}, dmPolicy="pairing", allowFrom=["6"])
    assert (both.dm_policy, both.allow_from) == ("pairing", ("6",))
    assert account(dm={"enabled": False}, dmPolicy="open").dm_policy == "disabled"
    with pytest.raises(ValidationError):
        account(dm={"policy": "whoever"})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("off", "off"),
        (False, "off"),
        (True, "partial"),
        ("block", "partial"),
        ({"mode": "progress"}, "partial"),
        ({"mode": "off"}, "off"),
    ],
)
def test_growing_answers_as_older_files_have_them(written: Any, meant: str) -> None:
    assert account(streaming=written).streaming == meant


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c d", "Bot a.b.c"])
def test_what_is_no_token_is_said(token: str) -> None:
    with pytest.raises(ValidationError):
        account(token=token)


def test_a_server_with_channels_allows_only_these() -> None:
    config = account(guilds={"100": {"channels": {"7": {}, "8": {"allow": False}}}})
    assert verdict(config, "7") is Verdict.ADMIT
    assert verdict(config, "8") is Verdict.REFUSE
    assert verdict(config, "9") is Verdict.REFUSE
    assert verdict(config, "9", parent_peer=Peer("channel", "7")) is Verdict.ADMIT
    assert verdict(config, "9", guild_id="200") is Verdict.REFUSE


def test_a_server_without_channels_allows_all_of_them() -> None:
    config = account(guilds={"100": {"users": ["1"], "requireMention": False}})
    assert verdict(config, "7", mentioned=False) is Verdict.ADMIT
    assert verdict(config, "7", sender="2") is Verdict.REFUSE
    rest = account(guilds={"100": {"channels": {"*": {"requireMention": False}, "8": {}}}})
    assert verdict(rest, "7", mentioned=False) is Verdict.ADMIT
    assert verdict(rest, "8", mentioned=False) is Verdict.CONTEXT


def test_roles_are_allowed_by_id_and_groups_go_before_servers() -> None:
    config = account(
        guilds={"100": {"roles": ["55"], "channels": {"7": {}, "8": {"users": ["3"]}}}},
        groups={"8": {"allowFrom": ["role:66"]}},
    )
    assert verdict(config, "7") is Verdict.REFUSE
    assert verdict(config, "7", roles=("55",)) is Verdict.ADMIT
    assert verdict(config, "8", sender="3") is Verdict.REFUSE
    assert verdict(config, "8", roles=("66",)) is Verdict.ADMIT
