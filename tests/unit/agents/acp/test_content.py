from __future__ import annotations

import base64
from typing import Any

import pytest

from portico.agents.acp.content import MAX_EARLIER_CHARS, Takes, prompt_of
from portico.agents.runtime import HistoryMessage, TurnRequest
from portico.channels.model import Attachment

ALL = Takes(image=True, audio=True, embedded=True)
HELLO = base64.b64encode(b"hello").decode()
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()
SOUND = base64.b64encode(b"RIFF\0\0\0\0WAVEfmt ").decode()
PAPER = base64.b64encode(b"%PDF-1.7 and so on").decode()


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_instructions_come_before_the_message() -> None:
    request = TurnRequest(text="Hi", system_prompt="Be brief.", late_context="It is Monday.")
    assert prompt_of(request, Takes()) == [text("Be brief."), text("It is Monday."), text("Hi")]
    assert prompt_of(TurnRequest(text=""), Takes()) == [text(" ")]


@pytest.mark.parametrize(
    ("content", "takes", "block"),
    [
        (PICTURE, ALL, {"type": "image", "data": PICTURE, "mimeType": "image/png"}),
        (PICTURE, Takes(), text("[file f; the model cannot see pictures]")),
        (SOUND, ALL, {"type": "audio", "data": SOUND, "mimeType": "audio/wav"}),
        (HELLO, Takes(), text('<file name="f">\nhello\n</file>')),
        (
            HELLO,
            ALL,
            {
                "type": "resource",
                "resource": {"uri": "attachment:///f", "mimeType": "text/plain", "text": "hello"},
            },
        ),
        (
            PAPER,
            ALL,
            {
                "type": "resource",
                "resource": {
                    "uri": "attachment:///f",
                    "mimeType": "application/pdf",
                    "blob": PAPER,
                },
            },
        ),
        (
            PAPER,
            Takes(image=True),
            text("[file f; the model cannot read PDF]"),
        ),
    ],
)
def test_an_attachment_becomes_what_the_agent_takes(
    content: str, takes: Takes, block: dict[str, Any]
) -> None:
    claimed = "application/x-of-another-kind"  # it is what it is
    attachment = Attachment(type="file", mime_type=claimed, file_name="f", content=content)
    request = TurnRequest(text="Look", attachments=(attachment,))
    assert prompt_of(request, takes) == [text("Look"), block]


def test_damaged_text_and_what_has_no_data_is_named() -> None:
    parts: tuple[dict[str, Any], ...] = (
        {"type": "file", "name": "a.txt", "mimeType": "text/plain", "data": "é"},
        {"type": "file", "name": "b", "mimeType": "text/plain"},
        {"type": "image", "name": "c", "url": "https://example.com/c.png"},
    )
    assert prompt_of(TurnRequest(text="", parts=parts), ALL) == [
        text("[file a.txt; damaged]"),
        text("[file b; not shown]"),
        {
            "type": "resource_link",
            "name": "c",
            "uri": "https://example.com/c.png",
            "mimeType": "image/png",
        },
    ]


def test_parts_with_text_are_the_whole_message() -> None:
    request = TurnRequest(text="said", parts=(text("said"),))
    assert prompt_of(request, Takes()) == [text("said")]


def test_what_was_said_before_is_told_newest_first_as_far_as_there_is_room() -> None:
    earlier = [
        HistoryMessage("user", "x" * MAX_EARLIER_CHARS),
        HistoryMessage("assistant", [text("I "), text("know"), {"type": "image", "data": "AA"}]),
        HistoryMessage("toolResult", "not said"),
        HistoryMessage("user", "Well?"),
    ]
    first, last = prompt_of(TurnRequest(text="Now?"), Takes(), earlier=earlier)
    assert first["text"].endswith("\n\nYou: I know\n\nUser: Well?")
    assert "x" not in first["text"]
    assert "not said" not in first["text"]
    assert last == text("Now?")
