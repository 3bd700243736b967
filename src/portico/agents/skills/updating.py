"""The RPC method that configures a skill.

Guarantees: a secret is written to the configuration, and never said; what would break the
configuration is refused, and nothing is changed.

Source: OpenClaw gateway protocol, "skills.update".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from portico.agents.service import Agents
from portico.agents.skills.service import Skills
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.edit import Change
    from portico.config.live import LiveConfig

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class UpdateParams(Params, frozen=True, kw_only=True):
    """`{skillKey, enabled?, apiKey?, env?}`; an empty text removes."""

    skill_key: NonEmpty | None = None
    enabled: bool | None = None
    api_key: str | None = None
    env: dict[str, str] | None = None
    source: Literal["clawhub"] | None = None
    slug: NonEmpty | None = None
    all: bool | None = None
    force: bool | None = None
    agent_id: NonEmpty | None = None


class Updated(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The skill's entry, secrets masked."""

    skill_key: str
    config: dict[str, Any]
    ok: bool = True


class SkillUpdateMethods:
    """Configuring skills."""

    def __init__(self, *, skills: Skills, agents: Agents, live: LiveConfig) -> None:
        self._skills = skills
        self._agents = agents
        self._live = live

    @method("skills.update", scope=Scope.ADMIN, mutates=True, audit="skill.updated")
    async def update(self, call: Call, params: UpdateParams) -> Updated:
        """Switch a skill on or off, or set its key and variables, in the configuration."""
        if params.source is not None or params.skill_key is None:
            raise InvalidRequest(
                "this gateway has no skill registry; say which skill: skillKey",
                details={"code": "CLAWHUB_NOT_OFFERED"},
            )
        key, env = params.skill_key, params.env or {}
        if wrong := [name for name in env if not _VARIABLE.fullmatch(name)]:
            raise InvalidRequest(f"invalid environment variable: {wrong[0][:80]}")
        if not await self._is_known(key):
            raise InvalidRequest(f"unknown skill: {key[:80]}")
        loaded = await self._edit(lambda now: _changes(now, key, params))
        return Updated(skill_key=key, config=_entry_shown(loaded, key))

    async def _is_known(self, key: str) -> bool:
        if key in self._skills.settings.entries:
            return True
        for agent in self._agents.list():
            inventory = await self._skills.inventory(agent.agent_id, fresh=True)
            if any(standing.skill.key == key for standing in inventory.standings):
                return True
        return False

    async def _edit(self, decide: Callable[[LoadedConfig], list[Change]]) -> LoadedConfig:
        from portico.config.issues import ConfigError

        try:
            return await self._live.edit(decide)
        except ConfigError as error:
            first = error.issues[0]
            raise InvalidRequest(
                f"invalid config: {first.path}: {first.message}",
                details={
                    "code": "INVALID_CONFIG",
                    "issues": [issue.to_wire() for issue in error.issues],
                },
            ) from None
        except OSError as error:
            reason = error.strerror or error
            raise Unavailable(f"the config file cannot be written: {reason}") from None


def _changes(now: LoadedConfig, key: str, params: UpdateParams) -> list[Change]:
    from portico.config.edit import Change

    at = ("skills", "entries", key)
    entry = now.require().skills.entries.get(key)
    changes: list[Change] = []
    if params.enabled is not None:
        changes.append(Change((*at, "enabled"), params.enabled))
    if params.api_key is not None:
        if given := params.api_key.strip():
            changes.append(Change((*at, "apiKey"), given))
        elif entry is not None and entry.api_key is not None:
            changes.append(Change.removal(*at, "apiKey"))
    for name, value in (params.env or {}).items():
        if given := value.strip():
            changes.append(Change((*at, "env", name), given))
        elif entry is not None and name in entry.env:
            changes.append(Change.removal(*at, "env", name))
    return changes


def _entry_shown(loaded: LoadedConfig, key: str) -> dict[str, Any]:
    from portico.config.keypath import get_at
    from portico.config.redaction import redact

    at = ("skills", "entries", key)
    try:
        shown = get_at(redact(loaded.resolved, loaded.hidden_paths), at)
    except KeyError:
        return {}
    return shown if isinstance(shown, dict) else {}
