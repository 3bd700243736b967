"""What is put into events that go out."""

from __future__ import annotations

from typing import Any

import pytest

from portico.channels.contract import (
    AuthExpired,
    ChannelError,
    RateLimited,
    Rejected,
    Transient,
    Uncertain,
)
from portico.channels.matrix.content import edited, image_size, relation, text_content
from portico.channels.matrix.markup import to_html
from portico.channels.matrix.troubles import Trouble, classified
from portico.channels.model import Peer, ReplyRoute


def route(thread_id: str | None = None, **context: str) -> ReplyRoute:
    return ReplyRoute("matrix", "default", Peer("group", "!r:x"), thread_id, context)


def test_plain_text_is_only_text() -> None:
    said = "plain & simple"
    assert text_content(said) == {"msgtype": "m.text", "body": said, "m.mentions": {}}


@pytest.mark.parametrize(
    ("markdown", "markup"),
    [
        ("**b** _i_ ~~s~~ `c`", "<p><strong>b</strong> <em>i</em> <s>s</s> <code>c</code></p>"),
        ("one\ntwo", "<p>one<br />\ntwo</p>"),
        ("<script>x</script>", None),
        ("<b>*x*</b>", "<p>&lt;b&gt;<em>x</em>&lt;/b&gt;</p>"),
        ("[x](javascript:alert(1))", None),
        ("![cat](https://e.org/c.png)", "<p>cat (https://e.org/c.png)</p>"),
        (
            "hi @ann:x.org.",
            '<p>hi <a href="https://matrix.to/#/@ann:x.org">@ann:x.org</a>.</p>',
        ),
        (
            "[l](https://e.org/@ann:x.org)",
            '<p><a href="https://e.org/@ann:x.org">l</a></p>',
        ),
    ],
)
def test_markdown(markdown: str, markup: str | None) -> None:
    assert to_html(markdown) == markup


def test_an_edit_of_a_long_text_is_not_twice_as_long() -> None:
    fresh = text_content("x" * 4000)
    assert len(edited("$1", fresh)["body"]) < 1000
    assert edited("$1", fresh)["m.new_content"] == fresh


@pytest.mark.parametrize(
    ("where", "quotes", "found"),
    [
        (route(messageId="$a"), False, {}),
        (route(messageId="$a"), True, {"m.in_reply_to": {"event_id": "$a"}}),
        (route(messageId="$a", replyToId="$b"), False, {"m.in_reply_to": {"event_id": "$b"}}),
        (
            route("$root", messageId="$a"),
            False,
            {
                "rel_type": "m.thread",
                "event_id": "$root",
                "is_falling_back": True,
                "m.in_reply_to": {"event_id": "$a"},
            },
        ),
        (
            route("$root", messageId="$a"),
            True,
            {
                "rel_type": "m.thread",
                "event_id": "$root",
                "is_falling_back": False,
                "m.in_reply_to": {"event_id": "$a"},
            },
        ),
    ],
)
def test_what_an_answer_is_tied_to(where: ReplyRoute, quotes: bool, found: dict[str, Any]) -> None:
    assert relation(where, quotes=quotes) == found


def test_sizes_of_pictures() -> None:
    assert image_size(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03") == (2, 3)
    assert image_size(b"GIF89a\x02\0\x03\0") == (2, 3)
    assert image_size(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") == (0, 0)
    assert image_size(b"\xff\xd8") is None


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (Trouble("x", status=401, code="M_UNKNOWN_TOKEN"), AuthExpired),
        (Trouble("x", status=403, code="M_USER_DEACTIVATED"), AuthExpired),
        (Trouble("x", status=429, code="M_LIMIT_EXCEEDED", retry_after_s=2.5), RateLimited),
        (Trouble("x", status=429), RateLimited),
        (Trouble("x", status=403, code="M_FORBIDDEN"), Rejected),
        (Trouble("x", status=404, code="M_NOT_FOUND"), Rejected),
        (Trouble("x", status=413, code="M_TOO_LARGE"), Rejected),
        (Trouble("x", status=502), Transient),
        (Trouble("x", may_have_arrived=True), Uncertain),
        (Trouble("x"), Transient),
    ],
)
def test_what_a_trouble_means(trouble: Trouble, kind: type[ChannelError]) -> None:
    found = classified(trouble)
    assert type(found) is kind
    if isinstance(found, RateLimited):
        assert found.retry_after_s == (trouble.retry_after_s or 5.0)
