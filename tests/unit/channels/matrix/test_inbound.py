"""What an event of a room becomes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.channels.matrix.inbound import MAX_DATA_BYTES, Place, Said, read, unknown
from portico.channels.model import ChannelEvent, Peer

ME, ANN, ROOM = "@bot:x.org", "@ann:x.org", "!room:x.org"


def place(**changes: Any) -> Place:
    known: dict[str, Any] = {
        "room_id": ROOM,
        "is_direct": False,
        "me": ME,
        "my_name": "Portico",
        "own": {"$mine"},
        "threads": "inbound",
        "name_of": {ANN: "Ann"}.get,
    }
    return Place(**{**known, **changes})


def event(content: dict[str, Any], kind: str = "m.room.message", **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "event_id": "$1",
        "sender": ANN,
        "origin_server_ts": 5,
        "content": content,
        **more,
    }


def text(body: str, **content: Any) -> dict[str, Any]:
    return event({"msgtype": "m.text", "body": body, **content})


def said(raw: dict[str, Any], **changes: Any) -> Said:
    found = read(raw, place(**changes))
    assert isinstance(found, Said)
    return found


def noted(raw: dict[str, Any], **changes: Any) -> ChannelEvent:
    found = read(raw, place(**changes))
    assert isinstance(found, ChannelEvent)
    return found


def test_a_message() -> None:
    message = said(text("hello")).message
    assert (message.event_key, message.external_id, message.sent_at_ms) == ("$1", "$1", 5)
    assert (message.sender, message.sender_name, message.text) == (ANN, "Ann", "hello")
    assert message.peer == Peer("group", ROOM)
    assert message.mentioned is False
    assert message.reply_context == {"roomId": ROOM, "messageId": "$1"}


def test_a_direct_message_is_with_its_sender() -> None:
    message = said(text("hello"), is_direct=True).message
    assert message.peer == Peer("direct", ANN)
    assert message.mentioned is None


@pytest.mark.parametrize(
    ("content", "is_addressed"),
    [
        ({"body": "Portico, hi"}, True),
        ({"body": "hi portico!"}, True),
        ({"body": "porticos are nice"}, False),
        ({"body": f"{ME}: hi"}, True),
        ({"body": "Portico", "m.mentions": {}}, False),
        ({"body": "hi", "m.mentions": {"user_ids": [ME]}}, True),
        ({"body": "hi", "m.mentions": {"room": True}}, False),
        ({"body": "hi", "m.mentions": {"user_ids": 3}}, False),
        (
            {"body": "x", "formatted_body": '<a href="https://matrix.to/#/%40bot%3Ax.org">x</a>'},
            True,
        ),
        (
            {"body": "x", "formatted_body": '<a href="https://matrix.to/#/@bot:x.org.evil">x</a>'},
            False,
        ),
        ({"body": "x", "m.relates_to": {"m.in_reply_to": {"event_id": "$mine"}}}, True),
        ({"body": "x", "m.relates_to": {"m.in_reply_to": {"event_id": "$other"}}}, False),
    ],
)
def test_being_addressed(content: dict[str, Any], is_addressed: bool) -> None:
    assert said(text(content.pop("body"), **content)).message.mentioned is is_addressed


def test_the_quotation_of_old_programs_is_dropped() -> None:
    tie = {"m.relates_to": {"m.in_reply_to": {"event_id": "$0"}}}
    message = said(text("> <@a:b> one\n> two\n\nanswer\n> quoted", **tie)).message
    assert message.text == "answer\n> quoted"
    assert message.reply_to == "$0"
    assert said(text("> not a reply")).message.text == "> not a reply"


@pytest.mark.parametrize(
    ("threads", "relation", "thread_id", "reply_to"),
    [
        ("inbound", {"rel_type": "m.thread", "event_id": "$root"}, "$root", None),
        ("off", {"rel_type": "m.thread", "event_id": "$root"}, None, None),
        ("always", {}, "$1", None),
        (
            "inbound",
            {
                "rel_type": "m.thread",
                "event_id": "$root",
                "is_falling_back": True,
                "m.in_reply_to": {"event_id": "$last"},
            },
            "$root",
            None,
        ),
        (
            "inbound",
            {
                "rel_type": "m.thread",
                "event_id": "$root",
                "is_falling_back": False,
                "m.in_reply_to": {"event_id": "$asked"},
            },
            "$root",
            "$asked",
        ),
    ],
)
def test_threads(
    threads: str, relation: dict[str, Any], thread_id: str | None, reply_to: str | None
) -> None:
    message = said(text("x", **{"m.relates_to": relation}), threads=threads).message
    assert (message.thread_id, message.reply_to) == (thread_id, reply_to)


def test_files() -> None:
    voice = {"msgtype": "m.audio", "body": "Voice", "url": "mxc://x/1"}
    file = said(event({**voice, "org.matrix.msc3245.voice": {}})).file
    assert file is not None
    assert (file.kind, file.mime_type, file.name, file.caption) == (
        "audio",
        "audio/ogg",
        "Voice",
        "",
    )
    captioned = {"msgtype": "m.file", "body": "read it", "filename": "a.pdf", "url": "mxc://x/2"}
    found = said(event(captioned))
    assert (found.message.text, found.file and found.file.name) == ("read it", "a.pdf")
    sticker = said(event({"body": "cat", "url": "mxc://x/3"}, "m.sticker"))
    assert (sticker.message.text, sticker.file and sticker.file.kind) == ("[sticker cat]", "image")


@pytest.mark.parametrize("key", ["m.poll", "org.matrix.msc3381.poll.start"])
def test_polls_are_shown(key: str) -> None:
    blocks: dict[str, Any] = (
        {"question": {"m.text": [{"body": "Tea?"}]}, "answers": [{"m.text": [{"body": "yes"}]}]}
        if key == "m.poll"
        else {
            "question": {"org.matrix.msc1767.text": "Tea?"},
            "answers": [{"org.matrix.msc1767.text": "yes"}],
        }
    )
    kind = "m.poll.start" if key == "m.poll" else key
    assert said(event({key: blocks}, kind)).message.text == "[poll Tea?: yes]"


@pytest.mark.parametrize(
    ("raw", "kind", "data"),
    [
        (event({"msgtype": "m.notice", "body": "beep"}), "other", {"msgtype": "m.notice"}),
        (event({"msgtype": "m.text", "body": "  "}), "other", {"body": "  "}),
        (event({}, "m.call.invite"), "call", {"type": "m.call.invite"}),
        (event({"redacts": "$0"}, "m.room.redaction"), "delete", {}),
        (event({}, unsigned={"redacted_because": {}}), "delete", {}),
        (event({"a": 1}, "org.example"), "other", {"type": "org.example", "a": 1}),
        (
            event({"membership": "join"}, "m.room.member", state_key=ANN),
            "join",
            {"users": [{"id": ANN, "name": None}]},
        ),
        (
            event(
                {"membership": "join"},
                "m.room.member",
                state_key=ANN,
                unsigned={"prev_content": {"membership": "join"}},
            ),
            "other",
            {"membership": "join"},
        ),
    ],
)
def test_what_is_no_message(raw: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
    found = noted(raw)
    assert (found.kind, found.event_key) == (kind, "$1")
    assert data.items() <= found.data.items()


def test_what_is_kept_is_small() -> None:
    found = noted(event({"a": "x" * 100_000}, "org.example"))
    assert len(msgspec.json.encode(found.data)) <= MAX_DATA_BYTES
    assert found.data["cut"] is True


SMALL = st.none() | st.integers(-9, 9) | st.sampled_from(["", "m.text", "m.image", "m.replace"])
JSON = SMALL | st.dictionaries(
    st.sampled_from(["rel_type", "event_id", "key", "url", "body", "user_ids"]), SMALL, max_size=3
)
KEYS = ["msgtype", "body", "m.relates_to", "m.mentions", "info", "url", "file", "m.new_content"]
KINDS = ["m.room.message", "m.reaction", "m.room.member", "m.sticker", "m.poll.start"]


@given(
    kind=st.sampled_from(KINDS),
    content=st.dictionaries(st.sampled_from(KEYS), JSON),
    more=st.dictionaries(st.sampled_from(["unsigned", "state_key", "sender", "event_id"]), JSON),
)
def test_every_event_is_read_or_kept_as_it_came(
    kind: str, content: dict[str, Any], more: dict[str, Any]
) -> None:
    raw = {**event(content, kind), **more}
    try:
        found: Any = read(raw, place())
    except Exception:  # noqa: BLE001  # as the channel does
        found = unknown(raw, ROOM)
    key = found.message.event_key if isinstance(found, Said) else found.event_key
    assert isinstance(key, str)
    assert key
    assert unknown(raw, ROOM) == unknown(dict(reversed(raw.items())), ROOM)


def test_nothing_heavy_is_imported_before_an_account_starts() -> None:
    code = (
        "import sys; from portico.channels.matrix.manifest import MANIFEST; MANIFEST.settings(); "
        "sys.exit(any(name in sys.modules for name in ('nio', 'aiohttp', 'markdown_it')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
