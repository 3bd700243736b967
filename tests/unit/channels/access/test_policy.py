"""Who may write: closed unless opened."""

from __future__ import annotations

from typing import Any

import pytest

from portico.channels.access.policy import AccessPolicy, ClosedPolicy
from portico.channels.admission import Decision, Verdict
from portico.channels.model import InboundMessage, Peer
from portico.config.sections.channels import AccountConfig
from portico.store import Work


class Asked:
    """Stands for pairing: says that it was asked."""

    def judge(self, message: InboundMessage, *, now: int) -> Work[Decision]:
        yield from ()
        return Decision(Verdict.REFUSE, "asked")


def verdict(config: dict[str, Any], *, sender: str = "7", **message: Any) -> tuple[str, str | None]:
    policy = AccessPolicy(AccountConfig.model_validate(config), Asked())
    said = InboundMessage(
        channel="c",
        account="a",
        event_key="e",
        peer=message.pop("peer", Peer("direct", sender)),
        sender=sender,
        text=message.pop("text", "hello"),
        **message,
    )
    return finish(policy.judge(said, searchable=said.text, now=0))


def finish(work: Work[Decision]) -> tuple[str, str | None]:
    try:
        next(work)
    except StopIteration as end:
        return end.value.verdict.value, end.value.reason
    raise AssertionError("it asks the database")


GROUP = Peer("group", "g1")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, ("refuse", "asked")),
        ({"allowFrom": [7]}, ("admit", None)),
        ({"allowFrom": ["*"]}, ("refuse", "asked")),
        ({"dmPolicy": "allowlist"}, ("refuse", "the sender is not on the allowlist")),
        ({"dmPolicy": "allowlist", "allowFrom": ["7"]}, ("admit", None)),
        (
            {"dmPolicy": "allowlist", "allowFrom": ["*"]},
            ("refuse", "the sender is not on the allowlist"),
        ),
        (
            {"dmPolicy": "open"},
            ("refuse", 'dmPolicy is open, but allowFrom does not hold "*"'),
        ),
        ({"dmPolicy": "open", "allowFrom": ["*"]}, ("admit", None)),
        ({"dmPolicy": "disabled", "allowFrom": ["7"]}, ("refuse", "direct messages are off")),
    ],
)
def test_direct_messages(config: dict[str, Any], expected: tuple[str, str | None]) -> None:
    assert verdict(config) == expected


def test_a_name_is_no_id() -> None:
    config = {"dmPolicy": "allowlist", "allowFrom": ["Ann"]}
    assert verdict(config, sender="7", sender_name="Ann")[0] == "refuse"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, ("refuse", "the group is not on the allowlist")),
        ({"groups": {"g2": {}}}, ("refuse", "the group is not on the allowlist")),
        (
            {"groupPolicy": "open"},
            ("refuse", 'groupPolicy is open, but groups does not hold "*"'),
        ),
        ({"groupPolicy": "disabled", "groups": {"g1": {}}}, ("refuse", "groups are off")),
        ({"groups": {"g1": {"enabled": False}}}, ("refuse", "the group is switched off")),
        ({"groups": {"g1": {}}}, ("context", "the assistant was not mentioned")),
        ({"groups": {"*": {}}}, ("context", "the assistant was not mentioned")),
        ({"groups": {"g1": {"requireMention": False}}}, ("admit", None)),
        ({"groups": {"g1": {}}, "requireMention": False}, ("admit", None)),
        (
            {"groups": {"g1": {"requireMention": False}}, "groupAllowFrom": ["8"]},
            ("refuse", "the sender is not on the group's allowlist"),
        ),
        (
            {"groups": {"g1": {"requireMention": False}}, "groupAllowFrom": [7]},
            ("admit", None),
        ),
        (
            {"groups": {"g1": {"requireMention": False, "allowFrom": []}}},
            ("refuse", "the sender is not on the group's allowlist"),
        ),
        (
            {
                "groups": {"g1": {"requireMention": False, "allowFrom": ["*"]}},
                "groupAllowFrom": ["8"],
            },
            ("admit", None),
        ),
    ],
)
def test_groups(config: dict[str, Any], expected: tuple[str, str | None]) -> None:
    assert verdict(config, peer=GROUP) == expected
    assert verdict(config, peer=Peer("channel", "g1")) == expected


@pytest.mark.parametrize(
    ("text", "mentioned", "expected"),
    [
        ("hello", None, "context"),
        ("hello", False, "context"),
        ("hello", True, "admit"),
        ("hey Botty, hello", None, "admit"),
        ("hey @bot", None, "admit"),
        ("hey BOTTY", False, "admit"),
        ("bottyness", None, "context"),
    ],
)
def test_mentions(text: str, mentioned: bool | None, expected: str) -> None:
    config = {"groups": {"g1": {}}, "mentionPatterns": ["@bot", "botty"]}
    assert verdict(config, peer=GROUP, text=text, mentioned=mentioned)[0] == expected


def test_an_account_without_rules_is_closed() -> None:
    said = InboundMessage(
        channel="c", account="a", event_key="e", peer=GROUP, sender="7", text="hello"
    )
    assert finish(ClosedPolicy().judge(said, searchable="", now=0))[0] == "refuse"
