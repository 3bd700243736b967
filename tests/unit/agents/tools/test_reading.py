"""Where a text in an argument comes from."""

from __future__ import annotations

import pytest

from portico.agents.tools.reading import MAX_CHARS, Reading

URL = "https://a.example/x?q=1"


@pytest.mark.parametrize(
    "text",
    [
        URL,
        f"see {URL}",
        f"see {URL}.",
        f"({URL})",
        f"[there]({URL}), and",
        f'<a href="{URL}">',
        f"**{URL}**!",
        f'{{"text":"first\\n{URL}\\nlast"}}',
        f"one https://b.example\n{URL}\n",
        f"{URL}/longer, and then {URL}",
    ],
)
def test_an_address_that_stands_whole_was_read(text: str) -> None:
    reading = Reading()
    reading.written(text)
    assert reading.has(URL)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{URL}2",
        f"{URL}&r=2",
        f"{URL}/more",
        f"{URL}.more",
        f"{URL}....",  # how many marks follow must not become a message either
        f"{URL})x",
        f"x{URL}",
        URL[:-1],
        URL.upper(),
    ],
)
def test_a_piece_of_another_address_was_not(text: str) -> None:
    reading = Reading()
    reading.written(text)
    assert not reading.has(URL)


def test_an_empty_text_was_never_read() -> None:
    reading = Reading()
    reading.written("anything")
    assert not reading.has("")


def test_what_the_model_said_first_does_not_count_when_it_comes_back() -> None:
    reading = Reading()
    reading.said({"query": [f"about {URL}"]})
    reading.returned(f"nothing found for {URL}")
    assert not reading.has(URL)
    reading.written(f"I mean {URL}")  # a person's own words always count
    assert reading.has(URL)


def test_what_was_returned_first_counts_whatever_the_model_says_later() -> None:
    reading = Reading()
    reading.returned(f"a page with {URL} in it")
    reading.said(f"I shall read {URL}")
    assert reading.has(URL)


def test_what_does_not_fit_is_not_counted() -> None:
    reading = Reading()
    reading.written("x" * (MAX_CHARS - 5))
    reading.written(URL)
    assert not reading.has(URL)
