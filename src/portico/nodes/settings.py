"""How nodes are used, as far as the configuration says it."""

from __future__ import annotations

from dataclasses import dataclass, field

from portico.nodes.invoking import InvokeLimits
from portico.nodes.policy import CommandRules


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """How nodes are used.

    Attributes:
        publishes_tools: agents may use the tools that nodes publish.
    """

    rules: CommandRules = field(default_factory=CommandRules)
    invoke: InvokeLimits = field(default_factory=InvokeLimits)
    publishes_tools: bool = False
