"""Settings of channels as OpenClaw writes them, put where all channels here have them.

Source: OpenClaw configuration reference, `channels.slack` and `channels.matrix`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portico.config.sections.base import Section, setting
from portico.config.sections.channels import DmPolicy, GroupRules, Ids

_RULES = {
    "allow": "enabled",
    "users": "allowFrom",
    **{name: name for name in ("enabled", "allowFrom", "requireMention", "agent", "tools")},
}
_DIRECT = {"policy": "dmPolicy", "allowFrom": "allowFrom"}


class ConversationRules(GroupRules):
    """One channel or room."""

    allow: bool | None = setting(None, "The same as enabled.", reload="hot")
    users: Ids | None = setting(None, "The same as allowFrom.", reload="hot")


class DirectRules(Section):
    """Direct messages: what stands under `dm`."""

    enabled: bool = setting(True, "false: dmPolicy is disabled.", reload="hot")
    policy: DmPolicy | None = setting(None, "The same as dmPolicy.", reload="hot")
    allow_from: Ids | None = setting(None, "The same as allowFrom.", reload="hot")


def put_in_place(given: Any, *, conversations: str) -> Any:
    """Return an account's settings with those of `dm` and of its conversations in place.

    What stands in its place already counts more.

    Args:
        conversations: what OpenClaw calls `groups` here: `channels`, `rooms`.
    """
    if not isinstance(given, Mapping):
        return given
    whole = dict(given)
    if isinstance(named := given.get(conversations), Mapping):
        rules = {name: _renamed(value, _RULES) for name, value in named.items()}
        whole["groups"] = {**rules, **(given.get("groups") or {})}
    if isinstance(direct := given.get("dm"), Mapping):
        whole = {**_renamed(direct, _DIRECT), **whole}
        if direct.get("enabled") is False:
            whole["dmPolicy"] = "disabled"
    return whole


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {names[key]: item for key, item in value.items() if key in names}
