from __future__ import annotations

import io

import pytest

from portico.cli.output import duration
from portico.cli.streaming import AnswerPrinter
from portico.client.messages import text_of
from tests.fakes.gateway import chat_text


def printed(*payloads: dict) -> tuple[str, bool]:
    out = io.StringIO()
    printer = AnswerPrinter(out)
    ended = [printer.take(payload) for payload in payloads]
    return out.getvalue(), ended[-1]


def delta(text: str, **more: object) -> dict:
    return {"state": "delta", "deltaText": text, **more}


def final(text: str) -> dict:
    return {"state": "final", "message": chat_text(text)}


def test_deltas_are_written_once() -> None:
    assert printed(delta("Hel"), delta("lo"), final("Hello")) == ("Hello\n", True)


def test_final_completes_what_was_dropped_on_the_way() -> None:
    assert printed(delta("Hel"), final("Hello there")) == ("Hello there\n", True)


def test_replaced_text_is_written_again() -> None:
    shown, _ = printed(delta("Draft"), delta("Better", replace=True), final("Better"))
    assert shown == "Draft\nBetter\n"


def test_final_without_message_is_silent() -> None:
    assert printed({"state": "final"}) == ("", True)


def test_stop_and_failure_are_said() -> None:
    aborted = {"state": "aborted", "message": chat_text("Hel")}
    assert printed(delta("Hel"), aborted) == ("Hel\n(stopped)\n", True)
    assert printed({"state": "error", "errorMessage": "no model"}) == (
        "(failed: no model)\n",
        True,
    )


def test_status_is_not_an_end() -> None:
    assert printed({"state": "status", "phase": "starting_model"}) == ("", False)


def test_text_of_messages_of_every_shape() -> None:
    assert text_of({"content": "plain"}) == "plain"
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "a"},
        {"type": "toolCall", "name": "search"},
        {"type": "image"},
    ]
    assert text_of({"content": parts}) == "a\n[toolCall: search]\n[image]"
    assert text_of(None) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (200, "3 min"), (7500, "2 h 05 min"), (270_000, "3 d 3 h"), (0.4, "0 s")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
