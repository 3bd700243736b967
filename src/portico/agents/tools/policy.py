"""Which tools somebody may have: profiles, allow and deny lists, in layers that only narrow.

Theory of operation: a policy is a list of layers (the gateway's, the agent's, the channel's, the
door's, and the one for turns that have read untrusted text). A tool is allowed when every layer
allows it; no layer gives back what another took. Within a layer: the profile says what there is at
all, `also_allow` adds to it, `allow` keeps only what it names, `deny` takes away and always wins.
Names are exact, `group:<name>`, or patterns with `*`.

No I/O, no state. Source: OpenClaw configuration reference, `tools.profile`, `tools.allow`,
`tools.deny`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from portico.agents.tools.contract import Tool

PROFILES: dict[str, tuple[str, ...]] = {
    "minimal": ("session_status",),
    "messaging": (
        "group:messaging",
        "sessions_list",
        "sessions_history",
        "sessions_send",
        "session_status",
    ),
    "coding": (
        "group:runtime",
        "group:fs",
        "group:sessions",
        "group:memory",
        "group:web",
        "group:media",
        "group:skills",
        "cron",
    ),
    "untrusted": (
        "session_status",
        "memory_search",
        "web_fetch",
        "message",
        "group:media",
        "skill_read",
    ),
    "full": ("*",),
}
"""What each profile has. `untrusted` is for turns that have read what a stranger wrote."""


@dataclass(frozen=True, slots=True)
class Rules:
    """One layer.

    Attributes:
        name: where it is from, for whoever asks why a tool is missing.
        profile: one of `PROFILES`; `None`: everything.
        allow: when there is any, nothing else is allowed.
    """

    name: str
    profile: str | None = None
    allow: tuple[str, ...] = ()
    also_allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def allows(self, tool: Tool) -> bool:
        """Whether this layer lets a tool through."""
        if matches(tool, self.deny):
            return False
        named = (*PROFILES[self.profile], *self.also_allow) if self.profile else ("*",)
        return matches(tool, named) and (not self.allow or matches(tool, self.allow))


def refusing(layers: Iterable[Rules], tool: Tool) -> str | None:
    """Return the name of the first layer that refuses a tool; `None`: it is allowed."""
    return next((layer.name for layer in layers if not layer.allows(tool)), None)


def allowed(layers: Sequence[Rules], tools: Iterable[Tool]) -> list[Tool]:
    """Return the tools every layer allows, in order."""
    return [tool for tool in tools if refusing(layers, tool) is None]


def matches(tool: Tool, names: Iterable[str]) -> bool:
    """Whether a tool is among names, groups and patterns."""
    return any(
        tool.group == name.removeprefix("group:")
        if name.startswith("group:")
        else tool.name == name or ("*" in name and fnmatchcase(tool.name, name))
        for name in names
    )
