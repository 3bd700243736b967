"""Addresses: the id of a sender is exactly one plain address, or nothing."""

from __future__ import annotations

import pytest

from portico.channels.email.addresses import decoded, normalised, only_address


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Ann@People.EXAMPLE", "Ann@people.example"),
        (" ann@people.example ", "ann@people.example"),
        ("ann+tag@b.example", "ann+tag@b.example"),
        ("grüße@bücher.example", "grüße@bücher.example"),
        ("ann", None),
        ("ann@", None),
        ("@b", None),
        ("a@b@c", None),
        ("a b@c", None),
        ("a..b@c", None),
        (".a@c", None),
        ("a@-c", None),
        ('"a"@c', None),
        ("a@[127.0.0.1]", None),
        ("a@b\r\nBcc: c@d", None),
        ("a" * 65 + "@b", None),
        ("a@" + "b" * 260, None),
    ],
)
def test_an_address_is_plain_or_none(given: str, expected: str | None) -> None:
    assert normalised(given) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("ann@b.example", ("", "ann@b.example")),
        ("Ann <ann@B.example>", ("Ann", "ann@b.example")),
        ("=?utf-8?q?J=C3=B6?= <jo@b.example>", ("Jö", "jo@b.example")),
        ('"ann@b.example" <eve@c.example>', ("ann@b.example", "eve@c.example")),
        ("ann@b.example, eve@c.example", None),
        ("<ann@b.example> <eve@c.example>", None),
        ("ann@b.example <eve@c.example>", None),
        ("Team: ann@b.example;", None),
        ("ann@b.example (eve@c.example)", None),
        ("", None),
        ("x" * 10_000, None),
    ],
)
def test_a_header_names_one_sender_or_none(header: str, expected: tuple[str, str] | None) -> None:
    assert only_address(header) == expected


def test_a_header_is_one_line_of_text() -> None:
    assert decoded("=?utf-8?q?a=0D=0ABcc:_x?= \r\n y\u2028z") == "a Bcc: x y z"
    assert decoded("=?klingon?q?a?=") == "a"
    assert decoded("=?utf-8?b?!!!?= x").endswith("x")
