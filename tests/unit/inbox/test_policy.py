"""Who may talk through a door, and when a message is meant for the assistant."""

from __future__ import annotations

from typing import Any

import pytest

from portico.channels.model import InboundMessage, Peer
from portico.inbox.policy import OPEN_DOOR, Decision, DoorPolicy, Verdict

MENTIONS = DoorPolicy(require_mention=True, mention_patterns=("@bot", "hey bot"))


def message(kind: Any = "direct", **fields: Any) -> InboundMessage:
    defaults = {"sender": "ann", "text": "hello"}
    return InboundMessage(
        channel="fake",
        account="default",
        event_key="k",
        peer=Peer(kind, "p"),
        **(defaults | fields),
    )


def verdict(policy: DoorPolicy, said: InboundMessage, searchable: str | None = None) -> Verdict:
    return policy.decide(said, searchable=searchable or said.text).verdict


def test_an_open_door_lets_everybody_in() -> None:
    assert OPEN_DOOR.decide(message(), searchable="") == Decision(Verdict.ADMIT)


def test_an_allowlist_names_who_may_talk() -> None:
    door = DoorPolicy(allow_senders=frozenset({"ann"}))
    assert verdict(door, message()) is Verdict.ADMIT
    refused = door.decide(message(sender="Ann"), searchable="")
    assert refused.verdict is Verdict.REFUSE
    assert refused.reason == "sender is not on the allowlist"


def test_an_empty_allowlist_lets_nobody_in() -> None:
    assert verdict(DoorPolicy(allow_senders=frozenset()), message()) is Verdict.REFUSE


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (message("group"), Verdict.CONTEXT),
        (message("channel"), Verdict.CONTEXT),
        (message("direct", thread_id="t"), Verdict.CONTEXT),
        (message("direct"), Verdict.ADMIT),
        (message("group", text="ask @bot please"), Verdict.ADMIT),
        (message("group", text="@BOT"), Verdict.CONTEXT),
        (message("group", mentioned=True), Verdict.ADMIT),
        (message("group", text="@bot", mentioned=False), Verdict.CONTEXT),
    ],
)
def test_a_shared_conversation_needs_a_mention(said: InboundMessage, expected: Verdict) -> None:
    assert verdict(MENTIONS, said) is expected


def test_a_mention_may_be_in_a_part() -> None:
    assert verdict(MENTIONS, message("group", text=""), "look\nhey bot") is Verdict.ADMIT


def test_an_allowlist_comes_before_mentions() -> None:
    door = DoorPolicy(frozenset(), require_mention=True, mention_patterns=("@bot",))
    assert verdict(door, message("group")) is Verdict.REFUSE


def test_mentions_need_a_pattern() -> None:
    with pytest.raises(ValueError, match="mentionPatterns"):
        DoorPolicy(require_mention=True)
