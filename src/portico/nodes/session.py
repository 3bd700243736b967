"""A connected node: what it declared, what it may be used for, what it last said."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portico.ids import ConnId
from portico.nodes import policy
from portico.nodes.model import About, NodeRow, Surface
from portico.nodes.policy import CommandRules

MAX_RUNS = 256


@dataclass(slots=True)
class Session:
    """One connection of a node.

    Attributes:
        declared: what it offers, as far as it may ever be used for that.
        row: how it is remembered; replaced when it is approved or renamed.
        tools, skills: what it published, unchecked beyond their shape.
        runs: the programs it was asked to run: events of others are not believed.
    """

    conn_id: ConnId
    row: NodeRow
    declared: Surface
    connected_at: int
    is_local: bool = False
    path_env: str | None = None
    computer_use: Any = None
    host_stats: dict[str, Any] | None = None
    last_active_at: int | None = None
    presence_updated_at: int | None = None
    desktop: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    skills: tuple[Mapping[str, Any], ...] = ()
    followed: set[str] = field(default_factory=set)
    runs: OrderedDict[str, None] = field(default_factory=OrderedDict)

    @property
    def node_id(self) -> str:
        """The device's id."""
        return self.row.node_id

    @property
    def about(self) -> About:
        """What it says of itself."""
        return self.row.about

    @property
    def granted(self) -> Surface:
        """What of its offer was approved."""
        return self.declared.within(self.row.approved) if self.row.approved else Surface()

    def usable(self, rules: CommandRules) -> tuple[str, ...]:
        """Return the commands that may be used now."""
        return policy.usable(self.about, self.granted, rules)

    def why_not(self, command: str, rules: CommandRules) -> tuple[str, str] | None:
        """Return why a command may not be used, for programs and for people; `None`: it may."""
        return policy.why_not(
            command,
            about=self.about,
            declared=self.declared,
            approved=self.granted.commands,
            rules=rules,
        )

    def asked_to_run(self, run_id: str) -> None:
        """Remember a program it was asked to run."""
        self.runs[run_id] = None
        if len(self.runs) > MAX_RUNS:
            self.runs.popitem(last=False)
