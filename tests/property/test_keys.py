"""The grammar of session keys: canonical once is canonical for ever, and nobody forges a key."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from portico.protocol.errors import InvalidRequest
from portico.protocol.keys import (
    MAX_KEY_LENGTH,
    agent_of,
    canonical,
    derive,
    escape_part,
    message_api_id,
    normalize_agent_id,
    parse,
)

# What tempts: separators, escapes, markers, case, and characters whose case folds oddly.
TRICKY = st.text(
    st.one_of(st.sampled_from(list(":%aAbB25-_ /ıİßſK")), st.characters(codec="utf-8")),
    min_size=1,
    max_size=12,
)
PARTS = st.one_of(
    TRICKY,
    st.sampled_from(["main", "thread", "a:thread:b", "%3A", "direct:x", "Ann", "ann", "group:1"]),
)
CHANNELS = st.sampled_from(["telegram", "http", "webchat", "slack"])
SCOPES = st.sampled_from(["per-peer", "per-channel-peer", "per-account-channel-peer"])
AGENTS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)
KEYS = st.one_of(
    TRICKY,
    st.builds("agent:{}:{}".format, AGENTS, TRICKY),
    st.builds("{}:direct:{}".format, CHANNELS, TRICKY),
    st.builds("Agent:{}:{}:GROUP:{}".format, AGENTS, CHANNELS, TRICKY),
)


@given(key=KEYS, agent=AGENTS)
@example(key="global", agent="main")
@example(key=" Main ", agent="main")
def test_canonical_is_idempotent(key: str, agent: str) -> None:
    try:
        once = canonical(key, default_agent=agent)
    except InvalidRequest:
        return
    assume(len(once) <= MAX_KEY_LENGTH)
    assert canonical(once, default_agent=agent) == once
    assert canonical(once, default_agent="other") == once
    assert agent_of(once, default_agent=agent)


@given(
    agent=AGENTS,
    channel=CHANNELS,
    account=PARTS,
    kind=st.sampled_from(["direct", "group", "channel"]),
    peer=PARTS,
    thread=st.none() | PARTS,
    scope=SCOPES,
)
def test_a_derived_key_is_canonical(agent: str, **where: Any) -> None:
    key = derive(
        agent_id=agent,
        channel=where["channel"],
        account=where["account"],
        peer_kind=where["kind"],
        peer_id=where["peer"],
        thread_id=where["thread"],
        dm_scope=where["scope"],
    )
    parsed = parse(key)
    assert parsed.agent_id == agent
    assert parsed.key == key
    assert canonical(key, default_agent="other") == key.strip()


PLACES = st.tuples(
    CHANNELS, st.sampled_from(["direct", "group", "channel"]), PARTS, st.none() | PARTS
)


@given(one=PLACES, other=PLACES)
@example(one=("http", "direct", "a", "b"), other=("http", "direct", "a:thread:b", None))
@example(one=("http", "direct", "Ann", None), other=("http", "direct", "ann", None))
@example(one=("http", "direct", "a%3Ab", None), other=("http", "direct", "a:b", None))
def test_different_places_have_different_keys(one: Any, other: Any) -> None:
    assume(one != other)

    def key(place: Any) -> str:
        channel, kind, peer, thread = place
        return derive(
            agent_id="main",
            channel=channel,
            account="default",
            peer_kind=kind,
            peer_id=peer,
            thread_id=thread,
            dm_scope="per-channel-peer",
        )

    assert key(one) != key(other)


@given(one=st.tuples(PARTS, PARTS), other=st.tuples(PARTS, PARTS))
@example(one=("Ann", "x"), other=("ann", "x"))
@example(one=("direct", "x"), other=("Direct", "x"))
def test_different_accounts_have_different_keys(one: Any, other: Any) -> None:
    assume(one != other)

    def key(place: Any) -> str:
        account, peer = place
        return derive(
            agent_id="main",
            channel="telegram",
            account=account,
            peer_kind="direct",
            peer_id=peer,
            dm_scope="per-account-channel-peer",
        )

    assert key(one) != key(other)


@given(PARTS)
def test_an_escaped_part_has_no_separator(text: str) -> None:
    assert ":" not in escape_part(text)


@given(st.text())
def test_any_name_becomes_an_agent_id_or_nothing(name: str) -> None:
    made = normalize_agent_id(name)
    assert normalize_agent_id(made) == made
    if made:
        assert parse(f"agent:{made}:main").agent_id == made


@given(one=st.tuples(CHANNELS, TRICKY, st.just("")), other=st.tuples(CHANNELS, TRICKY, TRICKY))
def test_message_api_ids_keep_people_and_threads_apart(one: Any, other: Any) -> None:
    def made(place: Any) -> str:
        channel, sender, thread = place
        return message_api_id(channel=channel, sender=sender, thread=thread)

    assert made(one) != made(other)
