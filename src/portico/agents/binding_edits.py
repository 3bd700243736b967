"""Adding and removing bindings while the gateway runs.

Guarantees: the same match is never given to two agents; adding what is there and removing what is
not changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import ValidationError

from portico.agents.bindings import DEFAULT_ACCOUNT
from portico.agents.editing import edit
from portico.agents.entries import binding, unbinding
from portico.agents.service import Agents
from portico.config.channels import default_account_of
from portico.config.edit import Change
from portico.config.live import LiveConfig
from portico.config.model import BindingMatch
from portico.config.service import LoadedConfig
from portico.protocol.errors import InvalidRequest

Match: TypeAlias = Mapping[str, Any]
"""What must be true of a message; keys as in the config file."""


class BindingEditor:
    """Changes who answers what comes in through channels."""

    def __init__(self, *, live: LiveConfig, agents: Agents) -> None:
        self._live = live
        self._agents = agents

    async def add(self, agent_id: str, matches: Sequence[Match]) -> list[Match]:
        """Bind messages to an agent; return the matches that were not there.

        Raises:
            InvalidRequest: there is no such agent, a match makes no sense, or another agent has it.
        """
        checked = [(_checked(match), match) for match in matches]
        added: list[Match] = []

        def decide(loaded: LoadedConfig) -> Sequence[Change]:
            identity = _identity_in(loaded)
            wanted = {identity(known): match for known, match in checked}
            owners = {identity(one.match): one.agent_id for one in loaded.require().bindings}
            for key, match in wanted.items():
                owner = owners.get(key, agent_id)
                if owner != agent_id:
                    raise InvalidRequest(
                        f'{described(match)} is bound to agent "{owner}"',
                        details={"code": "BINDING_CONFLICT", "agentId": owner},
                    )
            added[:] = [match for key, match in wanted.items() if key not in owners]
            return binding(loaded, [{"agentId": agent_id, "match": match} for match in added])

        self._agents.get(agent_id)
        await edit(self._live, decide)
        return added

    async def remove(self, agent_id: str, matches: Sequence[Match] | None) -> int:
        """Remove bindings of an agent, `None`: all of them; return how many there were.

        Raises:
            InvalidRequest: a match makes no sense.
        """
        checked = None if matches is None else [_checked(match) for match in matches]
        count = 0

        def decide(loaded: LoadedConfig) -> Sequence[Change]:
            nonlocal count
            identity = _identity_in(loaded)
            wanted = None if checked is None else {identity(match) for match in checked}
            places = [
                place
                for place, one in enumerate(loaded.require().bindings)
                if one.agent_id == agent_id and (wanted is None or identity(one.match) in wanted)
            ]
            count = len(places)
            return unbinding(loaded, places)

        await edit(self._live, decide)
        return count


def _checked(match: Match) -> BindingMatch:
    try:
        return BindingMatch.model_validate(match)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(str(step) for step in problem["loc"])
        raise InvalidRequest(f"invalid match: at /{where}: {problem['msg']}") from None


def _identity_in(loaded: LoadedConfig) -> Callable[[BindingMatch], tuple[Any, ...]]:
    """What makes two matches the same, in a configuration that says which accounts there are."""
    channels = loaded.require().channels

    def identity(match: BindingMatch) -> tuple[Any, ...]:
        peer = None if match.peer is None else (match.peer.kind, match.peer.id)
        account = match.account_id or default_account_of(channels, match.channel)
        roles = frozenset(match.roles)
        return (match.channel, account, peer, match.guild_id, match.team_id, roles)

    return identity


def described(match: Match) -> str:
    """Return a match in a few words."""
    peer = match.get("peer")
    parts = [
        f"{match['channel']}:{match.get('accountId') or DEFAULT_ACCOUNT}",
        *([f"{peer['kind']} {peer['id']}"] if isinstance(peer, Mapping) else []),
        *(f"{name} {match[name]}" for name in ("guildId", "teamId") if match.get(name)),
        *(["roles " + ",".join(map(str, match["roles"]))] if match.get("roles") else []),
    ]
    return " ".join(parts)
