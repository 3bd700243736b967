"""Whatever a client writes into headers, the address a trusted proxy adds is what counts."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from portico.auth.forwarded import NAMES, address_of, client_of
from portico.auth.peer import PeerRules, peer_of

PROXY = "10.0.0.1"
RULES = PeerRules(("10.0.0.0/8",))
outside = st.ip_addresses().filter(
    lambda one: (
        one not in ipaddress.ip_network("10.0.0.0/8") and getattr(one, "ipv4_mapped", None) is None
    )
)
header_text = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=80)


@given(st.dictionaries(st.sampled_from((*NAMES, "host", "origin")), header_text), st.booleans())
def test_no_header_breaks_the_door(headers: dict[str, str], real_ip: bool) -> None:
    rules = PeerRules(("10.0.0.0/8", "127.0.0.1", "::1"), allow_real_ip=real_ip)
    for ip in (PROXY, "127.0.0.1", "::1", "203.0.113.9", None):
        peer = peer_of(ip, headers, rules=rules)
        if peer.ip is not None:
            assert str(ipaddress.ip_address(peer.ip)) == peer.ip
        if any(name in headers for name in NAMES):
            assert not peer.direct_local


@given(header_text.filter(lambda text: text.count('"') % 2 == 0), outside)
def test_what_stands_before_the_proxys_word_changes_nothing(invented: str, client: object) -> None:
    chain = {"x-forwarded-for": f"{invented}, {client}"}
    assert peer_of(PROXY, chain, rules=RULES).ip == str(client)
    quoted = f'"[{client}]:1"' if ":" in str(client) else str(client)
    standard = {"forwarded": f"{invented.replace(chr(92), '')}, for={quoted}"}
    assert client_of(standard, lambda one: one.startswith("10.")) == str(client)


@given(header_text, outside)
def test_nobody_else_is_believed(chain: str, client: object) -> None:
    peer = peer_of(str(client), {"x-forwarded-for": chain}, rules=RULES)
    assert peer.ip == str(client)
    assert peer.has_unknown_proxy


@given(outside, st.integers(0, 65535), st.lists(st.sampled_from(["10.1.2.3", "10.9.9.9:80"])))
def test_trusted_hops_are_passed_by(client: object, port: int, hops: list[str]) -> None:
    shown = f"[{client}]:{port}" if ":" in str(client) else f"{client}:{port}"
    assert address_of(shown) == str(client)
    chain = ", ".join([shown, *hops])
    assert peer_of(PROXY, {"x-forwarded-for": chain}, rules=RULES).ip == str(client)
