"""Which binding wins, for any bindings and any message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portico.agents.bindings import ANY, Binding, Tier, best, route, tier_of
from portico.channels.model import InboundMessage, Peer

CHANNELS = st.sampled_from(["telegram", "discord"])
ACCOUNTS = st.sampled_from(["default", "ops"])
SPACES = st.none() | st.sampled_from(["g1", "g2"])
ROLES = st.frozensets(st.sampled_from(["admin", "guest"]))
KINDS = st.sampled_from(["direct", "group", "channel"])
PEERS = st.builds(Peer, KINDS, st.sampled_from(["1", "2"]))
WANTED_PEERS = st.builds(Peer, KINDS, st.sampled_from(["1", "2", ANY]))

BINDINGS = st.lists(
    st.builds(
        Binding,
        agent_id=st.sampled_from(["a", "b", "c"]),
        channel=CHANNELS,
        account=ACCOUNTS | st.just(ANY),
        peer=st.none() | WANTED_PEERS,
        guild_id=SPACES,
        team_id=SPACES,
        roles=ROLES,
    ),
    max_size=12,
)
MESSAGES = st.builds(
    InboundMessage,
    channel=CHANNELS,
    account=ACCOUNTS,
    event_key=st.just("e"),
    peer=PEERS,
    sender=st.just("s"),
    text=st.just("hi"),
    parent_peer=st.none() | PEERS,
    guild_id=SPACES,
    team_id=SPACES,
    roles=ROLES.map(tuple),
)


@given(BINDINGS, MESSAGES)
def test_the_most_specific_wins_and_then_the_first(
    bindings: list[Binding], message: InboundMessage
) -> None:
    tiers = [tier_of(binding, message) for binding in bindings]
    matching = [(tier, place) for place, tier in enumerate(tiers) if tier is not None]
    winner = best(bindings, message)
    if not matching:
        assert winner is None
        assert route(bindings, message, default="main") == "main"
        return
    tier, place = min(matching)
    assert winner is bindings[place]
    assert route(bindings, message, default="main") == bindings[place].agent_id
    assert all(other is None or other >= tier for other in tiers)


@given(BINDINGS, MESSAGES)
def test_a_binding_that_matches_has_every_condition_met(
    bindings: list[Binding], message: InboundMessage
) -> None:
    winner = best(bindings, message)
    if winner is None:
        return
    assert winner.channel == message.channel
    assert winner.account in {ANY, message.account}
    assert winner.guild_id in {None, message.guild_id}
    assert winner.team_id in {None, message.team_id}
    assert not winner.roles or winner.roles & set(message.roles)
    if winner.peer is not None:
        near = [message.peer, *([message.parent_peer] if message.parent_peer else [])]
        assert winner.peer.id == ANY or winner.peer.id in {peer.id for peer in near}


@given(BINDINGS, MESSAGES, st.randoms())
def test_what_does_not_match_does_not_matter(
    bindings: list[Binding], message: InboundMessage, random: object
) -> None:
    without = [binding for binding in bindings if tier_of(binding, message) is not None]
    assert best(bindings, message) is best(without, message)


def message(**given: object) -> InboundMessage:
    known = {
        "channel": "discord",
        "account": "default",
        "event_key": "e",
        "peer": Peer("group", "5"),
        "sender": "ann",
        "text": "hi",
    }
    return InboundMessage(**{**known, **given})  # type: ignore[arg-type]


def test_every_tier_in_its_order() -> None:
    said = message(
        parent_peer=Peer("channel", "6"), guild_id="g", team_id="t", roles=("admin",), account="ops"
    )
    ladder = [
        (Binding("x", "discord", ANY, peer=Peer("group", "5")), Tier.PEER),
        (Binding("x", "discord", ANY, peer=Peer("group", "6")), Tier.PARENT_PEER),
        (Binding("x", "discord", ANY, peer=Peer("group", ANY)), Tier.PEER_KIND),
        (Binding("x", "discord", ANY, guild_id="g", roles=frozenset({"admin"})), Tier(3)),
        (Binding("x", "discord", ANY, guild_id="g"), Tier.GUILD),
        (Binding("x", "discord", ANY, team_id="t"), Tier.TEAM),
        (Binding("x", "discord", "ops"), Tier.ACCOUNT),
        (Binding("x", "discord", ANY), Tier.CHANNEL),
    ]
    assert [tier_of(binding, said) for binding, _ in ladder] == [tier for _, tier in ladder]
    assert [tier for _, tier in ladder] == sorted(Tier)


def test_no_account_means_the_default_account() -> None:
    plain = Binding("ops", "discord")
    assert route([plain], message(), default="main") == "ops"
    assert route([plain], message(account="second"), default="main") == "main"


def test_a_person_is_neither_a_group_nor_a_room() -> None:
    group = Binding("ops", "discord", ANY, peer=Peer("channel", "5"))
    assert route([group], message(), default="main") == "ops"
    assert route([group], message(peer=Peer("direct", "5")), default="main") == "main"


def test_the_channels_case_does_not_matter() -> None:
    assert route([Binding("ops", "discord", ANY)], message(channel="Discord"), default="m") == "ops"
