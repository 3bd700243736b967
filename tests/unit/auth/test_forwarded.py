from __future__ import annotations

import pytest

from portico.auth.forwarded import address_of, client_of, header_map

PROXIES = {"10.0.0.1", "10.0.0.2", "2001:db8::1"}


def client(allow_real_ip: bool = False, **headers: str) -> str | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client_of(named, PROXIES.__contains__, allow_real_ip=allow_real_ip)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.1, 10.0.0.2", "203.0.113.9"),
        ("203.0.113.9:4711, 10.0.0.1", "203.0.113.9"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("2001:db8::7, 2001:db8::1", "2001:db8::7"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.2, 10.0.0.1", "10.0.0.2"),
        ("203.0.113.9, unknown", None),
        ("203.0.113.9, unknown, 10.0.0.1", None),
        ("unknown, 203.0.113.9", "203.0.113.9"),
        ("", None),
        (",", None),
        ("203.0.113.9,", None),
    ],
)
def test_the_chain_ends_at_the_first_address_nobody_trusts(
    chain: str, expected: str | None
) -> None:
    assert client(x_forwarded_for=chain) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("for=6.6.6.6, for=192.0.2.60;host=x, for=10.0.0.1", "192.0.2.60"),
        ('for="6.6.6.6, for=192.0.2.60"', None),
        ("for=unknown", None),
        ('for="_hidden"', None),
        ("proto=https", None),
        ("for=1.1.1.1;for=2.2.2.2", None),
        ('for="', None),
    ],
)
def test_the_standard_header_is_read(header: str, expected: str | None) -> None:
    assert client(forwarded=header) == expected


def test_two_headers_have_to_tell_the_same() -> None:
    assert client(forwarded="for=1.2.3.4", x_forwarded_for="1.2.3.4") == "1.2.3.4"
    assert client(forwarded="for=1.2.3.4", x_forwarded_for="5.6.7.8") is None


def test_the_real_ip_counts_only_when_asked_for_and_alone() -> None:
    assert client(x_real_ip="1.2.3.4") is None
    assert client(True, x_real_ip="1.2.3.4") == "1.2.3.4"
    assert client(True, x_real_ip="1.2.3.4", x_forwarded_for="5.6.7.8") == "5.6.7.8"
    assert client(True, x_real_ip="1.2.3.4, 5.6.7.8") is None


def test_a_header_that_comes_twice_is_one_list() -> None:
    headers = header_map([("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-for", "203.0.113.9")])
    assert headers == {"x-forwarded-for": "6.6.6.6, 203.0.113.9"}


@pytest.mark.parametrize("text", ["1.2.3.4:", "1.2.3.4:x", "[::1", "[::1]x", "[::1]:123456", "a"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert address_of(text) is None
