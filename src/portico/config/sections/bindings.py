"""`bindings`: which agent answers what comes in through a channel.

Source: OpenClaw configuration reference, section `bindings`; its channel routing.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import field_validator

from portico.config.sections.agents import normal_agent_id
from portico.config.sections.base import Section, setting

PeerKind = Literal["direct", "group", "channel"]


def _as_text(value: Any) -> Any:
    # Ids of providers are often numbers, and people write them as such.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class BindingPeer(Section):
    """One conversation, or every one of a kind."""

    kind: PeerKind = setting(..., "A person, a group, or a room.", reload="hot")
    id: str = setting(..., "Its id at the provider; * for any.", reload="hot", min_length=1)

    @field_validator("kind", mode="before")
    @classmethod
    def _older_name(cls, value: Any) -> Any:
        return "direct" if value == "dm" else value

    @field_validator("id", mode="before")
    @classmethod
    def _id_as_text(cls, value: Any) -> Any:
        return _as_text(value)


class BindingMatch(Section):
    """What must be true of a message; everything that is set."""

    channel: str = setting(..., "The channel, such as telegram.", reload="hot", min_length=1)
    account_id: str | None = setting(
        None, "One account; * for every account; unset: the default account.", reload="hot"
    )
    peer: BindingPeer | None = setting(
        None, "One conversation; a thread in it counts as well.", reload="hot"
    )
    guild_id: str | None = setting(None, "The server (Discord).", reload="hot")
    team_id: str | None = setting(None, "The workspace (Slack, Teams).", reload="hot")
    roles: tuple[str, ...] = setting((), "The sender has one of these roles.", reload="hot")

    @field_validator("channel")
    @classmethod
    def _lower_case(cls, value: str) -> str:
        return value.strip().lower()

    @field_validator("account_id", "guild_id", "team_id", mode="before")
    @classmethod
    def _ids_as_text(cls, value: Any) -> Any:
        return _as_text(value)

    @field_validator("roles", mode="before")
    @classmethod
    def _roles_as_text(cls, value: Any) -> Any:
        return [_as_text(role) for role in value] if isinstance(value, (list, tuple)) else value


class Binding(Section):
    """Messages that match go to the agent; the most specific binding wins, then the first."""

    not_used: ClassVar[frozenset[str]] = frozenset({"session", "acp"})

    type: str = setting("route", "There is one kind: route.", reload="hot", pattern="^route$")
    agent_id: str = setting(..., "An agent's id.", reload="hot")
    match: BindingMatch = setting(..., "Which messages.", reload="hot")
    comment: str | None = setting(None, "For people.", reload="hot")

    @field_validator("agent_id")
    @classmethod
    def _normal_id(cls, value: str) -> str:
        return normal_agent_id(value)
