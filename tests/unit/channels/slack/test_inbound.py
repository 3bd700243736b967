"""What Slack tells becomes a message or an event, or is refused: never a crash."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.channels.model import ChannelEvent
from portico.channels.slack.inbound import Said, Self, action, command, understood

ME = Self("U0BOT", "B0BOT", "portico", "T1")
SAID = {
    "type": "message",
    "user": "U1",
    "text": "hello <@U0BOT>",
    "ts": "5.5",
    "channel": "C1",
    "channel_type": "channel",
    "thread_ts": "4.4",
    "files": [{"id": "F1"}],
    "attachments": [{"is_share": True, "text": "x"}],
}
CHANGED = {
    "type": "message",
    "subtype": "message_changed",
    "channel": "D1",
    "message": {"user": "U1", "text": "b", "ts": "5.5", "thread_ts": "4.4"},
    "previous_message": {"user": "U1", "text": "a", "ts": "5.5"},
}
REACTION = {
    "type": "reaction_added",
    "user": "U1",
    "reaction": "eyes",
    "item": {"type": "message", "channel": "C1", "ts": "5.5"},
}
EVENTS: list[dict[str, Any]] = [
    SAID,
    {**SAID, "type": "app_mention"},
    {**SAID, "subtype": "bot_message", "bot_id": "B1", "username": "Robot"},
    CHANGED,
    {**CHANGED, "subtype": "message_deleted", "deleted_ts": "5.5"},
    {**SAID, "subtype": "channel_join"},
    REACTION,
    {"type": "member_left_channel", "user": "U1", "channel": "C1"},
    {"type": "channel_rename", "channel": {"id": "C1"}},
]
ODD = st.sampled_from([None, 7, True, "", "x", "\x00", [], [1], {}, {"a": [None]}, 1.5]).map(
    copy.deepcopy
)


def event(inner: dict[str, Any]) -> dict[str, Any]:
    return {"event": inner, "event_id": "Ev1", "team_id": "T1"}


@st.composite
def _broken(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """Put odd values into some places, at any depth."""
    changed = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = changed
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            place[key] = draw(ODD)
            break
    return changed


BROKEN_EVENTS = st.sampled_from(EVENTS).map(event).flatmap(_broken)


@given(BROKEN_EVENTS)
def test_odd_events_are_understood_or_refused(payload: dict[str, Any]) -> None:
    try:
        found = understood(payload, ME)
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    check(found)


COMMAND = {
    "channel_id": "C1",
    "channel_name": "club",
    "user_id": "U1",
    "user_name": "ann",
    "command": "/portico",
    "text": "hi",
    "trigger_id": "1.2.x",
    "team_id": "T1",
}
ACTION = {
    "type": "block_actions",
    "user": {"id": "U1"},
    "channel": {"id": "C1"},
    "message": {"ts": "5.5"},
    "trigger_id": "1.2.x",
    "actions": [{"action_id": "a", "selected_option": {"value": "v"}}],
    "view": {"callback_id": "c", "state": {"values": {}}},
}


@given(_broken(COMMAND), _broken(ACTION))
def test_odd_commands_and_actions_too(given: dict[str, Any], pressed: dict[str, Any]) -> None:
    for read, payload in (
        (lambda one: command(one, ME), given),
        (action, pressed),
    ):
        try:
            found = read(payload)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
        check(found)


def check(found: Said | ChannelEvent | None) -> None:
    """What comes out is of the types it claims: it can be stored."""
    if isinstance(found, ChannelEvent):
        msgspec.json.decode(msgspec.json.encode(found), type=ChannelEvent)
    elif found is not None:
        texts = (found.event_key, found.channel, found.sender, found.text)
        assert all(isinstance(one, str) for one in texts)
        perhaps = (found.channel_type, found.ts, found.thread_ts, found.sender_name, found.team_id)
        assert all(one is None or isinstance(one, str) for one in perhaps)
        assert found.ts is None or float(found.ts) is not None
        assert all(isinstance(file, dict) for file in found.files)


@pytest.mark.parametrize("inner", EVENTS)
def test_whole_events_are_understood(inner: dict[str, Any]) -> None:
    assert understood(event(inner), ME) is not None


def test_a_mention_and_its_message_are_the_same() -> None:
    first, second = (understood(event(one), ME) for one in EVENTS[:2])
    assert isinstance(first, Said)
    assert isinstance(second, Said)
    assert first.event_key == second.event_key
    assert first.is_addressed
    assert second.is_addressed


def test_nothing_heavy_is_imported_before_an_account_starts() -> None:
    code = (
        "import sys; from portico.channels.slack.manifest import MANIFEST; MANIFEST.settings(); "
        "sys.exit(any(name in sys.modules for name in ('slack_sdk', 'aiohttp', 'markdown_it')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
