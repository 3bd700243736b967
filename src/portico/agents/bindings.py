"""Which agent answers a message that came in through a channel.

Theory of operation: a binding names an agent and what must be true of a message. Of those that are
true, the most specific wins: one conversation, the conversation a thread belongs to, every
conversation of a kind, a server and a role, a server, a workspace, an account, a channel. Among
equals the first in the file wins; where none is true, the default agent answers.

Guarantees: `route` is pure and total. A binding with several conditions needs all of them.

Source: OpenClaw, channel routing, "Routing rules"; agent bindings, "Match fields and precedence".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from portico.channels.model import InboundMessage, Peer

ANY = "*"
DEFAULT_ACCOUNT = "default"


class Tier(IntEnum):
    """How specific a match is; the lowest wins."""

    PEER = 0
    PARENT_PEER = 1
    PEER_KIND = 2
    GUILD_AND_ROLES = 3
    GUILD = 4
    TEAM = 5
    ACCOUNT = 6
    CHANNEL = 7


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages for which all of this is true go to the agent.

    Attributes:
        account: one account; `*`: every one.
        peer: one conversation; with the id `*`, every one of its kind.
        roles: the sender has at least one of them.
    """

    agent_id: str
    channel: str
    account: str = DEFAULT_ACCOUNT
    peer: Peer | None = None
    guild_id: str | None = None
    team_id: str | None = None
    roles: frozenset[str] = frozenset()
    comment: str | None = None


def route(bindings: Sequence[Binding], message: InboundMessage, *, default: str) -> str:
    """Return the id of the agent a message goes to."""
    found = best(bindings, message)
    return default if found is None else found.agent_id


def best(bindings: Sequence[Binding], message: InboundMessage) -> Binding | None:
    """Return the binding that decides about a message; `None`: none is true of it."""
    winner: tuple[Tier, Binding] | None = None
    for binding in bindings:
        tier = tier_of(binding, message)
        if tier is not None and (winner is None or tier < winner[0]):
            winner = (tier, binding)
    return winner[1] if winner else None


def tier_of(binding: Binding, message: InboundMessage) -> Tier | None:
    """Return how specifically a binding matches a message; `None`: it does not."""
    if binding.channel != message.channel.lower() or not _surroundings_match(binding, message):
        return None
    if binding.peer is not None:
        return _peer_tier(binding.peer, message)
    if binding.guild_id is not None:
        return Tier.GUILD_AND_ROLES if binding.roles else Tier.GUILD
    if binding.team_id is not None:
        return Tier.TEAM
    return Tier.CHANNEL if binding.account == ANY else Tier.ACCOUNT


def _surroundings_match(binding: Binding, message: InboundMessage) -> bool:
    return (
        binding.account in {ANY, message.account}
        and binding.guild_id in {None, message.guild_id}
        and binding.team_id in {None, message.team_id}
        and (not binding.roles or not binding.roles.isdisjoint(message.roles))
    )


def _peer_tier(wanted: Peer, message: InboundMessage) -> Tier | None:
    if wanted.id == ANY:
        return Tier.PEER_KIND if _same_kind(wanted, message.peer) else None
    if _same(wanted, message.peer):
        return Tier.PEER
    if message.parent_peer is not None and _same(wanted, message.parent_peer):
        return Tier.PARENT_PEER
    return None


def _same(wanted: Peer, peer: Peer) -> bool:
    return wanted.id == peer.id and _same_kind(wanted, peer)


def _same_kind(wanted: Peer, peer: Peer) -> bool:
    # What is a group and what a room differs from provider to provider; a person is never either.
    return (wanted.kind == "direct") == (peer.kind == "direct")
