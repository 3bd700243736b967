"""Agents and bindings in the config file: what to change in it for a new, another or no agent.

Guarantees: pure. What the main file does not hold itself (an included file, an older spelling) is
refused with a sentence, since the change would land in the wrong place. Adding the first agent to a
file without any keeps `main`, which answered until then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portico.config.edit import Change
from portico.config.issues import ConfigError, Issue, Severity
from portico.config.keypath import KeyPath, format_path, get_at
from portico.config.sections.agents import DEFAULT_AGENT_ID, RuntimeConfig
from portico.config.service import LoadedConfig


class NoSuchAgent(Exception):
    """The file has no agent of this id."""


class AlreadyThere(Exception):
    """The file has an agent of this id."""


class CannotRemove(Exception):
    """The agent has to stay; the text says why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is set of an agent; keys as in the file, dotted for nested ones.

    Attributes:
        set: values to write.
        unset: values to take away.
    """

    set: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Removal:
    """How an agent leaves the file."""

    changes: tuple[Change, ...]
    bindings: int


def adding(loaded: LoadedConfig, agent_id: str, settings: Settings) -> list[Change]:
    """Return the changes that add an agent.

    Raises:
        AlreadyThere: there is one.
        ConfigError: the main file does not hold the agents.
    """
    agents = loaded.require().agents
    if agents.resolve(agent_id) is not None:
        raise AlreadyThere(agent_id)
    listed, mapped = _own(loaded)
    entry = _nested(_thinking(loaded, settings.set, runtime=None))
    if mapped and not listed:
        return [Change(("agents", "entries", agent_id), entry)]
    implicit = [] if listed else [{"id": DEFAULT_AGENT_ID, "default": True}]
    entries = [*implicit, {"id": agent_id, **entry}]
    return [
        Change(("agents", "list", len(listed) + place), one) for place, one in enumerate(entries)
    ]


def changing(loaded: LoadedConfig, agent_id: str, settings: Settings) -> list[Change]:
    """Return the changes that set and unset values of an agent.

    Raises:
        NoSuchAgent: there is none.
        ConfigError: the main file does not hold it.
    """
    configured = loaded.require().agents.resolve(agent_id)
    if configured is None:
        raise NoSuchAgent(agent_id)
    place = _place(loaded, agent_id)
    values = _thinking(loaded, settings.set, runtime=configured.runtime)
    if place is None:  # `main`, which is there without being written
        entry = {"id": agent_id, "default": True, **_nested(values)}
        return [Change(("agents", "list", 0), entry)]
    if "name" in values and configured.identity.name is not None:
        values["identity.name"] = values["name"]  # it would hide the other one
    if "model" in values and isinstance(_written(loaded, place, "model"), dict):
        values["model.primary"] = values.pop("model")  # the fallbacks stay
    sets = [Change((*place, *key.split(".")), value) for key, value in values.items()]
    gone = set(settings.unset)
    if "model" in gone and _written(loaded, place, "runtime") == "model":
        gone.add("runtime")  # what the agent was given with the model
    sets += [Change.removal(*place, *key.split(".")) for key in sorted(gone)]
    return sets if "default" not in values else [*_displacing(loaded, agent_id), *sets]


def _thinking(
    loaded: LoadedConfig, values: Mapping[str, Any], *, runtime: RuntimeConfig | None
) -> dict[str, Any]:
    """The values; an agent that is given a model thinks with it, not with the common echo."""
    common = loaded.require().agents.defaults.runtime
    echoes = runtime is None and common is not None and common.type == "echo"
    needed = echoes and "model" in values and "runtime" not in values
    return {**values, "runtime": "model"} if needed else dict(values)


def _displacing(loaded: LoadedConfig, agent_id: str) -> list[Change]:
    """The changes that let another agent be the default one, and everybody keep the directory."""
    agents = loaded.require().agents
    changes: list[Change] = []
    for entry in agents.roster():
        place = _place(loaded, entry.id)
        if place is None:
            continue
        if entry.default and entry.id != agent_id:
            changes.append(Change.removal(*place, "default"))
        if agents.defaults.workspace and not entry.workspace:
            directory = agents.workspace_for(entry.id, loaded.paths.state_dir)
            changes.append(Change((*place, "workspace"), str(directory)))
    return changes


def _written(loaded: LoadedConfig, place: KeyPath, key: str) -> Any:
    try:
        return get_at(loaded.parsed, (*place, key))
    except KeyError:
        return None


def removing(loaded: LoadedConfig, agent_id: str) -> Removal:
    """Return how to remove an agent and the bindings to it.

    Raises:
        NoSuchAgent: there is none.
        CannotRemove: it is the only one, or the default one.
        ConfigError: the main file does not hold it, or them.
    """
    agents = loaded.require().agents
    if agents.resolve(agent_id) is None:
        raise NoSuchAgent(agent_id)
    if len(agents.roster()) == 1:
        raise CannotRemove(
            f'Agent "{agent_id}" is the only configured agent and cannot be deleted.'
        )
    if agents.default_id() == agent_id:
        raise CannotRemove(
            f'Agent "{agent_id}" is the default agent and cannot be deleted; '
            "set default: true on another agent first."
        )
    place = _place(loaded, agent_id)
    if place is None:  # cannot be: the only unwritten agent is the only agent
        raise NoSuchAgent(agent_id)
    bound = [n for n, one in enumerate(loaded.require().bindings) if one.agent_id == agent_id]
    return Removal((Change.removal(*place), *unbinding(loaded, bound)), len(bound))


def binding(loaded: LoadedConfig, entries: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Return the changes that append bindings.

    Raises:
        ConfigError: the main file does not hold the bindings.
    """
    own = _own_bindings(loaded)
    return [
        Change(("bindings", len(own) + place), dict(entry)) for place, entry in enumerate(entries)
    ]


def unbinding(loaded: LoadedConfig, places: Sequence[int]) -> list[Change]:
    """Return the changes that remove the bindings at these places of the list.

    Raises:
        ConfigError: the main file does not hold the bindings.
    """
    if places:
        _own_bindings(loaded)
    return [Change.removal("bindings", place) for place in sorted(places, reverse=True)]


def _own(loaded: LoadedConfig) -> tuple[list[Any], dict[str, Any]]:
    """The agents the main file holds, as a list and as a map.

    Raises:
        ConfigError: there are others elsewhere.
    """
    agents = loaded.parsed.get("agents")
    agents = agents if isinstance(agents, dict) else {}
    listed = agents.get("list") if isinstance(agents.get("list"), list) else []
    mapped = agents.get("entries") if isinstance(agents.get("entries"), dict) else {}
    configured = loaded.require().agents
    whole = len(configured.list_) + len(configured.entries)
    if len(listed or ()) + len(mapped or {}) != whole:
        raise ConfigError([_elsewhere(loaded, ("agents",), "the agents")])
    return listed or [], mapped or {}


def _own_bindings(loaded: LoadedConfig) -> list[Any]:
    own = loaded.parsed.get("bindings", [])
    if not isinstance(own, list) or len(own) != len(loaded.require().bindings):
        raise ConfigError([_elsewhere(loaded, ("bindings",), "the bindings")])
    return own


def _place(loaded: LoadedConfig, agent_id: str) -> KeyPath | None:
    """Where the main file holds an agent; `None`: nowhere, and neither does it hold others."""
    listed, mapped = _own(loaded)
    configured = loaded.require().agents
    for position, entry in enumerate(configured.list_):
        if entry.id == agent_id:
            return ("agents", "list", position)
    for key in mapped:
        if configured.entries[key].id == agent_id:
            return ("agents", "entries", key)
    if listed or mapped:
        raise ConfigError([_elsewhere(loaded, ("agents",), f'agent "{agent_id}"')])
    return None


def _elsewhere(loaded: LoadedConfig, path: KeyPath, what: str) -> Issue:
    return Issue(
        Severity.ERROR,
        format_path(path),
        f"{what} cannot be changed here: an included file or an older spelling holds them",
        "change it by hand",
        "edit.elsewhere",
        str(loaded.paths.config_file),
    )


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *above, last = key.split(".")
        node = tree
        for step in above:
            node = node.setdefault(step, {})
        node[last] = value
    return tree
