from __future__ import annotations

import pytest

from portico.auth.peer import Peer, PeerRules, origin_problem, peer_of


@pytest.mark.parametrize(
    ("ip", "headers", "local"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:18789"}, True),
        ("127.0.0.1", {"host": "localhost"}, True),
        ("::1", {"host": "[::1]:18789"}, True),
        ("::ffff:127.0.0.1", {"host": "portico.localhost"}, True),
        (None, {"host": ""}, True),
        ("127.0.0.1", {"host": "gateway.example"}, False),
        ("127.0.0.1", {}, False),
        ("192.0.2.1", {"host": "localhost"}, False),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-for": "127.0.0.1"}, False),
        ("127.0.0.1", {"host": "localhost", "forwarded": "for=127.0.0.1"}, False),
        (None, {"host": "x", "x-real-ip": "192.0.2.1"}, False),
    ],
)
def test_what_counts_as_this_machine(ip, headers, local):
    assert peer_of(ip, headers).direct_local is local


@pytest.mark.parametrize(
    ("ip", "forwarded", "trusted", "seen"),
    [
        ("192.0.2.1", "203.0.113.9", (), "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", ("192.0.2.0/24",), "203.0.113.9"),
        ("192.0.2.1", "6.6.6.6, 203.0.113.9, 192.0.2.7", ("192.0.2.0/24",), "203.0.113.9"),
        ("192.0.2.1", "192.0.2.8", ("192.0.2.0/24",), "192.0.2.8"),
        (None, "203.0.113.9", ("127.0.0.1",), "203.0.113.9"),
        ("2001:db8::1", "203.0.113.9", ("2001:db8::/32",), "203.0.113.9"),
    ],
)
def test_forwarded_address_is_believed_from_trusted_proxies_only(ip, forwarded, trusted, seen):
    headers = {"host": "x", "x-forwarded-for": forwarded}
    assert peer_of(ip, headers, rules=PeerRules(trusted)).ip == seen


def _page(origin: str | None, host: str = "127.0.0.1:18789", *, local: bool = False) -> Peer:
    return Peer(ip="192.0.2.1", direct_local=local, host=host, origin=origin)


@pytest.mark.parametrize(
    ("peer", "problem"),
    [
        (_page(None), "origin missing or invalid"),
        (_page("null"), "origin missing or invalid"),
        (_page("http://[bad"), "origin missing or invalid"),
        (_page("http://user@127.0.0.1:18789"), "origin missing or invalid"),
        (_page("http://127.0.0.1:18789"), None),
        (_page("http://gw.local", "gw.local"), None),
        (_page("https://192.0.2.5", "192.0.2.5:443"), None),
        (_page("http://127.0.0.1:5173"), "origin not allowed"),
        (_page("http://127.0.0.1:5173", local=True), None),
        (_page("https://allowed.example"), None),
        (_page("https://allowed.example.evil.example"), "origin not allowed"),
        (_page("http://rebound.example:18789", "rebound.example:18789"), "origin not allowed"),
    ],
)
def test_origin_of_a_page(peer, problem):
    allowed = ["https://Allowed.example/"]
    assert origin_problem(peer, allowed=allowed, by_host_name=False) == problem


def test_page_under_its_own_name_is_fine_when_a_secret_is_asked_for():
    page = _page("https://gw.example", "gw.example")
    assert origin_problem(page, allowed=[], by_host_name=True) is None
    assert origin_problem(_page("https://x.example"), allowed=["*"], by_host_name=False) is None


def test_page_on_this_machine_is_counted_by_its_origin():
    assert _page("http://localhost:1", local=True).address == "origin:http://localhost:1"
    assert not _page("http://localhost:1", local=True).exempt
    assert _page(None, local=True).exempt
